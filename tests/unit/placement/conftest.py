"""The real parts of a supervised llama.cpp, with short intervals."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Endpoint, Target
from ringfence.core.ports import Fetch
from ringfence.egress.pool import Pool
from ringfence.engines.llamacpp import ADAPTER
from ringfence.placement.launch import Launch, llamacpp
from ringfence.placement.lifecycle import Pace
from ringfence.placement.supervisor import Supervisor
from ringfence.testing.tiny_model import tiny_model

QUICK = Pace(health_every_s=0.2, health_timeout_s=0.3, suspect_every_s=0.05, stop_grace_s=1.0)


@pytest.fixture
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.getbasetemp())


@pytest.fixture
def fetch_at() -> Callable[[Endpoint], Fetch]:
    pool = Pool()
    return lambda endpoint: partial(pool.fetch, endpoint)


@pytest.fixture
def events() -> list[object]:
    return []


@pytest.fixture
async def supervise(
    fetch_at: Callable[[Endpoint], Fetch], events: list[object], tmp_path: Path
) -> AsyncIterator[Callable[..., Supervisor]]:
    """A factory; whatever it made is stopped at the end."""
    made: list[Supervisor] = []

    def supervise(launch: Launch, name: str = "tiny", pace: Pace = QUICK, **more: Any) -> Supervisor:
        keeper = Supervisor(
            name, launch, ADAPTER, fetch_at, events.append, log_dir=tmp_path / "logs", pace=pace, **more
        )
        made.append(keeper)
        return keeper

    yield supervise
    for keeper in made:
        await keeper.stop()


@pytest.fixture
def launch(model: Path) -> Launch:
    return llamacpp(model, "tiny", window=256, parallel=2, threads=1)


def target(name: str = "tiny/tiny") -> Target:
    return Target(name, "tiny", "llamacpp", "tiny", Boundary.HOST)
