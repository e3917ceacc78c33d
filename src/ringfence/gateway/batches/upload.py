"""A file that comes as multipart/form-data, as browsers and OpenAI's clients send it."""

from __future__ import annotations

from dataclasses import dataclass, field

from ringfence.gateway.form import SLICE_BYTES, File, read_form

MOST_FIELDS = 16
MOST_FIELDS_BYTES = 4096
"""Of all fields beside the file together."""


@dataclass(slots=True)
class Upload:
    """One file and the fields beside it."""

    filename: str = ""
    text: bytearray | None = field(default=None, repr=False)
    fields: dict[str, str] = field(default_factory=dict[str, str], repr=False)


async def read_upload(content_type: bytes, body: bytes | bytearray) -> Upload:
    """Raises BadRequest."""
    form = await read_form(content_type, body, MOST_FIELDS, MOST_FIELDS_BYTES)
    upload = Upload(fields={name: value for name, value in form.items() if isinstance(value, str)})
    if isinstance(file := form.get("file"), File):
        upload.filename, upload.text = file.name, file.data
    return upload


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
