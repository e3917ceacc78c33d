"""1,000 hours, 100 of them busy: each run by itself, so that several go side by side."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from ringfence.simulation.run import simulate

BUSY = dict.fromkeys(range(1, 11), 10.2)
QUIET = dict.fromkeys(range(11, 41), 30.0)
"""Hours of each seed."""
RUNS = [(seed, hours, True) for seed, hours in BUSY.items()] + [(seed, hours, False) for seed, hours in QUIET.items()]


def test_they_are_a_thousand() -> None:
    assert sum(BUSY.values()) >= 100 and sum(BUSY.values()) + sum(QUIET.values()) >= 1000


@pytest.fixture
def seldom_collected() -> Iterator[None]:
    """A run makes few cycles, and looking for them takes a tenth of its time."""
    usual = gc.get_threshold()
    gc.set_threshold(100_000, 20, 20)
    yield
    gc.set_threshold(*usual)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("seldom_collected")
@pytest.mark.parametrize(("seed", "hours", "busy"), RUNS)
def test_a_run(seed: int, hours: float, busy: bool) -> None:
    outcome = simulate(seed, hours, busy)
    assert not outcome.problems, outcome.told()
    assert outcome.hours >= hours
    assert not busy or outcome.requests >= 3600 * outcome.hours
    assert outcome.faults >= 6 * outcome.hours - 1
    assert outcome.counts["call ok"] > outcome.requests / 2
