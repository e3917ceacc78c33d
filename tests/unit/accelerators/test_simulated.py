"""Devices that are only said to be there."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ringfence.accelerators.simulated import ADAPTER, OutOfMemory, Said, Simulated
from ringfence.core.device import DeviceKind

GIB = 1024**3


def test_without_configuration_there_is_none() -> None:
    assert ADAPTER.read() == []


def test_what_engines_and_tenants_take_is_counted() -> None:
    simulated = Simulated([Said("gpu0", 24 * GIB), Said("spark", 128 * GIB, DeviceKind.UNIFIED, "Spark")])
    simulated.hold("gpu0", "qwen3-8b", 6 * GIB)
    simulated.grab("gpu0", "comfyui", 10 * GIB)
    simulated.hide("gpu0", 2 * GIB)
    simulated.heat("gpu0", 81.0, 0.9)
    gpu, spark = simulated.read()
    assert (gpu.available_bytes, gpu.used_by_others_bytes) == (6 * GIB, 12 * GIB)
    assert {(one.name, one.held_bytes, one.instance) for one in gpu.holders} == {
        ("qwen3-8b", 6 * GIB, "qwen3-8b"), ("comfyui", 10 * GIB, ""),
    }  # fmt: skip
    assert (gpu.temperature_c, gpu.load) == (81.0, 0.9)
    assert (spark.kind, spark.name, spark.available_bytes) == (DeviceKind.UNIFIED, "Spark", 128 * GIB)
    simulated.release("gpu0", "comfyui")
    assert simulated.read()[0].available_bytes == 16 * GIB


def test_who_asks_for_more_than_there_is_gets_nothing() -> None:
    simulated = Simulated([Said("gpu0", 10 * GIB)])
    simulated.hold("gpu0", "a", 6 * GIB)
    with pytest.raises(OutOfMemory, match="b asks gpu0"):
        simulated.hold("gpu0", "b", 5 * GIB)
    simulated.hold("gpu0", "a", 10 * GIB)  # its own may grow
    assert simulated.free_bytes("gpu0") == 0


def test_one_that_fails_is_well_again_and_one_that_is_unplugged_loses_what_it_held() -> None:
    simulated = Simulated([Said("gpu0", GIB)])
    simulated.hold("gpu0", "a", GIB)
    simulated.fail("gpu0", "it fell off the bus")
    [lost] = simulated.read()
    assert (lost.out_of_service, lost.available_bytes) == ("it fell off the bus", 0)
    simulated.fail("gpu0", "")
    assert simulated.read()[0].out_of_service == ""
    simulated.unplug("gpu0")
    assert simulated.read() == []
    with pytest.raises(OutOfMemory, match="not there"):
        simulated.hold("gpu0", "a", 1)
    simulated.plug_in("gpu0")
    assert simulated.read()[0].available_bytes == GIB


class Taking(RuleBasedStateMachine):
    """Whatever is taken and given back, the figures hang together."""

    def __init__(self) -> None:
        super().__init__()
        self.simulated = Simulated([Said("gpu0", 1000)])
        self.held: dict[str, int] = {}
        self.hidden = 0

    @rule(name=st.sampled_from("abc"), amount=st.integers(0, 1200), ours=st.booleans())
    def take(self, name: str, amount: int, ours: bool) -> None:
        free = 1000 - self.hidden - sum(held for other, held in self.held.items() if other != name)
        act = self.simulated.hold if ours else self.simulated.grab
        if amount > max(free, self.held.get(name, 0)):
            with pytest.raises(OutOfMemory):
                act("gpu0", name, amount)
        else:
            act("gpu0", name, amount)
            self.held[name] = amount

    @rule(name=st.sampled_from("abc"))
    def give_back(self, name: str) -> None:
        self.simulated.release("gpu0", name)
        self.held.pop(name, None)

    @rule(amount=st.integers(-5, 1200))
    def hide(self, amount: int) -> None:
        self.simulated.hide("gpu0", amount)
        self.hidden = max(0, amount)

    @invariant()
    def figures_hang_together(self) -> None:
        [device] = self.simulated.read()
        ours = sum(one.held_bytes or 0 for one in device.holders if one.instance)
        assert device.available_bytes == max(0, 1000 - sum(self.held.values()) - self.hidden)
        assert device.available_bytes + device.used_by_others_bytes + ours >= device.total_bytes
        assert device.used_by_others_bytes >= 0


TestTaking = Taking.TestCase
