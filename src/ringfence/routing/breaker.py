"""[pure] Whether one target is to be asked: closed while it answers, open after failures, half-open to be tried again.

Time is told by whoever asks, and read twice where it goes back: no breaker stays open longer than it was opened for. A
target that has returned is used again within `MOST_OPEN_S` and the second or so until the next call comes.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

FAILURES_IN_A_ROW = 3
RATE_WINDOW_S = 30.0
RATE_LEAST = 10
RATE_PERCENT = 50
"""Of so many calls within the window so many failed."""
OPEN_S = (1.0, 2.0, 4.0, 8.0)
"""For how long it is open: the first time, the second, and so on."""
MOST_OPEN_S = OPEN_S[-1]
PROBE_S = 8.0
"""A probe of which nothing is heard for so long keeps the next one from nothing: it may wait for a dead target for
minutes, while that one has long returned."""
SETTLED_S = 30.0
"""Closed for so long, it is opened as for the first time."""
MOST_TOLD_S = 60.0
"""A target that asks for more time than this is asked again all the same."""
REMEMBERED = 256


class Standing(Enum):
    """How a target stands. The values are those of the metric."""

    CLOSED = 0
    """It is asked as any other."""
    HALF_OPEN = 1
    """One call at a time may find out whether it answers again."""
    OPEN = 2
    """Set aside."""


class Breaker:
    """What was seen of one target since its first failure. The changes return True where it was set aside by it, or
    returned."""

    __slots__ = (
        "_closed_s", "_count", "_for_s", "_is_open", "_level", "_outcomes", "_probe", "_probe_until_s", "_until_s",
        "in_a_row", "is_rate", "is_silent", "is_told", "since_s",
    )  # fmt: skip

    def __init__(self) -> None:
        self.in_a_row = 0
        self.is_silent = False
        """It was opened for want of any answer: who asks it may wait long."""
        self.is_told = False
        """It was opened because the target itself asked for time."""
        self.is_rate = False
        """It was opened because too many failed, though not all: one that answers proves nothing."""
        self.since_s = 0.0
        """When it was opened for the first time after it had been closed."""
        self._is_open = False
        self._until_s = 0.0
        self._for_s = 0.0
        self._level = 0
        self._closed_s = float("-inf")
        self._outcomes: deque[tuple[float, bool]] = deque(maxlen=REMEMBERED)
        self._probe = 0
        self._probe_until_s = 0.0
        self._count = 0

    # -- what was seen ------------------------------------------------------------------------------------------------

    def failed(self, now_s: float, *, is_silent: bool = False) -> bool:
        """A call came to nothing, and it was the target's doing."""
        self.in_a_row += 1
        self._outcomes.append((now_s, True))
        return self._judge(now_s, is_silent=is_silent)

    def dragged(self, now_s: float) -> bool:
        """It answered, and later than is good for anybody."""
        self.in_a_row = 0
        self._outcomes.append((now_s, True))
        return self._judge(now_s, is_silent=False)

    def broke(self, now_s: float) -> bool:
        """Answers of it begin, and end in the middle, one after the other."""
        return self.standing(now_s) is not Standing.OPEN and self._open(now_s)

    def told(self, now_s: float, for_s: float) -> bool:
        """It asks not to be asked for so long."""
        for_s = min(for_s, MOST_TOLD_S)
        is_longer = self.standing(now_s) is not Standing.OPEN or for_s > self.left_s(now_s)
        if for_s <= 0 or not is_longer:
            return False
        was_open, self._is_open, self.is_told = self._is_open, True, True
        self.is_silent = self.is_rate = False
        self.since_s = self.since_s if was_open else now_s
        self._until_s, self._for_s, self._probe = now_s + for_s, for_s, 0
        return not was_open

    def succeeded(self, now_s: float) -> bool:
        """A call was answered: its first byte came."""
        self.in_a_row = 0
        self._outcomes.append((now_s, False))
        if not self._is_open:
            return False
        if (self.is_rate or self.is_told) and self.standing(now_s) is Standing.OPEN:
            return False  # others were under way when it was opened
        self._is_open = self.is_silent = self.is_told = self.is_rate = False
        self._closed_s, self._probe = now_s, 0
        self._outcomes.clear()
        return True

    # -- what follows from it -----------------------------------------------------------------------------------------

    def standing(self, now_s: float) -> Standing:
        if not self._is_open:
            return Standing.CLOSED
        return Standing.OPEN if self.left_s(now_s) > 0 else Standing.HALF_OPEN

    def left_s(self, now_s: float) -> float:
        """Seconds until it may be probed."""
        if not self._is_open:
            return 0.0
        if self._until_s - now_s > self._for_s:  # the clock went back
            self._until_s = now_s + self._for_s
        if self._probe_until_s - now_s > PROBE_S:
            self._probe_until_s = now_s + PROBE_S
        return max(0.0, self._until_s - now_s)

    def may_probe(self, now_s: float) -> bool:
        """Whether it is half-open, and nobody is trying it."""
        if self.standing(now_s) is not Standing.HALF_OPEN:
            return False
        return not self._probe or self._probe_until_s <= now_s

    def probe(self, now_s: float) -> int:
        """Takes the place of the one that tries it: its number for `unprobe`, or 0 where there is no such place now."""
        if not self.may_probe(now_s):
            return 0
        self._count += 1
        self._probe, self._probe_until_s = self._count, now_s + PROBE_S
        return self._count

    def unprobe(self, number: int) -> None:
        """It will not say anything of the target; nothing happens where another took its place meanwhile."""
        if self._probe == number:
            self._probe = 0

    def is_quiet(self, now_s: float) -> bool:
        """Nothing of it matters any more."""
        if self._is_open or self.in_a_row or 0 <= now_s - self._closed_s < SETTLED_S:
            return False
        return not any(failed for _, failed in self._recent(now_s))

    # -- inside -------------------------------------------------------------------------------------------------------

    def _judge(self, now_s: float, *, is_silent: bool) -> bool:
        """Late failures, of calls that were under way when it was opened, leave it as it is."""
        standing = self.standing(now_s)
        if standing is Standing.OPEN:
            return False
        if standing is Standing.HALF_OPEN or self.in_a_row >= FAILURES_IN_A_ROW:
            return self._open(now_s, is_silent=is_silent)
        recent = self._recent(now_s)
        failures = sum(failed for _, failed in recent)
        if len(recent) >= RATE_LEAST and failures * 100 >= RATE_PERCENT * len(recent):
            return self._open(now_s, is_silent=is_silent, is_rate=True)
        return False

    def _open(self, now_s: float, *, is_silent: bool = False, is_rate: bool = False) -> bool:
        was_open = self._is_open
        is_again = was_open or 0 <= now_s - self._closed_s < SETTLED_S
        self._level = min(self._level + 1, len(OPEN_S) - 1) if is_again and self._for_s else 0
        self._is_open, self.is_silent, self.is_told, self.is_rate = True, is_silent, False, is_rate
        self.since_s = self.since_s if was_open else now_s
        self._for_s = OPEN_S[self._level]
        self._until_s, self._probe = now_s + self._for_s, 0
        return not was_open

    def _recent(self, now_s: float) -> deque[tuple[float, bool]]:
        outcomes = self._outcomes
        while outcomes and not 0 <= now_s - outcomes[0][0] <= RATE_WINDOW_S:
            outcomes.popleft()
        return outcomes
