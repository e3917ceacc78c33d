"""1,000 hours, 100 of them busy, on two processes."""

from __future__ import annotations

import gc
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from itertools import count

import pytest

from ringfence.simulation.run import Outcome, simulate

PROCESSES = 2
BUSY_RUNS, BUSY_HOURS = 10, 10.2
QUIET_RUNS, QUIET_HOURS = 30, 30.0
FIRST_SEED = 1


def one(job: tuple[int, float, bool]) -> Outcome:
    return simulate(*job)


def collect_seldom() -> None:
    """A run makes few cycles, and looking for them takes a tenth of its time."""
    gc.set_threshold(100_000, 20, 20)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_thousand_hours() -> None:
    seeds = count(FIRST_SEED)
    jobs = [(next(seeds), BUSY_HOURS, True) for _ in range(BUSY_RUNS)]
    jobs += [(next(seeds), QUIET_HOURS, False) for _ in range(QUIET_RUNS)]
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn"), collect_seldom) as pool:
        outcomes = list(pool.map(one, jobs))
    broken = [outcome for outcome in outcomes if outcome.problems]
    assert not broken, "\n".join(outcome.told() for outcome in broken)

    hours = sum(outcome.hours for outcome in outcomes)
    busy = outcomes[:BUSY_RUNS]
    requests, faults = sum(outcome.requests for outcome in outcomes), sum(outcome.faults for outcome in outcomes)
    answered = sum(outcome.counts.get("call ok", 0) for outcome in outcomes)
    print(f"{hours:.0f} h, {requests:,} requests, {answered:,} answered, {faults:,} faults, "
          f"{sum(outcome.took_s for outcome in outcomes):.0f} s of processor")  # fmt: skip
    assert hours >= 1000
    assert sum(outcome.hours for outcome in busy) >= 100
    assert all(outcome.requests >= 3600 * outcome.hours for outcome in busy)
    assert all(outcome.faults >= 6 * outcome.hours - 1 for outcome in outcomes)
    assert answered > requests / 2
