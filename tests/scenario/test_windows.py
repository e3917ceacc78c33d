"""What an engine says of its window and of a prompt's tokens: in refusals, when asked to count, in its reports."""

from __future__ import annotations

import json
import re
from time import monotonic
from typing import Any

import pytest
from composed import CHAT, PATH, STREAM, Gateway, recorded, scripted, target

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Endpoint
from ringfence.core.errors import BoundaryRefused
from ringfence.core.identity import Key
from ringfence.core.route import Overlong, Profile
from ringfence.egress.permit import Permit, issue
from ringfence.gateway.call import Call
from ringfence.gateway.dialects.chat import DIALECT
from ringfence.gateway.fitting import prepared
from ringfence.gateway.meters import media_bytes
from ringfence.gateway.reported import By, Counted
from ringfence.telemetry.events import CountGap, Retried
from ringfence.testing.fake_dialects import FakeModel
from ringfence.testing.fake_engine import Behaviour, FakeEngine, Fault

LONG = [{"role": "user", "content": " ".join(["word"] * 300)}]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAcAAAAFCAIAAAAG+GGPAAAAFElEQVR4nGM8wcXFgAGYMIWoIgoAYCIA5sHZx4oAAAAASUVORK5CYII="
CANARY = "nobody-else-says-this"


def call_of(body: dict[str, Any]) -> Call:
    return Call("call-1", Key("key_1", "tests"), DIALECT, "fast", body, 100, False, monotonic())


WHOLE_OR_NOT = pytest.mark.parametrize("body", [CHAT, STREAM], ids=["whole", "stream"])
REFUSES = Profile("default", overlong=Overlong.REFUSE)


@WHOLE_OR_NOT
async def test_a_window_that_was_learned_wrong(serve: Any, body: dict[str, Any]) -> None:
    """The refusal is ours, nobody is blamed, nobody else is tried, and what the engine said is passed on."""
    async with FakeEngine("vllm", (FakeModel(window=200),)) as engine:
        gateway: Gateway = await serve(
            engine=engine.endpoint, targets=(target(), target("seat/other")), profile=REFUSES
        )
        told: list[tuple[str, int]] = []
        gateway.relay.correct = lambda where, window: told.append((where.name, window))
        client = await gateway.client()
        reply = await client.ask(PATH, body | {"messages": LONG})
        assert (reply.status, reply.error["code"], reply.error["param"]) == (400, "context_length_exceeded", "messages")
        assert reply.error["message"].startswith(
            "This model's maximum context length is 200 tokens. However, your messages resulted in 300 tokens."
        )
        assert told == [("seat/fast", 200)]
        assert len(engine.calls) == 1, "not elsewhere with the same window"
        assert not [event for event in gateway.happened if type(event) is Retried]
        assert gateway.pipeline.health.is_usable(target())
        assert (await client.ask(PATH, CHAT)).status == 200


class TestRefusedByTheEngine:
    """It is believed, and gets less, where the profile allows that anything is shortened."""

    @WHOLE_OR_NOT
    async def test_it_gets_less(self, serve: Any, body: dict[str, Any]) -> None:
        async with FakeEngine("vllm", (FakeModel(window=400),)) as engine:
            gateway: Gateway = await serve(engine=engine.endpoint, targets=(target(),))
            asked = [
                {"role": "user", "content": f"old {LONG[0]['content']}"},
                {"role": "assistant", "content": "so"},
                *LONG,
            ]
            reply = await (await gateway.client()).ask(PATH, body | {"messages": asked, "max_tokens": 50})
            assert reply.status == 200
            told = re.fullmatch(r"truncated; before=602; after=(\d+)", reply.head["x-ringfence-window"])
            first, last = engine.calls
            assert len(first.body["messages"]) == 3
            assert [last.body["messages"][-1]] == LONG, "the user's last message is whole"
            assert told
            assert 300 <= int(told[1]) <= 350
            assert not [event for event in gateway.happened if type(event) is Retried]
            assert gateway.pipeline.health.is_usable(target())

    async def test_images_that_may_fit_are_left_to_its_judgement(self, serve: Any) -> None:
        """Of a family that nobody knows: the most that they can come to is beyond the window."""
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
        asked = CHAT | {"messages": [{"role": "user", "content": [image, {"type": "text", "text": "what is it?"}]}]}
        async with FakeEngine("vllm", (FakeModel(window=2048),)) as engine:
            gateway: Gateway = await serve(engine=engine.endpoint, targets=(target(window=2048),))
            reply = await (await gateway.client()).ask(PATH, asked)
            assert (reply.status, reply.head["x-ringfence-window"]) == (200, "fit")
            assert engine.calls[-1].body["messages"] == asked["messages"]
        async with FakeEngine("openai_compatible", (FakeModel(window=2048),)) as engine:
            seat = target(window=2048, engine="openai_compatible")
            gateway = await serve(engine=engine.endpoint, targets=(seat,))
            reply = await (await gateway.client()).ask(PATH, asked)
            assert (reply.status, reply.error["code"]) == (400, "context_length_exceeded"), "it may cut them unsaid"
            assert not engine.calls
            seat = target(window=2048, engine="openai_compatible", family="gemma3")
            gateway = await serve(engine=engine.endpoint, targets=(seat,))
            assert (await (await gateway.client()).ask(PATH, asked)).status == 200

    async def test_images_leave_room_for_text_when_they_are_refused(self, serve: Any) -> None:
        """By what the engine says of all of it, less than what their rule tells."""
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
        old = [{"role": "user", "content": LONG[0]["content"] * 4}, {"role": "assistant", "content": "so"}]
        asked = CHAT | {"messages": [*old, {"role": "user", "content": [image, {"type": "text", "text": "and this?"}]}]}
        said = {
            "message": "This model's maximum context length is 2048 tokens. However, your prompt contains 2300 input"
        }
        refusal = json.dumps({"error": said | {"code": 400}}).encode()
        refusal = b"HTTP/1.1 400 Bad Request\r\ncontent-length: %d\r\n\r\n%b" % (len(refusal), refusal)
        async with recorded(refusal) as (endpoint, bodies):
            gateway: Gateway = await serve(engine=endpoint, targets=(target(window=2048),))
            await (await gateway.client()).ask(PATH, asked)
            assert len(bodies) > 1, "it is asked once more"
            assert len(bodies[0]["messages"]) == 3
            assert bodies[1]["messages"][-1] == asked["messages"][-1]
            assert len(str(bodies[1]["messages"])) < len(str(bodies[0]["messages"]))

    async def test_by_an_unknown_excess(self, serve: Any) -> None:
        """Once by a good part, and then by the bound of its bytes, which always holds."""
        asked = CHAT | {"messages": [{"role": "user", "content": LONG[0]["content"] * 20}]}
        said = json.dumps({"error": {"message": "too long", "code": "context_length_exceeded"}}).encode()
        refusal = b"HTTP/1.1 400 Bad Request\r\ncontent-length: %d\r\n\r\n%b" % (len(said), said)
        async with recorded(refusal) as (endpoint, bodies):
            gateway: Gateway = await serve(engine=endpoint, targets=(target(),))
            reply = await (await gateway.client()).ask(PATH, asked)
            assert (reply.status, reply.error["code"]) == (400, "context_length_exceeded")
            sizes = [len(json.dumps(body["messages"])) for body in bodies]
            assert len(sizes) == 3
            assert sizes[0] > sizes[1] > sizes[2]
            assert sizes[2] + bodies[2]["max_tokens"] <= 4096

    async def test_nothing_is_left_to_shorten(self, serve: Any) -> None:
        """The engine's own refusal, once: it would say the same again."""
        async with FakeEngine("vllm", (FakeModel(window=2),)) as engine:
            gateway: Gateway = await serve(engine=engine.endpoint, targets=(target(),))
            reply = await (await gateway.client()).ask(PATH, CHAT | {"messages": LONG})
            assert (reply.status, reply.error["code"]) == (400, "context_length_exceeded")
            assert len(engine.calls) == 1

    async def test_an_embedding_is_never_cut(self, serve: Any) -> None:
        async with FakeEngine("vllm", (FakeModel(window=200),)) as engine:
            gateway: Gateway = await serve(engine=engine.endpoint, targets=(target(),))
            body = {"model": "fast", "input": LONG[0]["content"]}
            reply = await (await gateway.client()).ask("/v1/embeddings", body)
            assert (reply.status, reply.error["code"], len(engine.calls)) == (400, "context_length_exceeded", 1)


async def test_one_that_refuses_within_a_stream(serve: Any) -> None:
    """SGLang answers 200 and begins with the error."""
    said = {"message": "The input (300 tokens) is longer than the model's context length (200 tokens).", "code": 400}
    event = b"data: " + json.dumps({"error": said}).encode() + b"\n\n"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
    async with scripted(head + event) as endpoint:
        gateway: Gateway = await serve(engine=endpoint, targets=(target(engine="openai_compatible"),))
        told: list[int] = []
        gateway.relay.correct = lambda _where, window: told.append(window)
        reply = await (await gateway.client()).ask(PATH, STREAM)
        assert (reply.status, reply.error["code"], told) == (400, "context_length_exceeded", [200])


class TestCounting:
    async def test_the_engine_of_the_call_is_asked_and_no_other(self, serve: Any, engine: FakeEngine) -> None:
        async with FakeEngine("vllm") as other:
            gateway: Gateway = await serve()
            gateway.seats.elsewhere["seat/other"] = other.endpoint
            body = CHAT | {"model": "fake-model", "messages": [{"role": "user", "content": f"one {CANARY}"}]}
            permit = issue("call-1", Boundary.HOST, engine.endpoint)
            count = await gateway.relay.count(call_of(body), target(), engine.endpoint, body, permit)
            assert count == 2
            assert [request.path for request in engine.requests] == ["/tokenize"]
            assert CANARY in json.dumps(engine.requests[0].body)
            assert other.requests == []
            assert engine.calls == []

    async def test_a_permit_that_does_not_reach_it_sends_nothing(self, serve: Any, engine: FakeEngine) -> None:
        gateway: Gateway = await serve()
        body = CHAT | {"model": "fake-model"}
        meshed = Endpoint("127.0.0.1", engine.port, Boundary.MESH)
        for permit in (issue("call-1", Boundary.HOST, engine.endpoint), Permit("call-1", Boundary.HOST, Boundary.MESH)):
            with pytest.raises(BoundaryRefused):
                await gateway.relay.count(call_of(body), target(boundary=Boundary.MESH), meshed, body, permit)
        assert engine.requests == []

    async def test_a_provider_is_never_asked(self, serve: Any, engine: FakeEngine) -> None:
        gateway: Gateway = await serve()
        far = target(boundary=Boundary.CLOUD, provider="rented")
        permit = issue("call-1", Boundary.HOST, engine.endpoint)
        assert await gateway.relay.count(call_of(CHAT), far, engine.endpoint, CHAT, permit) is None
        assert engine.requests == []

    async def test_what_is_far_too_long_does_not_take_the_engines_time(self, serve: Any, engine: FakeEngine) -> None:
        gateway: Gateway = await serve()
        permit = issue("call-1", Boundary.HOST, engine.endpoint)
        call = call_of(CHAT)
        body = call.body
        for size_bytes, window, count in (
            (65_536, 4096, 2),
            (65_537, 4096, None),
            (2**20, None, 2),
            (2**21, None, None),
        ):
            call.body_bytes = size_bytes
            assert await gateway.relay.count(call, target(window=window), engine.endpoint, body, permit) == count
        shortened = dict(body)
        assert await gateway.relay.count(call, target(), engine.endpoint, shortened, permit) == 2
        assert len(engine.counted) == 3

    async def test_an_engine_that_does_not_answer_costs_a_bounded_time(
        self, serve: Any, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("ringfence.gateway.relay.COUNT_S", 0.05)
        gateway: Gateway = await serve()
        engine.always = Behaviour(Fault.HANG)
        permit = issue("call-1", Boundary.HOST, engine.endpoint)
        assert await gateway.relay.count(call_of(CHAT), target(), engine.endpoint, CHAT, permit) is None


class TestReports:
    async def test_prompts_teach_a_ratio(self, serve: Any, engine: FakeEngine) -> None:
        gateway: Gateway = await serve()
        client = await gateway.client()
        for stream in (False, True):
            for _ in range(16):
                assert (await client.ask(PATH, CHAT | {"messages": LONG, "stream": stream})).status == 200
        reported = gateway.pipeline.reported
        reported.settle()
        estimate = reported.ratios.estimate("seat/fast", 1590)
        assert estimate is not None
        assert 300 <= estimate <= 330
        assert not [event for event in gateway.happened if type(event) is CountGap]

    async def test_what_is_held_against_a_limit_is_learned_and_never_above_the_window(
        self, serve: Any, engine: FakeEngine
    ) -> None:
        gateway: Gateway = await serve(targets=(target(window=4096),))
        pipeline = gateway.pipeline
        decision = pipeline.decided(call_of(CHAT))
        assert decision is not None
        call = call_of({"messages": LONG})
        call.body_bytes = 1590
        assert pipeline.prompt_tokens(call, decision) == 1590 // 4
        for _ in range(32):
            pipeline.reported.ratios.learn("seat/fast", 1590, 300)
        assert 300 <= pipeline.prompt_tokens(call, decision) <= 330
        call.body_bytes = 2**20
        assert pipeline.prompt_tokens(call, decision) == 4096
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'A' * 2**20}"}}
        call = call_of({"messages": [{"role": "user", "content": [image]}]})
        call.body_bytes, call.media_bytes = 2**20 + 1000, media_bytes(call.body)
        assert pipeline.prompt_tokens(call, decision) < 400
        assert call.text_bytes < 1000

    async def test_a_template_is_measured_and_dropped_after_a_gap(self, serve: Any, engine: FakeEngine) -> None:
        gateway: Gateway = await serve(targets=(target(window=1024),))
        client = await gateway.client()
        asked = CHAT | {"messages": [{"role": "user", "content": "word " * 30}], "max_tokens": 200}
        meters = gateway.pipeline.meters
        for counted in (7, 7):  # the six probes, and what had them made: since then it surely fits
            assert (await client.ask(PATH, asked)).head["x-ringfence-window"] == "fit"
            assert len(engine.counted) <= counted
        assert meters.measured(target(window=1024), asked) is not None
        meters.distrust("seat/fast")
        before = len(engine.counted)
        assert (await client.ask(PATH, asked)).status == 200
        assert len(engine.counted) == before + 1, "by the engine's count alone, again"

    async def test_a_gap_is_told_without_any_text(
        self, serve: Any, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gateway: Gateway = await serve()

        def counting(call: Call, *others: Any) -> dict[str, Any]:
            call.counted = Counted(7, By.BOUND)
            return prepared(call, *others)

        monkeypatch.setattr("ringfence.gateway.pipeline.prepared", counting)
        client = await gateway.client()
        asked = CHAT | {"messages": [{"role": "user", "content": " ".join([CANARY] * 9)}]}
        reply = await client.ask(PATH, asked)
        gateway.pipeline.reported.settle()
        gateway.events.flush()
        [gap] = [event for event in gateway.happened if type(event) is CountGap]
        assert gap == CountGap(reply.head["x-request-id"], "seat/fast", 7, 9, "bound", "above")
        assert CANARY not in repr(gateway.happened)
