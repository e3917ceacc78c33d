"""Leases, draining and the status of instances: ours and adopted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Endpoint, Target
from ringfence.core.errors import TargetFailed
from ringfence.core.ports import Fetch, Fetched, Offer
from ringfence.egress.pool import Pool
from ringfence.engines import vllm
from ringfence.placement.adopted import Adopted
from ringfence.placement.events import (
    InstanceDrained,
    InstanceFailed,
    InstanceQuarantined,
    InstanceReady,
    OffersChanged,
)
from ringfence.placement.instance import Outlook, Placement, usage_of
from ringfence.placement.launch import Launch
from ringfence.placement.lifecycle import State
from ringfence.placement.supervisor import Supervisor
from ringfence.testing.fake_dialects import Dialect, FakeModel
from ringfence.testing.fake_engine import Behaviour, FakeEngine, Fault

FetchAt = Callable[[Endpoint], Fetch]
READY = (Offer("fake-model", 4096, family="/models"),)
TARGET = Target("tiny/tiny", "tiny", "llamacpp", "tiny", Boundary.HOST)


async def until(claim: Callable[[], object], timeout_s: float = 25.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not claim():
            await asyncio.sleep(0.005)


def adopt(engine: FakeEngine, fetch_at: FetchAt, events: list[object], offers: tuple[Offer, ...] = READY) -> Adopted:
    at = engine.endpoint
    return Adopted("theirs", vllm.ADAPTER, at, fetch_at, events.append, offers=offers, probe_every_s=0.05)


@pytest.mark.timed
async def test_a_lease_waits_for_loading_and_then_costs_next_to_nothing(
    supervise: Callable[..., Supervisor], launch: Launch
) -> None:
    placement = Placement()
    assert placement.take(TARGET) is None
    placement.add(supervise(launch), [TARGET.name])
    assert placement.take(TARGET) is None, "it still loads"
    lease = await placement.lease(TARGET, 20)
    assert lease.endpoint.boundary is Boundary.HOST
    status = placement.status()[0]
    assert (status.state, status.in_use, status.window, status.slots, status.is_ours) == ("ready", 1, 256, 2, True)
    assert status.rss_bytes is not None
    assert status.rss_bytes > 1_000_000
    other = placement.take(TARGET)
    assert other is not None
    assert placement.status()[0].in_use == 2
    for held in (lease, lease, other):
        held.release()
    assert placement.status()[0].in_use == 0
    best = min([await _leases_us(placement) for _ in range(5)])
    assert best < 4.0, "no real wait may hide in the fast path"
    await placement.close(1)
    assert placement.status() == []


async def _leases_us(placement: Placement) -> float:
    began = time.perf_counter()
    for _ in range(2000):
        (await placement.lease(TARGET, 1)).release()
    return (time.perf_counter() - began) / 2000 * 1e6


async def test_draining_waits_for_who_is_there_and_lets_nobody_in(
    supervise: Callable[..., Supervisor], launch: Launch, events: list[object]
) -> None:
    placement = Placement()
    keeper = supervise(launch)
    instance = placement.add(keeper, [TARGET.name])
    lease = await placement.lease(TARGET, 20)
    draining = asyncio.create_task(instance.drain(5))
    await until(lambda: keeper.state is State.DRAINING)
    with pytest.raises(TargetFailed):
        await placement.lease(TARGET, 0.1)
    assert keeper.pid is not None, "the process goes on with the request it has"
    assert not draining.done()
    lease.release()
    assert await draining == 0
    assert InstanceDrained("tiny", 0) in events
    await placement.close(0)


async def test_draining_gives_up_after_its_time(fetch_at: FetchAt, events: list[object]) -> None:
    async with FakeEngine("vllm") as engine:
        placement = Placement()
        instance = placement.add(adopt(engine, fetch_at, events), ["t"])
        await placement.lease(Target("t", "m", "vllm", "m", Boundary.HOST), 1)
        assert await instance.drain(0.02) == 1
        await placement.close(0)


async def test_what_an_engine_sends_away_by_now_is_not_leased(fetch_at: FetchAt, events: list[object]) -> None:
    """Before anybody has told callers: they may have chosen it as one that stays."""
    async with FakeEngine("vllm") as engine:
        placement = Placement()
        keeper = adopt(engine, fetch_at, events)
        placement.add(keeper, ["t"])
        chosen = Target("t", "m", "vllm", READY[0].engine_model, Boundary.HOST)
        (await placement.lease(chosen, 1)).release()
        keeper._offer(tuple(replace(offer, reaches_cloud=True) for offer in keeper.offers))
        assert placement.take(chosen) is None
        with pytest.raises(TargetFailed):
            await placement.lease(chosen, 1)
        await placement.close(0)


async def test_a_target_without_an_instance_is_refused() -> None:
    with pytest.raises(TargetFailed):
        await Placement().lease(TARGET, 1)


async def test_targets_move_with_their_binding(fetch_at: FetchAt, events: list[object]) -> None:
    async with FakeEngine("vllm") as engine:
        placement = Placement()
        placement.add(adopt(engine, fetch_at, events), ["old"])
        with pytest.raises(ValueError, match="already"):
            placement.add(adopt(engine, fetch_at, events))
        placement.bind("theirs", ["new"])
        assert (await placement.lease(Target("new", "m", "vllm", "m", Boundary.HOST), 1)).endpoint == engine.endpoint
        with pytest.raises(TargetFailed):
            await placement.lease(Target("old", "m", "vllm", "m", Boundary.HOST), 1)
        await placement.close(0)


async def test_one_that_is_leaving_claims_nothing_any_more(fetch_at: FetchAt, events: list[object]) -> None:
    """Names are bound anew whenever something is found out, also while an instance is being drained."""
    async with FakeEngine("vllm") as engine:
        placement = Placement()
        instance = placement.add(adopt(engine, fetch_at, events), ["t"])
        target = Target("t", "m", "vllm", "m", Boundary.HOST)
        lease = await placement.lease(target, 1)
        leaving = asyncio.create_task(placement.remove("theirs", 5))
        await until(lambda: instance.is_leaving)
        placement.bind("theirs", ["t"])
        assert placement.take(target) is None
        lease.release()
        await leaving
        assert placement.targets_of("theirs") == ()
        placement.add(Adopted("other", vllm.ADAPTER, engine.endpoint, fetch_at, events.append, offers=READY), ["new"])
        assert (await placement.lease(Target("new", "m", "vllm", "m", Boundary.HOST), 1)).endpoint == engine.endpoint
        await placement.close(0)
        assert placement.status() == []


class TestAdopted:
    async def test_one_that_goes_away_and_comes_back(self, fetch_at: FetchAt, events: list[object]) -> None:
        engine = FakeEngine("vllm")
        await engine.start()
        port = engine.port
        keeper = adopt(engine, fetch_at, events)
        keeper.start()
        assert keeper.endpoint == engine.endpoint
        await engine.stop()
        keeper.suspect()
        await until(lambda: keeper.state is State.FAILED)
        assert isinstance(events[-1], InstanceFailed)
        with pytest.raises(TargetFailed) as caught:
            await keeper.wait_ready(1)
        assert caught.value.reason == "connect"
        await engine.start(port)
        assert (await keeper.wait_ready(1)).port == port
        assert isinstance(events[-1], InstanceReady)
        await keeper.stop()
        await engine.stop()

    async def test_one_that_hangs_is_away(self, fetch_at: FetchAt, events: list[object]) -> None:
        async with FakeEngine("vllm") as engine:
            keeper = adopt(engine, fetch_at, events)
            engine.always = Behaviour(Fault.HANG)
            keeper.start()
            await until(lambda: keeper.state is State.FAILED)
            await keeper.stop()

    async def test_other_models_are_told(self, fetch_at: FetchAt, events: list[object]) -> None:
        async with FakeEngine("vllm") as engine:
            keeper = adopt(engine, fetch_at, events, offers=())
            keeper.start()
            await keeper.wait_ready(2)
            assert [offer.window for offer in keeper.offers] == [4096]
            engine.dialect = Dialect("vllm", (FakeModel("other", 100),), 4, ("x",))
            keeper._examined = None  # the minute is over
            await until(lambda: keeper.offers[0].engine_model == "other")
            assert events[-1] == OffersChanged("theirs", ("other",))
            await keeper.stop()

    async def test_one_that_is_being_drained_is_not_looked_at_again(self, events: list[object]) -> None:
        asked: list[str] = []
        goes_on = asyncio.Event()

        def fetch_at(_at: Endpoint) -> Fetch:
            async def fetch(path: str) -> Fetched | None:
                asked.append(path)
                await goes_on.wait()
                return Fetched(200, {"data": [{"id": "m", "owned_by": "vllm", "max_model_len": 100}]})

            return fetch

        keeper = Adopted("theirs", vllm.ADAPTER, Endpoint("127.0.0.1", 9, Boundary.HOST), fetch_at, events.append)
        keeper.start()
        waits = asyncio.create_task(keeper.wait_ready(60))
        await until(lambda: asked)
        before = list(asked)
        keeper.drain()
        goes_on.set()
        with pytest.raises(TargetFailed):
            await asyncio.wait_for(waits, 5)
        await asyncio.sleep(0.2)
        assert asked == before
        await keeper.stop()


def test_the_use_of_a_process_that_is_gone_is_unknown() -> None:
    assert usage_of(2**22 + 1) == (None, None)


async def test_a_target_that_two_instances_claim_is_served_by_neither(fetch_at: FetchAt, events: list[object]) -> None:
    async with FakeEngine("vllm") as engine:
        placement, one = Placement(), adopt(engine, fetch_at, events)
        other = Adopted("other", vllm.ADAPTER, engine.endpoint, fetch_at, events.append, offers=READY)
        placement.add(one, ["shared", "one"])
        placement.add(other, ["shared", "other"])
        shared = Target("shared", "m", "vllm", "m", Boundary.HOST)
        assert placement.take(shared) is None
        assert not placement.is_bound(shared, ["theirs", "other"])
        with pytest.raises(TargetFailed):
            await placement.lease(shared, 0.1)
        for name in ("one", "other"):
            lease = placement.take(Target(name, "m", "vllm", "m", Boundary.HOST))
            assert lease is not None
            lease.release()
        placement.bind("other", ["other"])
        assert placement.is_bound(shared, ["theirs"]), "only one claims it now"
        await placement.close(0)


async def test_one_that_comes_back_is_examined_before_it_serves(fetch_at: FetchAt, events: list[object]) -> None:
    async with FakeEngine("vllm") as engine:
        keeper = adopt(engine, fetch_at, events, offers=())
        keeper.start()
        await keeper.wait_ready(2)
        engine.dialect = Dialect("vllm", (FakeModel("other", 100),), 4, ("x",))  # another engine, within the minute
        keeper.suspect()
        assert keeper.endpoint is None, "it does not serve until it was looked at"
        await keeper.wait_ready(25)
        assert [offer.engine_model for offer in keeper.offers] == ["other"]
        assert not any(isinstance(event, InstanceFailed) for event in events)
        await keeper.stop()


class TestDoubted:
    async def test_it_serves_nobody_until_it_has_made_a_token(self, fetch_at: FetchAt, events: list[object]) -> None:
        async with FakeEngine("vllm") as engine:
            pool = Pool()
            keeper = Adopted(
                "theirs", vllm.ADAPTER, engine.endpoint, fetch_at, events.append, offers=READY, probe_every_s=0.05,
                ask=lambda path, body: pool.fetch(engine.endpoint, path, about=body),
            )  # fmt: skip
            placement = Placement()
            placement.add(keeper, ["t"])
            engine.always = Behaviour(Fault.BAD_JSON)
            placement.doubt(Target("t", "m", "vllm", "m", Boundary.HOST))
            assert keeper.endpoint is None
            await until(lambda: keeper.state is State.FAILED)
            assert keeper.reason == "what it answers is no answer"
            assert [type(event) for event in events] == [InstanceQuarantined, InstanceFailed]
            await asyncio.sleep(0.15)
            assert keeper.endpoint is None
            engine.always = Behaviour()
            await keeper.wait_ready(2)
            assert isinstance(events[-1], InstanceReady)
            await placement.close(0)

    async def test_one_of_several_models_does_not_take_the_others_along(
        self, fetch_at: FetchAt, events: list[object]
    ) -> None:
        async with FakeEngine("vllm", (FakeModel("one"), FakeModel("two"))) as engine:
            keeper = adopt(engine, fetch_at, events, offers=(Offer("one"), Offer("two")))
            keeper.start()
            keeper.doubt()
            assert keeper.endpoint is not None
            await keeper.stop()


class Placeable:
    """A planned instance that nobody loads: only its outlook is told."""

    def __init__(self, fetch_at: FetchAt) -> None:
        self.now_s = 50.0
        self.placement = Placement(lambda: self.now_s)
        launch = Launch("llamacpp", "tiny", ("engine",), {})
        self.keeper = Supervisor("tiny", launch, vllm.ADAPTER, fetch_at, lambda _event: None)
        self.instance = self.placement.add(self.keeper, [TARGET.name], is_planned=True)


class TestPlanned:
    async def test_it_is_not_started_when_it_is_added(self, fetch_at: FetchAt) -> None:
        one = Placeable(fetch_at)
        assert one.keeper.state is State.STOPPED
        assert one.placement.planned() == [one.instance]
        assert not one.placement.is_here(TARGET)

    async def test_who_waits_is_a_demand_until_he_gives_up_and_a_miss_afterwards(self, fetch_at: FetchAt) -> None:
        one = Placeable(fetch_at)
        waiter = asyncio.create_task(one.placement.lease(TARGET, 0.05, urgency=1))
        await asyncio.sleep(0)
        assert [(d.model, d.waiting, d.urgency) for d in one.placement.demands.all()] == [("tiny", 1, 1)]
        with pytest.raises(TargetFailed) as caught:
            await waiter
        assert (caught.value.target, caught.value.reason) == (TARGET.name, "loading")
        assert one.placement.demands.waiting("tiny") == 0
        assert [d.model for d in one.placement.demands.all()] == ["tiny"], "it is wanted for a while all the same"

    async def test_one_that_is_cancelled_waits_no_more(self, fetch_at: FetchAt) -> None:
        one = Placeable(fetch_at)
        waiter = asyncio.create_task(one.placement.lease(TARGET, 5))
        await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        assert one.placement.demands.all() == ()

    async def test_who_waits_hears_at_once_that_it_will_not_come(self, fetch_at: FetchAt) -> None:
        one = Placeable(fetch_at)
        waiter = asyncio.create_task(one.placement.lease(TARGET, 50))
        await asyncio.sleep(0)
        assert not one.placement.is_refused("tiny")
        one.instance.expect(Outlook("it needs 30 GiB and gpu0 has 24 GiB", None))
        with pytest.raises(TargetFailed) as caught:
            await asyncio.wait_for(waiter, 25)
        assert str(caught.value.failure) == ("The model cannot be loaded now: it needs 30 GiB and gpu0 has 24 GiB.")
        assert one.placement.is_refused("tiny")
        assert one.placement.estimate_s(TARGET) is None

    async def test_an_outlook_says_when_to_come_again(self, fetch_at: FetchAt) -> None:
        one = Placeable(fetch_at)
        assert one.placement.estimate_s(TARGET) is None
        one.instance.expect(Outlook("it waits for its turn", 90.0))
        assert one.placement.estimate_s(TARGET) == 40.0
        with pytest.raises(TargetFailed) as caught:
            await one.placement.lease(TARGET, 0.01)
        assert "about 40 s" in str(caught.value.failure) and caught.value.failure.retry_after_s == 40.0
        one.now_s = 200.0
        assert one.placement.estimate_s(TARGET) == 0.0

    async def test_one_that_failed_is_not_waited_for(self, fetch_at: FetchAt) -> None:
        one = Placeable(fetch_at)
        one.instance.failed = "no such file"
        with pytest.raises(TargetFailed) as caught:
            await asyncio.wait_for(one.placement.lease(TARGET, 50), 25)
        assert "does not start" in str(caught.value.failure)
        status = one.placement.status()[0]
        assert (status.state, status.reason) == ("failed", "no such file")

    async def test_a_miss_counts_only_where_the_model_is_planned_and_not_here(self, fetch_at: FetchAt) -> None:
        one = Placeable(fetch_at)
        one.placement.missed(Target("unknown", "m", "vllm", "m", Boundary.HOST))
        assert one.placement.demands.all() == ()
        one.placement.missed(TARGET)
        assert [d.model for d in one.placement.demands.all()] == ["tiny"]
        async with FakeEngine("vllm") as engine:
            one.placement.add(adopt(engine, fetch_at, []), ["t"])
            adopted = Target("t", "m", "vllm", "m", Boundary.HOST)
            assert one.placement.is_here(adopted)
            one.placement.missed(adopted)
            assert [d.model for d in one.placement.demands.all()] == ["tiny"]
            await one.placement.close(0)
