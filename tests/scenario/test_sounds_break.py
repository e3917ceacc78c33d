"""What breaks on the way from engines that speak, hear and draw, beside the matrix of tests/faults."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from composed import request, target, until
from sounds import ALL, ASKED, SPEAKS, SPOKEN, ask

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


WAV, JSON, TEXT, EVENTS = "audio/wav", "application/json", "text/plain", "text/event-stream"
DRAWN = b'{"data": [{"b64_json": "%b"}]}' % (b"A" * 2_000_000)
LEGACY = b"event: transcript.text.delta\ndata: {}\n\nevent: transcript.text.done\ndata: {}\n\n"
ANSWERS: list[tuple[str, dict[str, Any], str, bytes]] = [
    ("transcriptions", {}, JSON, b'\n\xef\xbb\xbf{"text": ""}\n'),
    ("transcriptions", {"response_format": "verbose_json"}, JSON, b'{"text": "Halt!", "segments": []}'),
    ("transcriptions", {"response_format": "vtt"}, "text/vtt", b"WEBVTT\n\n00:00.000 --> 00:01.000\nHalt!\n"),
    ("transcriptions", {"response_format": "srt"}, TEXT, b"1\n00:00 --> 00:01\nHal\xe2\x82\n"),  # whisper.cpp
    ("transcriptions", {"response_format": "text"}, TEXT, b""),  # nobody speaks in it
    ("transcriptions", {"response_format": "text"}, JSON, b'{"text": "Halt!"}'),
    # As events: of an engine that knows nothing of them, that says where they end in other words, or not at all.
    ("transcriptions", {"stream": "true"}, JSON, b'{"text": "Halt!"}'),
    ("transcriptions", {"stream": "true"}, JSON, b'\n\n{"text": "Halt!"}'),
    ("transcriptions", {"stream": "true", "response_format": "text"}, TEXT, b"right here, the gates are shut\n"),
    ("transcriptions", {"stream": "true"}, "application/x-ndjson", b'{"text": "Halt!"}\n{"text": " Who"}\n'),
    ("transcriptions", {"stream": "true"}, EVENTS, b'data: {"text": "Halt!"}\n\ndata: {"text": "Who"}\n\n'),
    ("transcriptions", {"stream": "true", "response_format": "vtt"}, EVENTS, b"data: 00:00.000 Halt!\n\n"),
    ("transcriptions", {"stream": "true"}, EVENTS, LEGACY),
    ("speech", {"stream_format": "sse"}, WAV, b"RIFF\xff\0\0"),
    ("speech", {"response_format": "pcm"}, "audio/pcm", b"<{\0\1\2"),
    ("speech", {}, WAV, b"<\0 as no format begins \xff"),
    ("images", {}, JSON, DRAWN),
]  # fmt: skip
"""What engines answer that are well: the type that they say it is, and all of it."""
NONE: list[tuple[str, dict[str, Any], str, bytes]] = [
    ("transcriptions", {}, JSON, b'{"segments": []}'),
    ("transcriptions", {}, JSON, b'{"text": [1]}'),
    ("transcriptions", {}, TEXT, b"Halt!"),
    ("transcriptions", {"response_format": "text"}, TEXT, b"\n<!-- a proxy --><html><body>Bad gateway</body></html>"),
    ("transcriptions", {"response_format": "srt"}, TEXT, b'\n{"error": {"message": "out of memory"}}'),
    ("transcriptions", {"response_format": "text"}, JSON, b'{"detail": "Internal Server Error"}'),
    ("transcriptions", {"stream": "true"}, "application/x-ndjson", b'{"text": "Halt!"}\n{"text": " Wh'),
    ("transcriptions", {"stream": "true"}, EVENTS, b'data: {"text": "Halt!"}\n\ndata: {"te'),
    ("transcriptions", {"stream": "true"}, EVENTS, LEGACY.partition(b"event: transcript.text.done")[0]),
    ("speech", {}, "text/html", b"\n<!doctype HTML><html></html>"),
    ("speech", {}, WAV, b"<!-- a proxy -->\n<html></html>"),
    ("speech", {"response_format": "pcm"}, WAV, b"<html><body>Bad gateway</body></html>"),
    ("speech", {}, TEXT, b"Internal Server Error"),
    ("speech", {}, JSON, b'[{"error": "no such voice"}]'),
    ("speech", {}, JSON, b'{"detail": "no such voice"}'),
    ("speech", {"response_format": "pcm"}, "text/html", b"<html><body>Bad gateway</body></html>"),
    ("images", {}, JSON, b'{"data": []}'),
    ("images", {}, JSON, b'{"data": [{"b64_json": null}]}'),
    ("images", {}, JSON, b'{"data": [{"url": "http://127.0.0.1:8000/a.png"}]}'),
    ("images", {}, JSON, DRAWN[:-3]),  # too long to be read, and without its end
]  # fmt: skip
"""What is none, in spite of its status 200."""


def saying(kind: str, data: bytes) -> Behaviour:
    async def say(wire: Any, _parts: Any, _is_stream: bool) -> bool:
        await wire.send(wire.head(200, kind, len(data)) + data)
        return True

    return Behaviour(twist=say)


async def told(serve: Any, engine: FakeEngine, name: str, more: dict[str, Any], saying: Behaviour) -> tuple[Any, str]:
    """What comes of an engine that says this once: the answer, and the outcome in the ledger."""
    gateway = await serve(targets=(target(abilities=ALL),), retries=0)
    engine.once(saying)
    reply = await ask(gateway, name, **more)
    (row,) = gateway.answered
    return reply, row.kind.outcome


@pytest.mark.parametrize(("name", "more", "kind", "data"), ANSWERS)
async def test_what_is_an_answer(
    serve: Any, engine: FakeEngine, name: str, more: dict[str, Any], kind: str, data: bytes
) -> None:
    reply, outcome = await told(serve, engine, name, more, saying(kind, data))
    assert (reply.status, reply.is_whole, reply.body, outcome) == (200, True, data, "ok")


@pytest.mark.parametrize(("name", "more", "kind", "data"), NONE)
async def test_what_is_none(
    serve: Any, engine: FakeEngine, name: str, more: dict[str, Any], kind: str, data: bytes
) -> None:
    reply, outcome = await told(serve, engine, name, more, saying(kind, data))
    said = reply.json if reply.status != 200 else json.loads(reply.events[-1])
    assert (reply.is_whole, said["error"]["code"]) == (True, "engine_failed")
    assert outcome == ("engine_failed" if reply.status != 200 else "lost")


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
