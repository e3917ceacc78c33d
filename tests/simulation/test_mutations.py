"""Each mutation is found within 20 simulated hours, as the promise that it breaks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from mutations import MUTATIONS

from ringfence.simulation.run import simulate

HOURS = 20.0
SEEDS = (1, 2, 3)
"""One of each site."""
Mutation = Callable[[pytest.MonkeyPatch], None]


@pytest.mark.parametrize(
    ("promise", "mutation"),
    [pytest.param(promise, each, id=each.__name__) for promise, found in MUTATIONS.items() for each in found],
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
