"""A voice tells the answer to one request in the dialect that it was asked in.

It hears what a caller of chat completions would get: whole JSON, or events with the usage among them (`heard` asks for
that). An error in the midst of a stream comes as an event with an `error` in OpenAI's shape.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import orjson

from ringfence.core.errors import EngineFailed

EVENT_HEAD = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
DONE = b"data: [DONE]"
UNTOLD = "The engine sent an answer that has no shape of one."


class Voice(Protocol):
    """Made anew for each request; holds what one answer needs to be told, and no text longer than that."""

    @property
    def stream_head(self) -> bytes:
        """Header lines of a stream: EVENT_HEAD, where it is one of events."""
        ...

    def answer(self, body: bytes) -> bytes:
        """A whole answer."""
        ...

    def feed(self, data: bytes) -> bytes:
        """Whole events of a stream, possibly none; also comments, which tell that somebody still works."""
        ...

    def end(self) -> bytes:
        """What is still owed at the end of a stream; nothing once an error was told."""
        ...


def events(data: bytes) -> Iterator[dict[str, Any] | None]:
    """The events in `data`, which holds whole ones; None for a comment. Where the stream says that it is at its end,
    nothing is yielded: `Voice.end` follows."""
    for block in data.split(b"\n\n"):
        if (text := data_of(block)).startswith(b"{"):
            yield orjson.loads(text)
        elif not text and block.startswith(b":"):
            yield None


def data_of(block: bytes) -> bytes:
    """What an event says; some engines write other lines beside it, such as an id."""
    if block.startswith(b"data: {") and block.find(b"\n") < 0:
        return block[6:]
    lines = [line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines).strip()


def whole(voice: Voice | None, body: bytes) -> bytes:
    """A whole answer as its caller is to read it; EngineFailed for one that has no shape of an answer."""
    if voice is None:
        return body
    try:
        return voice.answer(body)
    except Exception as error:  # engines answer anything, and what the call holds is to be given back
        raise EngineFailed(UNTOLD) from error
