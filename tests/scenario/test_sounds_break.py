"""What breaks on the way from engines that speak, hear and draw, beside the matrix of tests/faults."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from composed import Gateway, request, target, until
from sounds import ALL, ASKED, SPEAKS, SPOKEN, ask, form, hear

from ringfence.testing import fake_media
from ringfence.testing.fake_engine import Behaviour, FakeEngine, Fault


async def test_who_leaves_stops_the_engine(serve: Any, engine: FakeEngine) -> None:
    gateway = await serve(targets=(target(abilities=SPEAKS),))
    engine.once(Behaviour(between_s=5.0))
    client = await gateway.client()
    await client.send(request("/v1/audio/speech", SPOKEN))
    assert (await client.head()).status == 200
    client.leave()
    await until(lambda: engine.calls[-1].client_left_s is not None)
    (row,) = gateway.answered
    assert (row.kind.status, row.kind.outcome) == (499, "client_gone")


async def test_an_engine_that_refuses_is_quoted(serve: Any, engine: FakeEngine) -> None:
    gateway = await serve(targets=(target(abilities=ALL),))
    said = {"error": {"message": "voice 'alloy' is not known", "type": "BadRequestError", "code": 400}}
    for name in ASKED:
        engine.once(Behaviour(Fault.STATUS, status=400, body=said))
        reply = await ask(gateway, name)
        assert (reply.status, reply.error["message"]) == (400, "voice 'alloy' is not known")


async def answered(
    gateway: Gateway, engine: FakeEngine, name: str, body: Any, more: dict[str, Any] | None = None
) -> Any:
    """What comes of an engine that answers with this."""
    engine.once(Behaviour(Fault.STATUS, status=200, body=body))
    path, asked = ASKED[name]
    if isinstance(asked, bytes):
        asked = form(("model", b"fast"), *((one, value.encode()) for one, value in (more or {}).items()))
        return await hear(gateway, asked, path)
    client = await gateway.client()
    return await client.ask(path, asked | (more or {}))


@pytest.mark.parametrize(
    ("name", "more", "body", "status"),
    [
        ("transcriptions", {"response_format": "vtt"}, "WEBVTT\n\n00:00.000 --> 00:01.000\nHalt!\n", 200),
        ("transcriptions", {"response_format": "text"}, "", 200),  # nobody speaks in it
        ("transcriptions", {"response_format": "text"}, "\n<html><body>Bad gateway</body></html>", 502),
        ("transcriptions", {"response_format": "srt"}, {"error": {"message": "out of memory"}}, 502),
        ("transcriptions", {"response_format": "verbose_json"}, {"text": "", "segments": []}, 200),
        ("transcriptions", {}, {"segments": []}, 502),
        ("transcriptions", {"stream": "true"}, {"text": "Halt!"}, 200),  # an engine that knows nothing of events
        ("speech", {"stream_format": "sse"}, "RIFF of an engine that knows nothing of events", 200),
        ("speech", {}, "<the first bytes of a sound without a head>", 200),
        ("speech", {}, "<!doctype HTML><html></html>", 502),
        ("speech", {}, {"detail": "no such voice"}, 502),
        ("images", {}, {"data": []}, 502),
        ("images", {}, {"data": [{"b64_json": "A" * 2_000_000}]}, 200),
        ("images", {}, '{"data": [{"b64_json": "' + "A" * 2_000_000, 502),  # too long to be read, and without its end
    ],
)  # fmt: skip
async def test_what_is_an_answer(
    serve: Any, engine: FakeEngine, name: str, more: dict[str, Any], body: Any, status: int
) -> None:
    gateway = await serve(targets=(target(abilities=ALL),), retries=0)
    reply = await answered(gateway, engine, name, body, more)
    assert (reply.status, reply.is_whole) == (status, True)
    if status == 200:
        assert reply.body == (body if isinstance(body, str) else json.dumps(body)).encode()
    else:
        assert reply.error["code"] == "engine_failed"


async def test_a_sound_as_events(serve: Any, engine: FakeEngine) -> None:
    gateway = await serve(targets=(target(abilities=ALL),))
    client = await gateway.client()
    asked = SPOKEN | {"stream_format": "sse"}
    reply = await client.ask("/v1/audio/speech", asked)
    events = [json.loads(event) for event in reply.events]
    assert reply.head["content-type"] == "text/event-stream" and reply.is_whole
    assert [one["type"] for one in events] == ["speech.audio.delta"] * (len(events) - 1) + ["speech.audio.done"]
    assert b"".join(base64.b64decode(one["audio"]) for one in events[:-1]) == fake_media.sound(SPOKEN["input"])
    engine.once(Behaviour(Fault.CUT, between_s=0.2))
    reply = await client.ask("/v1/audio/speech", asked)
    assert json.loads(reply.events[-1])["error"]["code"] == "engine_failed"
    whole, cut = gateway.answered
    assert whole.usage is not None and (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (4, 9)
    assert (whole.kind.outcome, cut.kind.outcome) == ("ok", "lost")
