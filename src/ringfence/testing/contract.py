"""What every engine adapter must do, as tests: subclass `EngineContract`, give it a fixture `engine`, run pytest.

class TestMine(EngineContract):
    adapter = MY_ADAPTER

    @pytest.fixture
    async def engine(self):
        async with FakeEngine("mine") as fake:
            yield UnderTest(fake.endpoint, "fake-model", window=4096)
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any, ClassVar

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability, Endpoint
from ringfence.core.errors import ContextLengthExceeded, EngineFailed, Failure, ModelNotFound, Overloaded
from ringfence.core.ports import Ask, Engine, Fetch, Fetched, Loads, Sleeps, Wire
from ringfence.egress.permit import issue
from ringfence.egress.pool import Pool

NEEDED_FIELDS = frozenset(
    (
        *("model", "messages", "prompt", "input", "stream", "stream_options", "tools", "tool_choice", "stop", "seed"),
        *("response_format", "temperature", "top_p", "max_tokens", "max_completion_tokens", "n", "user", "metadata"),
        *("logprobs", "encoding_format", "chat_template_kwargs"),
    )
)
ODD_BODIES: tuple[Any, ...] = (
    None,
    "",
    "gateway time-out",
    0,
    True,
    [],
    {},
    [{"error": 1}],
    {"error": None},
    {"error": "{"},
    {"error": {"message": None, "code": 7, "param": []}},
    {"error": {"message": {"a": 1}}},
    {"detail": [{"msg": "field required"}]},
    {"data": [{"id": 7}, {"id": ["x"], "parent": {}, "type": []}, 3], "models": [{"name": 1}, None]},
    {"data": {}, "models": "x", "version": 3, "default_generation_settings": 5},
    {"data": [], "version": "1", "default_generation_settings": {"n_ctx": "a"}, "total_slots": -1},
)


@dataclass(frozen=True, slots=True)
class UnderTest:
    """A running engine and what is true of it. `tells_overflow` is False for one that cuts a prompt silently, `counts`
    for one that has no route for it."""

    endpoint: Endpoint
    model: str
    window: int
    slots: int | None = None
    abilities: frozenset[Ability] = frozenset((Ability.CHAT, Ability.COMPLETIONS))
    tells_overflow: bool = True
    checks_model: bool = True
    counts: bool = True


TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Finds a place.",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
    },
}
CHATS: tuple[dict[str, Any], ...] = (
    {"messages": [{"role": "user", "content": "hello"}]},
    {"messages": [{"role": "user", "content": "one two <|im_start|> 中文 🦊 \u00e9 " * 20}], "stream": True, "n": 1},
    {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [{"type": "text", "text": "Where is the"}, {"type": "text", "text": "harbour?"}],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "look_up", "arguments": '{"place": "harbour"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "At the gate."},
        ],
        "tools": [TOOL],
        "tool_choice": "auto",
    },
)
"""Of which every engine that counts must count what it then reports."""


class EngineContract:
    """`recorded_overflows` are (status, body, window, tokens) as versions of this engine really answered."""

    adapter: ClassVar[Engine]
    recorded_overflows: ClassVar[tuple[tuple[int, Any, int | None, int | None], ...]] = ()

    # -- what it says of itself -----------------------------------------------------------------------------------

    def test_it_names_itself(self) -> None:
        assert self.adapter.kind.isidentifier()
        assert self.adapter.kind == self.adapter.kind.lower()
        assert self.adapter.title
        assert all(0 < port < 65536 for port in self.adapter.usual_ports)

    def test_it_forbids_nothing_that_clients_need(self) -> None:
        assert not self.adapter.forbidden_fields & NEEDED_FIELDS

    def test_its_own_routes_take_and_read_what_openais_do(self) -> None:
        for ability, wire in self.adapter.wires.items():
            asked = {"model": "m", "messages": [{"role": "user", "content": "a"}], "prompt": "a", "input": "a"}
            assert wire.path.startswith("/")
            assert wire.request(asked)["model"] == "m", ability
            for body in ODD_BODIES:
                if isinstance(body, dict):
                    _assert_answer_or_failure(wire, body)

    def test_its_salt_is_no_field_that_callers_need(self) -> None:
        assert self.adapter.salt_field not in NEEDED_FIELDS
        assert self.adapter.salt_field not in self.adapter.forbidden_fields, "it is set, whatever a caller says"

    async def test_its_controls_tell_when_nobody_answers(self) -> None:
        controls = self.adapter.controls
        away, nobody = _answering(Fetched(0)), _always(Fetched(0))
        if isinstance(controls, Sleeps):
            assert await controls.is_asleep(nobody) is None
            assert not await controls.sleep(away)
            assert not await controls.wake(away)
        if isinstance(controls, Loads):
            assert await controls.loaded(nobody) is None
            assert not await controls.load(away, "m")
            assert not await controls.unload(away, "m")

    # -- examining ------------------------------------------------------------------------------------------------

    async def test_it_knows_its_own_kind_and_the_real_window(self, engine: UnderTest) -> None:
        offers = await self.adapter.examine(_fetch(engine.endpoint))
        assert offers is not None
        offer = next(offer for offer in offers if offer.engine_model == engine.model)
        assert (offer.window, offer.slots) == (engine.window, engine.slots)
        assert engine.abilities <= offer.abilities
        assert offer.is_loaded
        assert not offer.reaches_cloud

    async def test_it_claims_nothing_where_nobody_answers(self) -> None:
        assert await self.adapter.examine(_fetch(Endpoint("127.0.0.1", 1, Boundary.HOST))) is None

    async def test_odd_answers_never_raise(self) -> None:
        for body in ODD_BODIES:
            offers = await self.adapter.examine(_always(Fetched(200, body)))
            assert all(isinstance(offer.engine_model, str) and offer.engine_model for offer in offers or ())

    async def test_its_sign_of_life_is_the_same_as_long_as_nothing_changes(self, engine: UnderTest) -> None:
        fetch = _fetch(engine.endpoint)
        before, after = [await fetch(self.adapter.alive_path) for _ in range(2)]
        assert before.status == 200
        assert self.adapter.mark(before.body) == self.adapter.mark(after.body)
        assert self.adapter.mark(before.body)

    def test_odd_signs_of_life_never_raise(self) -> None:
        for body in ODD_BODIES:
            assert self.adapter.mark(body) == self.adapter.mark(body)

    # -- counting -------------------------------------------------------------------------------------------------

    async def test_it_counts_what_it_then_reports(self, engine: UnderTest) -> None:
        asked = asking(engine)
        for chat in CHATS:
            counted = await self.adapter.count(asked, Ability.CHAT, {"model": engine.model, **chat})
            if not engine.counts:
                assert counted is None
                continue
            body = {"model": engine.model, **chat, "stream": False, "max_tokens": 1}
            status, answer = await ask(engine, "chat/completions", body)
            assert (status, counted) == (200, json.loads(answer)["usage"]["prompt_tokens"])

    async def test_it_counts_prompts_without_a_template(self, engine: UnderTest) -> None:
        if not engine.counts:
            return
        asked, text = asking(engine), "one two <|im_start|> three\n"
        status, answer = await ask(engine, "completions", {"model": engine.model, "prompt": text, "max_tokens": 1})
        reported = json.loads(answer)["usage"]["prompt_tokens"]
        count = self.adapter.count
        assert status == 200
        assert await count(asked, Ability.COMPLETIONS, {"model": engine.model, "prompt": text}) == reported
        assert await count(asked, Ability.COMPLETIONS, {"model": engine.model, "prompt": ["one", text]}) == reported
        assert await count(asked, Ability.EMBEDDINGS, {"model": engine.model, "input": [1, 2, 3]}) == 3
        assert await count(asked, Ability.EMBEDDINGS, {"model": engine.model, "input": [[1, 2], [1]]}) == 2
        assert await count(asked, Ability.EMBEDDINGS, {"model": engine.model, "input": ["many"] * 50}) is None

    async def test_what_cannot_be_counted_is_not_guessed(self) -> None:
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
        content = [{"type": "text", "text": "what is this?"}, image]
        many = _answering(Fetched(200, {"input_tokens": 7, "count": 7, "tokens": [1]}))
        chat = {"model": "m", "messages": [{"role": "user", "content": content}]}
        assert await self.adapter.count(many, Ability.CHAT, chat) is None
        for status in (0, 400, 404, 500):
            for body in ODD_BODIES:
                odd = _answering(Fetched(status, body))
                assert await self.adapter.count(odd, Ability.CHAT, {"model": "m", **CHATS[0]}) is None
        for body in ODD_BODIES:
            for ability in Ability:
                odd = _answering(Fetched(200, body))
                assert await self.adapter.count(odd, ability, {"model": "m", "prompt": "a", "input": "a"}) is None

    # -- errors ---------------------------------------------------------------------------------------------------

    def test_every_error_answer_becomes_a_failure(self) -> None:
        for status in (*range(400, 430), 451, *range(500, 512), 529):
            for body in ODD_BODIES:
                failure = self.adapter.failure(status, body)
                assert isinstance(failure, Failure)
                assert 400 <= failure.status < 600
                assert isinstance(failure.message, str)
                assert failure.message
                json.dumps(failure.envelope())

    def test_a_wrong_key_of_ours_is_not_the_callers_fault(self) -> None:
        for status in (401, 403):
            failure = self.adapter.failure(status, {"error": {"message": "Invalid API Key sk-secret"}})
            assert isinstance(failure, EngineFailed)
            assert "sk-secret" not in failure.message

    def test_busy_and_broken_are_told_apart(self) -> None:
        assert all(isinstance(self.adapter.failure(status, None), Overloaded) for status in (429, 503))
        assert all(isinstance(self.adapter.failure(status, None), EngineFailed) for status in (500, 502, 504))

    def test_a_refusal_keeps_its_message_and_parameter(self) -> None:
        failure = self.adapter.failure(
            400, {"error": {"message": "top_p is odd", "param": "top_p", "code": "odd_value"}}
        )
        assert (failure.status, failure.message, failure.param, failure.code) == (
            400,
            "top_p is odd",
            "top_p",
            "odd_value",
        )

    def test_recorded_overflows_are_known(self) -> None:
        for status, body, window, tokens in self.recorded_overflows:
            _assert_overflow(self.adapter.failure(status, body), window, tokens)

    # -- really asking --------------------------------------------------------------------------------------------

    async def test_a_prompt_that_is_too_long(self, engine: UnderTest) -> None:
        status, body = await ask(engine, "chat/completions", _chat(engine, "one two " * engine.window))
        if engine.tells_overflow:
            _assert_overflow(self.adapter.failure(status, json.loads(body)), engine.window, None)
        else:
            assert json.loads(body)["usage"]["prompt_tokens"] <= engine.window

    async def test_a_model_that_it_does_not_have(self, engine: UnderTest) -> None:
        status, body = await ask(engine, "chat/completions", {**_chat(engine, "hello"), "model": "no-such-model"})
        if engine.checks_model:
            assert isinstance(self.adapter.failure(status, json.loads(body)), ModelNotFound)
        else:
            assert status == 200

    async def test_an_answer_carries_its_usage(self, engine: UnderTest) -> None:
        status, body = await ask(engine, "chat/completions", {**_chat(engine, "hello"), "max_tokens": 3})
        answer = json.loads(body)
        assert (status, answer["usage"]["completion_tokens"]) == (200, 3)
        assert answer["usage"]["prompt_tokens"] > 0

    async def test_a_stream_carries_its_usage_when_asked(self, engine: UnderTest) -> None:
        asked = {**_chat(engine, "hello"), "max_tokens": 3, "stream": True, "stream_options": {"include_usage": True}}
        events = _events((await ask(engine, "chat/completions", asked))[1])
        assert events[-1] == "[DONE]"
        assert json.loads(events[-2])["choices"] == []
        assert json.loads(events[-2])["usage"]["completion_tokens"] == 3

    async def test_a_stream_has_no_usage_when_not_asked(self, engine: UnderTest) -> None:
        asked = {**_chat(engine, "hello"), "max_tokens": 3, "stream": True}
        events = _events((await ask(engine, "chat/completions", asked))[1])
        assert events[-1] == "[DONE]"
        assert all(json.loads(event)["choices"] for event in events[:-1])


def _assert_answer_or_failure(wire: Wire, body: dict[str, Any]) -> None:
    try:
        assert "object" in wire.answer(body)
    except Failure as failure:
        assert failure.message


def _assert_overflow(failure: Failure, window: int | None, tokens: int | None) -> None:
    assert isinstance(failure, ContextLengthExceeded), failure.envelope()
    assert (failure.type, failure.param) == ("invalid_request_error", "messages")
    assert (failure.status, failure.code) == (400, "context_length_exceeded")
    if window is not None:
        assert failure.message.startswith(f"This model's maximum context length is {window} tokens. However, your ")
    if tokens is not None:
        assert f" {tokens} tokens" in failure.message


def _chat(engine: UnderTest, text: str) -> dict[str, Any]:
    return {"model": engine.model, "messages": [{"role": "user", "content": text}]}


def _fetch(endpoint: Endpoint) -> Fetch:
    pool = Pool()

    async def fetch(path: str, *, about: dict[str, str] | None = None) -> Fetched:
        return await pool.fetch(endpoint, path, about=about)

    return fetch


def asking(engine: UnderTest) -> Ask:
    """As the gateway asks about the text of a call."""
    pool, endpoint = Pool(), engine.endpoint

    async def asked(path: str, body: dict[str, Any]) -> Fetched:
        return await pool.ask(endpoint, issue("call-1", Boundary.HOST, endpoint), path, body, 5.0)

    return asked


def _answering(fetched: Fetched) -> Ask:
    async def asked(path: str, body: dict[str, Any]) -> Fetched:
        return fetched

    return asked


def _always(fetched: Fetched) -> Fetch:
    async def fetch(path: str, *, about: dict[str, str] | None = None) -> Fetched:
        return fetched

    return fetch


def _events(body: bytes) -> list[str]:
    return [line.removeprefix("data: ") for line in body.decode().split("\n") if line.startswith("data: ")]


async def ask(engine: UnderTest, route: str, body: dict[str, Any], timeout_s: float = 20.0) -> tuple[int, bytes]:
    """(status, whole body) of a POST to /v1/`route`, on a connection of its own."""
    endpoint = engine.endpoint
    data = json.dumps(body).encode()
    lines = [f"POST {endpoint.prefix}/v1/{route} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
    lines += [f"Authorization: Bearer {endpoint.api_key}"] if endpoint.api_key else []
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_connection(endpoint.address, endpoint.port)
        try:
            writer.write("\r\n".join([*lines, "", ""]).encode() + data)
            head, _, rest = (await reader.read(-1)).partition(b"\r\n\r\n")
        finally:
            writer.close()
    is_chunked = b"transfer-encoding: chunked" in head.lower()
    return int(head.split(b" ", 2)[1]), _joined(rest) if is_chunked else rest


def _joined(chunked: bytes) -> bytes:
    whole = b""
    while chunked:
        size, _, rest = chunked.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            break
        whole += rest[:length]
        chunked = rest[length + 2 :]
    return whole
