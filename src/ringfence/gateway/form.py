"""A form with a file in it (multipart/form-data): read as it comes, and written anew for an engine."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from multipart import (  # pyright: ignore[reportMissingTypeStubs]
    MultipartError,
    PushMultipartParser,
    parse_options_header,  # pyright: ignore[reportUnknownVariableType]
)

from ringfence.core.errors import BadRequest
from ringfence.gateway.dialects.dialect import Body, wrong

SLICE_BYTES = 1024 * 1024
"""Others have turns between two of them."""
MOST_FIELDS = 64
MOST_TEXT_BYTES = 64 * 1024
"""Of all fields that are no files, together."""
MOST_NAME = 255
UNTOLD_KIND = "application/octet-stream"
LIST = "[]"
"""How the name of a field ends that may come several times."""
ESCAPED = {'"': "%22", "\r": "%0D", "\n": "%0A"}
"""In a name, as browsers write it."""


@dataclass(frozen=True, slots=True)
class File:
    """What stands in a form as a file."""

    data: bytearray = field(repr=False)
    name: str = field(repr=False)
    kind: str


async def read_form(
    content_type: bytes | None, body: bytes | bytearray, most_fields: int = MOST_FIELDS,
    most_text_bytes: int = MOST_TEXT_BYTES,
) -> Body:  # fmt: skip
    """The fields by name: texts, files, and lists of texts. Raises BadRequest."""
    said = (content_type or b"").decode("latin-1")
    kind, options = cast("tuple[str, dict[str, str]]", parse_options_header(said))
    if kind != "multipart/form-data" or not options.get("boundary"):
        raise BadRequest("This is asked with a form: multipart/form-data, with a boundary.", code="invalid_multipart")
    reading = _Reading(most_text_bytes)
    try:
        with PushMultipartParser(options["boundary"], max_segment_count=most_fields, strict=True) as parser:
            for start in range(0, len(body), SLICE_BYTES):
                for event in parser.parse(bytes(body[start : start + SLICE_BYTES])):
                    reading.take(event)
                await asyncio.sleep(0)
    except MultipartError as fault:
        raise BadRequest(f"The form cannot be read: {fault}.", code="invalid_multipart") from None
    return reading.fields


def write_form(body: Body) -> tuple[bytes, bytes]:
    """The same as a content type and the bytes for an engine. What a file holds is as it came."""
    edge = secrets.token_hex(16).encode()
    parts: list[bytes | bytearray] = []
    for name, value in body.items():
        for one in cast("list[Any]", value) if isinstance(value, list) else [value]:
            parts += (b"--", edge, b'\r\ncontent-disposition: form-data; name="', _quoted(name), b'"')
            parts += _content(one)
            parts.append(b"\r\n")
    parts += (b"--", edge, b"--\r\n")
    return b"multipart/form-data; boundary=" + edge, b"".join(parts)


def _content(value: Any) -> Iterator[bytes | bytearray]:
    if isinstance(value, File):
        yield b'; filename="%b"\r\ncontent-type: %b\r\n\r\n' % (_quoted(value.name), value.kind.encode("latin-1"))
        yield value.data
    else:
        yield b"\r\n\r\n" + (str(value).lower() if isinstance(value, bool) else str(value)).encode()


def _quoted(text: str) -> bytes:
    return "".join(ESCAPED.get(character, character) for character in text).encode()


class _Reading:
    def __init__(self, most_text_bytes: int) -> None:
        self.fields: Body = {}
        self._most_text_bytes = most_text_bytes
        self._name = ""
        self._into = bytearray()
        self._file: tuple[str, str] | None = None
        self._text_bytes = 0

    def take(self, event: Any) -> None:
        """A head, a piece of what belongs to it, or None for its end."""
        if event is None:
            self._end()
        elif isinstance(event, bytes | bytearray):
            self._into += event
            if self._file is None:
                self._text_bytes += len(event)
                if self._text_bytes > self._most_text_bytes:
                    raise BadRequest(f"The form has more than {self._most_text_bytes} bytes beside its file.")
        else:
            self._begin(event.name or "", event.filename, event.content_type)

    def _begin(self, name: str, filename: str | None, kind: str | None) -> None:
        self._name, self._into, self._file = name, bytearray(), None
        if filename is not None:
            plain = "".join(each for each in (kind or "") if each.isascii() and each.isprintable())
            self._file = (_plain(filename), plain[:MOST_NAME] or UNTOLD_KIND)

    def _end(self) -> None:
        name = self._name[:64]
        value: Any
        if self._file is not None:
            value = File(self._into, *self._file)
        else:
            try:
                value = self._into.decode()
            except UnicodeDecodeError:
                raise wrong(name, "a text in UTF-8") from None
        if self._name.endswith(LIST) and self._file is None:
            self.fields.setdefault(self._name, []).append(value)
        elif self._name in self.fields:
            raise BadRequest(f"The field '{name}' is given more than once.", param=name)
        else:
            self.fields[self._name] = value


def _plain(filename: str) -> str:
    """Without a path, and without what a terminal would act on."""
    last = filename.replace("\\", "/").rpartition("/")[2]
    return "".join(each for each in last if each.isprintable())[:MOST_NAME] or "file"
