"""Forms with a file in them, written by hand."""

from __future__ import annotations

EDGE = "--edge-of-a-part"
FORM = f"multipart/form-data; boundary={EDGE}"


def form(*fields: tuple[str, bytes], file: bytes | None, filename: str, kind: str = "") -> bytes:
    """The body; its content type is FORM."""
    named = b'--%b\r\ncontent-disposition: form-data; name="%b"'
    edge = EDGE.encode()
    parts = [named % (edge, name.encode()) + b"\r\n\r\n%b\r\n" % value for name, value in fields]
    if file is not None:
        told = b"content-type: %b\r\n" % kind.encode() if kind else b""
        head = named % (edge, b"file") + b'; filename="%b"\r\n%b\r\n' % (filename.encode(), told)
        parts.append(head + file + b"\r\n")
    return b"".join(parts) + b"--%b--\r\n" % edge
