"""The book of leases: who gets in, who is forgotten and when, and what each is seen to hold."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ringfence.core.device import Device, DeviceKind, Holder, measured
from ringfence.core.errors import BadRequest
from ringfence.placement.owners import Owner
from ringfence.placement.planning import (
    DeviceState,
    Grant,
    LeasePhase,
    Plan,
    Refused,
    State,
    Waiting,
    Window,
    plan,
)
from ringfence.placement.tenants import MOST_TTL_S, Tenants

GIB = 1 << 30


def gpu(name: str = "GPU-a", total: int = 24, free: int = 20, *holders: Holder, **more: Any) -> Device:
    return measured(Device(name, DeviceKind.GPU, "card", total * GIB, free * GIB, 0, holders=holders, **more))


RAM = Device("cpu", DeviceKind.RAM, "CPU", 64 * GIB, 40 * GIB, 24 * GIB)


@dataclass
class Site:
    """Devices, processes and a clock, as a test says they are."""

    devices: list[DeviceState] = field(default_factory=lambda: [DeviceState(gpu()), DeviceState(RAM)])
    living: dict[int, str] = field(default_factory=dict)
    held: dict[tuple[int, str], int] = field(default_factory=dict)
    now_s: float = 1000.0
    nudges: int = 0
    count: int = 0

    def tenants(self) -> Tenants:
        def new_id() -> str:
            self.count += 1
            return f"lease-{self.count}"

        def nudge() -> None:
            self.nudges += 1

        return Tenants(
            lambda: self.devices,
            lambda: self.now_s,
            nudge=nudge,
            held=lambda pid, device: self.held.get((pid, device.id), 0),
            find_owner=lambda pid: Owner(pid, self.living[pid]) if pid in self.living else None,
            new_id=new_id,
        )


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def tenants(site: Site) -> Tenants:
    return site.tenants()


# -- asking -------------------------------------------------------------------------------------------------------


def test_what_is_asked_for_is_granted_recalled_and_over(site: Site, tenants: Tenants) -> None:
    lease = tenants.ask("finetune", "GPU-a", 16 * GIB, 4)
    assert (lease.phase, lease.device, lease.priority, lease.until_s) == (LeasePhase.ASKED, "GPU-a", 4, 1060.0)
    assert not tenants.recalled(lease.id)
    site.now_s += 2
    assert tenants.granted(lease.id, "room")
    assert not tenants.granted(lease.id)
    [held] = tenants.leases()
    assert (held.phase, held.since_s, held.leased_bytes) == (LeasePhase.HELD, 1002.0, 16 * GIB)
    assert tenants.recalled(lease.id, "qwen3-8b needs it")
    assert tenants.beat(lease.id).reason == "qwen3-8b needs it"  # type: ignore[union-attr]
    assert tenants.end(lease.id).phase is LeasePhase.RECALLED  # type: ignore[union-attr]
    assert tenants.leases() == ()
    assert tenants.end(lease.id) is tenants.beat(lease.id) is None
    assert not tenants.granted(lease.id)
    assert site.nudges == 2


@pytest.mark.parametrize(
    ("asked", "param", "words"),
    [
        ({"device": "gpu9"}, "device", "There is no device 'gpu9'; there are: GPU-a, cpu."),
        ({"device": "GPU-a", "leased_bytes": 25 * GIB}, "memory", "more than GPU-a could ever give: 24.0 GiB"),
        ({"leased_bytes": 65 * GIB}, "memory", "more than any device could ever give: 64.0 GiB"),
        ({"leased_bytes": 0}, "memory", "at least one byte"),
        ({"priority": 5}, "priority", "0 P0, 1 P1, 2 P2, 3 P3; 4 comes after all"),
        ({"priority": -1}, "priority", "Priority -1"),
        ({"ttl_s": 4.9}, "ttl_s", "from 5 to 86400"),
        ({"ttl_s": MOST_TTL_S + 1}, "ttl_s", "from 5 to 86400"),
        ({"pid": 77}, "pid", "the pid 77"),
    ],
)
def test_what_never_could_be_is_refused_with_the_reason(
    site: Site, tenants: Tenants, asked: dict[str, Any], param: str, words: str
) -> None:
    with pytest.raises(BadRequest, match=r"\w") as refused:
        tenants.ask(**({"tenant": "t", "device": None, "leased_bytes": GIB} | asked))
    assert refused.value.param == param
    assert words in refused.value.message
    assert (tenants.leases(), site.nudges) == ((), 0)


def test_what_a_load_would_have_to_leave_free_a_tenant_leaves_as_well(site: Site, tenants: Tenants) -> None:
    site.devices = [DeviceState(gpu(), headroom_bytes=GIB)]
    with pytest.raises(BadRequest, match=r"23\.0 GiB"):
        tenants.ask("t", "gpu0", 24 * GIB)
    assert tenants.ask("t", "gpu0", 23 * GIB).device == "GPU-a"


def test_a_place_in_the_order_is_a_number_a_name_or_the_last(site: Site, tenants: Tenants) -> None:
    site.devices = [DeviceState(gpu(), order=("P0", "images", "P1"))]
    assert [tenants.ask(name, None, GIB, place).priority for name, place in (
        ("images", None), ("speech", None), ("speech", 0), ("images", 2), ("speech", 3),
    )] == [1, 3, 0, 2, 3]  # fmt: skip


def test_the_device_is_a_gpu_with_most_free_and_ram_only_where_none_could_do_it(site: Site, tenants: Tenants) -> None:
    site.devices = [
        DeviceState(RAM), DeviceState(gpu("GPU-a", 24, 10)), DeviceState(gpu("GPU-b", 24, 12)),
        DeviceState(gpu("GPU-c", 80, 80).taken_out("lost")), DeviceState(gpu("GPU-d", 80, 80), out_of_service="hot"),
    ]  # fmt: skip
    assert [tenants.ask("t", None, 8 * GIB).device for _ in range(3)] == ["GPU-b", "GPU-a", "GPU-b"]
    assert tenants.ask("t", None, 30 * GIB).device == "cpu"
    assert [tenants.ask("t", name, GIB).device for name in ("gpu0", "gpu1", "ram", "GPU-d")] == [
        "GPU-a", "GPU-b", "cpu", "GPU-d",
    ]  # fmt: skip


def test_memory_that_is_of_two_devices_is_not_chosen_twice(site: Site, tenants: Tenants) -> None:
    spark = replace(gpu("GB10", 128, 100), kind=DeviceKind.UNIFIED)
    site.devices = [DeviceState(replace(RAM, total_bytes=256 * GIB, part_of="GB10")), DeviceState(spark)]
    assert tenants.ask("t", None, 64 * GIB).device == "GB10"
    with pytest.raises(BadRequest):
        tenants.ask("t", None, 200 * GIB)


# -- who is forgotten ---------------------------------------------------------------------------------------------


def test_without_a_heartbeat_it_ends_when_its_time_is_over_and_not_before(site: Site, tenants: Tenants) -> None:
    lease = tenants.ask("t", None, GIB, ttl_s=30)
    site.now_s += 29.99
    assert len(tenants.all()) == 1
    assert tenants.beat(lease.id).until_s == site.now_s + 30  # type: ignore[union-attr]
    site.now_s += 29.99
    assert len(tenants.leases()) == 1
    site.now_s = 1000 + 29.99 + 30
    nudges = site.nudges
    assert tenants.leases() == ()
    assert site.nudges == nudges + 1
    assert tenants.beat(lease.id) is None


def test_a_process_that_lives_needs_no_heartbeat_and_one_that_died_is_gone_at_once(
    site: Site, tenants: Tenants
) -> None:
    site.living[8] = "boot:1"
    lease = tenants.ask("t", None, GIB, pid=8, ttl_s=30)
    tenants.granted(lease.id)
    for _ in range(100):
        site.now_s += 29
        [shown] = tenants.leases()
        assert shown.until_s > site.now_s
    site.now_s += 1000  # nobody looked for long
    assert len(tenants.leases()) == 1
    before = tenants.leases()
    assert tenants.leases() == before
    del site.living[8]
    assert tenants.leases() == ()


def test_another_process_with_the_same_pid_is_not_the_owner(site: Site, tenants: Tenants) -> None:
    site.living[8] = "boot:1"
    tenants.ask("t", None, GIB, pid=8)
    site.living[8] = "boot:2"
    assert tenants.leases() == ()


# -- what is held -------------------------------------------------------------------------------------------------


def test_what_is_seen_is_never_more_than_others_hold(site: Site, tenants: Tenants) -> None:
    site.devices = [DeviceState(gpu("GPU-a", 24, 14))]  # ten are taken
    site.living = {8: "a", 9: "b"}
    site.held = {(8, "GPU-a"): 7 * GIB, (9, "GPU-a"): 9 * GIB}
    first, second = (tenants.ask("t", None, 12 * GIB, pid=pid).id for pid in (8, 9))
    third = tenants.ask("images", None, GIB, is_watched=True).id
    tenants.saw(third, 5 * GIB)
    tenants.saw("nobody", GIB)
    assert tenants.used() == {first: 7 * GIB, second: 3 * GIB, third: 0}
    site.devices = []
    assert set(tenants.used().values()) == {0}


def test_one_program_with_two_leases_holds_what_it_holds_once(site: Site, tenants: Tenants) -> None:
    site.devices = [DeviceState(gpu("GPU-a", 24, 4))]
    site.living, site.held = {8: "a"}, {(8, "GPU-a"): 6 * GIB}
    ids = [tenants.ask("t", None, 4 * GIB, pid=8).id for _ in range(2)]
    assert [tenants.used()[name] for name in ids] == [6 * GIB, 0]


def test_a_window_is_asked_each_time(tenants: Tenants) -> None:
    open_now = [True]
    tenants.ask("t", None, GIB, window=lambda: Window(open_now[0], 2000.0))
    assert tenants.leases()[0].window == Window(True, 2000.0)
    open_now[0] = False
    assert tenants.leases()[0].window == Window(False, 2000.0)


# -- with the planner ---------------------------------------------------------------------------------------------


def test_the_planner_grants_what_fits_and_tells_why_another_waits(site: Site, tenants: Tenants) -> None:
    first, second = tenants.ask("a", "gpu0", 12 * GIB).id, tenants.ask("b", "gpu0", 12 * GIB).id
    state = State(devices=tuple(site.devices), leases=tenants.leases())
    planned = plan(state, site.now_s)
    assert [type(action) for action in planned.actions] == [Grant]
    tenants.granted(first)
    tenants.told(planned)
    assert tenants.get(second).reason  # type: ignore[union-attr]
    tenants.told(Plan(waiting=(Waiting(second, "room is being made", 1040.0),)))
    assert (tenants.get(second).reason, tenants.get(second).expected_s) == (  # type: ignore[union-attr]
        "room is being made", 1040.0,
    )  # fmt: skip
    tenants.told(Plan(refused=(Refused(second, "it is outside its hours"), Refused(first, "no"))))
    assert tenants.get(second).expected_s is None  # type: ignore[union-attr]
    assert tenants.get(first).reason == ""  # type: ignore[union-attr]


# -- over a restart -----------------------------------------------------------------------------------------------


def test_what_is_held_is_held_after_a_restart_and_what_died_meanwhile_is_not(site: Site, tenants: Tenants) -> None:
    site.living = {8: "boot:1", 9: "boot:2"}
    held, dead = (tenants.ask("t", None, GIB, pid=pid).id for pid in (8, 9))
    silent = tenants.ask("s", None, GIB, ttl_s=20).id
    tenants.ask("waits", None, GIB)
    for name in (held, dead, silent):
        tenants.granted(name)
    tenants.recalled(silent)
    kept = tenants.kept()
    assert [one.id for one in kept] == [held, dead, silent]
    site.living[9], site.now_s = "boot:later", 5.0
    after = site.tenants()
    after.restore(kept)
    assert [(one.id, one.phase) for one in after.leases()] == [
        (held, LeasePhase.HELD), (silent, LeasePhase.RECALLED),
    ]  # fmt: skip
    site.now_s = 25.0
    assert [one.id for one in after.all()] == [held]


# -- whatever happens ---------------------------------------------------------------------------------------------


class Book(RuleBasedStateMachine):
    """Tenants come, beat, die and leave; what should be there is counted beside the book."""

    @initialize()
    def begin(self) -> None:
        self.site = Site()
        self.book = self.site.tenants()
        self.ends: dict[str, float] = {}
        self.pids: dict[str, int] = {}
        self.ttls: dict[str, float] = {}
        self.started = 0

    def some(self, index: int) -> str | None:
        names = list(self.ttls)
        return names[index % len(names)] if names else None

    def forget(self, name: str) -> None:
        for kept in (self.ttls, self.pids, self.ends):
            kept.pop(name, None)

    @rule(gib=st.integers(1, 70), ttl_s=st.sampled_from((5.0, 60.0)), with_pid=st.booleans())
    def ask(self, gib: int, ttl_s: float, with_pid: bool) -> None:
        self.started += 1
        pid = 100 + self.started % 5 if with_pid else None
        if pid is not None:
            for name in [name for name, owner in self.pids.items() if owner == pid]:
                self.forget(name)  # its number is another process's now
            self.site.living[pid] = f"boot:{self.started}"
            self.site.held[pid, "GPU-a"] = gib * GIB // 2
        try:
            name = self.book.ask("t", None, gib * GIB, ttl_s=ttl_s, pid=pid).id
        except BadRequest:
            assert gib > 64
            return
        self.ttls[name] = ttl_s
        if pid is None:
            self.ends[name] = self.site.now_s + ttl_s
        else:
            self.pids[name] = pid

    @rule(index=st.integers(0, 63))
    def beat(self, index: int) -> None:
        name = self.some(index)
        if name is not None:
            assert self.book.beat(name) is not None
            if name in self.ends:
                self.ends[name] = self.site.now_s + self.ttls[name]

    @rule(seconds=st.sampled_from((0.0, 1.0, 4.5, 30.0, 400.0)))
    def advance(self, seconds: float) -> None:
        self.site.now_s += seconds
        for name in [name for name, end_s in self.ends.items() if end_s <= self.site.now_s]:
            self.forget(name)

    @rule(index=st.integers(0, 63), seen=st.integers(-GIB, 90 * GIB))
    def grant(self, index: int, seen: int) -> None:
        name = self.some(index)
        if name is not None:
            self.book.granted(name)
            self.book.saw(name, seen)

    @rule(index=st.integers(0, 63))
    def recall(self, index: int) -> None:
        self.book.recalled(self.some(index) or "")

    @rule(index=st.integers(0, 63))
    def die(self, index: int) -> None:
        name = self.some(index)
        pid = self.pids.get(name or "")
        if pid is not None:
            self.site.living.pop(pid, None)
            for each in [each for each, owner in self.pids.items() if owner == pid]:
                self.forget(each)

    @rule(index=st.integers(0, 63))
    def leave(self, index: int) -> None:
        name = self.some(index)
        if name is not None:
            assert self.book.end(name) is not None
            self.forget(name)

    @rule(free=st.integers(0, 24))
    def device(self, free: int) -> None:
        self.site.devices[0] = DeviceState(gpu("GPU-a", 24, free))

    @rule()
    def restart(self) -> None:
        """What is held outlives it, with its whole time again; what only waited asks again."""
        kept = self.book.kept()
        self.book = self.site.tenants()
        self.book.restore(kept)
        held = {one.id for one in kept}
        for name in list(self.ttls):
            if name not in held:
                self.forget(name)
            elif name in self.ends:
                self.ends[name] = self.site.now_s + self.ttls[name]

    @invariant()
    def no_lease_is_forgotten_and_none_outlives_its_owner(self) -> None:
        if not hasattr(self, "book"):
            return
        leases = self.book.leases()
        assert {one.id for one in leases} == set(self.ttls)
        assert all(one.used_bytes >= 0 and one.leased_bytes > 0 for one in leases)
        assert all(one.until_s > self.site.now_s for one in leases)
        assert all(one.until_s == self.ends[one.id] for one in leases if one.id in self.ends)
        for state in self.site.devices:
            used = sum(one.used_bytes for one in leases if one.device == state.device.id)
            assert used <= state.device.used_by_others_bytes
        assert {one.id for one in self.book.kept()} == {
            one.id for one in leases if one.phase is not LeasePhase.ASKED
        }  # fmt: skip


TestBook = Book.TestCase
TestBook.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
