"""Bytes that arrive in pieces, as lines."""

from __future__ import annotations

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""Of an event of a stream: what is longer, and has no end yet, is none."""


class Lines:
    """Each byte is looked at once. Whoever feeds it bounds what it holds: `size`."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> list[bytes]:
        rest = self._rest
        rest += data
        lines: list[bytes] = []
        begin = 0
        while (end := rest.find(b"\n", max(begin, self._searched))) >= 0:
            line = bytes(rest[begin:end])
            lines.append(line[:-1] if line.endswith(b"\r") else line)
            begin = end + 1
        if begin:
            del rest[:begin]
        self._searched = len(rest)
        return lines

    @property
    def size(self) -> int:
        return len(self._rest)
