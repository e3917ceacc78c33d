"""What the planner decides in one situation each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ringfence.core.device import Device, DeviceKind
from ringfence.placement.planning import (
    Action,
    Cause,
    Claim,
    Demand,
    DeviceState,
    Drain,
    Grant,
    InstanceState,
    LeasePhase,
    Load,
    Mode,
    Model,
    Phase,
    Plan,
    Planner,
    Policy,
    Priority,
    Recall,
    Residency,
    Rest,
    Share,
    Site,
    Sleep,
    Slot,
    State,
    TenantLease,
    Then,
    Unload,
    Wake,
    Window,
    applied,
    plan,
    rest_after,
)

GIB = 1 << 30
NOW_S = 10_000.0
LONG_AGO_S = 5_000.0
POLICY = Policy()


def gpu(total_gib: int = 24, name: str = "gpu0", others_gib: float = 0, **more: Any) -> DeviceState:
    others = int(others_gib * GIB)
    device = Device(
        name, DeviceKind.GPU, name, total_gib * GIB, total_gib * GIB - others, others, load=more.pop("load", None)
    )
    return DeviceState(device, **{"headroom_bytes": GIB, "threshold_bytes": GIB // 2, **more})


def at(gib: float, device: str = "gpu0", error_gib: float = 0.0) -> Site:
    return Site((Share(device, int(gib * GIB), int(error_gib * GIB)),), (Claim(device, GIB // 2),))


def model(name: str, gib: float = 8, residency: Residency = Residency.LAZY, priority: int = 2, **more: Any) -> Model:
    return Model(name, residency, Priority(priority), more.pop("sites", (at(gib),)), **more)


def ready(known: Model, since_s: float = LONG_AGO_S, **more: Any) -> InstanceState:
    place = known.sites[0]
    claims = tuple(Claim(share.device, share.most_bytes) for share in place.shares)
    more = {"phase": Phase.READY, "last_used_s": NOW_S - 60, "site": place, **more}
    return InstanceState(f"{known.name}-1", known.name, claims=claims, since_s=since_s, **more)


def asked(name: str, ago_s: float = 1.0, **more: Any) -> Demand:
    return Demand(name, 1, NOW_S - ago_s, **more)


def lease(gib: float, priority: int = 1, **more: Any) -> TenantLease:
    more = {"phase": LeasePhase.ASKED, "since_s": NOW_S - 5, "until_s": NOW_S + 500, **more}
    return TenantLease("lease-1", more.pop("tenant", "images"), "gpu0", int(gib * GIB), priority, **more)


def made(now_s: float = NOW_S, **parts: Any) -> Plan:
    return plan(State(**{"devices": (gpu(),), **parts}), now_s)


def kinds(found: Plan) -> list[tuple[type[Action], str]]:
    return [(type(each), each.lease if isinstance(each, Grant | Recall) else each.model) for each in found.actions]


def said(found: Plan, name: str) -> str:
    return next(each.reason for each in (*found.refused, *found.waiting) if each.name == name)


def test_what_is_asked_for_is_loaded_where_it_fits_and_nothing_else() -> None:
    found = made(models=(model("a"), model("b")), demands=(asked("a"),))
    assert kinds(found) == [(Load, "a")]
    assert found.waiting[0].expected_s == NOW_S + 30
    assert found.waiting[0].estimate_s(NOW_S + 10) == 20


def test_nothing_is_done_when_all_is_well() -> None:
    first = model("a", residency=Residency.ALWAYS)
    found = made(models=(first,), instances=(ready(first, running=3),), demands=(asked("a"),))
    assert found == Plan()


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (model("big", 40), "it needs 40.0 GiB, and gpu0 has 23.0 GiB in all"),
        (model("big", 22.8, sites=(at(22.8, error_gib=0.4),)), "it needs 23.2 GiB"),
        (model("far", sites=(at(1, "gpu7"),)), "there is no device gpu7"),
        (model("nowhere", sites=()), "nothing says where"),
        (model("shut", window=Window(False)), "it is outside its hours"),
    ],
)
def test_what_can_never_be_is_refused_with_its_reason(known: Model, reason: str) -> None:
    found = made(models=(known,), demands=(asked(known.name),))
    assert found.actions == ()
    assert said(found, known.name).startswith(reason)
    assert found.refused


def test_a_model_that_nobody_wants_here_is_refused() -> None:
    assert made(demands=(asked("ghost"),)).refused[0].name == "ghost"


def test_memory_of_unknown_programs_counts_as_taken() -> None:
    found = made(devices=(gpu(others_gib=16),), models=(model("a"),), demands=(asked("a"),))
    assert found.actions == ()
    assert said(found, "a") == "it needs 8.0 GiB, and gpu0 has 7.0 GiB beside what does not give way to it"


def test_one_in_use_keeps_its_place_until_the_other_is_overdue_and_is_then_drained() -> None:
    a, b = model("a", 14), model("b", 14)
    parts: dict[str, Any] = {"models": (a, b), "instances": (ready(a, running=2, last_used_s=NOW_S),)}
    early = made(**parts, demands=(asked("b", 10),))
    assert early.actions == ()
    assert said(early, "b") == "it waits for its turn"
    assert early.wakes_at_s == NOW_S - 10 + POLICY.patience_of(b, asked("b"))
    late = made(**parts, demands=(asked("b", 150),))
    assert kinds(late) == [(Drain, "a")]
    assert isinstance(late.actions[0], Drain)
    assert late.actions[0].then is Then.UNLOAD


def test_one_that_nobody_uses_gives_way_after_its_dwell_and_not_before() -> None:
    a, b = model("a", 14), model("b", 14)
    fresh = made(models=(a, b), instances=(ready(a, NOW_S - 20),), demands=(asked("b"),))
    assert fresh.actions == ()
    assert fresh.wakes_at_s == NOW_S - 20 + POLICY.dwell_of(a)
    dwelt = made(models=(a, b), instances=(ready(a),), demands=(asked("b"),))
    assert kinds(dwelt) == [(Unload, "a")]


def test_one_that_made_room_does_not_take_it_back_at_once() -> None:
    a, b = model("a", 14, priority=1), model("b", 14, priority=3)
    again = made(models=(a, b), demands=(asked("a", 1, left_s=NOW_S - 6), asked("b", 40)))
    assert kinds(again) == [(Load, "b")]
    later = made(models=(a, b), demands=(asked("a", 1, left_s=NOW_S - 600), asked("b", 40)))
    assert kinds(later) == [(Load, "a")]


def test_the_room_of_one_that_leaves_is_not_loaded_into_before_it_is_gone() -> None:
    a, b = model("a", 14), model("b", 14)
    for phase in (Phase.DRAINING, Phase.STOPPING):
        going = ready(a, since_s=NOW_S - 2, phase=phase, running=int(phase is Phase.DRAINING))
        found = made(models=(a, b), instances=(going,), demands=(asked("b"),))
        assert found.actions == ()
        assert said(found, "b") == "what is in its place is leaving"


def test_a_drained_one_goes_and_one_that_is_to_sleep_sleeps() -> None:
    a = model("a", can_sleep=True)
    for then, kind in ((Then.UNLOAD, Unload), (Then.SLEEP, Sleep)):
        drained = ready(a, since_s=NOW_S - 2, phase=Phase.DRAINING, then=then)
        assert kinds(made(models=(a,), instances=(drained,))) == [(kind, "a")]


def test_p0_leaves_for_nobody() -> None:
    first, b = model("first", 14, Residency.ALWAYS, 0), model("b", 14, priority=1)
    parts: dict[str, Any] = {"models": (first, b), "instances": (ready(first),)}
    assert made(**parts, demands=(asked("b", 900),)).actions == ()
    assert made(**parts, leases=(lease(14, 0),)).refused[0].name == "lease-1"
    assert made(**parts, devices=(gpu(others_gib=23.9),)).actions == ()
    assert made(**parts, mode=Mode("audio", frozenset({"gpu0"}), frozenset({"b"}))).actions == ()
    assert made(**parts, devices=(gpu(out_of_service="lost"),)).actions == ()


def test_below_the_threshold_the_lowest_leave_first_and_come_back_when_there_is_room() -> None:
    high = model("high", 6, Residency.ALWAYS, 1)
    low = model("low", 6, Residency.ALWAYS, 3)
    lower = model("lower", 6, Residency.ALWAYS, 3)
    parts: dict[str, Any] = {
        "models": (high, low, lower),
        "instances": (ready(high), ready(low, running=1), ready(lower)),
    }
    found = made(**parts, devices=(gpu(others_gib=5.8),))
    assert [(type(each), each.model) for each in found.actions if isinstance(each, Unload | Drain)] == [
        (Unload, "lower")
    ]
    rest = rest_after(found.actions[0], NOW_S, POLICY)
    assert rest is not None
    assert rest.until_s == NOW_S + POLICY.return_s
    left: dict[str, Any] = {**parts, "instances": (ready(high), ready(low))}
    assert made(**left, rests=(rest,), devices=(gpu(others_gib=0),)).wakes_at_s == rest.until_s
    assert made(**left, devices=(gpu(others_gib=5.2),)).actions == (), "the headroom keeps it from coming and going"
    assert kinds(made(**left, devices=(gpu(others_gib=5),))) == [(Load, "lower")]


def test_of_two_large_loads_one_waits() -> None:
    a, b = model("a", 12), model("b", 12)
    found = made(devices=(gpu(48),), models=(a, b), demands=(asked("a", 2), asked("b", 1)))
    assert kinds(found) == [(Load, "a")]
    assert next(each for each in found.waiting if each.name == "b").expected_s == NOW_S + 60
    small = made(devices=(gpu(48),), models=(a, model("b", 2)), demands=(asked("a", 2), asked("b", 1)))
    assert len(small.actions) == 2
    locked = made(devices=(gpu(48, loads_until_s=NOW_S + 9),), models=(a,), demands=(asked("a", 2),))
    assert locked.actions == ()


def test_a_swap_slot_holds_one_model_and_goes_back_to_its_default() -> None:
    small = model("small", 5, Residency.SWAP, 1, slot="slot")
    large = model("large", 9, Residency.SWAP, 2, slot="slot")
    parts: dict[str, Any] = {"devices": (gpu(48),), "models": (small, large), "slots": (Slot("slot", "small"),)}
    assert kinds(made(**parts)) == [(Load, "small")]
    assert kinds(made(**parts, instances=(ready(small),), demands=(asked("large"),))) == [(Unload, "small")]
    swapped = ready(large, last_used_s=NOW_S - 290)
    waits = made(**parts, instances=(swapped,))
    assert waits.actions == ()
    assert waits.wakes_at_s == NOW_S + 10
    assert kinds(made(NOW_S + 10, **parts, instances=(swapped,))) == [(Unload, "large")]
    assert made(**parts, instances=(ready(large, last_used_s=LONG_AGO_S, running=1),)).actions == ()


def test_lazy_ones_go_after_ten_minutes_and_sleep_where_they_can() -> None:
    for can_sleep, kind in ((False, Unload), (True, Sleep)):
        lazy = model("a", can_sleep=can_sleep)
        idle = ready(lazy, last_used_s=NOW_S - 599)
        found = made(models=(lazy,), instances=(idle,))
        assert found.actions == ()
        assert found.wakes_at_s == NOW_S + 1
        assert kinds(made(NOW_S + 1, models=(lazy,), instances=(idle,))) == [(kind, "a")]


def test_one_that_sleeps_is_woken_and_gives_way_to_whoever_needs_the_room() -> None:
    a, b = model("a", 14, can_sleep=True), model("b", 22.8)
    asleep = replace(ready(a, phase=Phase.SLEEPING), claims=(Claim("gpu0", GIB // 2),))
    assert kinds(made(models=(a,), instances=(asleep,), demands=(asked("a"),))) == [(Wake, "a")]
    assert kinds(made(models=(a, b), instances=(asleep,), demands=(asked("b"),))) == [(Unload, "a")]


def test_one_that_sleeps_nobody_knows_how_is_left_alone() -> None:
    a = model("a")
    asleep = replace(ready(a, phase=Phase.SLEEPING, site=None), claims=(Claim("gpu0", GIB // 2),))
    found = made(models=(a,), instances=(asleep,), demands=(asked("a"),))
    assert found.actions == ()
    assert said(found, "a") == "it sleeps, and nothing says what it takes when awake"


def test_a_tenant_gets_its_memory_from_those_below_it() -> None:
    order = ("P0", "images", "P1", "P2", "P3")
    a = model("a", 14, priority=1)
    parts: dict[str, Any] = {"devices": (gpu(order=order),), "models": (a,), "leases": (lease(16, 9),)}
    assert kinds(made(**parts)) == [(Grant, "lease-1")]
    busy = made(**parts, instances=(ready(a, NOW_S - 1, running=1),))
    assert kinds(busy) == [(Drain, "a")]
    unnamed = replace(lease(16, 4), tenant="training")
    assert made(**{**parts, "leases": (unnamed,)}, instances=(ready(a),)).refused[0].name == "lease-1"
    held = lease(16, 4, tenant="training", phase=LeasePhase.HELD, used_bytes=2 * GIB)
    recalled = made(devices=(gpu(order=order, others_gib=2),), models=(a,), leases=(held,), demands=(asked("a"),))
    assert kinds(recalled) == [(Recall, "lease-1")]


def test_of_two_tenants_the_higher_one_gets_the_memory() -> None:
    held = replace(lease(16, 4, phase=LeasePhase.HELD, used_bytes=16 * GIB), id="lease-2", tenant="training")
    parts: dict[str, Any] = {"devices": (gpu(others_gib=16),)}
    found = made(**parts, leases=(held, lease(16, 1)))
    assert kinds(found) == [(Recall, "lease-2")]
    assert said(found, "lease-1") == "what is in its place is leaving"
    for phase, expected in ((LeasePhase.RECALLED, "waiting"), (LeasePhase.HELD, "refused")):
        other = replace(held, phase=phase, priority=1 if phase is LeasePhase.HELD else 4)
        assert [each.name for each in getattr(made(**parts, leases=(other, lease(16, 1))), expected)] == ["lease-1"]


def test_what_a_tenant_may_still_take_is_kept_for_it() -> None:
    held = lease(16, 0, phase=LeasePhase.HELD, used_bytes=2 * GIB)
    parts: dict[str, Any] = {"devices": (gpu(others_gib=2),), "leases": (held,)}
    assert made(**parts, models=(model("a", 8),), demands=(asked("a"),)).actions == ()
    assert kinds(made(**parts, models=(model("a", 7),), demands=(asked("a"),))) == [(Load, "a")]
    over = made(NOW_S + 500, **parts, models=(model("a", 8),), demands=(asked("a"),))
    assert kinds(over) == [(Load, "a")]


def test_a_shut_window_sends_models_and_tenants_away() -> None:
    night = Window(False, NOW_S + 3_600)
    a = model("a", window=night)
    found = made(models=(a,), instances=(ready(a),), leases=(lease(4, phase=LeasePhase.HELD, window=night),))
    assert kinds(found) == [(Unload, "a"), (Recall, "lease-1")]
    waits = made(models=(a,), demands=(asked("a"),))
    assert waits.waiting[0].expected_s == NOW_S + 3_600 + a.load_s


def test_a_mode_has_its_devices_for_itself() -> None:
    first, a, b = model("first", 2, Residency.ALWAYS, 0), model("a", 8, priority=1), model("b", 8, priority=3)
    mode = Mode("forensic", frozenset({"gpu0"}), frozenset({"b"}))
    parts: dict[str, Any] = {"models": (first, a, b), "mode": mode}
    found = made(**parts, instances=(ready(first), ready(a, running=1)))
    assert kinds(found) == [(Drain, "a"), (Load, "b")]
    assert said(made(**parts, demands=(asked("a"),)), "a") == "mode forensic has gpu0 for itself"


def test_a_hot_device_is_slow_to_take_more_and_a_busy_one_comes_last() -> None:
    both = model("a", sites=(at(8), at(8, "gpu1")))
    hot: dict[str, Any] = {"devices": (gpu(temperature_c=81.0),), "models": (model("a"),)}
    assert made(**hot, demands=(asked("a"),)).actions == ()
    assert kinds(made(**hot, demands=(asked("a", 600),))) == [(Load, "a")]
    for strained in (gpu(load=0.9), gpu(temperature_c=81.0)):
        found = made(devices=(strained, gpu(name="gpu1")), models=(both,), demands=(asked("a"),))
        assert isinstance(found.actions[0], Load)
        assert found.actions[0].site == both.sites[1]
        unasked = made(devices=(strained,), models=(model("a", residency=Residency.ALWAYS),))
        assert said(unasked, "a") == "gpu0 is too hot or too busy for what nobody asks for"
    first = model("first", residency=Residency.ALWAYS, priority=0)
    assert kinds(made(devices=(gpu(temperature_c=90.0),), models=(first,))) == [(Load, "first")]


def test_a_model_over_two_devices_needs_room_on_both() -> None:
    split = model("a", sites=(Site((Share("gpu0", 10 * GIB), Share("gpu1", 10 * GIB))),))
    b = model("b", 14, sites=(at(14, "gpu1"),))
    devices = (gpu(), gpu(name="gpu1"))
    assert kinds(made(devices=devices, models=(split, b), demands=(asked("a"),))) == [(Load, "a")]
    found = made(devices=devices, models=(split, b), instances=(ready(b),), demands=(asked("a"),))
    assert kinds(found) == [(Unload, "b")]


def test_what_failed_is_cleared_away_and_rests() -> None:
    a = model("a")
    failed = made(models=(a,), instances=(ready(a, phase=Phase.FAILED),), demands=(asked("a"),))
    assert kinds(failed) == [(Unload, "a")]
    rests = (Rest("a", NOW_S + 60, "it failed"),)
    waits = made(models=(a,), demands=(asked("a"),), rests=rests)
    assert waits.actions == ()
    assert said(waits, "a") == "it rests, because it failed"
    assert waits.wakes_at_s == NOW_S + 60


def test_an_instance_found_running_without_a_wish_for_it_goes() -> None:
    assert kinds(made(instances=(ready(model("a"), site=None),))) == [(Unload, "a")]


def test_actions_leave_phases_behind_and_are_not_said_again() -> None:
    a, b, c = model("a", 14), model("b", 14, can_sleep=True), model("c", 2)
    state = State(
        devices=(gpu(48),),
        models=(a, b, c),
        instances=(ready(a, running=1), ready(b, last_used_s=LONG_AGO_S)),
        demands=(asked("c"),),
        leases=(lease(36, 0),),
    )
    actions = plan(state, NOW_S).actions
    after = applied(state, actions, NOW_S, POLICY)
    assert {each.model: each.phase for each in after.instances} == {
        "a": Phase.DRAINING,
        "b": Phase.SLEEPING,
        "c": Phase.STARTING,
    }
    assert plan(after, NOW_S).actions == ()


def test_a_device_that_changes_does_not_make_others_be_planned_again() -> None:
    here, there = model("a"), model("b", sites=(at(8, "gpu1"),))
    devices = (gpu(), gpu(name="gpu1"))
    state = State(devices=devices, models=(here, there), demands=(asked("a"), asked("b")))
    planner = Planner()
    first = planner.plan(state, NOW_S)
    assert sorted(kinds(first), key=str) == sorted(kinds(plan(state, NOW_S)), key=str)
    again = planner.plan(replace(state, demands=(asked("a"),)), NOW_S)
    assert kinds(again) == [(Load, "a")]
    assert again.actions[0] is first.actions[0]


def test_a_model_where_no_site_of_it_is_ties_regions_together() -> None:
    here, there = model("a"), model("b", sites=(at(8, "gpu1"),))
    strayed = replace(ready(here), claims=(Claim("gpu1", 20 * GIB),))
    state = State((gpu(), gpu(name="gpu1")), (here, there), (strayed,), (asked("b"),))
    assert Planner().plan(state, NOW_S) == plan(state, NOW_S)


def test_causes_that_make_a_model_rest() -> None:
    for cause in Cause:
        rests = rest_after(Unload("a-1", "a", cause, ""), NOW_S, POLICY) is not None
        assert rests == (cause in (Cause.PRESSURE, Cause.FAILED))


def test_one_that_is_always_loaded_stays_when_a_higher_one_is_only_asked_for() -> None:
    """It would have its room back as soon as that is free, and neither would ever serve."""
    low, high = model("low", 12, Residency.ALWAYS, 2), model("high", 12, priority=1)
    found = made(models=(low, high), instances=(ready(low),), demands=(asked("high", 500),))
    assert found.actions == ()
    assert "does not give way" in said(found, "high")
