"""What happened in a simulation: counted, the last of it kept, and all of it in one digest, by which two runs of a seed
are compared. No text is in it."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable

KEPT = 400


class Broken(Exception):
    """A promise was not kept. The message says which one, by whom and when."""


class Record:
    """`note` is for everything that happens; `broken` for what must not."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.counts: Counter[str] = Counter()
        self.last: deque[str] = deque(maxlen=KEPT)
        self.problems: list[str] = []
        self._clock = clock
        self._hash = hashlib.blake2b(digest_size=16)

    @property
    def digest(self) -> str:
        """Of everything that was noted so far, in order."""
        return self._hash.hexdigest()

    def note(self, what: str, told: str = "") -> None:
        line = f"{self._clock():.3f} {what} {told}"
        self.counts[what] += 1
        self.last.append(line)
        self._hash.update(line.encode())

    def broken(self, promise: str, told: str) -> None:
        """One is enough: the run ends at the next check."""
        self.note("BROKEN", f"{promise}: {told}")
        self.problems.append(f"at {self._clock():.3f} s: {promise}: {told}")
