"""Ways in which an answer goes wrong on its way out of a fake engine: each gets the right one, and sends what it makes
of it. False where the connection is to be closed then.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

APART_S = 0.2
"""Between what came well and what goes wrong then, so that they are two pieces for whoever reads."""
DROP_S = 0.002
AT_ONCE_BYTES = 64 * 1024
JSON, EVENTS = "application/json", "text/event-stream"
PAGE = b"<!DOCTYPE html>\n\n<html><head><title>Bad gateway</title></head>\n\n<body>nginx</body></html>\n\n"
HALF_A_SIGN = b"\xe2\x82"
"""Two of the three bytes of the sign of the euro."""


class Wire(Protocol):
    """The way back to the client."""

    def head(self, status: int, content_type: str, length: int | None, headers: str = "") -> bytes: ...
    async def send(self, data: bytes) -> None: ...
    async def chunk(self, data: bytes) -> None: ...
    async def pause(self, seconds: float) -> None: ...
    async def until_gone(self) -> None: ...


Twist = Callable[[Wire, list[bytes], bool], Awaitable[bool]]
"""Gets the events of a stream, or the one body of an answer, and whether it is a stream."""


async def empty(wire: Wire, parts: list[bytes], is_stream: bool) -> bool:
    """200, and not a byte."""
    await wire.send(wire.head(200, EVENTS if is_stream else JSON, 0))
    return True


async def nothing_said(wire: Wire, parts: list[bytes], is_stream: bool) -> bool:
    """An answer without an answer in it: `{}`, or a stream that is done before it says anything."""
    return await _sent(wire, [b"data: [DONE]\n\n"] if is_stream else [b"{}"], is_stream)


async def page(wire: Wire, parts: list[bytes], is_stream: bool) -> bool:
    """200, and a page for a browser, as a proxy in between sends it."""
    await wire.send(wire.head(200, "text/html", len(PAGE)) + PAGE)
    return True


async def other_type(wire: Wire, parts: list[bytes], is_stream: bool) -> bool:
    """The right answer under a wrong content type."""
    data = b"".join(parts)
    await wire.send(wire.head(200, "text/plain", len(data)) + data)
    return True


async def header_hang(wire: Wire, parts: list[bytes], is_stream: bool) -> bool:
    """Half of a head."""
    head = wire.head(200, EVENTS if is_stream else JSON, None)
    await wire.send(head[: len(head) // 2])
    await wire.until_gone()
    return False


async def body_hang(wire: Wire, parts: list[bytes], is_stream: bool) -> bool:
    """A whole head, and nothing after it."""
    await wire.send(wire.head(200, EVENTS if is_stream else JSON, None if is_stream else len(parts[0])))
    await wire.until_gone()
    return False


async def short(wire: Wire, parts: list[bytes], is_stream: bool) -> bool:
    """Fewer bytes than the head says, and then the connection ends."""
    data = b"".join(parts)
    await wire.send(wire.head(200, EVENTS if is_stream else JSON, len(data)) + data[: len(data) // 2])
    return False


async def half_json(wire: Wire, parts: list[bytes], is_stream: bool) -> bool:
    """JSON that is cut in the middle, in a frame that is whole: of a stream it is the third event."""
    if not is_stream:
        return await _sent(wire, [parts[0][: len(parts[0]) // 2]], False)
    cut = parts[2][: len(parts[2]) // 2] + b"\n\n"
    return await _sent(wire, [*parts[:2], cut, *parts[3:]], True)


async def first_half_json(wire: Wire, parts: list[bytes], is_stream: bool) -> bool:
    """The same of the first event."""
    if not is_stream:
        return await half_json(wire, parts, False)
    return await _sent(wire, [parts[0][: len(parts[0]) // 2] + b"\n\n", *parts[1:]], True)


async def no_event(wire: Wire, parts: list[bytes], is_stream: bool) -> bool:
    """In the middle of a stream a page for a browser."""
    if not is_stream:
        return await page(wire, parts, False)
    return await _sent(wire, [*parts[:2], PAGE, *parts[2:]], True)


async def half_a_sign(wire: Wire, parts: list[bytes], is_stream: bool) -> bool:
    """A text that ends within the bytes of one sign; of a stream, that of the last event that has one."""
    if not is_stream:
        return await _sent(wire, [_with_half_a_sign(parts[0])], False)
    place = max(number for number, event in enumerate(parts) if b"jumps" in event or b"." in event[-80:])
    return await _sent(wire, [*parts[:place], _with_half_a_sign(parts[place]), *parts[place + 1 :]], True)


async def no_usage(wire: Wire, parts: list[bytes], is_stream: bool) -> bool:
    """All of the answer, without what it used."""
    if is_stream:
        return await _sent(wire, [event for event in parts if b'"usage"' not in event], True)
    answer: dict[str, Any] = json.loads(parts[0])
    answer.pop("usage", None)
    return await _sent(wire, [json.dumps(answer).encode()], False)


async def no_end(wire: Wire, parts: list[bytes], is_stream: bool) -> bool:
    """A stream that is closed in order after half of its events; a body that is cut in the middle of its chunks."""
    if is_stream:
        return await _sent(wire, parts[: len(parts) // 2], True)
    await wire.send(wire.head(200, JSON, None))
    await wire.chunk(parts[0][: len(parts[0]) // 2])
    return False


async def no_done(wire: Wire, parts: list[bytes], is_stream: bool) -> bool:
    """All of a stream but its last word."""
    return await _sent(wire, [event for event in parts if b"[DONE]" not in event], is_stream)


async def endless(wire: Wire, parts: list[bytes], is_stream: bool) -> bool:
    """It says the same again and again."""
    await wire.send(wire.head(200, EVENTS if is_stream else JSON, None))
    await wire.chunk(parts[0] if is_stream else b'{"choices": [{"text": "')
    while True:
        await wire.chunk(parts[1] * (AT_ONCE_BYTES // len(parts[1])) if is_stream else b"word " * 50)
        await wire.pause(DROP_S)


async def comments(wire: Wire, parts: list[bytes], is_stream: bool) -> bool:
    """A stream that begins, and then has nothing but comments; an answer of nothing but spaces."""
    await wire.send(wire.head(200, EVENTS if is_stream else JSON, None))
    await wire.chunk(parts[0] if is_stream else b" ")
    while True:
        await wire.chunk(b": ping\n\n" * 500 if is_stream else b" " * 500)
        await wire.pause(DROP_S)


async def error_first(wire: Wire, parts: list[bytes], is_stream: bool) -> bool:
    """An error under the status 200."""
    said = b'{"error": {"message": "out of memory", "type": "server_error"}}'
    return await _sent(wire, [b"data: %b\n\n" % said, *parts[-1:]] if is_stream else [said], is_stream)


async def error_midway(wire: Wire, parts: list[bytes], is_stream: bool) -> bool:
    """An error in the middle of a stream."""
    if not is_stream:
        return await error_first(wire, parts, False)
    said = b'data: {"error": {"message": "out of memory", "type": "server_error"}}\n\n'
    return await _sent(wire, [*parts[:2], said, *parts[-1:]], True)


async def _sent(wire: Wire, parts: list[bytes], is_stream: bool) -> bool:
    if not is_stream:
        await wire.send(wire.head(200, JSON, len(parts[0])) + parts[0])
        return True
    await wire.send(wire.head(200, EVENTS, None))
    for part in parts:
        await wire.chunk(part)
        await wire.pause(APART_S)
    await wire.send(b"0\r\n\r\n")
    return True


def _with_half_a_sign(data: bytes) -> bytes:
    """After a word of the text, or in what is there instead."""
    place = data.rfind(b".") if b'"embedding"' not in data else data.find(b'"object": "list') + len(b'"object": "list')
    return data[:place] + HALF_A_SIGN + data[place:]
