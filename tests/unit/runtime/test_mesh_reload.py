"""A network that is no longer listed under mesh takes the engines in it along."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ringfence.config.load import load
from ringfence.config.models import ModelSettings
from ringfence.config.schema import Config
from ringfence.core.boundary import Boundary, boundary_of
from ringfence.core.catalog import Endpoint
from ringfence.core.ports import Fetched
from ringfence.egress.pool import Pool
from ringfence.placement.instance import Placement
from ringfence.runtime.desired import Desired
from ringfence.runtime.instances import Instances, NotServable
from ringfence.runtime.parts import Origin, Runtime

CODER = {"coder": ModelSettings(url="http://10.0.0.7:8000", engine="vllm")}


class Pretending(Pool):
    """Reaches nobody, and answers as a vLLM would."""

    async def fetch(self, endpoint: Endpoint, path: str, timeout_s: float = 2.0) -> Fetched:
        listed = {"object": "list", "data": [{"id": "coder", "owned_by": "vllm", "max_model_len": 4096}]}
        return Fetched(200, {"version": "0.11.0"} if path == "/version" else listed)


async def test_a_reload_that_takes_the_network_away_is_refused(
    tmp_path: Path, desired_of: Callable[..., Desired]
) -> None:
    placement, listed = Placement(), Config(mesh=("10.0.0.0/8",), models=CODER)
    wants = desired_of(placement, listed)
    instances = Instances(placement, wants, Pretending(), lambda _event: None, tmp_path, lambda: None)
    await instances.bring_up(listed)
    assert await placement.is_ready("coder", 2)
    [model] = instances.models(listed)
    assert [target.boundary for target in model.targets] == [Boundary.MESH]
    await instances.bring_up(Config(mesh=("10.0.0.0/24",), models=CODER))  # narrower, and it still lies within
    with pytest.raises(NotServable, match="neither this machine nor in a network listed under mesh"):
        await instances.bring_up(listed.model_copy(update={"mesh": ()}))
    await placement.close(0)


async def test_a_reload_that_lists_a_network_serves_the_engine_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fetch(pool: Pool, endpoint: Endpoint, path: str, timeout_s: float = 2.0) -> Fetched:
        if boundary_of(endpoint.address, pool.mesh) > endpoint.boundary:  # as a dial refuses it
            return Fetched(0)
        return await Pretending().fetch(endpoint, path)

    monkeypatch.setattr(Pool, "fetch", fetch)
    file, settings = tmp_path / "ringfence.yaml", {"state_dir": str(tmp_path)}
    file.write_text("models: {}\n")
    config = load(file, overrides=settings)
    runtime = Runtime(config, Origin(file, settings))
    for mesh, is_served in (("", False), ("mesh: [10.0.0.0/8]\n", True)):
        file.write_text(f"{mesh}models:\n  coder: {{url: 'http://10.0.0.7:8000'}}\n")
        outcome = await runtime.reload()
        assert outcome.ok is is_served, outcome.problems
        assert runtime.pool.mesh == runtime.config.mesh_networks
    assert "coder" in runtime.pipeline.settings.catalog.models
    await runtime.placement.close(0)


async def test_what_lies_too_far_is_not_even_looked_at() -> None:
    assert await Pool().fetch(Endpoint("10.0.0.7", 8000, Boundary.HOST), "/v1/models") == Fetched(0)
