"""Answers that are kept to be given again: in memory alone, sealed, for a while, and no more than a bound of bytes.

An entry is found by the digest of all that its answer came from, made with a secret of this process: no text of a
request is kept. What is kept of the answer opens with the digest that it was sealed under, and with no other.
"""

from __future__ import annotations

import secrets
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Any

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.ports import Clock
from ringfence.core.route import Caching
from ringfence.store.sealing import KEY_BYTES, Seal

MOST_OF_ALL = 4
"""An answer takes at most this part (a fourth) of what its profile may keep."""
ENTRY_BYTES = 512
"""About what an entry takes beside its answer and its header lines."""


@dataclass(frozen=True, slots=True)
class Found:
    """A kept answer, as it was sent the first time."""

    data: bytes = field(repr=False)
    is_events: bool
    head: bytes = field(repr=False)
    """Header lines that say where it came from."""
    target: Target
    age_s: float


@dataclass(frozen=True, slots=True)
class Entry:
    sealed: bytes = field(repr=False)
    is_events: bool
    head: bytes = field(repr=False)
    target: Target
    made_s: float
    until_s: float

    @property
    def size_bytes(self) -> int:
        return len(self.sealed) + len(self.head) + ENTRY_BYTES


class Shelf:
    """The entries of one profile, the one that was used last at the end."""

    __slots__ = ("entries", "size_bytes")

    def __init__(self) -> None:
        self.entries: OrderedDict[bytes, Entry] = OrderedDict()
        self.size_bytes = 0

    def put(self, digest: bytes, entry: Entry, most_bytes: int) -> None:
        self.drop(digest)
        self.entries[digest] = entry
        self.size_bytes += entry.size_bytes
        while self.size_bytes > most_bytes:
            self.drop(next(iter(self.entries)))

    def drop(self, digest: bytes) -> None:
        entry = self.entries.pop(digest, None)
        if entry is not None:
            self.size_bytes -= entry.size_bytes


class Cache:
    """By profile, so that none takes the room of another."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seal = Seal(secrets.token_bytes(KEY_BYTES))
        self.shelves: dict[str, Shelf] = {}
        self.counts: Counter[tuple[str, str]] = Counter()
        """By profile and what became of a call: hit, miss or joined."""
        self.emptied = 0
        """How often it was emptied: what was under way then is not kept."""

    def find(
        self, profile: str, digest: bytes, caching: Caching, allowed: Boundary, most_age_s: float | None = None
    ) -> Found | None:
        """An answer that was made for just this, and not beyond the boundary of who asks now."""
        shelf = self.shelves.get(profile)
        entry = shelf.entries.get(digest) if shelf is not None else None
        if shelf is None or entry is None:
            return None
        now_s = self._clock()
        age_s = now_s - entry.made_s
        if now_s >= entry.until_s or age_s >= caching.ttl_s:
            shelf.drop(digest)
            return None
        if not allowed.permits(entry.target.boundary) or (most_age_s is not None and age_s > most_age_s):
            return None
        shelf.entries.move_to_end(digest)
        data = self._seal.open(entry.sealed, digest)
        return Found(data, entry.is_events, entry.head, entry.target, age_s)

    def keep(
        self, profile: str, digest: bytes, caching: Caching, data: bytes, target: Target, *, is_events: bool,
        head: bytes,
    ) -> None:  # fmt: skip
        """One that is too large is not kept; for others, those go that were not used for longest."""
        now_s = self._clock()
        sealed = self._seal.close(data, digest)
        entry = Entry(sealed, is_events, head, target, now_s, now_s + caching.ttl_s)
        if entry.size_bytes * MOST_OF_ALL <= caching.memory_bytes:
            self.shelves.setdefault(profile, Shelf()).put(digest, entry, caching.memory_bytes)

    def drop(self, profile: str, digest: bytes) -> None:
        """It turned out to be no answer."""
        if (shelf := self.shelves.get(profile)) is not None:
            shelf.drop(digest)

    def sweep(self) -> bool:
        """Drop what is past its time. True while anything is left."""
        now_s = self._clock()
        for profile, shelf in list(self.shelves.items()):
            for digest in [digest for digest, entry in shelf.entries.items() if now_s >= entry.until_s]:
                shelf.drop(digest)
            if not shelf.entries:
                del self.shelves[profile]
        return bool(self.shelves)

    def shown(self) -> list[dict[str, Any]]:
        """Of each profile that keeps answers, or did since the start: numbers alone."""
        rows: list[dict[str, Any]] = []
        for profile in sorted({*self.shelves, *(profile for profile, _ in self.counts)}):
            shelf = self.shelves.get(profile) or Shelf()
            became = {word: self.counts[profile, word] for word in ("hit", "miss", "joined")}
            rows.append({"profile": profile, "answers": len(shelf.entries), "bytes": shelf.size_bytes, **became})
        return rows

    def clear(self, profile: str = "") -> int:
        """Forget all, or all of one profile; how many entries that were."""
        self.emptied += 1
        names = [profile] if profile else list(self.shelves)
        return sum(len(shelf.entries) for name in names if (shelf := self.shelves.pop(name, None)) is not None)
