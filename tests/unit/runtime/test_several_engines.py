"""A model with several engines: each is an instance of its own, and they are targets of one model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from ringfence.config.load import load
from ringfence.config.schema import Config
from ringfence.core.catalog import Model, Timeouts
from ringfence.egress.pool import Pool
from ringfence.placement.instance import Placement
from ringfence.runtime.configured import wanted
from ringfence.runtime.desired import Desired
from ringfence.runtime.instances import Instances
from ringfence.testing.fake_dialects import FakeModel
from ringfence.testing.fake_engine import FakeEngine


@pytest.fixture
async def instances(tmp_path: Path, desired_of: Callable[..., Desired]) -> AsyncIterator[Instances]:
    placement, pool = Placement(), Pool(1.0, ())
    yield Instances(placement, desired_of(placement, Config()), pool, lambda _event: None, tmp_path, lambda: None)
    await placement.close(0)
    pool.close()


def config_of(*ports: int, more: str = "") -> Config:
    urls = ", ".join(f"'http://127.0.0.1:{port}'" for port in ports)
    return load(None, {}, {"models": f"{{big: {{urls: [{urls}], engine: vllm, aliases: [auto]{more}}}}}"})


def big(instances: Instances, config: Config) -> Model:
    [model] = instances.models(config)
    return model


async def test_each_is_a_target_and_what_comes_and_goes_leaves_the_others(instances: Instances) -> None:
    async with FakeEngine("vllm", (FakeModel("big"),)) as one, FakeEngine("vllm", (FakeModel("big"),)) as two:
        config = config_of(one.port, two.port)
        await instances.bring_up(config)
        model = big(instances, config)
        names = [f"vllm/big@127.0.0.1:{engine.port}" for engine in (one, two)]
        assert [target.name for target in model.targets] == names
        assert (model.aliases, {target.model for target in model.targets}) == (("auto",), {"big"})
        leases = [instances.placement.take(target) for target in model.targets]
        assert [lease.endpoint.port for lease in leases if lease] == [one.port, two.port]
        for lease in leases:
            assert lease is not None
            lease.release()
        kept = instances.placement.get(f"big@127.0.0.1:{two.port}")
        config = config_of(two.port)
        await instances.bring_up(config)
        assert [target.name for target in big(instances, config).targets] == names[1:]
        assert instances.placement.get(f"big@127.0.0.1:{two.port}") is kept, "it was not begun anew"
        async with asyncio.timeout(25):
            while instances.placement.has(f"big@127.0.0.1:{one.port}"):
                await asyncio.sleep(0.01)


async def test_one_that_is_away_is_none_of_its_targets_until_it_comes(instances: Instances) -> None:
    async with FakeEngine("vllm", (FakeModel("big"),)) as one:
        config = config_of(one.port, 9)
        await instances.bring_up(config)
        assert [target.name for target in big(instances, config).targets] == [f"vllm/big@127.0.0.1:{one.port}"]


async def test_time_outs_of_a_model_are_its_own_where_it_says_so(instances: Instances) -> None:
    async with FakeEngine("vllm", (FakeModel("big"),)) as one:
        config = config_of(one.port, more=", timeouts: {first_byte_s: 7}")
        await instances.bring_up(config)
        assert big(instances, config).targets[0].timeouts == Timeouts(7, 60, 600)
        before = instances.placement.get(f"big@127.0.0.1:{one.port}")
        config = config_of(one.port, more=", timeouts: {answer_s: 9}")
        await instances.bring_up(config)
        assert big(instances, config).targets[0].timeouts == Timeouts(120, 60, 9)
        assert instances.placement.get(f"big@127.0.0.1:{one.port}") is before
        config = config_of(one.port)
        await instances.bring_up(config)
        assert big(instances, config).targets[0].timeouts is None


def test_the_engines_that_a_configuration_asks_for() -> None:
    found = wanted(
        load(None, {}, {"models": "{a: {source: demo}, b: {urls: ['http://127.0.0.1:1/x', 'http://[::1]:2']}}"})
    )
    assert {name: (one.model, one.settings.url) for name, one in found.items()} == {
        "a": ("a", None),
        "b@127.0.0.1:1/x": ("b", "http://127.0.0.1:1/x"),
        "b@[::1]:2": ("b", "http://[::1]:2"),
    }
