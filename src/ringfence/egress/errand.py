"""One small exchange with a provider whose answer is read here, and not passed on: a file sent, a batch looked at."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from ringfence.core.boundary import Boundary
from ringfence.core.errors import BoundaryRefused
from ringfence.egress.batch_dialect import Errand
from ringfence.egress.cloud import Cloud
from ringfence.egress.exchange import is_passed_on
from ringfence.egress.permit import issue
from ringfence.egress.pool import HeadedLine
from ringfence.egress.settings import Timeouts


class Told(NamedTuple):
    """What came of it: `answered` with what `Answered` has, or another outcome of `calls.REASONS`."""

    outcome: str
    status: int = 0
    body: bytes = b""
    head: tuple[tuple[bytes, bytes], ...] = ()


class _Taken:
    """The receiver of its line."""

    def __init__(self, line: HeadedLine, errand: Errand) -> None:
        self._line = line
        self._errand = errand
        self._parts: list[bytes] = []
        self._size = 0
        self.told: asyncio.Future[Told] = asyncio.get_running_loop().create_future()

    def on_piece(self, data: bytes) -> None:
        self._size += len(data)
        if self.told.done():
            return
        if self._errand.is_first_line and b"\n" in data and self._line.status() == 200:
            self._parts.append(data.partition(b"\n")[0])
            self.on_end()
            self._line.cancel()
        elif self._size > self._errand.most_bytes:
            self.give_up("too_long")
        else:
            self._parts.append(data)

    def on_end(self) -> None:
        status = self._line.status()
        if 300 <= status < 400:
            self._end(Told("redirected"))
        elif not 200 <= status < 600 or self._line.header(b"content-encoding") not in (None, b"identity"):
            self._end(Told("malformed"))
        else:
            head = tuple(row for row in self._line.headers if row[0] != b"content-type" and is_passed_on(*row))
            self._end(Told("answered", status, b"".join(self._parts), head))

    def on_lost(self, reason: str) -> None:
        self._end(Told(reason))

    def give_up(self, outcome: str) -> None:
        if not self.told.done():
            self._line.cancel()
            self._end(Told(outcome))

    def _end(self, told: Told) -> None:
        if not self.told.done():
            self.told.set_result(told)


async def run_errand(cloud: Cloud, call: str, allowed: Boundary, errand: Errand, timeouts: Timeouts) -> Told:
    """On a line of its own, so that it is never sent twice."""
    try:
        addresses = await cloud.addresses(is_fresh=True)
        line = await cloud.dial(addresses[0])
    except BoundaryRefused:
        return Told("resolve")
    except (OSError, TimeoutError):
        return Told("connect")
    if line.transport.is_closing():
        return Told("connect")
    taken = _Taken(line, errand)
    permit = issue(call, allowed, line.endpoint)
    whole = b"%b%d\r\n\r\n" % (cloud.batch_head(errand), len(errand.body))
    line.ask(taken, permit, whole, errand.body, timeouts.answer_s, timeouts.between_bytes_s, keep=True)
    limit = asyncio.get_running_loop().call_later(timeouts.call_s, taken.give_up, "too_long")
    try:
        return await taken.told
    finally:
        limit.cancel()
        taken.give_up("client_gone")  # whoever asked was stopped; nothing happens where it has ended
