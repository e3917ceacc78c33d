"""Each mutation is found within 20 simulated hours, as the promise that it breaks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from mutations import MUTATIONS

from ringfence.simulation.run import simulate

HOURS = 20.0
SEEDS = (1, 2, 3)
"""One of each site."""
FOUND_LATE = ("drain_for_a_moment", "keep_a_user", "trust_what_vanished", "never_look")
"""Those that take many simulated hours."""
Mutation = Callable[[pytest.MonkeyPatch], None]


def _told(promise: str, mutation: Mutation) -> object:
    name = mutation.__name__
    return pytest.param(promise, mutation, id=name, marks=[pytest.mark.slow] if name in FOUND_LATE else [])


def test_those_that_are_found_late_are_there() -> None:
    assert set(FOUND_LATE) < {each.__name__ for found in MUTATIONS.values() for each in found}


@pytest.mark.parametrize(
    ("promise", "mutation"),
    [_told(promise, each) for promise, found in MUTATIONS.items() for each in found],
)
def test_it_is_found(promise: str, mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    mutation(monkeypatch)
    hours = 0.0
    for seed in SEEDS:
        outcome = simulate(seed, HOURS / len(SEEDS), busy=True)
        hours += outcome.hours
        if outcome.problems:
            print(f"{mutation.__name__}: {hours:.2f} h, {outcome.took_s:.1f} s, {outcome.problems[0]}")
            assert any(promise in problem for problem in outcome.problems), outcome.told()
            return
    pytest.fail(f"not found in {hours:.1f} h")
