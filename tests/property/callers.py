"""The caller's end of a connection to the gateway, in memory."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from types import MappingProxyType

from asks import Ask

NOTHING: Mapping[str, str] = MappingProxyType({})
TICKET = re.compile(rb"\r\nlocation: (/v1/parked/\S+)\r\n")


class Caller(asyncio.Transport):
    """`statuses` are those of the answers that are whole, `tickets` where to ask for some later. `is_answered` is set
    with the last of those awaited."""

    def __init__(self) -> None:
        super().__init__()
        self.statuses: list[str] = []
        self.tickets: list[str] = []
        self.is_answered = asyncio.Event()
        self._awaited = 1
        self._said = b""
        self._is_closing = False

    def await_answers(self, number: int) -> None:
        """So many will come."""
        self.statuses.clear()
        self.tickets.clear()
        self.is_answered.clear()
        self._said = b""
        self._awaited = number

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._said += bytes(data)
        while (size := _size(self._said)) is not None:
            self.statuses.append(self._said[9:12].decode())
            self.tickets.append((TICKET.search(self._said[:size]) or [b"", b""])[1].decode())
            self._said = self._said[size:]
        if len(self.statuses) >= self._awaited:
            self.is_answered.set()

    def close(self) -> None:
        self._is_closing = True
        self.is_answered.set()

    abort = write_eof = close

    def is_closing(self) -> bool:
        return self._is_closing

    def can_write_eof(self) -> bool:
        return True

    def resume_reading(self) -> None: ...
    def pause_reading(self) -> None: ...


def request(ask: Ask, more: Mapping[str, str] = NOTHING) -> bytes:
    """As it goes over the wire."""
    raw = json.dumps(ask.body).encode()
    lines = "".join(f"{name}: {value}\r\n" for name, value in (ask.headers() | dict(more)).items())
    head = f"POST {ask.path} HTTP/1.1\r\nhost: localhost\r\n{lines}content-length: {len(raw)}\r\n\r\n"
    return head.encode() + raw


def look(key: str, ticket: str) -> bytes:
    """What has become of a ticket?"""
    return f"GET {ticket} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\r\n".encode()


def _size(said: bytes) -> int | None:
    """Of the first answer, all of it; None while it is not whole."""
    head, end, body = said.partition(b"\r\n\r\n")
    begin = len(head) + len(end)
    if not end:
        return None
    if b"chunked" in head:
        last = body.find(b"0\r\n\r\n") if body.startswith(b"0") else body.find(b"\r\n0\r\n\r\n") + 2
        return begin + last + 5 if last > 1 or body.startswith(b"0") else None
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    size = begin + int(lengths[0].partition(b":")[2]) if lengths else begin
    return size if len(said) >= size else None
