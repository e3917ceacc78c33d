"""Sensitivity: what a request holds that should not travel far. It tightens the boundary of a call, never widens it.

Pure: no clock, no chance, no file. What was found is never kept, shown or raised; only of what kind it is.
docs/sensitivity.md says what is found and how sure that is.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import NO_MEDIA, Medium
from ringfence.signals.numbers_in_text import numbers_in
from ringfence.signals.secrets_in_text import kinds_in_tokens
from ringfence.signals.texts import BETWEEN, OVERLAP_CHARS, SLICE_CHARS, plain, slices_of, texts_of
from ringfence.signals.user_patterns import PatternRefused, compiled

KINDS = frozenset(("secret", "card", "iban", "id_number", "email", "phone"))
"""What is known without patterns of the operator's own."""
MEDIA = frozenset(str(medium.value) for medium in Medium)
"""Kinds that nothing can be read in: where they are looked for, that they are there is enough."""
UNREADABLE = "unreadable"
"""The request could not be read, so it may hold anything."""
UNKNOWN_LABEL = "unknown_label"
"""The caller set a label that is not configured."""
LABEL = re.compile(r"[a-z][a-z0-9_-]{0,39}")
MAX_PATTERNS = 100
MAX_PATTERN_STEPS = 100_000_000
"""For one request and all patterns, in the worst case: about a second. Beyond, the request is unreadable."""
STEP_STEPS = 400_000
"""After so many, about 4 ms in the worst case, others have their turn."""
LEAST_CHARS = 64

EMAIL = re.compile(
    rb"@(?<=[A-Za-z0-9_%+\-\xc0-\xff]@)((?:[A-Za-z0-9\xc0-\xff](?:[A-Za-z0-9\-\xc0-\xff]{0,61})\.){1,6})([A-Za-z]{2,24})(?![A-Za-z0-9])"
)
NO_DOMAINS = frozenset(
    (b"service", b"socket", b"timer", b"target", b"png", b"jpg", b"jpeg", b"webp", b"svg", b"gif", b"js")
)
"""Systemd units (getty@tty1.service) and pictures (logo@2x.png) are no addresses."""
PROGRAMS = (b"git@", b"hg@")
"""Where a repository lies is no address."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What is looked for and how far each kind tightens: to HOST where `boundaries` does not say. `patterns` are
    (label, pattern) pairs; `labels` may be set by callers. Not shown in reprs: patterns can be telling."""

    kinds: frozenset[str] = KINDS
    patterns: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    labels: frozenset[str] = frozenset()
    boundaries: Mapping[str, Boundary] = field(default_factory=dict[str, Boundary])


@dataclass(frozen=True, slots=True)
class Reading:
    """Which kinds were found, and how far the text may travel for that. Of what was found, nothing."""

    kinds: frozenset[str] = frozenset()
    tightest: Boundary = Boundary.CLOUD


CLEAR = Reading()
FAILED = Reading(frozenset((UNREADABLE,)), Boundary.HOST)


class Sensitivity:
    """Reads requests. Built once, when settings are loaded."""

    def __init__(self, settings: Settings | None = None) -> None:
        """Raises ValueError, naming the label or kind, when a setting cannot be used."""
        settings = settings or Settings()
        unknown = settings.kinds - KINDS - MEDIA
        if unknown:
            raise ValueError(f"'{min(unknown)}' is not a kind; there are {', '.join(sorted(KINDS | MEDIA))}")
        for label in sorted({*settings.labels, *(label for label, _ in settings.patterns)}):
            if not LABEL.fullmatch(label) or label in (UNREADABLE, UNKNOWN_LABEL):
                raise ValueError(
                    f"'{label}' is no label: small letters, digits, '-' and '_', up to 40, or a reserved word"
                )
            if label in KINDS | MEDIA:
                raise ValueError(f"'{label}' is a kind of its own and cannot be a label")
        if len(settings.patterns) > MAX_PATTERNS:
            raise ValueError(f"{len(settings.patterns)} patterns; there can be {MAX_PATTERNS}")
        self.settings = settings
        self.wanted = settings.kinds - MEDIA
        self.unread = settings.kinds & MEDIA
        self.labels = settings.labels
        self.patterns: list[tuple[str, re.Pattern[str], int]] = []
        for label, pattern in settings.patterns:
            try:
                matcher, steps = compiled(pattern)
            except PatternRefused as refused:
                raise ValueError(f"the pattern of '{label}' is refused: {refused}") from None
            self.patterns.append((label, matcher, steps))
        self.steps_each = sum(steps for _, _, steps in self.patterns)
        self.overlap = max([OVERLAP_CHARS, *(steps for _, _, steps in self.patterns)])
        possible = {*settings.kinds, *settings.labels, *(label for label, _ in settings.patterns)}
        strange = settings.boundaries.keys() - possible - KINDS - MEDIA
        if strange:
            raise ValueError(f"'{min(strange)}' has a boundary, but is neither a kind nor a label")
        self.boundaries = {kind: Boundary(settings.boundaries.get(kind, Boundary.HOST)) for kind in possible | MEDIA}

    def read(self, body: dict[str, Any], labels: Iterable[str] = ()) -> Reading:
        """The reading of a parsed request and of the labels its caller set. Never raises: what fails reads as HOST."""
        return next(reading for reading in self.steps(body, labels) if reading is not None)

    def steps(
        self, body: dict[str, Any], labels: Iterable[str] = (), media: frozenset[Medium] = NO_MEDIA,
        *, is_nothing_else: bool = False,
    ) -> Iterator[Reading | None]:  # fmt: skip
        """The same in steps of a few milliseconds each: None after every step, and in the end the reading. `media`
        stand in it too, and keep it where they are looked for, or where it is about nothing else."""
        kinds: set[str] = set()
        try:
            kinds |= media if is_nothing_else else media & self.unread
            for label in labels:
                kinds.add(label if label in self.labels else UNKNOWN_LABEL)
            for _ in self.reads(body, kinds):
                yield None
            if not kinds:
                reading = CLEAR
            else:
                reading = Reading(frozenset(kinds), min(self.boundaries.get(kind, Boundary.HOST) for kind in kinds))
        except Exception:  # whatever it is: its text could hold the request, so it is not looked at
            reading = FAILED
        yield reading

    def reads(self, body: dict[str, Any], found: set[str]) -> Iterator[None]:
        """Adds to `found` slice by slice. Short texts are read together."""
        short: list[str] = []
        size = read_chars = 0
        for text in texts_of(body, short_keys=bool(self.patterns)):
            if not text:
                yield
            elif len(text) > SLICE_CHARS:
                for piece in slices_of(text, self.overlap):
                    read_chars = yield from self.reads_one(piece, found, read_chars)
            else:
                if size + len(text) > SLICE_CHARS:
                    read_chars = yield from self.reads_one(BETWEEN.join(short), found, read_chars)
                    short, size = [], 0
                short.append(text)
                size += len(text) + len(BETWEEN)
        if short:
            yield from self.reads_one(BETWEEN.join(short), found, read_chars)

    def reads_one(self, raw: str, found: set[str], read_chars: int) -> Generator[None, None, int]:
        """Reads one slice. Returns how many characters have been read for patterns so far."""
        text = plain(raw)
        if self.patterns:
            read_chars += max(len(text), len(raw))
            if read_chars * self.steps_each > MAX_PATTERN_STEPS:
                raise OverflowError
            for spelling in (text, raw) if text != raw else (text,):
                yield from self.labels_in(spelling, found)
        if self.wanted:
            self.kinds_in(text, found)
        yield
        return read_chars

    def kinds_in(self, text: str, found: set[str]) -> None:
        wanted = self.wanted - found
        if not wanted:
            return
        data = text.encode("latin-1", "replace")
        found |= kinds_in_tokens(data, wanted)
        found |= numbers_in(data, wanted)
        if "email" in wanted and has_email(data):
            found.add("email")

    def labels_in(self, text: str, found: set[str]) -> Iterator[None]:
        """Each pattern in pieces that take a known time at most: those matches that begin in a piece."""
        done = 0
        for label, pattern, steps in self.patterns:
            if label in found:
                continue
            size = max(STEP_STEPS // steps, LEAST_CHARS)
            for start in range(0, len(text), size):
                match = pattern.search(text, start, start + size + steps)  # none is as wide as it has steps
                if match is not None and match.start() < start + size:
                    found.add(label)
                    break
                done += min(size, len(text) - start) * steps
                if done > STEP_STEPS:
                    done = 0
                    yield


def has_email(data: bytes) -> bool:
    for found in EMAIL.finditer(data):
        local = data[max(0, found.start() - 4) : found.start() + 1]
        is_picture = found[1][1:2] == b"x" and found[1][:1].isdigit()
        if found[2].lower() not in NO_DOMAINS and not local.endswith(PROGRAMS) and not is_picture:
            return True
    return False
