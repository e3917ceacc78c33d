"""Whatever happens at a site, its plans keep their promises; and each promise, broken on purpose, is found out."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from virtual_site import GIB, Broken, made_site, run

from ringfence.placement.planning import (
    Mode,
    Policy,
    Window,
    capacity,
    draft,
    duties,
    eviction,
    memory,
    options,
    planner,
)  # fmt: skip
from ringfence.placement.planning.actions import Cause, Drain, Sleep, Unload
from ringfence.placement.planning.state import DeviceState, InstanceState, Model, TenantLease
from share import some_of

EXAMPLES = int(os.environ.get("RINGFENCE_EXAMPLES", "0"))
"""How many examples; 0 for those of each test."""
PLANTED_WITHIN_H = 20
ANY = st.integers(0, 63)


class Site(RuleBasedStateMachine):
    """Everything that may happen, in any order; each plan is checked by the site itself."""

    @initialize(seed=st.integers(0, 1 << 20))
    def begin(self, seed: int) -> None:
        self.site = made_site(seed)
        self.names, self.devices = list(self.site.models), list(self.site.devices)

    def model(self, index: int) -> str:
        return self.names[index % len(self.names)]

    def device(self, index: int) -> str:
        return self.devices[index % len(self.devices)]

    @rule(index=ANY, requests=st.integers(1, 9))
    def ask(self, index: int, requests: int) -> None:
        self.site.ask(self.model(index), requests)

    @rule(index=ANY, second=ANY)
    def ask_for_two(self, index: int, second: int) -> None:
        self.site.ask(self.model(index))
        self.site.ask(self.model(second))

    @rule(seconds=st.sampled_from((0.0, 0.5, 2.0, 15.0, 15.0, 61.0, 301.0, 601.0)))
    def advance(self, seconds: float) -> None:
        self.site.advance(seconds)
        self.site.reconcile()

    @rule(index=ANY, gib=st.integers(0, 40))
    def intrude(self, index: int, gib: int) -> None:
        self.site.intrude(self.device(index), gib * GIB)

    @rule(index=ANY, gib=st.integers(1, 30), priority=st.integers(0, 5), lasts_s=st.sampled_from((5.0, 60.0, 900.0)))
    def lease(self, index: int, gib: int, priority: int, lasts_s: float) -> None:
        self.site.ask_lease(self.device(index), gib * GIB, priority, lasts_s, ("images", "training")[gib % 2])

    @rule(index=ANY)
    def fail(self, index: int) -> None:
        self.site.fail(index)

    @rule(share=st.sampled_from((0.0, 0.3, 1.0)))
    def fail_to_start(self, share: float) -> None:
        self.site.failing = share

    @rule(index=ANY, why=st.sampled_from(("", "", "lost")))
    def lose(self, index: int, why: str) -> None:
        self.site.change_device(self.device(index), out_of_service=why)

    @rule(index=ANY, degrees=st.sampled_from((None, 60.0, 85.0)))
    def heat(self, index: int, degrees: float | None) -> None:
        self.site.change_device(self.device(index), temperature_c=degrees)

    @rule(index=ANY, first=ANY, is_on=st.booleans())
    def switch(self, index: int, first: int, is_on: bool) -> None:
        members = frozenset((self.model(first), "images"))
        self.site.mode = Mode("forensic", frozenset((self.device(index),)), members) if is_on else None

    @rule(index=ANY, window=st.sampled_from((Window(), Window(), Window(False))))
    def shut(self, index: int, window: Window) -> None:
        name = self.model(index)
        self.site.models[name] = replace(self.site.models[name], window=window)

    @rule(index=ANY)
    def forget(self, index: int) -> None:
        if len(self.names) > 4:
            name = self.names.pop(3 + index % (len(self.names) - 3))
            del self.site.models[name]
            del self.site.queues[name]


UNHURRIED = [HealthCheck.too_slow, HealthCheck.data_too_large]
TestSite = Site.TestCase
TestSite.settings = settings(
    max_examples=EXAMPLES or 40, stateful_step_count=40, deadline=None, suppress_health_check=UNHURRIED, database=None
)


@pytest.mark.parametrize("seed", range(8))
def test_an_hour_of_everything(seed: int) -> None:
    assert run(made_site(seed), 1.0).counts.plans > 300


@pytest.mark.slow
@pytest.mark.parametrize("seed", some_of(range(100, 120)))
def test_ten_hours_of_everything(seed: int) -> None:
    run(made_site(seed), 10.0)


# -- planted: each is a mistake that somebody could make, and has to be found


def skip_the_drain(patch: pytest.MonkeyPatch) -> None:
    honest = draft.farewell

    def cut(instance: InstanceState, cause: Cause, reason: str, sleeps: bool) -> Drain | Unload | Sleep:
        return honest(replace(instance, running=0), cause, reason, sleeps)

    patch.setattr(draft, "farewell", cut)


def ignore_unknown_memory(patch: pytest.MonkeyPatch) -> None:
    def none(_state: DeviceState) -> int:
        return 0

    patch.setattr(capacity, "taken_by_others", none)


def evict_p0(patch: pytest.MonkeyPatch) -> None:
    def never(_model: Model) -> bool:
        return False

    patch.setattr(eviction, "is_protected", never)
    patch.setattr(duties, "is_protected", never)


def forget_a_lease(patch: pytest.MonkeyPatch) -> None:
    def none(_lease: TenantLease, _now_s: float) -> int:
        return 0

    patch.setattr(capacity, "promised_bytes", none)


def load_into_what_is_leaving(patch: pytest.MonkeyPatch) -> None:
    def gone(self: capacity.Room, size_bytes: int, leaving_bytes: int = 0, gone_s: float = 0.0) -> None:
        self.free_now -= size_bytes - leaving_bytes
        self.free_soon -= size_bytes - leaving_bytes

    patch.setattr(capacity.Room, "hold", gone)


def evict_the_highest(patch: pytest.MonkeyPatch) -> None:
    honest = duties._lowest_first

    def upside_down(writing: draft.Draft, room: capacity.Room) -> list[InstanceState | TenantLease]:
        return honest(writing, room)[::-1]

    patch.setattr(duties, "_lowest_first", upside_down)


def say_nothing(patch: pytest.MonkeyPatch) -> None:
    def nothing(_draft: draft.Draft, _name: str, _reason: str, *_more: float) -> None:
        return

    patch.setattr(draft.Draft, "refuse", nothing)


def refuse_without_a_reason(patch: pytest.MonkeyPatch) -> None:
    def none(_draft: draft.Draft, _needs: dict[str, int]) -> str:
        return ""

    patch.setattr(options, "_why_not", none)


def stop_halfway(patch: pytest.MonkeyPatch) -> None:
    """One round: what the actions bring about is left to the next plan, although nothing happens meanwhile."""
    patch.setattr(planner, "MOST_ROUNDS", 1)


def evict_before_the_dwell(patch: pytest.MonkeyPatch) -> None:
    def none(_policy: Policy, _model: Model) -> float:
        return 0.0

    patch.setattr(Policy, "dwell_of", none)


def remember_rooms_that_changed(patch: pytest.MonkeyPatch) -> None:
    """What was found holds on although others took of the room meanwhile."""

    def not_at_all(*_anything: object) -> None:
        return

    patch.setattr(memory.Memory, "mark", not_at_all)


def remember_beyond_its_time(patch: pytest.MonkeyPatch) -> None:
    honest = memory.Memory.keep

    def for_ever(
        self: memory.Memory, writing: draft.Draft, key: memory.Key, finding: options.Finding, _wakes_s: float
    ) -> memory.Kept | None:
        return honest(self, writing, key, finding, float("inf"))

    patch.setattr(memory.Memory, "keep", for_ever)


PLANTED = (
    skip_the_drain, ignore_unknown_memory, evict_p0, forget_a_lease, load_into_what_is_leaving, evict_the_highest,
    say_nothing, refuse_without_a_reason, stop_halfway, evict_before_the_dwell,
)  # fmt: skip
FORGOTTEN = (remember_rooms_that_changed, remember_beyond_its_time)


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_mistake_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(Broken):
        for seed in range(PLANTED_WITHIN_H):
            run(made_site(seed), 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("plant", some_of(FORGOTTEN), ids=lambda plant: plant.__name__)
def test_a_mistake_of_what_is_remembered_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(Broken):
        for seed in range(2 * PLANTED_WITHIN_H):
            run(made_site(seed), 1.0)


SEARCHED = settings(
    max_examples=400, stateful_step_count=60, deadline=None, suppress_health_check=UNHURRIED, database=None,
    derandomize=True, phases=[Phase.generate], report_multiple_bugs=False,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("plant", some_of(PLANTED), ids=lambda plant: plant.__name__)
def test_a_planted_mistake_is_found_whatever_the_order(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(Broken):
        run_state_machine_as_test(Site, settings=SEARCHED)  # type: ignore[no-untyped-call]
