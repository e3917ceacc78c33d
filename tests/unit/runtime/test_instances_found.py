"""Engines found on this machine: taken in, kept for a while when they are away, then forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from ringfence.config.load import load
from ringfence.config.problems import ConfigInvalid
from ringfence.config.schema import Config
from ringfence.egress.pool import Pool
from ringfence.placement.instance import Placement
from ringfence.placement.lifecycle import State
from ringfence.runtime import instances as module
from ringfence.runtime.desired import Desired
from ringfence.runtime.instances import Instances
from ringfence.testing.fake_dialects import KINDS, FakeModel
from ringfence.testing.fake_engine import FakeEngine


@pytest.fixture
async def instances(tmp_path: Path, desired_of: Callable[..., Desired]) -> AsyncIterator[Instances]:
    placement, pool = Placement(), Pool(1.0, ())
    yield Instances(placement, desired_of(placement, Config()), pool, lambda _event: None, tmp_path, lambda: None)
    await placement.close(0)
    pool.close()


def _config(**ports: int) -> Config:
    overrides = {f"discovery.ports.{kind}": f"[{ports[kind]}]" if kind in ports else "[]" for kind in KINDS}
    return load(None, {}, overrides)


async def _until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(25):
        while not look():
            await asyncio.sleep(0.02)


async def test_one_that_has_gone_is_forgotten_after_a_while(
    instances: Instances, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FakeEngine("vllm", (FakeModel("late"),)) as engine:
        config = _config(vllm=engine.port)
        await instances.look_around(config)
        assert "late" in {model.name for model in instances.models(config)}
        [name] = [status.name for status in instances.placement.status()]
    instances._found[name].suspect()
    await _until(lambda: instances._found[name].state is State.FAILED)
    await instances.look_around(config)
    assert "late" in {model.name for model in instances.models(config)}  # it may come back
    monkeypatch.setattr(module, "GONE_AFTER_S", 0.0)
    await instances.look_around(config)
    assert "late" not in {model.name for model in instances.models(config)}
    assert instances.placement.status() == []


async def test_another_that_has_the_same_model_takes_over_its_name(instances: Instances) -> None:
    async with FakeEngine("vllm", (FakeModel("same"),)) as other:
        async with FakeEngine("llamacpp", (FakeModel("same"),)) as first:
            await instances.look_around(_config(llamacpp=first.port))
            await instances.look_around(_config(llamacpp=first.port, vllm=other.port))
            config = _config(llamacpp=first.port, vllm=other.port)
            owners = {model.name: model.owner for model in instances.models(config)}
            assert owners == {"same": "llamacpp", "vllm/same": "vllm"}
            gone = f"llamacpp-{first.port}"
        instances._found[gone].suspect()
        await _until(lambda: instances._found[gone].state is State.FAILED)
        owners = {model.name: model.owner for model in instances.models(config)}
        assert owners == {"same": "vllm", "llamacpp/same": "llamacpp"}


async def test_a_model_may_have_any_name_beside_the_way_out(instances: Instances) -> None:
    async with FakeEngine("vllm", (FakeModel("egress"),)) as engine:
        provider = "{url: 'https://a.example', api_key: 'env:K', calls_per_day: 1, max_tokens: 1}"
        laid_over = {
            "discovery.adopt": "false", "providers.rented": provider, "models.far": "{provider: rented}",
            "models.egress": f"{{url: 'http://127.0.0.1:{engine.port}', engine: vllm}}",
            "profiles.p": "{boundary: cloud}",
        }  # fmt: skip
        config = load(None, {}, laid_over)
        await instances.bring_up(config)
        found = {model.name: model.targets for model in instances.models(config)}
        assert len(found["egress"]) == 1
        assert instances.placement.take(found["egress"][0]) is not None
        assert instances.placement.is_bound(found["far"][0], [module.WAY_OUT])
        with pytest.raises(ConfigInvalid):
            load(None, {}, {f'models."{module.WAY_OUT}"': "{source: demo}"})
