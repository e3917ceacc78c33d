"""One answer of a cloud on its way to a caller: piece by piece, at the pace of the slower side, within limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import sha256

from ringfence.egress.pool import HeadedLine
from ringfence.egress.server import Asked
from ringfence.egress.turns import Headers

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_HEADERS = 32
MAX_VALUE_BYTES = 256
MOST_START_BYTES = 2048
PASSED_ON = frozenset((b"content-type", b"retry-after", b"retry-after-ms", b"x-should-retry"))
PASSED_ON_PREFIXES = (b"x-ratelimit-", b"anthropic-ratelimit-")
SHOWN = frozenset(range(0x20, 0x7F))


class Exchange:
    """The receiver of one line. `outcome` is set once, last: answered, client_gone, redirected, too_long, or what
    became of the line (stale, lost, first_byte_timeout, stalled, malformed); or what `judge` makes of its head, where
    that is worth another try: then nothing of the answer was passed on."""

    def __init__(
        self, asked: Asked, line: HeadedLine, judge: Callable[[int, Headers], str | None] = lambda _s, _h: None
    ) -> None:
        self._asked = asked
        self._line = line
        self._judge = judge
        self.outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.is_begun = False
        self.status = 0
        self.bytes_in = 0
        self.digest = sha256()
        self.start = b""
        """Of an error, to tell by what is wrong. Never logged."""
        asked.on_gone = self._leave
        asked.on_pause = line.pause
        asked.on_resume = line.resume

    # -- Receiver -----------------------------------------------------------------------------------------------

    def on_piece(self, data: bytes) -> None:
        if not self.is_begun and not self._begin():
            return
        self.bytes_in += len(data)
        if self.bytes_in > MAX_ANSWER_BYTES:
            self.give_up("too_long")
            return
        self.digest.update(data)
        if self.status >= 400 and len(self.start) < MOST_START_BYTES:
            self.start += data[:MOST_START_BYTES]
        self._asked.write(data)

    def on_end(self) -> None:
        if not self.outcome.done() and (self.is_begun or self._begin()):
            self._end("answered")
            self._asked.finish()

    def on_lost(self, reason: str) -> None:
        self._end(reason)
        if self.is_begun:
            self._asked.abort()

    # -- inside -------------------------------------------------------------------------------------------------

    def give_up(self, outcome: str) -> None:
        """We have had enough of this answer: stop the cloud's work on it, and let the caller know."""
        if not self.outcome.done():
            self._line.cancel()
            self.on_lost(outcome)

    def _begin(self) -> bool:
        line = self._line
        status = self.status = line.status()
        if 300 <= status < 400:  # where it points to was judged by nobody
            self.give_up("redirected")
        elif not 200 <= status < 600 or line.header(b"content-encoding") not in (None, b"identity"):
            self.give_up("malformed")
        elif (outcome := self._judge(status, line.headers)) is not None:
            self.give_up(outcome)
        else:
            self.is_begun = True
            self._asked.begin(status, [row for row in line.headers if is_passed_on(*row)][:MAX_HEADERS])
            if self._asked.is_paused:
                line.pause()
        return self.is_begun

    def _leave(self) -> None:
        """The caller went away: so do we, at once."""
        self._line.cancel()
        self._end("client_gone")

    def _end(self, outcome: str) -> None:
        asked = self._asked
        asked.on_gone = asked.on_pause = asked.on_resume = None
        if not self.outcome.done():
            self.outcome.set_result(outcome)


def is_passed_on(name: bytes, value: bytes) -> bool:
    """Whether a gateway is told of this header of a cloud."""
    is_known = name in PASSED_ON or name.startswith(PASSED_ON_PREFIXES)
    return is_known and len(name) + len(value) <= MAX_VALUE_BYTES and SHOWN.issuperset(value)
