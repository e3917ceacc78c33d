"""A file that comes as multipart/form-data, as browsers and OpenAI's clients send it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

from multipart import (  # pyright: ignore[reportMissingTypeStubs]
    MultipartError,
    PushMultipartParser,
    parse_options_header,  # pyright: ignore[reportUnknownVariableType]
)

from ringfence.core.errors import BadRequest

SLICE_BYTES = 1024 * 1024
"""Others have turns between two of them; also about as much of a file as is sealed in one part."""
MOST_FIELDS = 16
MOST_FIELD_BYTES = 4096
MOST_NAME = 255


@dataclass(slots=True)
class Upload:
    """One file and the fields beside it."""

    filename: str = ""
    text: bytearray | None = field(default=None, repr=False)
    fields: dict[str, str] = field(default_factory=dict[str, str], repr=False)


async def read_upload(content_type: bytes, body: bytes | bytearray) -> Upload:
    """Raises BadRequest."""
    kind, options = cast("tuple[str, dict[str, str]]", parse_options_header(content_type.decode("latin-1")))
    if kind != "multipart/form-data" or not options.get("boundary"):
        raise BadRequest("A file is sent as multipart/form-data with a boundary.", code="invalid_multipart")
    form = _Form()
    try:
        with PushMultipartParser(options["boundary"], max_segment_count=MOST_FIELDS, strict=True) as parser:
            for start in range(0, len(body), SLICE_BYTES):
                for event in parser.parse(bytes(body[start : start + SLICE_BYTES])):
                    form.take(event)
                await asyncio.sleep(0)
    except MultipartError as wrong:
        raise BadRequest(f"The form cannot be read: {wrong}.", code="invalid_multipart") from None
    return form.upload


class _Form:
    def __init__(self) -> None:
        self.upload = Upload()
        self._name = ""
        self._into: bytearray | None = None

    def take(self, event: Any) -> None:
        """A head, a piece of what belongs to it, or None for its end."""
        if event is None:
            self._end()
        elif isinstance(event, bytes | bytearray):
            assert self._into is not None
            self._into += event
            if self._name != "file" and len(self._into) > MOST_FIELD_BYTES:
                raise BadRequest(f"The field '{self._name[:64]}' is too long.", param=self._name[:64])
        else:
            self._begin(event.name or "", event.filename)

    def _begin(self, name: str, filename: str | None) -> None:
        self._name, self._into = name, bytearray()
        if name == "file":
            if self.upload.text is not None:
                raise BadRequest("One file is taken at a time.", param="file")
            self.upload.text, self.upload.filename = self._into, _plain(filename or "file")

    def _end(self) -> None:
        if self._name != "file" and self._into is not None:
            try:
                self.upload.fields[self._name] = self._into.decode()
            except UnicodeDecodeError:
                raise BadRequest(f"The field '{self._name[:64]}' is not UTF-8.", param=self._name[:64]) from None


def _plain(filename: str) -> str:
    """Without a path, and without what a terminal would act on."""
    last = filename.replace("\\", "/").rpartition("/")[2]
    return "".join(each for each in last if each.isprintable())[:MOST_NAME] or "file"


def parts_of(text: bytearray) -> list[bytes]:
    """Cut behind ends of lines: no line stands in two parts."""
    parts: list[bytes] = []
    start = 0
    while start < len(text):
        end = text.find(b"\n", min(start + SLICE_BYTES, len(text)) - 1) + 1
        end = end or len(text)
        parts.append(bytes(text[start:end]))
        start = end
    return parts
