"""Devices that are only counted, and what the configuration wants of them: the real parts, without a gateway."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

import pytest

from ringfence.config.placing import DeviceSettings
from ringfence.config.schema import Config
from ringfence.placement.devices import Devices
from ringfence.placement.instance import Placement
from ringfence.runtime.desired import Desired
from ringfence.runtime.memory import Memory
from ringfence.runtime.starts import started
from ringfence.store.db import Database


@pytest.fixture
def counted(db: Database) -> Callable[..., Memory]:
    """A memory whose devices are these, and none of this machine."""

    def counted(placement: Placement, **said: DeviceSettings) -> Memory:
        memory = Memory(placement, db, said)
        memory.devices = Devices([memory.simulated], monotonic)
        return memory

    return counted


@pytest.fixture
def desired_of(db: Database) -> Callable[[Placement, Config], Desired]:
    """What a configuration wants of the devices of this machine."""
    return lambda placement, config: Desired(Memory(placement, db, config.devices), started, config)
