"""How much memory a model will take: predicted until it was loaded once, observed from then on. [pure]

A prediction comes with bars: how far predictions were off for models of the same engine and architecture.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil

from ringfence.core.footprint import Footprint, Setup

UNTRIED = 0.25
"""How far a prediction of a kind that was never loaded may be off. An assumption, the only one: each load that is seen
makes it smaller, and what was seen takes its place."""
MOST_SCALED = 4.0
"""An error is carried over to a model of at most so many times the size. What is off with a small one is mostly what
its engine takes besides it, and does not grow with the model."""


class Basis(StrEnum):
    """On what a figure rests."""

    OBSERVED = "observed"
    PREDICTED = "predicted"


@dataclass(frozen=True, slots=True)
class Figure:
    """`low_bytes` and `high_bytes` are its bars; `samples` is how many loads they rest on. What must not be exceeded is
    reckoned with `high_bytes`."""

    bytes: int
    low_bytes: int
    high_bytes: int
    basis: Basis
    samples: int


def bars(predicted_bytes: int, known: Iterable[Footprint], engine: str, architecture: str) -> tuple[int, int, int]:
    """(low, high, samples): how far this prediction may be off, as far as models of the same engine and architecture
    were; where there are none, of the same engine, and then no less than what was never tried."""
    tried = [one for one in known if one.setup.engine == engine and one.predicted_bytes and one.observed_bytes]
    alike = [one for one in tried if one.architecture == architecture] if architecture else []
    doubt = predicted_bytes * UNTRIED / (len(alike) + 1)
    off = [_off(one, predicted_bytes) for one in alike or tried]
    low, high = min([-doubt, *off]), max([doubt, *off])
    return max(0, int(predicted_bytes + low)), ceil(predicted_bytes + high), len(off)


def _off(one: Footprint, predicted_bytes: int) -> float:
    """By how much a model of this size would take more than predicted, had it been off like that one."""
    was_predicted = one.predicted_bytes or 1
    return ((one.observed_bytes or 0) - was_predicted) * min(predicted_bytes / was_predicted, MOST_SCALED)


def figure(footprint: Footprint, known: Iterable[Footprint]) -> Figure | None:
    """What to reckon with; None where nothing was predicted and nothing seen."""
    observed, predicted = footprint.observed_bytes, footprint.predicted_bytes
    if observed is not None:
        low = min(peak for peak in (footprint.peak_bytes, footprint.before_bytes) if peak)
        return Figure(observed, low, observed, Basis.OBSERVED, footprint.loads)
    if predicted is None:
        return None
    low, high, samples = bars(predicted, known, footprint.setup.engine, footprint.architecture)
    return Figure(predicted, low, high, Basis.PREDICTED, samples)


class Footprints:
    """Every footprint by its setup. `take_changed` gives what is to be written down."""

    def __init__(self, known: Iterable[Footprint] = ()) -> None:
        self.version = 0
        """Another number whenever something changed."""
        self._known = {one.setup: one for one in known}
        self._changed: set[Setup] = set()

    def of(self, setup: Setup) -> Footprint:
        """What is known of it; an empty one where nothing is."""
        return self._known.get(setup) or Footprint(setup)

    def figure(self, setup: Setup) -> Figure | None:
        """What to reckon with; None where nothing is known."""
        return figure(self.of(setup), self._known.values())

    def predict(self, setup: Setup, architecture: str, predicted_bytes: int) -> None:
        """It was worked out what it should take. A later prediction takes the place of an earlier one."""
        self._put(replace(self.of(setup), architecture=architecture, predicted_bytes=max(0, predicted_bytes)))

    def load(self, setup: Setup) -> None:
        """It is loaded anew: what is seen from now on is of this load."""
        before = self.of(setup)
        peaks = {"before_bytes": before.peak_bytes, "peak_bytes": 0} if before.peak_bytes else {}
        self._put(replace(before, loads=before.loads + 1, **peaks))

    def observe(self, setup: Setup, held_bytes: int, now_s: float) -> None:
        """It holds so much now. Only more than before tells anything new."""
        before = self.of(setup)
        if held_bytes > before.peak_bytes:
            self._put(replace(before, peak_bytes=held_bytes, loads=max(1, before.loads), seen_s=now_s))

    def take_changed(self) -> list[Footprint]:
        """Those that were changed since the last call."""
        changed, self._changed = self._changed, set()
        return [self._known[setup] for setup in changed]

    def not_written(self, footprints: Iterable[Footprint]) -> None:
        """They could not be: `take_changed` gives them again, as they are then."""
        self._changed.update(one.setup for one in footprints)

    def _put(self, footprint: Footprint) -> None:
        if footprint != self._known.get(footprint.setup):
            self._known[footprint.setup] = footprint
            self._changed.add(footprint.setup)
            self.version += 1
