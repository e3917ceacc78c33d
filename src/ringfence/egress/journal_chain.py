"""The lines of the egress journal: how they hang together, and how they are read and verified. Nothing is written here.

One JSON object a line, in files that are named after the number of their first line. A line holds `prev`, the hash
of the line before it, and ends with `hash`: SHA-256 over its own bytes without that member. Nothing is ever cut or
written over: what a crash or a full disk left of a line stays, and a `recovered` line follows that states its length
and digest. `head` holds the last number and hash, so that a chain that was cut off at its end is known by it.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import orjson

GENESIS = "0" * 64
NOT_SENT = "not_sent"
"""Outcome of a call whose `sent` line was written although it was given up: no byte of it left."""
EMPTY = sha256().hexdigest()
DIGEST = re.compile(r"[0-9a-f]{64}")
_TAIL_BYTES = len(',"hash":""}') + 64
MOST_LAG = 256
"""Lines by which `head` may lag: the writer notes it after each batch, and writes no further while it cannot."""
MOST_RECOVERIES = 8
"""Lines beyond those that crashes in a row may have left: each start writes one `recovered`, then notes the head."""
_MOST_PASSED = 4096
"""Heads that a walk remembers."""


class Head(NamedTuple):
    """The place where a chain ends: the number of its last line, and that line's hash. Text form: NUMBER:HASH."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """Of NUMBER:HASH; ValueError for anything else."""
        seq, _, digest = text.strip().partition(":")
        if not (re.fullmatch(r"[0-9]{1,18}", seq) and DIGEST.fullmatch(digest)):
            raise ValueError("expected NUMBER:HASH, as `ringfence journal head` prints it")
        return cls(int(seq), digest)


START = Head(0, GENESIS)
MEND = (
    "Copy the folder {folder} somewhere safe before anything else, and compare it with your last export or noted head. "
    "To go on, move it away and start Ringfence again: a new journal begins."
)
"""What to do about a broken journal, for people."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. `kind` is sent, ended or recovered; what a kind does not have is at its default. `time` is UTC, ISO.

    `of` is the number of the `sent` line that an `ended` line ends.
    """

    seq: int
    time: str
    kind: str
    prev: str
    hash: str
    call: str = ""
    key: str = ""
    profile: str = ""
    provider: str = ""
    model: str = ""
    allowed: str = ""
    address: str = ""
    max_tokens: int | None = None
    bytes_out: int = 0
    sha256_out: str = ""
    of: int = 0
    status: int = 0
    bytes_in: int = 0
    sha256_in: str = ""
    outcome: str = ""
    torn_bytes: int = 0
    torn_sha256: str = ""

    @property
    def at_s(self) -> float:
        """UTC seconds since the epoch."""
        return datetime.fromisoformat(self.time).timestamp()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found. When the journal is broken, `file`, `line` (from 1) and `what` are the first bad place.

    `unfinished_bytes` follow the last whole line: one that is being written now, or that a crash cut short.
    """

    is_whole: bool
    lines: int
    files: int
    head: Head
    recovered: int = 0
    unfinished_bytes: int = 0
    file: str = ""
    line: int = 0
    what: str = ""

    def place(self, folder: Path) -> str:
        """The first bad place, in words."""
        return f"{folder / self.file}{f', line {self.line}' if self.line else ''}: {self.what}"


class Call(NamedTuple):
    """The two lines of one call; `ended` is None while it runs, and for good when the process was killed meanwhile."""

    sent: Entry
    ended: Entry | None

    @property
    def has_left(self) -> bool:
        """False only when the journal itself says that nothing was sent."""
        return self.ended is None or self.ended.outcome != NOT_SENT


# -- lines and files ---------------------------------------------------------------------------------------------


class Chain:
    """Follows lines from a known place. One that is not the next is held as torn until a later line accounts for it."""

    def __init__(self, start: Head) -> None:
        self.head = start
        self.why = ""
        """What is wrong with the first line that is not accounted for."""
        self.torn_bytes = 0
        self._torn = sha256()

    @property
    def torn_sha256(self) -> str:
        return self._torn.hexdigest()

    def take(self, raw: bytes) -> dict[str, Any] | None:
        """A line without its end of line; its fields when it is the next one."""
        found = parse(raw)
        why = self._why_not(found)
        if found is not None and not why:
            self.head = Head(self.head.seq + 1, found["hash"])
            self.why, self.torn_bytes, self._torn = "", 0, sha256()
            return found
        more = b"\n" + raw if self.why else raw
        self.why = self.why or why
        self.torn_bytes += len(more)
        self._torn.update(more)
        return None

    def _why_not(self, found: dict[str, Any] | None) -> str:
        if found is None:
            return "does not match its own hash: it was changed, or is not a line of this journal"
        seq, due = found.get("seq"), self.head.seq + 1
        if seq != due:
            return f"is number {seq} where {due} is due: a line or a file was removed, inserted or moved"
        if found.get("prev") != self.head.hash:
            return "does not continue the line before it: one of the two was exchanged"
        told = (found.get("torn_bytes", 0), found.get("torn_sha256", EMPTY))
        if told != (self.torn_bytes, self.torn_sha256) or bool(told[0]) != bool(self.why):
            return "does not account for the bytes before it"
        return ""


def line_after(content: dict[str, Any], before: Head) -> tuple[bytes, Head]:
    """The line that follows `before`, with its end of line; and the head that it makes."""
    body = orjson.dumps({"seq": before.seq + 1, **content, "prev": before.hash})
    digest = sha256(body).hexdigest()
    return body[:-1] + b',"hash":"' + digest.encode() + b'"}\n', Head(before.seq + 1, digest)


def parse(raw: bytes) -> dict[str, Any] | None:
    """The fields of a line that matches its own hash, else None."""
    body = raw[:-_TAIL_BYTES] + b"}"
    digest = sha256(body).hexdigest()
    if raw[-_TAIL_BYTES:] != b',"hash":"' + digest.encode() + b'"}':
        return None
    try:
        found = orjson.loads(body)
    except ValueError:
        return None
    return {**found, "hash": digest} if isinstance(found, dict) else None


def files_of(folder: Path) -> list[Path]:
    """In the order of the chain. An empty one is left out: a crash between making it and writing it leaves one."""
    found = folder.glob("[0-9]*.jsonl")
    return sorted(path for path in found if re.fullmatch(r"[0-9]{12}", path.stem) and path.stat().st_size)


def read_head(folder: Path) -> Head | None:
    """What the file `head` holds; None without one; ValueError when it is damaged."""
    try:
        text = (folder / "head").read_bytes().decode("ascii")  # as it lies there: no end of a line is another one
    except FileNotFoundError:
        return None
    head = Head.parse(text)
    if text != f"{head}\n":
        raise ValueError("not as it was written")
    return head


# -- reading -----------------------------------------------------------------------------------------------------

FIELDS = frozenset(field.name for field in fields(Entry))
NEEDED = frozenset(("seq", "time", "kind", "prev"))


def entries_in(path: Path) -> Iterator[Entry]:
    """The lines of one file that match their own hash."""
    with path.open("rb") as file:
        for raw in file:
            found = parse(raw.rstrip(b"\n"))
            if found is not None and found.keys() >= NEEDED:
                yield Entry(**{name: value for name, value in found.items() if name in FIELDS})


def read(
    folder: Path,
    *,
    since_s: float | None = None,
    until_s: float | None = None,
    profile: str | None = None,
    provider: str | None = None,
) -> Iterator[Entry]:
    """The lines that match their own hash, in order, whether or not the chain is whole.

    `since_s` and `until_s` (UTC seconds; until is not included) and names choose by the `sent` line; its `ended` line
    comes along, whenever that was written. OSError when a file cannot be read.
    """
    chosen: set[int] = set()
    for entry in (entry for path in files_of(folder) for entry in entries_in(path)):
        if entry.kind == "ended":
            if entry.of in chosen:
                chosen.discard(entry.of)
                yield entry
        elif (
            (since_s is None or entry.at_s >= since_s)
            and (until_s is None or entry.at_s < until_s)
            and profile in (None, entry.profile)
            and provider in (None, entry.provider)
        ):
            chosen.add(entry.seq)
            yield entry


def calls(
    folder: Path, *, since_s: float | None = None, profile: str | None = None, provider: str | None = None
) -> list[Call]:
    """As `read`, the two lines of a call together, in the order in which they were sent."""
    found: dict[int, Call] = {}
    for entry in read(folder, since_s=since_s, profile=profile, provider=provider):
        if entry.kind == "sent":
            found[entry.seq] = Call(entry, None)
        elif entry.kind == "ended" and entry.of in found:
            found[entry.of] = Call(found[entry.of].sent, entry)
    return list(found.values())


def verify(folder: Path, noted: Head | None = None) -> Verdict:
    """Follows the whole chain. Also broken: when it does not hold the line in `head`, or `noted`, which was kept
    elsewhere. Works while another process writes. OSError when a file cannot be read.
    """
    return Walk(folder, noted).go_on()


class Walk:
    """Follows a chain from its beginning, and again from where it was. `each` is told every line that fits.

    What was followed once is not read again: whoever keeps a walk looks himself whether a file was changed since.
    """

    def __init__(
        self, folder: Path, noted: Head | None = None, each: Callable[[dict[str, Any]], None] = lambda _line: None
    ) -> None:
        self._folder = folder
        self._noted = noted
        self._each = each
        self._chain = Chain(START)
        self._passed: deque[Head] = deque([START], _MOST_PASSED)
        self._recovered = 0
        self._first_bad = ("", 0)
        # The file that is followed now: its place in the chain, name, and what was read of it.
        self._at, self._name, self._number, self._offset = 0, "", 0, 0
        self._broken: Verdict | None = None

    def go_on(self) -> Verdict:
        """To the end that the chain has now. Once broken it stays so. OSError when a file cannot be read."""
        if self._broken is None:
            return self._follow()
        return self._broken

    def _follow(self) -> Verdict:
        try:
            known = read_head(self._folder)  # before the files: the chain only grows
        except ValueError:
            self._broken = Verdict(False, 0, 0, START, file="head", line=1, what="is damaged: it was changed")
            return self._broken
        files = files_of(self._folder)
        if known is None and files:
            self._broken = Verdict(False, 0, len(files), START, file="head", what="is missing: it was removed")
            return self._broken
        marks = [(known or START, "the file `head`"), (self._noted or START, "what was noted elsewhere")]
        unfinished = 0
        for path in files[self._at :]:
            unfinished = self._follow_file(path, marks, is_last=path == files[-1])
            if self._broken is not None:
                return self._broken
        head = self._chain.head
        for mark, who in marks:
            if mark.seq > head.seq:
                what = f"ends with number {head.seq}, but {who} names {mark.seq}: the end was cut off"
                return self._break((self._name, self._number + bool(unfinished)), what, len(files))
            if any(mark.seq == passed.seq and mark != passed for passed in self._passed):
                what = f"does not hold the line that {who} names: the chain was written anew"
                return self._break((self._name, self._number), what, len(files))
        what = f"names a number far before {head.seq}, where the chain ends: it was changed"
        whole = Verdict(True, head.seq, len(files), head, self._recovered, unfinished)
        return self._break(("head", 1), what, len(files)) if self._lags() else whole

    def _lags(self) -> bool:
        """Read anew: lines that were written while the chain was followed have been noted since."""
        try:
            known = read_head(self._folder) or START
        except ValueError:
            return True
        return self._chain.head.seq - known.seq > MOST_LAG + MOST_RECOVERIES

    def _follow_file(self, path: Path, marks: list[tuple[Head, str]], *, is_last: bool) -> int:
        """What follows its last whole line, in bytes. The next file is due afterwards, unless this is the last."""
        if path.name != self._name:
            due = self._chain.head.seq + 1
            if int(path.stem) != due:
                self._break((path.name, 0), f"is not due, number {due} is: a file was removed or renamed")
                return 0
            self._name, self._number, self._offset = path.name, 0, 0
        unfinished = 0
        with path.open("rb") as file:
            file.seek(self._offset)
            for raw in file:
                if not raw.endswith(b"\n"):
                    unfinished = len(raw)
                    break
                self._number += 1
                self._offset += len(raw)
                what = self._take(raw[:-1], marks)
                if what:
                    self._break((path.name, self._number), what)
                    return 0
        if self._chain.why:
            self._break(self._first_bad, self._chain.why)
        elif unfinished and not is_last:
            self._break((path.name, self._number + 1), "is cut short, and a file follows")
        self._at += not is_last
        return unfinished

    def _take(self, raw: bytes, marks: list[tuple[Head, str]]) -> str:
        """What is wrong beyond doubt, if anything; a line that is merely not the next is remembered."""
        was_well = not self._chain.why
        found = self._chain.take(raw)
        if found is None:
            if was_well:
                self._first_bad = (self._name, self._number)
            return ""
        head = self._chain.head
        self._passed.append(head)
        self._recovered += found.get("kind") == "recovered"
        for mark, who in marks:
            if mark.seq == head.seq and mark != head:
                return f"is not the line that {who} names: the chain was written anew"
        self._each(found)
        return ""

    def _break(self, place: tuple[str, int], what: str, files: int = 0) -> Verdict:
        files = files or len(files_of(self._folder))
        self._broken = Verdict(
            False, self._chain.head.seq, files, self._chain.head, self._recovered,
            file=place[0], line=place[1], what=what,
        )  # fmt: skip
        return self._broken
