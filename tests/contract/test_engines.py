"""Every adapter against its fake, llama.cpp against the real thing, and every adapter against all the others."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest

import ringfence.engines
from ringfence.core.catalog import Ability, Endpoint
from ringfence.core.errors import ContextLengthExceeded
from ringfence.core.ports import Fetched
from ringfence.core.registry import adapters
from ringfence.egress.pool import Pool
from ringfence.engines import llamacpp, lmstudio, ollama, openai_compatible, vllm
from ringfence.placement.launch import llama_server as launch_llama_server
from ringfence.placement.launch import llamacpp as launch_llamacpp
from ringfence.placement.supervisor import Supervisor
from ringfence.testing.contract import CHATS, EngineContract, UnderTest, ask, asking
from ringfence.testing.fake_dialects import KINDS, FakeModel
from ringfence.testing.fake_engine import FakeEngine
from ringfence.testing.llama_program import llama_server_program
from ringfence.testing.tiny_model import tiny_model

LLAMACPP_OVERFLOW = {
    "code": 400,
    "message": "request (18016 tokens) exceeds the available context size (512 tokens), try increasing it",
    "type": "exceed_context_size_error",
    "n_prompt_tokens": 18016,
    "n_ctx": 512,
}


class TestLlamaCppFake(EngineContract):
    adapter = llamacpp.ADAPTER
    recorded_overflows: ClassVar[Any] = (
        (400, {"error": LLAMACPP_OVERFLOW}, 512, 18016),
        (
            500,
            {
                "error": {
                    "code": 500,
                    "message": "input (18000 tokens) is too large to process. increase the physical batch size "
                    "(current batch size: 512)",
                    "type": "server_error",
                }
            },
            512,
            18000,
        ),
        (400, {"error": {"message": "the request exceeds the available context size, try increasing it"}}, None, None),
    )

    @pytest.fixture
    async def engine(self) -> AsyncIterator[UnderTest]:
        async with FakeEngine("llamacpp", api_key="key") as fake:
            yield UnderTest(fake.endpoint, "fake-model", 4096, 4, checks_model=False)


class TestLlamaCppReal(EngineContract):
    adapter = llamacpp.ADAPTER

    @pytest.fixture
    async def engine(self, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[UnderTest]:
        model = tiny_model(tmp_path_factory.getbasetemp())
        launch = launch_llamacpp(model, "tiny", window=512, parallel=2, threads=1)
        pool = Pool()
        keeper = Supervisor("tiny", launch, self.adapter, lambda at: partial(pool.fetch, at), lambda _event: None)
        keeper.start()
        try:
            endpoint = await keeper.wait_ready(20)
            yield UnderTest(endpoint, "tiny", 512, 2, llamacpp.NOT_TOLD, checks_model=False)
        finally:
            await keeper.stop()

    async def test_chat_and_embeddings_come_from_one_process(self, engine: UnderTest) -> None:
        chat = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}
        assert (await ask(engine, "chat/completions", chat))[0] == 200
        status, body = await ask(engine, "embeddings", {"input": ["hello " * 60, "b"]})
        assert (status, body.count(b'"embedding":[')) == (200, 2)

    async def test_servers_without_the_route_count_by_their_template(self, engine: UnderTest) -> None:
        real, asked = asking(engine), []

        async def older(path: str, body: dict[str, Any]) -> Fetched:
            asked.append(path)
            return Fetched(404) if path.endswith("/input_tokens") else await real(path, body)

        for chat in CHATS:
            expected = await self.adapter.count(real, Ability.CHAT, {"model": "tiny", **chat})
            assert await self.adapter.count(older, Ability.CHAT, {"model": "tiny", **chat}) == expected
        assert asked[:3] == ["/v1/chat/completions/input_tokens", "/apply-template", "/tokenize"]

    async def test_a_count_goes_beyond_the_window(self, engine: UnderTest) -> None:
        body = {"model": "tiny", "messages": [{"role": "user", "content": "one two " * 20_000}]}
        status, answer = await ask(engine, "chat/completions", body)
        assert status == 400
        counted = await self.adapter.count(asking(engine), Ability.CHAT, body)
        failure = self.adapter.failure(status, json.loads(answer))
        assert isinstance(failure, ContextLengthExceeded)
        assert (failure.tokens, failure.told_window) == (counted, 512)

    async def test_too_long_for_embeddings_is_an_overflow_too(self, engine: UnderTest) -> None:
        status, body = await ask(engine, "embeddings", {"input": "one two " * 512})
        failure = self.adapter.failure(status, json.loads(body))
        assert failure.code == "context_length_exceeded"


class TestLlamaServer(EngineContract):
    """A program of the owner's, with llama.cpp's own server in it."""

    adapter = llamacpp.ADAPTER

    @pytest.fixture
    async def engine(self, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> AsyncIterator[UnderTest]:
        model = tiny_model(tmp_path_factory.getbasetemp())
        command = [str(llama_server_program(tmp_path))]
        launch = launch_llama_server(command, model, "tiny", window=512, parallel=2, threads=1, embeddings=True)
        pool = Pool()
        keeper = Supervisor("tiny", launch, self.adapter, lambda at: partial(pool.fetch, at), lambda _event: None)
        keeper.start()
        try:
            endpoint = await keeper.wait_ready(20)
            yield UnderTest(endpoint, "tiny", 512, 2, llamacpp.NOT_TOLD, checks_model=False)
        finally:
            await keeper.stop()

    async def test_it_asks_for_its_key_and_shows_no_pages(self, engine: UnderTest) -> None:
        at = engine.endpoint
        stranger = Endpoint(at.address, at.port, at.boundary, api_key="another")
        assert (await Pool().fetch(stranger, "/props")).status == 401
        assert (await Pool().fetch(at, "/props")).status == 200
        assert (await Pool().fetch(at, "/index.html")).status == 404


class TestVllm(EngineContract):
    adapter = vllm.ADAPTER
    recorded_overflows: ClassVar[Any] = (
        (
            400,
            {
                "error": {
                    "message": "This model's maximum context length is 1024 tokens. However, your prompt contains at "
                    "least 1025 input tokens, which exceeds this limit even without any output tokens. Please reduce "
                    "the length of the input prompt.",
                    "type": "BadRequestError",
                    "param": "input_tokens",
                    "code": 400,
                }
            },
            1024,
            1025,
        ),
        (
            400,
            {
                "object": "error",
                "message": "This model's maximum context length is 2048 tokens. However, you requested 3000 tokens "
                "(2900 in the messages, 100 in the completion).",
                "type": "BadRequestError",
                "code": 400,
            },
            2048,
            3000,
        ),
        (400, {"error": {"message": "max_tokens=5000 cannot be greater than max_model_len=1024."}}, 1024, None),
        (
            400,
            {
                "error": {
                    "message": "400: max_completion_tokens=9000cannot be greater than max_model_len=max_total_tokens="
                    "1024. Please request fewer output tokens. (parameter=max_tokens, value=9000)"
                }
            },
            1024,
            None,
        ),
        (
            400,
            {
                "error": {
                    "message": "This model's maximum context length is 1024 tokens. However, you requested 100 output "
                    "tokens and your prompt contains at least 925 input tokens, for a total of at least 1025 tokens. "
                    "Please reduce the length of the input prompt or the number of requested output tokens.",
                    "type": "BadRequestError",
                    "param": "input_tokens",
                    "code": 400,
                }
            },
            1024,
            1025,
        ),
        (
            400,
            {"error": {"message": "The decoder prompt (length 9000) is longer than the maximum model length of 1024."}},
            1024,
            9000,
        ),
    )

    @pytest.fixture
    async def engine(self) -> AsyncIterator[UnderTest]:
        async with FakeEngine("vllm", (FakeModel(window=1024),)) as fake:
            yield UnderTest(fake.endpoint, "fake-model", 1024)

    @pytest.mark.parametrize("place", [0, 4])
    def test_a_floor_is_said_to_be_one(self, place: int) -> None:
        _status, body, _window, _tokens = self.recorded_overflows[place]
        failure = self.adapter.failure(400, body)
        assert "resulted in at least 1025 tokens" in failure.message
        assert isinstance(failure, ContextLengthExceeded)
        assert failure.is_floor


class TestOllama(EngineContract):
    adapter = ollama.ADAPTER
    recorded_overflows: ClassVar[Any] = (
        (400, {"error": json.dumps({"error": LLAMACPP_OVERFLOW})}, 512, 18016),
        (400, {"error": {"message": "400: " + json.dumps({"error": LLAMACPP_OVERFLOW})}}, 512, 18016),
        (
            400,
            {"error": "the prompt is longer than the context length currently available"},
            None,
            None,
        ),
        (400, {"error": "the input length exceeds the context length"}, None, None),
    )

    @pytest.fixture
    async def engine(self) -> AsyncIterator[UnderTest]:
        async with FakeEngine("ollama", (FakeModel("tiny:latest", 2048),)) as fake:
            yield UnderTest(fake.endpoint, "tiny:latest", 2048, tells_overflow=False, counts=False)


class TestLmStudio(EngineContract):
    adapter = lmstudio.ADAPTER
    recorded_overflows: ClassVar[Any] = (
        (
            400,
            {
                "error": "Trying to keep the first 5000 tokens when context the overflows. However, the model is "
                "loaded with context length of only 4096 tokens, which is not enough."
            },
            4096,
            5000,
        ),
        (
            400,
            {"error": "The number of tokens to keep from the initial prompt is greater than the context length."},
            None,
            None,
        ),
    )

    @pytest.fixture
    async def engine(self) -> AsyncIterator[UnderTest]:
        async with FakeEngine("lmstudio") as fake:
            yield UnderTest(fake.endpoint, "fake-model", 4096, counts=False)


class TestOpenAICompatible(EngineContract):
    adapter = openai_compatible.ADAPTER
    recorded_overflows: ClassVar[Any] = (
        (
            400,
            {"message": "The input (9000 tokens) is longer than the model's context length (8192 tokens)."},
            8192,
            9000,
        ),
        (
            400,
            {
                "message": "Requested token count exceeds the model's maximum context length of 8192 tokens. You "
                "requested a total of 9100 tokens: 9000 tokens from the input messages and 100 for the completion."
            },
            8192,
            9100,
        ),
        (
            400,
            {"message": "Input length (9000) exceeds model's maximum context length (8192)."},
            8192,
            9000,
        ),
    )

    @pytest.fixture
    async def engine(self) -> AsyncIterator[UnderTest]:
        async with FakeEngine("vllm", (FakeModel(window=1024),)) as fake:
            yield UnderTest(fake.endpoint, "fake-model", 1024, counts=False)


@pytest.mark.parametrize("kind", KINDS)
async def test_each_engine_is_known_by_its_own_adapter_alone(kind: str) -> None:
    found = adapters(ringfence.engines)
    pool = Pool()
    async with FakeEngine(kind) as fake:
        claims = [
            adapter.kind
            for adapter in found.values()
            if adapter.usual_ports and await adapter.examine(partial(pool.fetch, fake.endpoint)) is not None
        ]
    assert claims == [kind]
