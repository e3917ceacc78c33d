"""A voice tells the answer to one request in the dialect that it was asked in.

It hears what a caller of chat completions would get: whole JSON, or events with the usage among them (`heard` asks for
that). An error in the midst of a stream comes as an event with an `error` in OpenAI's shape.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import orjson

EVENT_HEAD = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
DONE = b"data: [DONE]"


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
        if block.startswith(b"data: {"):
            yield orjson.loads(block[6:])
        elif block.startswith(b":"):
            yield None
