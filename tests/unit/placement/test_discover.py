"""Finding engines on real loopback ports, and making models of what was found."""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest

import ringfence.engines
from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Catalog, Endpoint, Model
from ringfence.core.ports import Fetch, Fetched, Offer
from ringfence.core.registry import adapters
from ringfence.placement.discover import discover, usual_ports
from ringfence.placement.offered import Source, catalog_of, target_of
from ringfence.testing.fake_dialects import FakeModel
from ringfence.testing.fake_engine import Behaviour, FakeEngine, Fault

FetchAt = Callable[[Endpoint], Fetch]
ENGINES = adapters(ringfence.engines)
HERE = Endpoint("127.0.0.1", 11434, Boundary.HOST)


def test_the_usual_ports_are_those_of_the_engines() -> None:
    assert set(usual_ports(ENGINES)) == {8080, 9931, 8000, 11434, 1234}


@pytest.mark.timed
async def test_engines_are_found_by_kind_whatever_the_port(fetch_at: FetchAt) -> None:
    async with FakeEngine("llamacpp") as one, FakeEngine("ollama") as two, FakeEngine("vllm") as hung:
        hung.always = Behaviour(Fault.HANG)
        began = time.monotonic()
        found = await discover(ENGINES, fetch_at, [one.port, hung.port, two.port, 1])
        assert time.monotonic() - began < 1.0
        assert [(it.kind, it.endpoint.port) for it in found] == [("llamacpp", one.port), ("ollama", two.port)]
    assert found[0].offers[0].window == 4096


async def test_our_own_port_is_never_asked(fetch_at: FetchAt) -> None:
    async with FakeEngine("llamacpp") as ours:
        assert await discover(ENGINES, fetch_at, [ours.port], {("127.0.0.1", ours.port)}) == []
        assert ours.connections == 0


async def test_nothing_but_loopback_is_ever_asked() -> None:
    asked: set[str] = set()

    def fetch_at(endpoint: Endpoint) -> Fetch:
        asked.add(endpoint.address)

        async def fetch(path: str, **_: Any) -> Fetched:
            return Fetched(0)

        return fetch

    assert await discover(ENGINES, fetch_at, [8080, 8000]) == []
    assert asked == {"127.0.0.1", "::1"}


async def test_what_answers_as_none_is_left_alone() -> None:
    def fetch_at(endpoint: Endpoint) -> Fetch:
        async def fetch(path: str, **_: Any) -> Fetched:
            return Fetched(200, {"hello": "world"})

        return fetch

    assert await discover(ENGINES, fetch_at, [8080]) == []


async def test_what_would_reach_the_cloud_is_left_out_with_the_reason(fetch_at: FetchAt) -> None:
    models = (
        FakeModel("llama3:8b"),
        FakeModel("big:latest", remote_host="https://ollama.example"),
        FakeModel("x:cloud"),
    )
    async with FakeEngine("ollama", models) as engine:
        found = (await discover(ENGINES, fetch_at, [engine.port]))[0]
    offered = catalog_of([], [Source("ollama", found.kind, found.endpoint, found.offers)])
    assert [model.name for model in offered.models] == ["llama3:8b"]
    assert {(left.engine_model, "cloud" in left.reason) for left in offered.left_out} == {
        ("big:latest", True),
        ("x:cloud", True),
    }
    assert offered.targets_of == {"ollama": ("ollama/llama3:8b",)}


def test_a_found_model_has_its_id_and_a_longer_name() -> None:
    offered = catalog_of([], [Source("found-1", "ollama", HERE, (Offer("a:1", 2048, 2),))], created_s=7)
    catalog = Catalog.of(list(offered.models))
    assert catalog.names["a:1"] is catalog.names["ollama/a:1"]
    target = offered.models[0].targets[0]
    assert (target.name, target.window, target.slots, target.boundary) == ("found-1/a:1", 2048, 2, Boundary.HOST)


def test_configured_names_are_kept() -> None:
    configured = Model("a", (), aliases=("ollama/b",))
    offers = (Offer("a"), Offer("b"), Offer("ollama/a"))
    offered = catalog_of([configured], [Source("found", "ollama", HERE, offers)])
    assert [(model.name, model.aliases) for model in offered.models] == [
        ("a", ("ollama/b",)),
        ("ollama/a", ()),
        ("b", ()),
        ("ollama/ollama/a", ()),
    ]
    assert Catalog.of(list(offered.models)).names["ollama/b"] is configured


def test_engines_of_one_kind_with_the_same_model_serve_it_together() -> None:
    sources = [Source(name, "vllm", HERE, (Offer("a", digest="d1"), Offer("b"))) for name in ("one", "two", "three")]
    offered = catalog_of([], [*sources, Source("four", "llamacpp", HERE, (Offer("a"),))])
    assert [(model.name, [target.name for target in model.targets]) for model in offered.models] == [
        ("a", ["one/a", "two/a", "three/a"]),
        ("b", ["one/b", "two/b", "three/b"]),
        ("llamacpp/a", ["four/a"]),
    ]
    assert offered.targets_of == {name: (f"{name}/a", f"{name}/b") for name in ("one", "two", "three")} | {
        "four": ("four/a",)
    }
    assert offered.left_out == ()


@pytest.mark.parametrize("told", [{"digest": "d2"}, {"quantisation": "Q4_0"}])
def test_another_version_of_a_model_under_the_same_name_is_left_out(told: dict[str, str]) -> None:
    offers = (Offer("a", digest="d1", quantisation="Q8_0"), Offer("a", **told))  # type: ignore[arg-type]
    offered = catalog_of([], [Source(name, "ollama", HERE, (one,)) for name, one in zip("xy", offers, strict=True)])
    assert [[target.name for target in model.targets] for model in offered.models] == [["x/a"]]
    assert [(left.instance, "taken" in left.reason) for left in offered.left_out] == [("y", True)]


def test_the_boundary_is_that_of_the_address() -> None:
    mesh = (ip_network("10.0.0.0/8"),)
    reached = {
        address: target_of(Source("x", "vllm", Endpoint(address, 1, Boundary.HOST), ()), Offer("m"), "m", mesh).boundary
        for address in ("127.0.0.1", "::1", "10.1.2.3", "192.0.2.1")
    }
    assert list(reached.values()) == [Boundary.HOST, Boundary.HOST, Boundary.MESH, Boundary.CLOUD]
