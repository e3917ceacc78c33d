"""Asking what answers: faults of an adapter end nothing, and an engine that is taken for another is still found out."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.core.ports import Fetch, Fetched, Offer
from ringfence.engines import llamacpp, ollama, openai_compatible
from ringfence.placement.examine import examine

OTHERS = (ollama.ADAPTER, llamacpp.ADAPTER)


def listing(*names: str) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": name} for name in names]}


def answering(pages: dict[str, Any]) -> Fetch:
    async def fetch(path: str, **_: Any) -> Fetched:
        return Fetched(200, pages[path]) if path in pages else Fetched(404)

    return fetch


def an_ollama(*, is_off: bool) -> dict[str, Any]:
    return {
        "/v1/models": listing("llama:8b", "big:cloud"),
        "/api/version": {"version": "0.17.0"},
        "/api/tags": {"models": [{"name": "llama:8b"}, {"name": "big:cloud"}]},
        "/api/status": {"cloud": {"disabled": is_off}},
    }


@pytest.mark.parametrize(("is_off", "away"), [(True, {"big:cloud"}), (False, {"llama:8b", "big:cloud"})])
async def test_an_ollama_under_another_name(is_off: bool, away: set[str]) -> None:
    fetch = answering(an_ollama(is_off=is_off))
    offers = await examine(openai_compatible.ADAPTER, fetch, others=OTHERS)
    assert offers is not None and {one.engine_model for one in offers if one.reaches_cloud} == away
    assert len(offers) == 2


async def test_a_llama_cpp_with_peers_under_another_name() -> None:
    row = {"id": "spread", "status": {"value": "unloaded", "args": ["--rpc", "8.8.8.8:50052"]}}
    pages = {"/v1/models": {"data": [row]}, "/props": {"default_generation_settings": {}, "role": "router"}}
    offers = await examine(openai_compatible.ADAPTER, answering(pages), others=OTHERS)
    assert offers is not None and [one.reaches_cloud for one in offers] == [True]


async def test_what_others_do_not_know_stays_as_it_is() -> None:
    offers = await examine(openai_compatible.ADAPTER, answering({"/v1/models": listing("base")}), others=OTHERS)
    assert offers is not None and [(one.engine_model, one.reaches_cloud) for one in offers] == [("base", False)]
    assert await examine(openai_compatible.ADAPTER, answering({}), others=OTHERS) is None


class Broken(ollama.Ollama):
    async def examine(self, fetch: Fetch) -> list[Offer] | None:
        raise RuntimeError


async def test_an_adapter_that_fails_ends_nothing() -> None:
    fetch = answering({"/v1/models": listing("base")})
    assert await examine(Broken(), fetch) is None
    assert await examine(openai_compatible.ADAPTER, fetch, others=(Broken(),)) is not None
