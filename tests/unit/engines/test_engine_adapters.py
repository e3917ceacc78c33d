"""What is special about each engine; what they share is in tests/contract."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from ringfence.core.catalog import Ability, Medium
from ringfence.core.errors import ContextLengthExceeded, EngineFailed, EngineRefused, ModelNotFound, Overloaded
from ringfence.core.ports import Fetch, Fetched
from ringfence.engines import llamacpp, lmstudio, ollama, openai_compatible, openai_dialect, vllm

GENERATES = frozenset((Ability.CHAT, Ability.COMPLETIONS))


def pages(**by_path: Any) -> Fetch:
    """A fetch over fixed pages; keys are paths with '/' as '_'."""
    known = {path.replace("__", "/"): body for path, body in by_path.items()}
    asked: list[str] = []

    async def fetch(path: str, **_: Any) -> Fetched:
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

        async def fetch(path: str, **_: Any) -> Fetched:
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

    def test_slots_that_share_one_context_and_have_filled_it_are_busy(self) -> None:
        body = {"error": {"code": 500, "message": "Context size has been exceeded.", "type": "server_error"}}
        failure = llamacpp.ADAPTER.failure(500, body)
        assert isinstance(failure, Overloaded)
        assert failure.retry_after_s

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


VLLM_SAYS = "This model's maximum context length is 64 tokens. However, your prompt contains 100 input tokens."
LLAMACPP_SAYS = {"message": "request (100 tokens) exceeds the available context size (64 tokens)", "n_ctx": 64}


class TestAWindowThatIsTold:
    """What an engine itself says of its window may be learned; what a caller could make it quote may not."""

    @pytest.mark.parametrize(
        ("engine", "body"),
        [
            (vllm, {"error": {"message": VLLM_SAYS}}),
            (openai_compatible, {"message": VLLM_SAYS}),
            (openai_compatible, {"message": "The input (100 tokens) is longer than the model's context length (64)."}),
            (llamacpp, {"error": LLAMACPP_SAYS}),
            (ollama, {"error": json.dumps({"error": LLAMACPP_SAYS})}),
            (vllm, {"error": {"message": "400: max_tokens=90 cannot be greater than max_model_len=64."}}),
        ],
    )
    def test_is_learned(self, engine: Any, body: Any) -> None:
        failure = engine.ADAPTER.failure(400, body)
        assert isinstance(failure, ContextLengthExceeded)
        assert (failure.window, failure.told_window) == (64, 64)

    @pytest.mark.parametrize(
        ("engine", "body"),
        [
            (vllm, {"error": {"message": f"1 validation error: Input should be a list, got '{VLLM_SAYS}'"}}),
            (vllm, {"error": {"message": "got an unexpected " + json.dumps({"error": {"message": VLLM_SAYS}})}}),
            (ollama, {"error": "cannot read the template: " + json.dumps({"error": LLAMACPP_SAYS})}),
            (llamacpp, {"error": {"message": "Cannot parse: request (9 tokens) exceeds the available context size (5 "
                                             "tokens)"}}),
        ],
    )  # fmt: skip
    def test_is_not_learned_where_it_may_be_quoted(self, engine: Any, body: Any) -> None:
        failure = engine.ADAPTER.failure(400, body)
        assert isinstance(failure, ContextLengthExceeded)
        assert failure.told_window is None

    def test_a_batch_is_no_window(self) -> None:
        said = "input (601 tokens) is too large to process. increase the physical batch size (current batch size: 512)"
        failure = llamacpp.ADAPTER.failure(500, {"error": {"code": 500, "message": said, "type": "server_error"}})
        assert isinstance(failure, ContextLengthExceeded)
        assert (failure.status, failure.window, failure.tokens, failure.told_window) == (400, 512, 601, None)

    def test_endless_digits_are_no_number(self) -> None:
        failure = vllm.ADAPTER.failure(400, {"error": {"message": f"maximum context length is {'9' * 3900} tokens"}})
        assert isinstance(failure, ContextLengthExceeded)
        assert failure.window is None


class TestCounting:
    """What is asked of an engine, where it could otherwise count too little."""

    async def test_vllm_is_told_what_a_chat_hands_to_the_template(self) -> None:
        asked: list[tuple[str, Any]] = []

        async def ask(path: str, body: dict[str, Any]) -> Fetched:
            asked.append((path, body))
            return Fetched(200, {"count": 7, "max_model_len": 64, "tokens": [1]})

        chat = {"model": "m", "messages": [], "tools": [], "chat_template_kwargs": {"a": 1}, "reasoning_effort": "low"}
        body = {**chat, "max_tokens": 3, "stream": True, "temperature": 0}
        assert await vllm.ADAPTER.count(ask, Ability.CHAT, body) == 7
        del chat["reasoning_effort"]
        chat["chat_template_kwargs"] = {"reasoning_effort": "low", "a": 1}
        assert asked == [("/tokenize", chat)]
        assert await vllm.ADAPTER.count(ask, Ability.CHAT, {**body, "documents": [{"text": "long"}]}) is None
        await vllm.ADAPTER.count(ask, Ability.EMBEDDINGS, {"model": "m", "input": ["one"]})
        assert asked[1:] == [("/tokenize", {"model": "m", "prompt": "one", "add_special_tokens": True})]

    @pytest.mark.parametrize(("with_image", "told"), [(1451, 1451), (29, None), (None, None)])
    async def test_an_image_counts_by_vllm_where_it_looks_at_it(self, with_image: int | None, told: int | None) -> None:
        """Before 0.17 it counts the place of an image alone."""

        async def ask(_path: str, body: dict[str, Any]) -> Fetched:
            tokens = with_image if "image_url" in str(body) else 26
            return Fetched(200, {"count": tokens}) if tokens is not None else Fetched(500)

        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
        body = {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}, image]}]}
        assert await vllm.ADAPTER.count(ask, Ability.CHAT, body) == told

    def test_without_media_the_texts_stay(self) -> None:
        said, image = {"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "data:,x"}}
        body = {"messages": [{"role": "user", "content": [said, image, "odd"]}, {"role": "user", "content": "b"}, 5]}
        bare, gone = openai_dialect.without_media(body)
        assert gone == [image, "odd"]
        first, *others = bare["messages"]
        assert [part["type"] for part in first["content"]] == ["text"] * 3
        assert others == body["messages"][1:]
        assert body["messages"][0]["content"][1] is image, "the caller's own is left as it is"
        for plain in ({"messages": [{"role": "user", "content": [said]}]}, {"prompt": "x"}, {"messages": "odd"}):
            assert openai_dialect.without_media(plain) == (plain, [])
            assert openai_dialect.without_media(plain)[0] is plain

    async def test_one_prompt_that_is_not_counted_leaves_all_of_them_uncounted(self) -> None:
        async def ask(path: str, body: dict[str, Any]) -> Fetched:
            return Fetched(200, {"tokens": [1, 2]}) if body["content"] == "a" else Fetched(500)

        assert await llamacpp.ADAPTER.count(ask, Ability.COMPLETIONS, {"prompt": ["a", "a"]}) == 2
        assert await llamacpp.ADAPTER.count(ask, Ability.COMPLETIONS, {"prompt": ["a", "b"]}) is None


class TestVersionsOfOllama:
    @pytest.mark.parametrize(
        ("version", "may_cut"),
        [("0.12.5", True), ("0.12.6", False), ("0.13.0", False), ("0.33.0-rc2", False), ("1.0.0", False),
         ("0.5.13-3-gabc", True), ("0.0.0", True), ("new", True), ("v0.12.10", False)],
    )  # fmt: skip
    async def test_those_that_do_not_listen_may_cut(self, version: str, may_cut: bool) -> None:
        pages = {"/api/version": {"version": version}, "/api/tags": {"models": [{"name": "a"}]}}

        async def fetch(path: str, *, about: dict[str, str] | None = None) -> Fetched:
            return Fetched(200, pages[path]) if path in pages else Fetched(404)

        offers = await ollama.ADAPTER.examine(fetch)
        assert [offer.may_cut for offer in offers or ()] == [may_cut]
        assert ollama.ADAPTER.may_cut is False


class TestWindowsOfOllama:
    def pages(self, running: list[dict[str, Any]], shown: Any) -> Fetch:
        known = {
            "/api/version": {"version": "0.33.0"},
            "/api/status": {"cloud": {"disabled": True}},
            "/api/tags": {"models": [{"name": "a"}, {"name": "away", "remote_host": "https://ollama.example"}]},
            "/api/ps": {"models": running},
        }

        async def fetch(path: str, *, about: dict[str, str] | None = None) -> Fetched:
            if path == "/api/show":
                assert about == {"model": "a"}, "of what goes to its cloud nothing is asked"
                return Fetched(200, shown)
            return Fetched(200, known[path])

        return fetch

    @pytest.mark.parametrize(
        ("loaded", "parameters", "trained", "window"),
        [
            (None, 'num_ctx                        8192\nstop  "x"', 131072, 8192),
            (None, 'stop "num_ctx 7"\nnum_ctx 8192', 4096, 4096),
            (None, "temperature 0", 4096, None),
            (None, None, 4096, None),
            (4096, "num_ctx 8192", 131072, 4096),
            (32768, "num_ctx 8192", 131072, 8192),
            (32768, "", None, 32768),
        ],
    )
    async def test_the_smaller_of_what_is_configured_and_what_is_loaded(
        self, loaded: int | None, parameters: str | None, trained: int | None, window: int | None
    ) -> None:
        facts = {"general.architecture": "qwen3", "qwen3.context_length": trained, "llama.context_length": 5}
        running = [{"name": "a", "context_length": loaded}] if loaded else []
        offers = await ollama.ADAPTER.examine(self.pages(running, {"parameters": parameters, "model_info": facts}))
        assert [offer.window for offer in offers or ()] == [window, None]

    @pytest.mark.parametrize("shown", [None, [], "x", {"parameters": 5}, {"parameters": "num_ctx 5", "model_info": []}])
    async def test_odd_pages_of_a_model_change_nothing_else(self, shown: Any) -> None:
        offers = await ollama.ADAPTER.examine(self.pages([{"name": "a", "context_length": 4096}], shown)) or []
        assert [offer.engine_model for offer in offers] == ["a", "away"]
        assert offers[0].window in (4096, 5)

    async def test_one_that_does_not_say_in_time_is_left_for_later(self) -> None:
        pages = self.pages([{"name": "a", "context_length": 4096}], None)

        async def slow(path: str, *, about: dict[str, str] | None = None) -> Fetched:
            if about is not None:
                await asyncio.sleep(60)
            return await pages(path)

        async with asyncio.timeout(25):
            offers = await ollama.ADAPTER.examine(slow) or []
        assert [offer.window for offer in offers] == [4096, None]


class TestWhatIsRead:
    """Which media a model takes, as its engine tells."""

    @pytest.mark.parametrize(
        ("told", "takes"),
        [
            ({}, None), ({"modalities": {"vision": False, "audio": False}}, frozenset()),
            ({"modalities": {"vision": True, "audio": True}}, frozenset((Medium.IMAGE, Medium.AUDIO))),
        ],
    )  # fmt: skip
    async def test_llamacpp(self, told: Any, takes: Any) -> None:
        props = {"default_generation_settings": {"n_ctx": 512}, "total_slots": 4, **told}
        offers = await llamacpp.ADAPTER.examine(pages(__props=props, __v1__models={"data": [{"id": "a"}]}))
        assert [offer.takes for offer in offers or ()] == [takes]

    @pytest.mark.parametrize(
        ("shown", "tag", "takes"),
        [
            ({}, {}, None), ({}, {"capabilities": ["completion", "vision"]}, frozenset((Medium.IMAGE,))),
            ({"capabilities": ["completion"]}, {}, frozenset()),
            ({"capabilities": ["completion", "vision"]}, {"capabilities": ["completion"]}, frozenset((Medium.IMAGE,))),
        ],
    )  # fmt: skip
    async def test_ollama(self, shown: Any, tag: Any, takes: Any) -> None:
        known = {
            "__api__version": {"version": "0.33.0"}, "__api__status": {"cloud": {"disabled": True}},
            "__api__tags": {"models": [{"name": "a", "model": "a", **tag}]}, "__api__show": shown,
        }  # fmt: skip
        assert [offer.takes for offer in await ollama.ADAPTER.examine(pages(**known)) or ()] == [takes]

    async def test_lmstudio(self) -> None:
        rows = [{"id": kind, "type": kind, "state": "loaded"} for kind in ("llm", "vlm")]
        offers = await lmstudio.ADAPTER.examine(pages(__api__v0__models={"data": rows}))
        assert [offer.takes for offer in offers or ()] == [frozenset(), frozenset((Medium.IMAGE,))]

    @pytest.mark.parametrize(
        ("adapter", "status", "said"),
        [
            (llamacpp.ADAPTER, 500, "image input is not supported - hint: if this is unexpected, provide the mmproj"),
            (vllm.ADAPTER, 400, "Qwen/Qwen3-8B is not a multimodal model"),
            (vllm.ADAPTER, 400, "At most 0 image(s) may be provided in one prompt."),
        ],
    )
    def test_one_that_was_tried_refuses_by_our_code(self, adapter: Any, status: int, said: str) -> None:
        failure = adapter.failure(status, {"error": {"message": said, "code": status}})
        assert (failure.status, failure.code, failure.message) == (400, "media_not_supported", said)
