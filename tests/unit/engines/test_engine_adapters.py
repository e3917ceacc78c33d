"""What is special about each engine; what they share is in tests/contract."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.core.catalog import Ability
from ringfence.core.errors import EngineFailed, EngineRefused, ModelNotFound
from ringfence.core.ports import Fetch, Fetched
from ringfence.engines import llamacpp, lmstudio, ollama, openai_compatible, vllm

GENERATES = frozenset((Ability.CHAT, Ability.COMPLETIONS))


def pages(**by_path: Any) -> Fetch:
    """A fetch over fixed pages; keys are paths with '/' as '_'."""
    known = {path.replace("__", "/"): body for path, body in by_path.items()}
    asked: list[str] = []

    async def fetch(path: str) -> Fetched:
        asked.append(path)
        return Fetched(200, known[path]) if path in known else Fetched(404, {"error": {"message": "File Not Found"}})

    fetch.asked = asked  # type: ignore[attr-defined]
    return fetch


class TestLlamaCpp:
    async def test_the_window_is_that_of_a_slot(self) -> None:
        props = {"default_generation_settings": {"n_ctx": 512}, "total_slots": 4}
        fetch = pages(__props=props, __v1__models={"data": [{"id": "a", "meta": {"n_ctx_train": 131072}}]})
        offers = await llamacpp.ADAPTER.examine(fetch)
        assert [(offer.engine_model, offer.window, offer.slots) for offer in offers or ()] == [("a", 512, 4)]

    async def test_an_older_server_tells_the_window_in_its_slots(self) -> None:
        fetch = pages(
            __props={"default_generation_settings": {}},
            __slots=[{"n_ctx": 1024}, {"n_ctx": 1024}],
            __v1__models={"data": [{"id": "a"}]},
        )
        offers = await llamacpp.ADAPTER.examine(fetch)
        assert [(offer.window, offer.slots) for offer in offers or ()] == [(1024, 2)]

    async def test_a_router_is_not_made_to_load_a_model(self) -> None:
        listed = [{"id": "a/b", "status": {"value": "loaded"}}, {"id": "c", "status": {"value": "unloaded"}}]
        known = {
            "/props": {"role": "router", "default_generation_settings": {"n_ctx": 0}},
            "/v1/models": {"data": listed},
            "/props?model=a%2Fb&autoload=false": {"default_generation_settings": {"n_ctx": 900}, "total_slots": 2},
        }
        asked: list[str] = []

        async def fetch(path: str) -> Fetched:
            asked.append(path)
            return Fetched(200, known[path])

        offers = await llamacpp.ADAPTER.examine(fetch) or []
        assert [(offer.engine_model, offer.window, offer.is_loaded) for offer in offers] == [
            ("a/b", 900, True),
            ("c", None, False),
        ]
        assert not any("=c" in path for path in asked)

    def test_what_it_does_not_support_is_a_refusal_with_the_reason(self) -> None:
        said = "This server does not support embeddings. Start it with `--embeddings`"
        body = {"error": {"code": 501, "message": said, "type": "not_supported_error"}}
        failure = llamacpp.ADAPTER.failure(501, body)
        assert isinstance(failure, EngineRefused)
        assert (failure.status, failure.code, failure.message) == (400, "not_supported", said)

    def test_slots_cannot_be_named(self) -> None:
        assert {"id_slot", "filename"} <= llamacpp.ADAPTER.forbidden_fields


class TestVllm:
    async def test_an_adapter_has_the_window_of_its_base(self) -> None:
        listed = [
            {"id": "base", "owned_by": "vllm", "max_model_len": 2048},
            {"id": "pirate", "owned_by": "vllm", "parent": "base"},
        ]
        offers = await vllm.ADAPTER.examine(pages(__v1__models={"data": listed})) or []
        assert [(offer.engine_model, offer.window, offer.abilities) for offer in offers] == [
            ("base", 2048, GENERATES),
            ("pirate", 2048, GENERATES),
        ]

    async def test_a_pooling_model_embeds_and_does_not_chat(self) -> None:
        fetch = pages(
            __v1__models={"data": [{"id": "e", "owned_by": "vllm", "max_model_len": 512}]},
            **{"__openapi.json": {"paths": {"/v1/embeddings": {}, "/tokenize": {}}}},
        )
        offers = await vllm.ADAPTER.examine(fetch) or []
        assert [offer.abilities for offer in offers] == [frozenset((Ability.EMBEDDINGS,))]

    async def test_sglang_is_not_vllm(self) -> None:
        fetch = pages(__v1__models={"data": [{"id": "a", "owned_by": "sglang", "max_model_len": 4096}]})
        assert await vllm.ADAPTER.examine(fetch) is None
        offers = await openai_compatible.ADAPTER.examine(fetch) or []
        assert [(offer.engine_model, offer.window) for offer in offers] == [("a", 4096)]

    def test_fields_that_name_other_hosts_or_load_code_are_forbidden(self) -> None:
        assert {"kv_transfer_params", "prompt_embeds", "logits_processors"} <= vllm.ADAPTER.forbidden_fields


class TestOllama:
    @pytest.mark.parametrize(
        ("entry", "reaches_cloud"),
        [
            ({"name": "llama3:8b"}, False),
            ({"name": "mycloud:8b"}, False),
            ({"name": "gpt-oss:120b-cloud"}, True),
            ({"name": "deepseek-v3.1:671B-CLOUD"}, True),
            ({"name": "glm:cloud"}, True),
            ({"name": "kimi-cloud"}, True),
            ({"name": "renamed:latest", "remote_host": "https://ollama.example"}, True),
            ({"name": "renamed:latest", "remote_model": "gpt-oss:120b"}, True),
        ],
    )
    async def test_what_it_would_send_to_its_cloud_is_marked(self, entry: dict[str, str], reaches_cloud: bool) -> None:
        off = {"cloud": {"disabled": True, "source": "env"}}
        fetch = pages(__api__version={"version": "0.33.0"}, __api__status=off, __api__tags={"models": [entry]})
        offers = await ollama.ADAPTER.examine(fetch) or []
        assert [offer.reaches_cloud for offer in offers] == [reaches_cloud]

    async def test_a_window_is_known_for_loaded_models_only(self) -> None:
        fetch = pages(
            __api__version={"version": "0.33.0"},
            __api__tags={"models": [{"model": "a:1"}, {"model": "b:1", "details": {"families": ["nomic-bert"]}}]},
            __api__ps={"models": [{"model": "a:1", "context_length": 8192}]},
        )
        offers = await ollama.ADAPTER.examine(fetch) or []
        assert [(offer.window, offer.is_loaded) for offer in offers] == [(8192, True), (None, False)]
        assert offers[1].abilities == frozenset((Ability.EMBEDDINGS,))

    def test_a_missing_model_is_told_as_text(self) -> None:
        failure = ollama.ADAPTER.failure(404, {"error": 'model "x" not found, try pulling it first'})
        assert isinstance(failure, ModelNotFound)


class TestLmStudio:
    async def test_what_a_model_could_have_is_not_its_window(self) -> None:
        data = [
            {"id": "a", "type": "llm", "state": "loaded", "max_context_length": 131072, "loaded_context_length": 4096},
            {"id": "b", "type": "vlm", "state": "not-loaded", "max_context_length": 32768},
            {"id": "c", "type": "embeddings", "state": "not-loaded", "max_context_length": 2048},
            {"id": "d", "type": "whisper", "state": "not-loaded"},
        ]
        offers = await lmstudio.ADAPTER.examine(pages(__api__v0__models={"data": data})) or []
        assert [(offer.engine_model, offer.window, offer.is_loaded) for offer in offers] == [
            ("a", 4096, True),
            ("b", None, False),
            ("c", None, False),
        ]
        assert offers[2].abilities == frozenset((Ability.EMBEDDINGS,))


def test_a_broken_engine_is_told_with_its_own_words() -> None:
    failure = vllm.ADAPTER.failure(500, {"error": {"message": "EngineCore died", "code": 500}})
    assert isinstance(failure, EngineFailed)
    assert "EngineCore died" in failure.message


def test_nested_errors_end() -> None:
    body: Any = "deep"
    for _ in range(50):
        body = {"error": body}
    assert ollama.ADAPTER.failure(400, body).message
