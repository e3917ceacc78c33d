"""A network that is no longer listed under mesh takes the engines in it along."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringfence.config.schema import Config, ModelSettings
from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Endpoint
from ringfence.core.ports import Fetched
from ringfence.egress.pool import Pool
from ringfence.placement.instance import Placement
from ringfence.runtime.instances import Instances, NotServable

CODER = {"coder": ModelSettings(url="http://10.0.0.7:8000", engine="vllm")}


class Pretending(Pool):
    """Reaches nobody, and answers as a vLLM would."""

    async def fetch(self, endpoint: Endpoint, path: str, timeout_s: float = 2.0) -> Fetched:
        listed = {"object": "list", "data": [{"id": "coder", "owned_by": "vllm", "max_model_len": 4096}]}
        return Fetched(200, {"version": "0.11.0"} if path == "/version" else listed)


async def test_a_reload_that_takes_the_network_away_is_refused(tmp_path: Path) -> None:
    placement = Placement()
    instances = Instances(placement, Pretending(), lambda _event: None, tmp_path, lambda: None)
    listed = Config(mesh=("10.0.0.0/8",), models=CODER)
    await instances.bring_up(listed)
    assert await placement.is_ready("coder", 2)
    [model] = instances.models(listed)
    assert [target.boundary for target in model.targets] == [Boundary.MESH]
    await instances.bring_up(Config(mesh=("10.0.0.0/24",), models=CODER))  # narrower, and it still lies within
    with pytest.raises(NotServable, match="neither this machine nor in a network listed under mesh"):
        await instances.bring_up(Config(models=CODER))
    await placement.close(0)
