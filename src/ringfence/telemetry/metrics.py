"""Counters of the hot path, cheap to add to; rendered for Prometheus only when scraped.

Labels are bounded: configured model, target, dialect, outcome. Never a key, a user or any text.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ringfence.telemetry.events import (
    FITS,
    Answered,
    BatchEnded,
    BatchLineEnded,
    CallParked,
    CountGap,
    Escalated,
    Fitting,
    Kind,
    ParkedEnded,
)

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
MAX_SERIES = 2000
TOO_LONG = "context_length_exceeded"
REFUSED = Fitting("refused")


@dataclass(slots=True)
class Series:
    """One combination of labels. Histogram counts are per bucket, the last is beyond all bounds."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    fits: int = 0
    total_sum_s: float = 0.0
    first_sum_s: float = 0.0
    total: list[int] = field(default_factory=lambda: [0] * (len(SECONDS) + 1))
    first: list[int] = field(default_factory=lambda: [0] * (len(SECONDS) + 1))


Labels = tuple[str, str, str, int, str]
"""dialect, model, target, status, outcome"""


class Metrics:
    """Everything counted since the start."""

    def __init__(self) -> None:
        self.answers: dict[Labels, Series] = {}
        self._series: dict[Kind, Series] = {}
        self.retries: dict[tuple[str, str], int] = {}
        self.escalations: dict[tuple[str, str, str], int] = {}
        self.gaps: dict[tuple[str, str, str], int] = {}
        self.windows: dict[tuple[str, str], int] = {}
        """By target and state: what was done so that requests fit their window. Of those that did, `answers` tell."""
        self.given_up: dict[tuple[str, str], int] = {}
        """By target and state: tokens of prompts that were left out."""
        self.refusals: dict[tuple[int, str], int] = {}
        self.parked: dict[str, int] = {}
        """By class: calls that were parked."""
        self.parked_ended: dict[str, int] = {}
        """By state: parked calls that ended in it."""
        self.batch_lines: dict[str, int] = {}
        """By outcome: lines of batches that ended so."""
        self.batches: dict[str, int] = {}
        """By state: batches that ended in it."""
        self.budget_alerts: dict[tuple[str, str], int] = {}
        """By alert (soft, ahead, above_held) and whose budget: how often somebody was to be told."""
        self.gauges: list[tuple[str, str, tuple[str, ...], Callable[[], Iterable[tuple[tuple[str, ...], float]]]]] = []

    def answered(self, event: Answered) -> None:
        _, _, kind, first_byte_s, total_s, usage, fitting, _ = event
        series = self._series.get(kind) or self._open(kind)
        series.requests += 1
        series.total[bisect_left(SECONDS, total_s)] += 1
        series.total_sum_s += total_s
        series.first[bisect_left(SECONDS, first_byte_s)] += 1
        series.first_sum_s += first_byte_s
        if usage is not None:
            prompt_tokens, completion_tokens, cached_tokens, _, _, _, _ = usage
            series.prompt_tokens += prompt_tokens
            series.completion_tokens += completion_tokens
            series.cached_tokens += cached_tokens
        if fitting is FITS:
            series.fits += 1
        elif fitting is not None:
            self._fitted(kind.target, fitting)
        elif kind.outcome == TOO_LONG:
            self._fitted("", REFUSED)

    def by_fitting(self) -> dict[tuple[str, str], int]:
        """Calls by target and by what was done so that they fit."""
        found = dict(self.windows)
        for (_, _, target, _, _), series in self.answers.items():
            if series.fits:
                found[target, FITS.state] = found.get((target, FITS.state), 0) + series.fits
        return found

    def _fitted(self, target: str, fitting: Fitting) -> None:
        where = (target, fitting.state)
        self.windows[where] = self.windows.get(where, 0) + 1
        if fitting.before:
            self.given_up[where] = self.given_up.get(where, 0) + fitting.before - fitting.after

    def _open(self, kind: Kind) -> Series:
        """Where calls of this kind are counted: with those of other keys and rules that have the same labels."""
        labels = (kind.dialect, kind.model, kind.target, kind.status, kind.outcome)
        if labels not in self.answers and len(self.answers) >= MAX_SERIES:
            labels = ("other", "other", "other", 0, "other")
        if len(self._series) >= MAX_SERIES:
            self._series.clear()
        series = self._series[kind] = self.answers.setdefault(labels, Series())
        return series

    def retried(self, target: str, reason: str) -> None:
        self.retries[target, reason] = self.retries.get((target, reason), 0) + 1

    def escalated(self, event: Escalated) -> None:
        """The next model of a chain was asked."""
        where = (event.chain, event.model, event.why)
        self.escalations[where] = self.escalations.get(where, 0) + 1

    def gap(self, event: CountGap) -> None:
        """An engine reported another number of prompt tokens than was counted."""
        where = (event.target, event.by, event.side)
        self.gaps[where] = self.gaps.get(where, 0) + 1

    def refused(self, status: int, code: str) -> None:
        """A request that never became a call: no key, no route, malformed, too large."""
        self.refusals[status, code] = self.refusals.get((status, code), 0) + 1

    def call_parked(self, event: CallParked) -> None:
        self.parked[event.urgency] = self.parked.get(event.urgency, 0) + 1

    def call_unparked(self, event: ParkedEnded) -> None:
        self.parked_ended[event.state] = self.parked_ended.get(event.state, 0) + 1

    def batch_line_ended(self, event: BatchLineEnded) -> None:
        self.batch_lines[event.outcome] = self.batch_lines.get(event.outcome, 0) + 1

    def batch_ended(self, event: BatchEnded) -> None:
        self.batches[event.state] = self.batches.get(event.state, 0) + 1

    def budget_alert(self, alert: str, scope: str) -> None:
        """The owner of a budget was to be told something."""
        self.budget_alerts[alert, scope] = self.budget_alerts.get((alert, scope), 0) + 1

    def gauge(
        self, name: str, text: str, labels: tuple[str, ...], read: Callable[[], Iterable[tuple[tuple[str, ...], float]]]
    ) -> None:
        """A value that is read when scraped: `read` yields (label values, value)."""
        self.gauges.append((name, text, labels, read))
