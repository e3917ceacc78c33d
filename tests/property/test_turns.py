"""Thrash and starvation are bounded, both at once: few loads, and a turn for everyone within a known time."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import Phase as Search
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from virtual_site import LONGEST_S, Broken, VirtualSite, gpu, site

from ringfence.placement.planning import Demand, Model, Phase, Policy, Priority, Residency

EXAMPLES = int(os.environ.get("RINGFENCE_EXAMPLES", "0"))
PATIENCE_S = {Priority.P1: 60.0, Priority.P2: 120.0, Priority.P3: 240.0}
DWELL_S = 30.0
STOPS_S = 8.0
TICK_S = 2.0
HOURS = 1


def one_at_a_time(count: int, load_s: float = 12.0, seed: int = 1, priorities: tuple[int, ...] = (2,)) -> VirtualSite:
    """So many models, of which one fits."""
    models = [
        Model(
            f"m{n}", Residency.LAZY, Priority(priorities[n % len(priorities)]), (site(("gpu0", 14.0)),), load_s=load_s
        )
        for n in range(count)
    ]
    virtual = VirtualSite([gpu("gpu0", 24)], models, seed=seed)
    virtual.lying = 0.0
    return virtual


def tick(virtual: VirtualSite) -> None:
    virtual.advance(TICK_S)
    virtual.reconcile()


def dwell_s(model: Model) -> float:
    return max(DWELL_S, 2 * model.load_s)


def longest_turn_s(virtual: VirtualSite, model: Model) -> float:
    """The bound of the decision record: patience, then every other model once, then its own load."""
    turns = [each.load_s + dwell_s(each) for each in virtual.models.values() if each is not model]
    gone_s = LONGEST_S + STOPS_S
    lag_s = 4 * TICK_S * (len(turns) + 1)  # drained, stopped, loaded, dwelt: each is seen a tick later
    return PATIENCE_S[model.priority] + sum(turns) + len(turns) * gone_s + gone_s + model.load_s + lag_s


def test_twenty_requests_by_turns_are_no_twenty_swaps() -> None:
    virtual = one_at_a_time(2)
    for number in range(20):
        virtual.ask(f"m{number % 2}")
        tick(virtual)
    while any(virtual.queues.values()):
        tick(virtual)
        assert virtual.now_s < 2_000
    assert virtual.counts.served == 20
    assert virtual.counts.loads <= 3


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("priorities", [(2,), (1, 2, 3)], ids=["of one class", "of three classes"])
def test_a_model_that_is_waited_for_gets_its_turn(count: int, priorities: tuple[int, ...]) -> None:
    virtual = one_at_a_time(count, seed=count, priorities=priorities)
    bounds_s = {model.name: longest_turn_s(virtual, model) for model in virtual.models.values()}
    since: dict[str, float] = {}
    until_s = virtual.now_s + HOURS * 3_600
    shortest_s = min(dwell_s(model) for model in virtual.models.values())
    while virtual.now_s < until_s:
        for name in virtual.models:
            if virtual.chance.random() < 0.2:
                virtual.ask(name)
        tick(virtual)
        ready = {each.state.model for each in virtual.engines.values() if each.state.phase is Phase.READY}
        for name, queue in virtual.queues.items():
            if name in ready or not queue:
                since.pop(name, None)
            else:
                assert virtual.now_s - since.setdefault(name, virtual.now_s) <= bounds_s[name], f"{name} starves"
    assert virtual.counts.loads <= HOURS * 3_600 / shortest_s + count, "it thrashes"


class Place(RuleBasedStateMachine):
    """Several models, of which one fits, and callers who ask for them in any order and as often as they like: none
    waits beyond its bound, and no load is made before the last one has dwelt."""

    @initialize(
        count=st.integers(2, 4),
        load_s=st.sampled_from((4.0, 12.0, 25.0)),
        seed=st.integers(0, 999),
        mixed=st.booleans(),
    )
    def begin(self, count: int, load_s: float, seed: int, mixed: bool) -> None:
        self.site = one_at_a_time(count, load_s, seed, (1, 2, 3) if mixed else (2,))
        self.names = list(self.site.models)
        self.bounds_s = {model.name: longest_turn_s(self.site, model) for model in self.site.models.values()}
        self.since: dict[str, float] = {}
        self.loaded_s: list[float] = []

    def pass_time(self, seconds: float, asking: frozenset[int]) -> None:
        until_s = self.site.now_s + seconds
        while self.site.now_s < until_s:
            for index in asking:
                self.site.ask(self.names[index % len(self.names)])
            loads = self.site.counts.loads
            tick(self.site)
            self.loaded_s += [self.site.now_s] * (self.site.counts.loads - loads)
            self.check()

    def check(self) -> None:
        now_s = self.site.now_s
        ready = {each.state.model for each in self.site.engines.values() if each.state.phase is Phase.READY}
        for name, queue in self.site.queues.items():
            if name in ready or not queue:
                self.since.pop(name, None)
            elif now_s - self.since.setdefault(name, now_s) > self.bounds_s[name]:
                raise Broken(f"{name} starves: it waits for {now_s - self.since[name]:g} s")
        if len(self.loaded_s) > 1 and self.loaded_s[-1] - self.loaded_s[-2] < DWELL_S:
            raise Broken(f"it thrashes: loads at {self.loaded_s[-2:]}")

    @rule(index=st.integers(0, 3), requests=st.integers(1, 30))
    def ask(self, index: int, requests: int) -> None:
        self.site.ask(self.names[index % len(self.names)], requests)
        self.pass_time(TICK_S, frozenset())

    @rule(seconds=st.sampled_from((4.0, 10.0, 40.0, 90.0)))
    def wait(self, seconds: float) -> None:
        self.pass_time(seconds, frozenset())

    @rule(seconds=st.sampled_from((20.0, 120.0, 400.0)), asking=st.frozensets(st.integers(0, 3), min_size=1))
    def crowd(self, seconds: float, asking: frozenset[int]) -> None:
        """Somebody asks for each of these all the time."""
        self.pass_time(seconds, asking)


UNHURRIED = [HealthCheck.too_slow, HealthCheck.data_too_large]
TestPlace = Place.TestCase
TestPlace.settings = settings(
    max_examples=EXAMPLES or 12, stateful_step_count=12, deadline=None, suppress_health_check=UNHURRIED, database=None
)


def forget_the_dwell(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Policy, "dwell_of", lambda _policy, _model: 0.0)


def wait_for_quiet_only(patch: pytest.MonkeyPatch) -> None:
    """Nobody is ever overdue, so that one that is always in use never gives way."""
    patch.setattr(Policy, "patience_of", lambda _policy, _model, _demand: 1e9)


def serve_the_oldest_request(patch: pytest.MonkeyPatch) -> None:
    """One that has had its turn comes before others because its backlog is older."""
    patch.setattr(Demand, "since_s", property(lambda demand: demand.oldest_s))


SEARCHED = settings(
    max_examples=200, stateful_step_count=20, deadline=None, suppress_health_check=UNHURRIED, database=None,
    derandomize=True, phases=[Search.generate], report_multiple_bugs=False,
)  # fmt: skip


@pytest.mark.parametrize(
    "plant",
    [forget_the_dwell, wait_for_quiet_only, pytest.param(serve_the_oldest_request, marks=pytest.mark.slow)],
    ids=lambda plant: plant.__name__,
)
def test_a_planted_mistake_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(Broken):
        run_state_machine_as_test(Place, settings=SEARCHED)  # type: ignore[no-untyped-call]
