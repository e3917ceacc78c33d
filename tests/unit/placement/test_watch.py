"""Engines that hang, answer wrongly or are only slow, watched on a clock of its own: seen when, ended when, or not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual import LAUNCH, Engine, VirtualLoop, run, supervised, until

from ringfence.core.catalog import Ability
from ringfence.core.ports import Fetched, Offer
from ringfence.engines.llamacpp import ADAPTER
from ringfence.placement.events import InstanceFailed, InstanceQuarantined
from ringfence.placement.lifecycle import State
from ringfence.placement.supervisor import Supervisor
from ringfence.placement.watch import SILENT, one_token

GARBAGE = Fetched(200, "<html>")


def now() -> float:
    return asyncio.get_running_loop().time()


async def ready(engine: Engine, events: list[Any]) -> Supervisor:
    keeper = supervised(engine, events, ask_at=engine.ask_at)
    keeper.start()
    await keeper.wait_ready(5)
    return keeper


@settings(deadline=None, max_examples=50)
@given(after_s=st.floats(0, 10), works=st.sampled_from([0.0, 0.5, 2.0]), is_told=st.booleans())
def test_a_hang_is_seen_in_time_whenever_it_comes(after_s: float, works: float, is_told: bool) -> None:
    async def scene() -> None:
        engine, events = Engine(works=works), list[Any]()
        keeper = await ready(engine, events)
        await asyncio.sleep(after_s)
        engine.hangs = True
        if is_told:
            keeper.suspect()
        assert await until(lambda: keeper.endpoint is None) < (1.1 if is_told else 3.1)
        began = now()
        await until(lambda: len(engine.lives) == 2)
        assert now() - began < (24 if works else 8)
        await keeper.wait_ready(5)
        assert sum(isinstance(event, InstanceFailed) for event in events) == 1
        await keeper.stop()

    run(scene)


def test_one_that_is_only_busy_is_waited_for_and_serves_on() -> None:
    async def scene() -> None:
        engine, events = Engine(works=0.2), list[Any]()
        keeper = await ready(engine, events)
        for _ in range(5):
            engine.hangs = True
            await until(lambda: keeper.endpoint is None)
            assert "does not answer" in keeper.reason
            await asyncio.sleep(15)
            engine.hangs = False
            assert (await keeper.wait_ready(3)).port == 1001
            assert keeper.reason == ""
        assert len(engine.lives) == 1
        assert not any(isinstance(event, InstanceFailed) for event in events)
        await keeper.stop()

    run(scene)


def test_many_suspicions_at_once_do_not_end_an_engine_sooner() -> None:
    async def scene() -> None:
        engine, events = Engine(status=503), list[Any]()
        keeper = await ready(engine, events)
        began = now()
        while len(engine.lives) == 1:
            keeper.suspect()
            await asyncio.sleep(0.01)
        assert now() - began > 4.5
        await keeper.stop()

    run(scene)


@pytest.mark.parametrize(
    ("status", "health", "said"),
    [
        (500, None, "500"),
        (0, None, "break"),
        (200, "<html>", "not what it was"),
        (200, {"status": "no"}, "what it was"),
    ],
)
def test_a_health_page_that_is_wrong(status: int, health: Any, said: str) -> None:
    async def scene() -> None:
        engine, events = Engine(works=2.0), list[Any]()
        keeper = await ready(engine, events)
        await asyncio.sleep(10)
        engine.status, engine.health = status, health
        assert await until(lambda: keeper.endpoint is None) < 2.1
        assert said in keeper.reason
        began = now()
        await until(lambda: keeper.state is State.BACKING_OFF)
        assert now() - began < 7
        engine.status, engine.health = 200, {"status": "ok"}
        await keeper.wait_ready(5)
        await keeper.stop()

    run(scene)


def test_figures_in_a_health_page_are_its_own_affair() -> None:
    async def scene() -> None:
        engine, events = Engine(health={"status": "ok", "uptime": 1}), list[Any]()
        keeper = await ready(engine, events)
        await asyncio.sleep(10)
        engine.health = {"status": "ok", "uptime": 2}
        await asyncio.sleep(60)
        assert len(events) == 2
        await keeper.stop()

    run(scene)


class TestDoubts:
    def test_one_whose_tokens_are_wrong_is_started_anew(self) -> None:
        async def scene() -> None:
            engine, events = Engine(works=1.0), list[Any]()
            keeper = await ready(engine, events)
            engine.answer = GARBAGE
            await asyncio.sleep(100)
            assert len(engine.lives) == 1, "nobody asks for tokens without a reason"
            keeper.doubt()
            assert await until(lambda: keeper.endpoint is None) < 0.1
            assert await until(lambda: len(engine.lives) == 2) < 3
            engine.answer = Fetched(200, {"choices": [{}]})
            await keeper.wait_ready(5)
            assert [type(event) for event in events].count(InstanceQuarantined) == 1
            await keeper.stop()

        run(scene)

    def test_one_that_works_goes_on(self) -> None:
        async def scene() -> None:
            engine, events = Engine(), list[Any]()
            keeper = await ready(engine, events)
            for _ in range(10):
                keeper.doubt()
                await asyncio.sleep(1)
                assert keeper.endpoint is not None
            assert engine.asked.count("/v1/completions") == 10
            assert len(events) == 2
            await keeper.stop()

        run(scene)

    @pytest.mark.parametrize("works", [0.0, 1.0])
    def test_one_that_makes_no_token_while_its_health_is_fine(self, works: float) -> None:
        async def never(_path: str, _body: Any) -> Fetched:
            await asyncio.sleep(3600)
            return GARBAGE

        async def scene() -> None:
            engine, events = Engine(works=works), list[Any]()
            keeper = supervised(engine, events, ask_at=lambda _at: never)
            keeper.start()
            await keeper.wait_ready(5)
            keeper.doubt()
            await asyncio.sleep(25)
            assert len(engine.lives) == (1 if works else 2), "with every place taken it may be busy for long"
            await keeper.stop()

        run(scene)

    def test_what_is_quarantined_is_let_in_again_by_a_token(self) -> None:
        async def scene() -> None:
            engine, events = Engine(), list[Any]()
            keeper = await ready(engine, events)
            keeper.quarantine("its answers looked odd")
            assert (keeper.endpoint, keeper.reason) == (None, "its answers looked odd")
            await keeper.wait_ready(1)
            assert engine.asked[-1] == "/v1/completions"
            await keeper.stop()

        run(scene)


@pytest.mark.parametrize(
    ("told", "is_well"),
    [
        (Fetched(200, {"choices": [{}]}), True),
        (Fetched(400, {"error": {}}), True),
        (Fetched(503, {"error": {}}), True),
        (Fetched(200, {"choices": []}), False),
        (Fetched(200, None), False),
        (Fetched(404, "<html>"), False),
        (Fetched(500, {"error": {}}), False),
        (Fetched(0), False),
    ],
)
async def test_what_counts_as_a_token(told: Fetched, is_well: bool) -> None:
    async def ask(_path: str, _body: Any) -> Fetched:
        return told

    assert (await one_token(ask, Offer("m"), 1) is None) is is_well


@pytest.mark.parametrize(
    ("abilities", "path"),
    [({Ability.EMBEDDINGS}, "/v1/embeddings"), ({Ability.CHAT}, "/v1/chat/completions")],
)
async def test_it_is_asked_for_what_it_can_do(abilities: set[Ability], path: str) -> None:
    asked: list[tuple[str, Any]] = []

    async def ask(path: str, body: Any) -> Fetched:
        asked.append((path, body["model"]))
        raise OSError

    assert await one_token(ask, Offer("m", abilities=frozenset(abilities)), 1) is SILENT
    assert asked == [(path, "m")]


@pytest.mark.parametrize(("late", "is_held"), [(4, False), (30, True)])
def test_a_look_that_came_too_late_by_our_own_fault_says_nothing(late: int, is_held: bool) -> None:
    """The loop stands still for 3 s during each of these looks, so that no answer could have been read in time."""

    async def scene() -> None:
        engine, left = Engine(), [late]
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)

        def fetch_at(at: Any) -> Any:
            told = engine.fetch_at(at)

            async def fetch(path: str, **_: Any) -> Fetched:
                if path == "/health" and left[0]:
                    left[0] -= 1
                    loop.skipping.now_s += 3
                    await asyncio.sleep(3600)
                return await told(path)

            return fetch

        events = list[Any]()
        keeper = Supervisor(
            "tiny", LAUNCH, ADAPTER, fetch_at, events.append, clock=loop.time, start_process=engine.start
        )
        keeper.start()
        await keeper.wait_ready(5)
        await asyncio.sleep(60)
        assert any(isinstance(event, InstanceQuarantined) for event in events) is is_held
        await keeper.stop()

    run(scene)
