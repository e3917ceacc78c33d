"""Windows as they hold: read anew when an engine was started with others, and put right by what it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from llama_server import llama_server

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Endpoint, Target
from ringfence.core.ports import Engine, Fetch, Offer
from ringfence.engines import llamacpp, lmstudio, ollama, vllm
from ringfence.placement.adopted import Adopted
from ringfence.placement.events import OffersChanged
from ringfence.placement.instance import Placement
from ringfence.placement.windows import Windows
from ringfence.testing.fake_dialects import Dialect, FakeModel
from ringfence.testing.fake_engine import FakeEngine
from ringfence.testing.ports import free_port

FetchAt = Callable[[Endpoint], Fetch]


def adopted(adapter: Engine, at: Endpoint, fetch_at: FetchAt, events: list[object]) -> Adopted:
    """Looked at closely once in an hour: what changes in between must show in its sign of life."""
    return Adopted("theirs", adapter, at, fetch_at, events.append, probe_every_s=0.05, examine_every_s=3600)


async def until(claim: Callable[[], object], timeout_s: float = 25.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not claim():
            await asyncio.sleep(0.005)


async def test_a_llama_cpp_that_was_restarted_with_other_slots(
    tiny_model: Path, fetch_at: FetchAt, events: list[object]
) -> None:
    pytest.importorskip("xllamacpp")
    port = free_port()
    keeper = adopted(llamacpp.ADAPTER, Endpoint("127.0.0.1", port, Boundary.HOST), fetch_at, events)
    try:
        with llama_server(tiny_model, port, 2048, 2):
            keeper.start()
            await until(lambda: keeper.offers)
            assert [(offer.window, offer.slots) for offer in keeper.offers] == [(1024, 2)]
        with llama_server(tiny_model, port, 2048, 4):
            await until(lambda: keeper.offers[0].window == 512)
            assert keeper.offers[0].slots == 4
        with llama_server(tiny_model, port, 1024, 1):
            await until(lambda: keeper.offers[0].window == 1024)
            assert keeper.offers[0].slots == 1
    finally:
        await keeper.stop()


@pytest.mark.parametrize("adapter", [vllm.ADAPTER, ollama.ADAPTER, lmstudio.ADAPTER, llamacpp.ADAPTER])
async def test_a_restart_too_quick_to_be_missed(adapter: Engine, fetch_at: FetchAt, events: list[object]) -> None:
    """Nothing broke, and no look at it is due: its sign of life is another."""
    async with FakeEngine(adapter.kind, (FakeModel(window=4096),)) as engine:
        keeper = adopted(adapter, engine.endpoint, fetch_at, events)
        keeper.start()
        await until(lambda: keeper.offers)
        await until(lambda: keeper._mark is not None)
        assert keeper.offers[0].window == 4096
        looks = len(engine.requests)
        engine.dialect = Dialect(adapter.kind, (FakeModel(window=700),), 4, ("x",))
        await until(lambda: keeper.offers[0].window == 700)
        assert isinstance(events[-1], OffersChanged)
        await until(lambda: len(engine.requests) > looks + 40)
        signs = [request for request in engine.requests[looks:] if request.path == adapter.alive_path]
        assert len(signs) >= 20, "a closer look or two, and not one each time"
        await keeper.stop()


async def test_a_model_that_is_not_loaded_keeps_the_window_it_had(fetch_at: FetchAt, events: list[object]) -> None:
    async with FakeEngine("ollama", (FakeModel(window=4096),)) as engine:
        keeper = adopted(ollama.ADAPTER, engine.endpoint, fetch_at, events)
        keeper.start()
        await until(lambda: keeper.offers)
        engine.dialect = Dialect("ollama", (FakeModel(is_loaded=False),), 4, ("x",))
        await until(lambda: not keeper.offers[0].is_loaded)
        assert keeper.offers[0].window == 4096
        engine.dialect = Dialect("ollama", (FakeModel(window=8192),), 4, ("x",))
        await until(lambda: keeper.offers[0].window == 8192)
        await keeper.stop()


class TestCorrections:
    async def test_what_an_engine_refuses_by_holds_against_what_it_says(
        self, fetch_at: FetchAt, events: list[object]
    ) -> None:
        async with FakeEngine("vllm", (FakeModel(window=4096),)) as engine:
            placement = Placement()
            keeper = adopted(vllm.ADAPTER, engine.endpoint, fetch_at, events)
            placement.add(keeper, ["seat"])
            await until(lambda: keeper.offers)
            target = Target("seat", "fast", "vllm", "fake-model", Boundary.HOST, 4096)
            looks = len(engine.requests)
            placement.correct(target, 900)
            assert keeper.offers[0].window == 900
            assert isinstance(events[-1], OffersChanged)
            await until(lambda: len(engine.requests) > looks + 8)
            assert keeper.offers[0].window == 900, "its list still says otherwise"
            engine.dialect = Dialect("vllm", (FakeModel(window=2000),), 4, ("x",))
            await until(lambda: keeper.offers[0].window == 2000)
            placement.correct(Target("seat", "fast", "vllm", "another", Boundary.HOST), 5)
            placement.correct(Target("nobody", "fast", "vllm", "fake-model", Boundary.HOST), 5)
            assert keeper.offers[0].window == 2000
            await placement.close(0)

    def test_they_end_when_the_engine_says_something_else(self) -> None:
        windows = Windows()
        assert windows.settled((Offer("a", 4096), Offer("b", 100))) == (Offer("a", 4096), Offer("b", 100))
        assert windows.correct((Offer("a", 4096), Offer("b", 100)), "a", 512) == (Offer("a", 512), Offer("b", 100))
        assert windows.settled((Offer("a", 4096),)) == (Offer("a", 512),)
        assert windows.settled((Offer("a", None),)) == (Offer("a", 512),), "not loaded now"
        assert windows.settled((Offer("a", 512),)) == (Offer("a", 512),)
        assert windows.settled((Offer("a", 4096),)) == (Offer("a", 4096),)

    def test_one_that_never_told(self) -> None:
        windows = Windows()
        assert windows.correct(windows.settled((Offer("a"),)), "a", 512) == (Offer("a", 512),)
        assert windows.settled((Offer("a"),)) == (Offer("a", 512),)
        assert windows.settled((Offer("a", 2048),)) == (Offer("a", 2048),)

    def test_a_model_that_is_gone_is_forgotten(self) -> None:
        windows = Windows()
        windows.correct(windows.settled((Offer("a", 4096),)), "a", 512)
        assert windows.settled(()) == ()
        assert windows.settled((Offer("a"),)) == (Offer("a"),)
