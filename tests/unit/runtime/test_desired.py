"""What the configuration wants, as the planner is told it: sites and their sizes, rules of devices, slots, modes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from ringfence.config.models import ModelSettings
from ringfence.config.placing import (
    DeviceSettings,
    ModeModelSettings,
    ModeSettings,
    PlacementSettings,
    SlotSettings,
    TenantSettings,
)
from ringfence.config.schema import Config
from ringfence.core.device import Device, DeviceKind, Holder
from ringfence.placement.instance import Placement
from ringfence.placement.planning import Claim, Model, Priority, Residency, Share, Site, Slot
from ringfence.runtime.desired import GPU_OVERHEAD_BYTES, PROCESS_BYTES, UNSIZED, Desired, Entry
from ringfence.runtime.memory import Memory
from ringfence.runtime.starts import entry_of, started

GIB = 1024**3
DEMO = Path(str(resources.files("ringfence.models") / "demo.gguf"))
GPU0, GPU1 = DeviceSettings(simulated=24 * GIB), DeviceSettings(simulated=16 * GIB)
RAM = DeviceSettings(simulated=64 * GIB, kind="ram")
Wants = Callable[..., "Case"]


class Case:
    """A configuration over devices that are only counted."""

    def __init__(self, memory: Memory, config: Config) -> None:
        self.memory = memory
        self.desired = Desired(memory, started, config)
        memory.setup_of = self.desired.setup_on

    def unsized(self, name: str, size_gib: float, instance: str = "", **settings: Any) -> Entry:
        """One whose header tells nothing, so that it is taken by its size."""
        said = ModelSettings(source="/models/m.gguf", **settings)
        entry = Entry(instance or name, name, said, Path("/models/m.gguf"), int(size_gib * GIB), 4096)
        self.desired.entries[entry.instance] = entry
        return entry

    def demo(self, **settings: Any) -> Entry:
        entry = self.desired.entries["demo"] = entry_of("demo", "demo", ModelSettings(source="demo", **settings), DEMO)
        return entry

    def model(self, name: str) -> Model:
        return next(one for one in self.desired.models() if one.name == name)

    def places(self, name: str) -> list[tuple[str, ...]]:
        return [tuple(share.device for share in site.shares) for site in self.model(name).sites]


@pytest.fixture
async def wants(counted: Callable[..., Memory]) -> Wants:
    async def wants(config: Config | None = None, **devices: DeviceSettings) -> Case:
        said = devices or {"gpu0": GPU0, "gpu1": GPU1, "ram": RAM}
        memory = counted(Placement(), **said)
        await memory.refresh()
        return Case(memory, config or Config(devices=said))

    return wants


class TestSites:
    async def test_any_gpu_then_the_ram(self, wants: Wants) -> None:
        case = await wants()
        case.unsized("m", 4)
        assert case.places("m") == [("gpu0",), ("gpu1",), ("ram",)]

    async def test_without_a_gpu_the_ram(self, wants: Wants) -> None:
        case = await wants(ram=RAM)
        case.unsized("m", 4)
        assert case.places("m") == [("ram",)]

    async def test_only_where_it_is_said_and_in_that_order_whatever_is_missing(self, wants: Wants) -> None:
        case = await wants()
        case.unsized("m", 4, devices=("gpu1", "gpu7", "gpu0"))
        assert case.places("m") == [("gpu1",), ("gpu0",)]

    async def test_a_counted_device_that_is_called_ram_is_what_is_meant_by_it(self, wants: Wants) -> None:
        case = await wants()
        real = Device("cpu", DeviceKind.RAM, "the real one", 8 * GIB, 8 * GIB, 0)
        found = case.desired.device("ram", [real, *case.memory.pools])
        assert found is not None and found.id == "ram"
        case.unsized("m", 4, devices=("ram",))
        assert case.places("m") == [("ram",)]

    async def test_none_of_its_layers_on_a_gpu_is_the_ram_alone(self, wants: Wants) -> None:
        case = await wants()
        case.unsized("m", 4, gpu_layers=0)
        assert case.places("m") == [("ram",)]

    async def test_some_of_its_layers_on_a_gpu_split_it_and_it_is_not_in_ram_alone(self, wants: Wants) -> None:
        case = await wants()
        whole = case.demo()
        assert whole.files is not None
        layers = whole.files.architecture.layers
        alone = {share.device: share for site in case.model("demo").sites for share in site.shares}
        case.demo(gpu_layers=1)
        assert case.places("demo") == [("gpu0", "ram"), ("gpu1", "ram")]
        on_gpu, in_ram = case.model("demo").sites[0].shares
        assert layers > 1 and on_gpu.likely_bytes < alone["gpu0"].likely_bytes
        model_bytes = alone["gpu0"].likely_bytes - GPU_OVERHEAD_BYTES
        assert on_gpu.likely_bytes - GPU_OVERHEAD_BYTES == pytest.approx(model_bytes / layers, abs=2)
        assert in_ram.likely_bytes - PROCESS_BYTES == pytest.approx(model_bytes * (1 - 1 / layers), abs=2)
        case.demo(gpu_layers=layers)
        assert case.places("demo") == [("gpu0",), ("gpu1",)], "all of them is no split"

    async def test_over_two_gpus_only_where_none_has_room_for_it_alone(self, wants: Wants) -> None:
        case = await wants()
        case.unsized("fits", 10)
        case.unsized("spreads", 18)
        assert case.places("fits") == [("gpu0",), ("gpu1",), ("ram",)]
        assert case.places("spreads") == [("gpu0",), ("gpu1",), ("gpu0", "gpu1"), ("ram",)]
        first, second = case.model("spreads").sites[2].shares
        assert first.likely_bytes > second.likely_bytes, "as much as each has room for"

    async def test_what_it_takes_by_its_size_where_the_header_tells_nothing(self, wants: Wants) -> None:
        case = await wants()
        case.unsized("m", 4)
        shares = [site.shares[0] for site in case.model("m").sites]
        assert shares[0].likely_bytes == int(4 * GIB * UNSIZED) + GPU_OVERHEAD_BYTES
        assert shares[2].likely_bytes == int(4 * GIB * UNSIZED) + PROCESS_BYTES
        assert shares[0].error_bytes > 0, "it is not sure"

    async def test_what_the_owner_says_that_it_takes_counts_alone(self, wants: Wants) -> None:
        case = await wants()
        entry = case.unsized("m", 4, memory=7 * GIB)
        assert case.model("m").sites[0].shares == (Share("gpu0", 7 * GIB),)
        assert case.desired.basis("m", "gpu0") == "configured"
        setup = case.desired.setup_on("m", case.memory.pools[0])
        assert setup is not None
        case.memory.book.observe(setup, 9 * GIB, 0.0)
        assert case.desired.known_bytes("m", "gpu0") is None and entry.settings.memory == 7 * GIB
        assert case.model("m").sites[0].shares == (Share("gpu0", 7 * GIB),)

    async def test_what_was_seen_counts_from_then_on_and_is_sure(self, wants: Wants) -> None:
        case = await wants()
        case.unsized("m", 4)
        assert case.desired.basis("m", "gpu0") == "predicted" and case.desired.known_bytes("m", "gpu0") is None
        before = case.model("m").sites[0].shares[0]
        setup = case.desired.setup_on("m", case.memory.pools[0])
        assert setup is not None
        case.memory.book.observe(setup, 5 * GIB, 0.0)
        assert case.model("m").sites[0].shares == (Share("gpu0", 5 * GIB),) != (before,)
        assert case.desired.known_bytes("m", "gpu0") == 5 * GIB and case.desired.basis("m", "gpu0") == "observed"
        assert case.desired.basis("m", "gpu1") == "observed" or case.model("m").sites[1].shares[0].error_bytes > 0

    async def test_what_one_takes_that_is_set_up_otherwise_says_nothing(self, wants: Wants) -> None:
        case = await wants()
        case.unsized("m", 4)
        setup = case.desired.setup_on("m", case.memory.pools[0])
        assert setup is not None
        case.memory.book.observe(setup, 5 * GIB, 0.0)
        case.unsized("m", 4, window=8192)
        assert case.desired.basis("m", "gpu0") == "predicted"

    async def test_what_another_of_the_same_name_takes_says_nothing(self, wants: Wants) -> None:
        case = await wants()
        case.unsized("m", 4)
        case.unsized("other", 2)
        assert case.model("other").sites[0].shares[0].likely_bytes == int(2 * GIB * UNSIZED) + GPU_OVERHEAD_BYTES
        assert case.model("m").sites[0].shares[0].likely_bytes == int(4 * GIB * UNSIZED) + GPU_OVERHEAD_BYTES

    async def test_they_are_not_made_anew_while_nothing_changes(self, wants: Wants) -> None:
        case = await wants()
        entry = case.unsized("m", 4)
        first = case.desired.models()
        assert case.desired.models() is first
        entry.load_s = 9.0
        assert case.model("m").load_s == 9.0
        case.desired.entries.clear()
        assert case.desired.models() == ()


class TestModels:
    async def test_its_residency_priority_and_times(self, wants: Wants) -> None:
        case = await wants()
        case.unsized("m", 3, residency="lazy", priority="P3", idle_s=40)
        found = case.model("m")
        assert (found.residency, found.priority, found.idle_s) == (Residency.LAZY, Priority.P3, 40)
        assert found.load_s == 2.0 + 3.0, "a guess by its size, until it was timed"
        case.desired.loaded("m", 20.0)
        assert case.model("m").load_s == 20.0
        case.desired.loaded("m", 22.0)
        assert case.model("m").load_s == 20.0, "that is no news"

    async def test_hours_open_and_shut_by_the_planners_clock(
        self, wants: Wants, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        case = await wants()
        case.unsized("m", 3, hours="02:00-08:00 UTC")
        case.unsized("ever", 3)
        for at_utc_s, is_open, left_s in ((3 * 3600, True, 5 * 3600), (9 * 3600, False, 17 * 3600)):
            monkeypatch.setattr("ringfence.runtime.desired.time", lambda at_utc_s=at_utc_s: 86400.0 * 100 + at_utc_s)
            window = case.model("m").window
            assert window.is_open is is_open and window.changes_s is not None
            assert window.changes_s - monotonic() == pytest.approx(left_s, abs=2)
        assert case.model("ever").window.changes_s is None

    async def test_hours_of_a_tenant(self, wants: Wants, monkeypatch: pytest.MonkeyPatch) -> None:
        tenants = {"night": TenantSettings(hours="02:00-08:00 UTC"), "any": TenantSettings()}
        case = await wants(Config(tenants=tenants), gpu0=GPU0)
        monkeypatch.setattr("ringfence.runtime.desired.time", lambda: 86400.0 * 100 + 3 * 3600)
        opens = case.desired.opens_for("night")
        assert opens is not None and opens().is_open
        assert case.desired.opens_for("any") is None is case.desired.opens_for("unknown")

    async def test_an_engine_that_can_sleep_keeps_its_weights_in_ram(self, wants: Wants) -> None:
        case = await wants()
        for name, sleep in (("dozes", None), ("leaves", False)):
            said = ModelSettings(source="/models/folder", engine="vllm", sleep=sleep)
            case.desired.entries[name] = Entry(name, name, said, Path("/models/folder"), 8 * GIB, 4096)
        assert case.model("dozes").can_sleep and case.model("dozes").sites[0].asleep == (Claim("ram", 8 * GIB),)
        assert not case.model("leaves").can_sleep and case.model("leaves").sites[0].asleep == ()

    async def test_each_is_started_at_the_site_and_as_it_is_set_up(self, wants: Wants) -> None:
        case = await wants()
        case.demo(window=512)
        seen: list[tuple[Any, ...]] = []
        case.desired._starts = lambda *told: seen.append(told) or "launch"  # type: ignore[assignment,return-value,func-returns-value]
        site = Site((Share("gpu1", GIB),))
        assert case.desired.launch("demo", site) == "launch"
        [(entry, settings, where, devices)] = seen
        assert (entry.name, settings.window, where) == ("demo", 512, site)
        assert [one.id for one in devices] == ["gpu1"]


class TestModes:
    CONFIG = Config(
        models={"m": ModelSettings(source="/models/m.gguf"), "n": ModelSettings(source="/models/m.gguf")},
        devices={"gpu0": GPU0, "gpu1": GPU1, "ram": RAM},
        tenants={"images": TenantSettings()},
        modes={
            "forensic": ModeSettings(
                devices=("gpu0",), models=("m",), tenants=("images",),
                settings={"m": ModeModelSettings(window=16384, kv_type="q8_0")},
            )
        },
    )  # fmt: skip

    async def test_its_settings_are_laid_over_those_of_the_model_while_it_is_on(self, wants: Wants) -> None:
        case = await wants(self.CONFIG, gpu0=GPU0, gpu1=GPU1, ram=RAM)
        entry, other = case.unsized("m", 4, memory=5 * GIB), case.unsized("n", 4)
        before = case.desired.setup("m"), case.desired.setup("n")
        assert case.model("m").sites[0].shares == (Share("gpu0", 5 * GIB),)
        case.desired.now = "forensic"
        laid = case.desired.settings_of(entry)
        assert (laid.window, laid.kv_type, laid.memory, laid.at_once()) == (16384, "q8_0", None, 4)
        assert case.desired.settings_of(other) is other.settings
        assert case.desired.setup("m") != before[0] and case.desired.setup("n") == before[1]
        assert case.model("m").sites[0].shares != (Share("gpu0", 5 * GIB),), "that said nothing of how it is now"
        case.desired.now = None
        assert (case.desired.setup("m"), case.desired.setup("n")) == before

    async def test_who_belongs_to_it_by_the_names_of_instances(self, wants: Wants) -> None:
        case = await wants(self.CONFIG, gpu0=GPU0, gpu1=GPU1, ram=RAM)
        case.unsized("m", 4, instance="m+")
        assert case.desired.mode() is None
        case.desired.now = "forensic"
        mode = case.desired.mode()
        assert mode is not None
        assert (mode.name, mode.devices, mode.members) == ("forensic", {"gpu0"}, {"m+", "images"})
        case.desired.now = "unknown"
        assert case.desired.mode() is None

    async def test_one_that_is_not_configured_any_more_has_no_setup(self, wants: Wants) -> None:
        assert (await wants()).desired.setup("gone") is None


class TestDevices:
    async def test_rules_as_they_are_said_and_as_they_are_where_nothing_is(self, wants: Wants) -> None:
        said = {
            "gpu0": DeviceSettings(simulated=24 * GIB, headroom=2 * GIB, threshold=GIB, order=("P0", "images", "P1")),
            "gpu1": DeviceSettings(simulated=8 * GIB),
        }
        case = await wants(Config(devices=said, tenants={"images": TenantSettings()}), **said)
        first, second = case.desired.devices()
        assert (first.headroom_bytes, first.threshold_bytes, first.order) == (2 * GIB, GIB, ("P0", "images", "P1"))
        assert (second.headroom_bytes, second.threshold_bytes, second.order) == (GIB // 2, GIB // 4, ())

    async def test_what_another_program_loads_and_what_is_out_of_service(self, wants: Wants) -> None:
        case = await wants()
        case.desired.loads_until = {"gpu1": 77.0}.get
        case.memory.simulated.fail("gpu0", "it has fallen off the bus")
        case.memory.simulated.heat("gpu1", 91.0, 0.9)
        await case.memory.refresh()
        first, second, _ram = case.desired.devices()
        assert (first.out_of_service, first.loads_until_s) == ("it has fallen off the bus", None)
        assert (second.out_of_service, second.loads_until_s, second.temperature_c) == ("", 77.0, 91.0)

    async def test_ram_that_engines_on_a_gpu_hold_as_well_is_used_by_others_and_its_load_says_nothing(
        self, wants: Wants
    ) -> None:
        case = await wants()
        held = (Holder("a", 3 * GIB, instance="on-gpu"), Holder("b", 2 * GIB, instance="in-ram"))
        ram = replace(case.memory.pools[2], load=5.0, used_by_others_bytes=GIB, holders=held)
        sites = {"on-gpu": Site((Share("gpu0", GIB),)), "in-ram": Site((Share("ram", GIB),))}
        case.memory.site_of = sites.get
        state = case.desired._state(ram, DeviceSettings())
        assert (state.device.load, state.device.used_by_others_bytes) == (None, 4 * GIB)


async def test_slots_and_their_defaults_by_the_names_of_instances(wants: Wants) -> None:
    models = {name: ModelSettings(source="/models/m.gguf", residency="swap", slot="large") for name in ("one", "two")}
    case = await wants(Config(models=models, slots={"large": SlotSettings(default="two", idle_s=120)}), gpu0=GPU0)
    case.unsized("one", 3, residency="swap", slot="large")
    case.unsized("two", 3, residency="swap", slot="large")
    case.unsized("two", 3, instance="two+", residency="swap", slot="large")
    case.unsized("three", 3, residency="swap")
    case.unsized("four", 3)
    assert case.desired.slots() == (Slot("large", "two+", 120.0), Slot("swap"))
    assert {one.name: one.slot for one in case.desired.models()}["three"] == "swap"
    assert case.model("four").slot == ""


async def test_the_owners_figures(wants: Wants) -> None:
    said = PlacementSettings(dwell_s=7, patience_s=8, return_s=9, hot_c=70.0, busy_percent=50.0, quiet_s=3)
    policy = (await wants(Config(placement=said), gpu0=GPU0)).desired.policy()
    assert (policy.dwell_s, policy.patience_s, policy.return_s, policy.quiet_s) == (7, 8, 9, 3)
    assert (policy.hot_c, policy.busy_load) == (70.0, 0.5)
