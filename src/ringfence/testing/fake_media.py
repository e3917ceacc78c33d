"""What engines answer that speak, hear and draw, as far as the gateway looks at it. Forms are read by another reader
than the gateway's."""

from __future__ import annotations

import base64
import email.parser
import email.policy
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

SPEECH, HEARD, TRANSLATED = "/v1/audio/speech", "/v1/audio/transcriptions", "/v1/audio/translations"
DRAWN = "/v1/images/generations"
ROUTES = frozenset((SPEECH, HEARD, TRANSLATED, DRAWN))
SOUND_KIND = "audio/wav"
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


@dataclass(frozen=True, slots=True)
class Part:
    """One field of a form, as it came over the wire."""

    name: str
    data: bytes = field(repr=False)
    filename: str | None = None
    kind: str = ""


def parts_of(content_type: str, data: bytes) -> list[Part]:
    """By the standard library's reader of mails. Raises ValueError."""
    head = f"content-type: {content_type}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + data)
    if not message.is_multipart():
        raise ValueError("this is no form")
    found: list[Part] = []
    for part in message.iter_parts():  # type: ignore[attr-defined]
        kind = part.get_content_type() if part["content-type"] else ""
        name = str(part.get_param("name", header="content-disposition"))
        found.append(Part(name, cast("bytes", part.get_payload(decode=True)), part.get_filename(), kind))
    return found


def fields_of(parts: list[Part]) -> dict[str, Any]:
    """The same as a body: texts, a list where a name ends in '[]', and of a file its size."""
    body: dict[str, Any] = {}
    for part in parts:
        value: Any = len(part.data) if part.filename is not None else part.data.decode()
        if part.name.endswith("[]"):
            body.setdefault(part.name, []).append(value)
        else:
            body[part.name] = value
    return body


def sound(text: str) -> bytes:
    """What a fake says: no text that could be taken for JSON or an event, and as long as the text is."""
    return b"RIFF\xff\x00" + b"".join(bytes((ord(one) % 256, 0xFE)) for one in text)


def spoken(text: str) -> Iterator[bytes]:
    """The same piece by piece."""
    data = sound(text)
    size = max(1, len(data) // 6)
    for start in range(0, len(data), size):
        yield data[start : start + size]


def spoken_events(text: str) -> Iterator[bytes]:
    """The same as events, as OpenAI has them."""
    for piece in spoken(text):
        said = {"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()}
        yield b"data: " + json.dumps(said).encode() + b"\n\n"
    usage = {"input_tokens": 4, "output_tokens": 9, "total_tokens": 13}
    yield b"data: " + json.dumps({"type": "speech.audio.done", "usage": usage}).encode() + b"\n\n"


def told(path: str, body: dict[str, Any]) -> tuple[str, bytes]:
    """A whole answer: its content type and the bytes."""
    if path == DRAWN:
        row = {"b64_json": base64.b64encode(PICTURE).decode()}
        usage = {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}
        drawn = {"created": 1_790_000_000, "data": [row] * int(body.get("n") or 1), "usage": usage}
        return "application/json", json.dumps(drawn).encode()
    text = f"heard {body['file']} bytes" if path == HEARD else f"heard {body['file']} bytes, in English"
    if body.get("response_format") in ("text", "srt", "vtt"):
        return "text/plain; charset=utf-8", f"{text}\n".encode()
    answer = {"text": text, "usage": {"type": "duration", "seconds": 3}}
    return "application/json", json.dumps(answer).encode()


def heard(body: dict[str, Any]) -> Iterator[bytes]:
    """The events of a transcription that is streamed."""
    text = f"heard {body['file']} bytes"
    for word in text.split():
        yield b"data: " + json.dumps({"type": "transcript.text.delta", "delta": f"{word} "}).encode() + b"\n\n"
    yield b"data: " + json.dumps({"type": "transcript.text.done", "text": text}).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"
