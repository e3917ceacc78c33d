"""What the journal says in short: since when nothing has left, and what left lately. Kept up to date by reading on.

A journal may have hundreds of thousands of lines, and a page that shows it asks every few seconds, in the process that
serves calls. So lines are read once, a millisecond at a time, and followed again from where they ended. All of them are
read again when a file was changed other than by growing, and now and then in any case.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ringfence.egress.journal_chain import (
    FIELDS,
    NEEDED,
    NOT_SENT,
    START,
    Call,
    Entry,
    Verdict,
    Walk,
    files_of,
    parse,
)

Fields = dict[str, Any]
QUARTER_S = 900
"""Counts are kept by the quarter of an hour: every time zone's midnight is the beginning of one."""
KEPT_S = 50 * 3600
"""How far back counts go: a day of 25 hours, seen from the other side of the date line."""
MOST_CALLS = 200
"""Calls that are kept one by one; earlier ones are only counted."""
MOST_ADDRESSES = 8
RUNNING_S = 3600.0
"""A call without an end that is older was cut off by the end of the process."""
WORK_S, REST_S = 0.001, 0.0002
LEAST_AGE_S = 60.0
SHARE = 50
"""Reading everything again takes one part in so many of the time, at most."""


class Group(NamedTuple):
    """For whom, and where to."""

    profile: str
    key: str
    provider: str
    model: str


@dataclass(slots=True)
class Count:
    """Calls of one group. `not_sent` were given up before anything left, and are in no other number."""

    calls: int = 0
    bytes_out: int = 0
    bytes_in: int = 0
    not_sent: int = 0
    addresses: set[str] = field(default_factory=set[str])

    def add(self, sent: Fields, ended: Fields) -> None:
        """`ended` is empty while the call has no end."""
        if ended.get("outcome") == NOT_SENT:
            self.not_sent += 1
            return
        self.calls += 1
        self.bytes_out += sent.get("bytes_out", 0)
        self.bytes_in += ended.get("bytes_in", 0)
        if len(self.addresses) < MOST_ADDRESSES:
            self.addresses.add(sent.get("address", ""))

    def merge(self, other: Count) -> None:
        self.calls += other.calls
        self.bytes_out += other.bytes_out
        self.bytes_in += other.bytes_in
        self.not_sent += other.not_sent
        self.addresses |= other.addresses


@dataclass(frozen=True, slots=True)
class Summary:
    """What is known now. Times are UTC seconds.

    `last` tells for each profile that anything ever left for when its last call was over (or sent, while it has no
    end), `running` which profiles have calls under way. `groups` and `calls` (the newest first) begin at `since_s`.
    A journal that is not whole proves nothing; then they hold what its readable lines say.
    """

    exists: bool
    verdict: Verdict
    checked_s: float
    begun_s: float | None
    since_s: float
    last: dict[str, float]
    running: frozenset[str]
    groups: dict[Group, Count]
    calls: list[Call]


class JournalSummary:
    """Of one folder. To be used from one thread at a time; the first reading of a long journal takes seconds."""

    def __init__(
        self, folder: Path, *, clock: Callable[[], float] = time.time, rest: Callable[[float], None] = time.sleep
    ) -> None:
        self.folder = folder
        self._clock = clock
        self._breath = _Breath(rest)
        self._begin()

    def read(self, since_s: float) -> Summary:
        """Reads on, and tells what left since `since_s`, rounded down to a quarter of an hour. OSError when a file
        cannot be read."""
        now_s = self._clock()
        since_s = max(since_s, now_s - KEPT_S) // QUARTER_S * QUARTER_S
        seen = _seen(self.folder)
        if self._is_stale(seen):
            self._begin()
        tally, is_first, began = self._tally, not self._seen, time.monotonic()
        tally.forget(now_s - KEPT_S)
        if self._verdict.is_whole and (is_first or seen != self._seen):
            try:
                self._verdict = self._walk.go_on()
                if not self._verdict.is_whole:
                    tally = self._read_in_pieces(now_s)
            except BaseException:
                self._begin()  # what was half read says nothing
                raise
            self._seen = seen
        if is_first:
            self._began, self._took_s, self._checked_s = began, time.monotonic() - began, now_s
        begun_s = datetime.fromisoformat(tally.begun).timestamp() if tally.begun else _made_s(self.folder)
        return Summary(
            self.folder.is_dir(), self._verdict, self._checked_s, begun_s, since_s,
            tally.last(), tally.running(now_s), tally.groups(since_s), tally.calls(since_s),
        )  # fmt: skip

    def _read_in_pieces(self, now_s: float) -> _Tally:
        """Every line that matches its own hash, wherever it stands: the chain does not hold them together."""
        tally = self._tally = _Tally()
        tally.forget(now_s - KEPT_S)
        for path in files_of(self.folder):
            with path.open("rb") as file:
                for raw in file:
                    found = parse(raw.rstrip(b"\n"))
                    if found is not None and found.keys() >= NEEDED:
                        self._take(found)
        return tally

    def _begin(self) -> None:
        self._walk = Walk(self.folder, each=self._take)
        self._verdict = _NOTHING
        self._tally = _Tally()
        self._seen: dict[str, tuple[int, int, int]] = {}
        self._began = self._took_s = self._checked_s = 0.0

    def _is_stale(self, seen: dict[str, tuple[int, int, int]]) -> bool:
        """Whether everything is to be read again."""
        if not self._seen:
            return False
        age_s = time.monotonic() - self._began
        if age_s > max(LEAST_AGE_S, SHARE * self._took_s):
            return True
        if not self._verdict.is_whole:
            return seen != self._seen and age_s > SHARE * self._took_s
        growing = max(name for name in self._seen if name != HEAD) if len(self._seen) > 1 else ""
        return any(
            name != HEAD and not _has_grown(was, seen.get(name), may_grow=name == growing)
            for name, was in self._seen.items()
        )

    def _take(self, found: Fields) -> None:
        self._breath.draw()
        self._tally.take(found)


HEAD = "head"
_NOTHING = Verdict(True, 0, 0, START)


def _seen(folder: Path) -> dict[str, tuple[int, int, int]]:
    """What tells by its looks that a file was changed: inode, size and time of change. `head` is always in it."""
    found = {HEAD: (0, 0, 0)}
    for path in files_of(folder):
        about = path.stat()
        found[path.name] = (about.st_ino, about.st_size, about.st_mtime_ns)
    try:
        about = (folder / HEAD).stat()
        found[HEAD] = (about.st_ino, about.st_size, about.st_mtime_ns)
    except FileNotFoundError:
        pass
    return found


def _has_grown(was: tuple[int, int, int], now: tuple[int, int, int] | None, *, may_grow: bool) -> bool:
    """True for a file that is as it was, or only longer."""
    return was == now or (may_grow and now is not None and now[0] == was[0] and now[1] > was[1])


def _made_s(folder: Path) -> float | None:
    """When a journal without a line was begun: its first file is made then and not touched before the first line."""
    try:
        return (folder / f"{1:012d}.jsonl").stat().st_mtime
    except OSError:
        return None


class _Breath:
    """Lets the thread that serves calls run: two threads of one process do not compute at the same time."""

    def __init__(self, rest: Callable[[float], None]) -> None:
        self._rest = rest
        self._until = 0.0

    def draw(self) -> None:
        now = time.perf_counter()
        if now > self._until:
            self._rest(REST_S)
            self._until = time.perf_counter() + WORK_S


class _Tally:
    """Adds up lines in their order. Times stay text, which sorts as they do: most of them nobody ever asks for."""

    def __init__(self) -> None:
        self.oldest = ""
        self.begun = ""
        self._last: dict[str, str] = {}
        self._running: dict[int, list[Fields]] = {}
        self._recent: deque[list[Fields]] = deque(maxlen=MOST_CALLS)
        self._quarters: dict[int, dict[Group, Count]] = {}

    def take(self, line: Fields) -> None:
        kind = line["kind"]
        self.begun = self.begun or line["time"]
        if kind == "sent":
            self._running[line["seq"]] = call = [line]
            self._recent.append(call)
        elif kind == "ended":
            call = self._running.pop(line.get("of", 0), None)
            if call is not None:
                call.append(line)
                self._settle(call[0], line)

    def _settle(self, sent: Fields, ended: Fields) -> None:
        if ended.get("outcome") != NOT_SENT:
            profile = sent.get("profile", "")
            self._last[profile] = max(self._last.get(profile, ""), sent["time"], ended["time"])
        if sent["time"] >= self.oldest:
            _count(self._quarters.setdefault(int(_at_s(sent) // QUARTER_S), {}), sent, ended)

    def forget(self, oldest_s: float) -> None:
        """What was sent before need not be counted any more."""
        self.oldest = datetime.fromtimestamp(oldest_s, UTC).isoformat(timespec="milliseconds")
        for quarter in [quarter for quarter in self._quarters if (quarter + 1) * QUARTER_S < oldest_s]:
            del self._quarters[quarter]

    def last(self) -> dict[str, float]:
        """For each profile, when its last call that left was over, or sent."""
        last = dict(self._last)
        for call in self._running.values():  # nothing says that they have not left
            profile = call[0].get("profile", "")
            last[profile] = max(last.get(profile, ""), call[0]["time"])
        return {profile: datetime.fromisoformat(text).timestamp() for profile, text in last.items()}

    def running(self, now_s: float) -> frozenset[str]:
        """Profiles with calls under way."""
        running = (call[0] for call in self._running.values())
        return frozenset(sent.get("profile", "") for sent in running if _at_s(sent) > now_s - RUNNING_S)

    def groups(self, since_s: float) -> dict[Group, Count]:
        found: dict[Group, Count] = {}
        for quarter, counts in self._quarters.items():
            if quarter * QUARTER_S >= since_s:
                for group, count in counts.items():
                    found.setdefault(group, Count()).merge(count)
        for call in self._running.values():
            if _at_s(call[0]) >= since_s:
                _count(found, call[0], {})
        return found

    def calls(self, since_s: float) -> list[Call]:
        """The newest first."""
        found = map(_call, reversed(self._recent))
        return [call for call in found if call.sent.at_s >= since_s]


def _call(lines: list[Fields]) -> Call:
    sent, *ended = (Entry(**{name: value for name, value in line.items() if name in FIELDS}) for line in lines)
    return Call(sent, ended[0] if ended else None)


def _at_s(line: Fields) -> float:
    return datetime.fromisoformat(line["time"]).timestamp()


def _count(groups: dict[Group, Count], sent: Fields, ended: Fields) -> None:
    group = Group(sent.get("profile", ""), sent.get("key", ""), sent.get("provider", ""), sent.get("model", ""))
    groups.setdefault(group, Count()).add(sent, ended)
