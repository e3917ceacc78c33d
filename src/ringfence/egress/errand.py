"""One small exchange with a provider whose answer is read here, and not passed on: a file sent, a batch looked at."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from ringfence.core.boundary import Boundary
from ringfence.core.errors import BoundaryRefused
from ringfence.egress.cloud import Cloud
from ringfence.egress.permit import issue
from ringfence.egress.pool import HeadedLine
from ringfence.egress.settings import Timeouts

MOST_BYTES = 32 * 1024 * 1024


class Told(NamedTuple):
    """What came of it: `answered` with status and body, or another outcome of `calls.REASONS`."""

    outcome: str
    status: int = 0
    body: bytes = b""


class _Taken:
    """The receiver of its line."""

    def __init__(self, line: HeadedLine) -> None:
        self._line = line
        self._parts: list[bytes] = []
        self._size = 0
        self.told: asyncio.Future[Told] = asyncio.get_running_loop().create_future()

    def on_piece(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > MOST_BYTES:
            self.give_up("too_long")
        elif not self.told.done():
            self._parts.append(data)

    def on_end(self) -> None:
        status = self._line.status()
        if 300 <= status < 400:
            self._end(Told("redirected"))
        elif not 200 <= status < 600 or self._line.header(b"content-encoding") not in (None, b"identity"):
            self._end(Told("malformed"))
        else:
            self._end(Told("answered", status, b"".join(self._parts)))

    def on_lost(self, reason: str) -> None:
        self._end(Told(reason))

    def give_up(self, outcome: str) -> None:
        if not self.told.done():
            self._line.cancel()
            self._end(Told(outcome))

    def _end(self, told: Told) -> None:
        if not self.told.done():
            self.told.set_result(told)


async def run_errand(
    cloud: Cloud, call: str, allowed: Boundary, head: bytes, body: bytes, timeouts: Timeouts
) -> Told:  # fmt: skip
    """On a line of its own, so that it is never sent twice. `head` goes up to the number of its content-length."""
    try:
        addresses = await cloud.addresses(is_fresh=True)
        line = await cloud.dial(addresses[0])
    except BoundaryRefused:
        return Told("resolve")
    except (OSError, TimeoutError):
        return Told("connect")
    if line.transport.is_closing():
        return Told("connect")
    taken = _Taken(line)
    permit = issue(call, allowed, line.endpoint)
    whole = b"%b%d\r\n\r\n" % (head, len(body))
    line.ask(taken, permit, whole, body, timeouts.answer_s, timeouts.between_bytes_s, keep=True)
    limit = asyncio.get_running_loop().call_later(timeouts.answer_s, taken.give_up, "too_long")
    try:
        return await taken.told
    finally:
        limit.cancel()
        taken.give_up("client_gone")  # whoever asked was stopped; nothing happens where it has ended
