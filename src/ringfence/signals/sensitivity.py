"""Sensitivity: what a request holds that should not travel far. It tightens the boundary of a call, never widens it.

Pure: no clock, no chance, no file. What was found is never kept, shown or raised; only of what kind it is.
docs/sensitivity.md says what is found and how sure that is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ringfence.core.boundary import Boundary
from ringfence.signals.numbers_in_text import numbers_in
from ringfence.signals.secrets_in_text import kinds_in_tokens
from ringfence.signals.texts import BETWEEN, plain, texts_of
from ringfence.signals.user_patterns import PatternRefused, compiled

KINDS = frozenset(("secret", "card", "iban", "id_number", "email", "phone"))
"""What is known without patterns of the operator's own."""
UNREADABLE = "unreadable"
"""The request could not be read, so it may hold anything."""
UNKNOWN_LABEL = "unknown_label"
"""The caller set a label that is not configured."""
LABEL = re.compile(r"[a-z][a-z0-9_-]{0,39}")
MAX_PATTERNS = 100
MAX_PATTERN_STEPS = 100_000_000
"""For one request and all patterns, in the worst case: about a second. Beyond, the request is unreadable."""

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
        unknown = settings.kinds - KINDS
        if unknown:
            raise ValueError(f"'{min(unknown)}' is not a kind; there are {', '.join(sorted(KINDS))}")
        for label in sorted({*settings.labels, *(label for label, _ in settings.patterns)}):
            if not LABEL.fullmatch(label) or label in (UNREADABLE, UNKNOWN_LABEL):
                raise ValueError(
                    f"'{label}' is no label: small letters, digits, '-' and '_', up to 40, or a reserved word"
                )
            if label in KINDS:
                raise ValueError(f"'{label}' is a kind of its own and cannot be a label")
        if len(settings.patterns) > MAX_PATTERNS:
            raise ValueError(f"{len(settings.patterns)} patterns; there can be {MAX_PATTERNS}")
        self.wanted = settings.kinds
        self.labels = settings.labels
        self.patterns: list[tuple[str, re.Pattern[str]]] = []
        self.steps = 0
        for label, pattern in settings.patterns:
            try:
                matcher, steps = compiled(pattern)
            except PatternRefused as refused:
                raise ValueError(f"the pattern of '{label}' is refused: {refused}") from None
            self.patterns.append((label, matcher))
            self.steps += steps
        possible = {*settings.kinds, *settings.labels, *(label for label, _ in settings.patterns)}
        strange = settings.boundaries.keys() - possible - KINDS
        if strange:
            raise ValueError(f"'{min(strange)}' has a boundary, but is neither a kind nor a label")
        self.boundaries = {kind: Boundary(settings.boundaries.get(kind, Boundary.HOST)) for kind in possible}

    def read(self, body: dict[str, Any], labels: Iterable[str] = ()) -> Reading:
        """The reading of a parsed request and of the labels its caller set. Never raises: what fails reads as HOST."""
        try:
            kinds = self.kinds_of(body)
            for label in labels:
                kinds.add(label if label in self.labels else UNKNOWN_LABEL)
            if not kinds:
                return CLEAR
            return Reading(frozenset(kinds), min(self.boundaries.get(kind, Boundary.HOST) for kind in kinds))
        except Exception:  # whatever it is: its text could hold the request, so it is not looked at
            return FAILED

    def kinds_of(self, body: dict[str, Any]) -> set[str]:
        texts, seams = texts_of(body)
        raw = BETWEEN.join(texts)
        text = plain(raw)
        found = self.kinds_in(text)
        if text != raw and self.patterns:
            found |= self.labels_in(raw)
        if seams:
            found |= self.kinds_in(plain(BETWEEN.join(seams)))
        return found

    def kinds_in(self, text: str) -> set[str]:
        found = self.labels_in(text) if self.patterns else set[str]()
        if not self.wanted:
            return found
        data = text.encode("latin-1", "replace")
        found |= kinds_in_tokens(data, self.wanted)
        found.update(numbers_in(data, self.wanted))
        if "email" in self.wanted and has_email(data):
            found.add("email")
        return found

    def labels_in(self, text: str) -> set[str]:
        if len(text) * self.steps > MAX_PATTERN_STEPS:
            raise OverflowError
        found: set[str] = set()
        for label, pattern in self.patterns:
            if label not in found and pattern.search(text):
                found.add(label)
        return found


def has_email(data: bytes) -> bool:
    for found in EMAIL.finditer(data):
        local = data[max(0, found.start() - 4) : found.start() + 1]
        is_picture = found[1][1:2] == b"x" and found[1][:1].isdigit()
        if found[2].lower() not in NO_DOMAINS and not local.endswith(PROGRAMS) and not is_picture:
            return True
    return False
