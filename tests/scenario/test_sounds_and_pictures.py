"""Sounds and pictures go through as they are, or are refused by name; and no further than their request may."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import openai
import pytest
from composed import SECRET, target
from forms import FORM
from sounds import ALL, DRAWS, HEARS, SOUND, SPEAKS, SPOKEN, form, hear

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability, Endpoint, Medium
from ringfence.core.identity import Key
from ringfence.core.ports import Fetched
from ringfence.core.route import Ending, Profile, Tier
from ringfence.engines import vllm
from ringfence.gateway.http import Limits
from ringfence.signals.sensitivity import Sensitivity, Settings
from ringfence.testing import fake_media
from ringfence.testing.fake_dialects import Dialect, FakeModel
from ringfence.testing.fake_engine import FakeEngine

PIXELS = base64.b64encode(fake_media.PICTURE).decode()
URL = f"data:image/png;base64,{PIXELS}"
WAVES = base64.b64encode(b"RIFF" + bytes(200)).decode()
SEES, BLIND = frozenset((Medium.IMAGE,)), frozenset[Medium]()
WIDE = Profile("default", Boundary.CLOUD, Tier.SPEED_OPTIONAL)

PICTURE_ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": [
            {"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": URL}},
        ]}]},
    ),
    "messages": (
        "/v1/messages",
        {"max_tokens": 16, "messages": [{"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXELS}},
        ]}]},
    ),
    "responses": (
        "/v1/responses",
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": URL}]}]},
    ),
    "ollama_chat": (
        "/api/chat", {"stream": False, "messages": [{"role": "user", "content": "it?", "images": [PIXELS]}]},
    ),
    "ollama_generate": ("/api/generate", {"stream": False, "prompt": "it?", "images": [PIXELS]}),
}  # fmt: skip
"""By dialect: where a picture stands, and how it is asked about."""


def code_of(reply: Any) -> str:
    told = reply.json
    if isinstance(told["error"], str):
        return told["code"]
    return told["error"].get("code") or told["error"]["details"]["error_code"]


# -- in chats -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", PICTURE_ASKED)
async def test_a_picture_reaches_who_sees_byte_for_byte(serve: Any, engine: FakeEngine, dialect: str) -> None:
    path, body = PICTURE_ASKED[dialect]
    targets = (target("seat/blind", takes=BLIND), target("seat/sees", takes=SEES))
    gateway = await serve(targets=targets)
    client = await gateway.client()
    reply = await client.ask(path, body | {"model": "fast"})
    assert (reply.status, reply.head["x-ringfence-target"]) == (200, "seat/sees"), reply.body
    content = engine.calls[-1].body["messages"][-1]["content"]
    (picture,) = [part for part in content if part["type"] == "image_url"]
    assert picture["image_url"]["url"] == URL


@pytest.mark.parametrize("dialect", PICTURE_ASKED)
async def test_a_picture_is_refused_by_name_where_nothing_sees(serve: Any, engine: FakeEngine, dialect: str) -> None:
    path, body = PICTURE_ASKED[dialect]
    gateway = await serve(targets=(target(takes=BLIND),))
    client = await gateway.client()
    reply = await client.ask(path, body | {"model": "fast"})
    assert (reply.status, code_of(reply)) == (400, "media_not_supported")
    assert b"'fast' takes no image" in reply.body
    assert engine.calls == []


async def test_sounds_and_addresses_in_chats(serve: Any, engine: FakeEngine) -> None:
    gateway = await serve(targets=(target(takes=SEES),))
    client = await gateway.client()
    sound = {"type": "input_audio", "input_audio": {"data": WAVES, "format": "wav"}}
    asked = {"model": "fast", "messages": [{"role": "user", "content": [sound]}]}
    reply = await client.ask(body=asked)
    assert (reply.status, reply.error["code"], reply.error["param"]) == (400, "media_not_supported", "messages")
    away = {"type": "image", "source": {"type": "url", "url": "https://pictures.example/a.png"}}
    asked = {"model": "fast", "max_tokens": 9, "messages": [{"role": "user", "content": [away]}]}
    reply = await client.ask("/v1/messages", asked)
    assert (reply.status, code_of(reply)) == (400, "remote_media_refused")
    assert engine.calls == []
    gateway.pipeline.settings.decisions.clear()
    for each in (target(takes=None), target(takes=frozenset(Medium))):  # one that does not tell is tried
        other = await serve(targets=(each,))
        client = await other.client()
        reply = await client.ask(body={"model": "fast", "messages": [{"role": "user", "content": [sound]}]})
        assert reply.status == 200
        assert engine.calls[-1].body["messages"][0]["content"] == [sound]


async def test_a_picture_goes_no_further_than_its_request(serve: Any, engine: FakeEngine) -> None:
    """Only what lies in a cloud could see it: under a narrower profile it stays, whatever stands in the chain."""
    body = PICTURE_ASKED["chat"][1] | {"model": "fast"}
    targets = (target("seat/blind", takes=BLIND), target("seat/far", takes=SEES, boundary=Boundary.CLOUD))
    gateway = await serve(targets=targets, profile=Profile("default", Boundary.MESH, Tier.SPEED_OPTIONAL))
    client = await gateway.client()
    reply = await client.ask(body=body)
    assert (reply.status, reply.error["code"]) == (403, "boundary_refused")
    assert "that takes image lies beyond it" in reply.error["message"]
    assert engine.calls == []


async def test_pictures_are_kept_here_where_that_is_asked_for(serve: Any, engine: FakeEngine) -> None:
    body = PICTURE_ASKED["chat"][1] | {"model": "fast"}
    gateway = await serve(targets=(target(takes=SEES, boundary=Boundary.MESH),), profile=WIDE)
    client = await gateway.client()
    assert (await client.ask(body=body)).status == 200  # nobody reads it, and nobody was told to keep it
    gateway.pipeline.settings.sensitivity = Sensitivity(Settings(frozenset(("image",))))
    reply = await client.ask(body=body)
    assert (reply.status, reply.error["code"]) == (403, "boundary_refused")
    assert "kept there by image" in reply.error["message"]
    told = Settings(frozenset(("image",)), boundaries={"image": Boundary.MESH})
    gateway.pipeline.settings.sensitivity = Sensitivity(told)
    assert (await client.ask(body=body)).status == 200
    assert len(engine.calls) == 2


# -- spoken -------------------------------------------------------------------------------------------------------


async def test_what_is_spoken_comes_as_it_is_made(serve: Any, engine: FakeEngine) -> None:
    gateway = await serve(targets=(target(abilities=SPEAKS, window=8),))
    client = await gateway.client()
    for path in ("/v1/audio/speech", "/audio/speech"):
        reply = await client.ask(path, SPOKEN | {"speed": 1.5})
        assert (reply.status, reply.is_whole) == (200, True)
        assert reply.body == fake_media.sound(SPOKEN["input"])
        assert (reply.head["content-type"], reply.head["x-ringfence-target"]) == ("audio/wav", "seat/fast")
    assert engine.calls[-1].body == SPOKEN | {"speed": 1.5, "model": "fake-model"}
    assert [(one.kind.dialect, one.kind.outcome, one.usage) for one in gateway.answered] == [("speech", "ok", None)] * 2


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"input": ""}, "invalid_type", "input"),
        ({"input": ["a"]}, "invalid_type", "input"),
        ({"voice": "https://voices.example/a.wav"}, "remote_media_refused", "voice"),
        ({"voice": "/etc/passwd"}, "invalid_type", "voice"),
        ({"voice": {"id": "x"}}, "invalid_type", "voice"),
        ({"ref_audio": "https://voices.example/a.wav"}, "unsupported_parameter", "ref_audio"),
        ({"api_base": "http://11.77.0.1"}, "unsupported_parameter", "api_base"),
        ({"bootstrap_port": 9}, "unsupported_parameter", "bootstrap_port"),
    ],
)
async def test_what_may_not_be_said_for_speech(
    serve: Any, engine: FakeEngine, changes: dict[str, Any], code: str, param: str
) -> None:
    gateway = await serve(targets=(target(abilities=SPEAKS),))
    client = await gateway.client()
    reply = await client.ask("/v1/audio/speech", SPOKEN | changes)
    assert (reply.status, reply.error["code"], reply.error["param"]) == (400, code, param)
    assert engine.calls == []


async def test_what_is_to_be_spoken_is_read_as_any_text(serve: Any, engine: FakeEngine) -> None:
    """A key in it keeps it on this machine, and a model that only chats does not speak."""
    gateway = await serve(targets=(target(abilities=SPEAKS, boundary=Boundary.MESH),), profile=WIDE)
    client = await gateway.client()
    secret = SPOKEN | {"input": "the token is sk-proj-AbCdEfGhIjKlMnOpQrStUvWxYz0123456789abcd"}
    reply = await client.ask("/v1/audio/speech", secret)
    assert (reply.status, reply.error["code"]) == (403, "boundary_refused")
    assert (await client.ask("/v1/audio/speech", SPOKEN)).status == 200
    chats = await serve(targets=(target(abilities=frozenset((Ability.CHAT,))),))
    client = await chats.client()
    reply = await client.ask("/v1/audio/speech", SPOKEN)
    assert (reply.status, reply.error["code"]) == (400, "model_not_able")
    assert len(engine.calls) == 1


# -- heard --------------------------------------------------------------------------------------------------------


async def test_a_sound_is_heard_byte_for_byte(serve: Any, engine: FakeEngine) -> None:
    gateway = await serve(targets=(target(abilities=HEARS, window=448),))
    for path, more in (("transcriptions", ""), ("translations", ", in English")):
        fields = (("model", b"fast"), ("language", b"en"), ("temperature", b"0.2"), ("prompt", "Wörter".encode()))
        several = (("timestamp_granularities[]", b"word"), ("timestamp_granularities[]", b"segment"))
        reply = await hear(gateway, form(*fields, *several, filename='ö"..wav'), f"/v1/audio/{path}")
        assert (reply.status, reply.head["content-type"]) == (200, "application/json"), reply.body
        assert reply.json["text"] == f"heard {len(SOUND)} bytes{more}"
    told = engine.calls[-1]
    assert told.body == {
        "model": "fake-model", "language": "en", "temperature": "0.2", "prompt": "Wörter",
        "timestamp_granularities[]": ["word", "segment"], "file": len(SOUND),
    }  # fmt: skip
    (sound,) = [part for part in told.parts if part.filename is not None]
    assert (sound.data, sound.kind) == (SOUND, "audio/wav")
    reply = await hear(gateway, form(("model", b"fast"), ("response_format", b"text")))
    assert reply.head["content-type"] == "text/plain; charset=utf-8"
    assert reply.body == b"heard %d bytes\n" % len(SOUND)
    reply = await hear(gateway, form(("model", b"fast"), ("stream", b"true")))
    assert reply.head["content-type"] == "text/event-stream" and reply.events[-1] == "[DONE]"
    assert [one.kind.dialect for one in gateway.answered] == ["transcriptions", "translations", *["transcriptions"] * 2]


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"{}", "application/json", "invalid_multipart"),
        (b"--other\r\n", FORM, "invalid_multipart"),
        (form(("model", b"fast"))[:-20], FORM, "invalid_multipart"),
        (form(("model", b"fast"), sound=None), FORM, "invalid_type"),
        (form(("model", b"fast"), sound=b""), FORM, "invalid_type"),
        (form(), FORM, "invalid_type"),
        (form(("model", b"fast"), ("model", b"other")), FORM, "invalid_request"),
        (form(("model", b"fast"), ("prompt", b"\xff")), FORM, "invalid_type"),
        (form(("model", b"fast"), ("file_url", b"https://sounds.example/a.wav")), FORM, "unsupported_parameter"),
        (form(("model", b"fast"), ("language", b"//sounds.example")), FORM, "remote_media_refused"),
        (form(("model", b"fast"), ("vllm_xargs", b"1")), FORM, "unsupported_parameter"),
        (form(("model", b"fast"), ("prompt", b"a" * 70_000)), FORM, "invalid_request"),
    ],
)
async def test_forms_that_are_refused(serve: Any, engine: FakeEngine, body: bytes, kind: str, code: str) -> None:
    gateway = await serve(targets=(target(abilities=HEARS),))
    reply = await hear(gateway, body, kind=kind)
    assert (reply.status, reply.error["code"]) == (400, code), reply.body
    assert engine.calls == []


async def test_a_sound_that_nobody_can_read_stays_here(serve: Any, engine: FakeEngine) -> None:
    gateway = await serve(targets=(target(abilities=HEARS, boundary=Boundary.MESH),), profile=WIDE)
    reply = await hear(gateway, form(("model", b"fast")))
    assert (reply.status, reply.error["code"]) == (403, "boundary_refused")
    assert "kept there by audio" in reply.error["message"]
    assert engine.calls == []
    settings = Settings(boundaries={"audio": Boundary.MESH})
    gateway.pipeline.settings.sensitivity = Sensitivity(settings)
    assert (await hear(gateway, form(("model", b"fast")))).status == 200


async def test_a_sound_counts_for_no_tokens_and_is_bounded(serve: Any, engine: FakeEngine) -> None:
    key = Key("key_1", "tests", tokens_per_minute=1000)
    limits = Limits(max_body_bytes=40_000)
    gateway = await serve(targets=(target(abilities=HEARS),), key=key, limits=limits)
    assert (await hear(gateway, form(("model", b"fast"), sound=bytes(30_000)))).status == 200
    reply = await hear(gateway, form(("model", b"fast"), sound=bytes(50_000)))
    assert (reply.status, reply.error["code"]) == (413, "request_too_large")


async def test_what_cannot_be_kept_is_not_parked(serve: Any) -> None:
    far = (target(abilities=HEARS | SPEAKS),)
    gateway = await serve(engine=None, targets=far, profile=Profile("default", ending=Ending.PARK))
    gateway.seats.endpoint = Endpoint("127.0.0.1", 9, Boundary.HOST)
    reply = await hear(gateway, form(("model", b"fast")))
    assert (reply.status, reply.error["code"]) == (503, "target_unavailable")
    assert "not kept" in reply.error["message"] and "retry-after" in reply.head


# -- drawn --------------------------------------------------------------------------------------------------------


async def test_pictures_come_inside_their_answer(serve: Any, engine: FakeEngine) -> None:
    gateway = await serve(targets=(target(abilities=DRAWS),))
    client = await gateway.client()
    asked = {"model": "fast", "prompt": "A gate at night.", "n": 2, "size": "64x64", "steps": 4}
    reply = await client.ask("/v1/images/generations", asked)
    assert [base64.b64decode(one["b64_json"]) for one in reply.json["data"]] == [fake_media.PICTURE] * 2
    assert engine.calls[-1].body == asked | {"model": "fake-model", "response_format": "b64_json"}
    (row,) = gateway.answered
    assert row.usage is not None and (row.usage.prompt_tokens, row.usage.completion_tokens) == (5, 7)
    for changes, code in (
        ({"response_format": "url"}, "unsupported_parameter"),
        ({"image_url": "https://pictures.example/a.png"}, "unsupported_parameter"),
        ({"stream": True}, "invalid_type"),
    ):
        reply = await client.ask("/v1/images/generations", asked | changes)
        assert (reply.status, reply.error["code"]) == (400, code)
    assert len(engine.calls) == 1


# -- by the package of OpenAI -------------------------------------------------------------------------------------


async def test_the_openai_package(serve: Any, engine: FakeEngine) -> None:
    gateway = await serve(targets=(target(abilities=ALL),))

    def work() -> None:
        url = f"http://127.0.0.1:{gateway.port}/v1"
        with openai.OpenAI(base_url=url, api_key=SECRET.decode(), max_retries=0, timeout=10) as client:
            said = client.audio.speech.create(model="fast", voice="alloy", input="The night watch.")
            assert said.content == fake_media.sound("The night watch.")
            with client.audio.speech.with_streaming_response.create(
                model="fast", voice="alloy", input="The night watch.", response_format="wav"
            ) as streamed:
                assert b"".join(streamed.iter_bytes(7)) == fake_media.sound("The night watch.")
            sound = ("gate.wav", SOUND, "audio/wav")
            heard = client.audio.transcriptions.create(
                model="fast", file=sound, response_format="verbose_json", timestamp_granularities=["word"]
            )
            assert heard.text == f"heard {len(SOUND)} bytes"
            assert client.audio.transcriptions.create(model="fast", file=sound, response_format="text").startswith("he")
            events = list(client.audio.transcriptions.create(model="fast", file=sound, stream=True))
            assert events[-1].type == "transcript.text.done" and events[-1].text == f"heard {len(SOUND)} bytes"
            assert client.audio.translations.create(model="fast", file=sound).text.endswith("in English")
            drawn = client.images.generate(model="fast", prompt="A gate.", n=1, size="256x256")
            assert base64.b64decode(drawn.data[0].b64_json) == fake_media.PICTURE
            with pytest.raises(openai.BadRequestError) as caught:
                client.audio.transcriptions.create(model="fast", file=("empty.wav", b"", "audio/wav"))
            assert caught.value.param == "file"

    await asyncio.to_thread(work)


async def test_vllm_tells_that_it_hears() -> None:
    pages = Dialect("vllm", (FakeModel("whisper", hears=True),), 4, ())

    async def fetch(path: str, **_: Any) -> Fetched:
        return Fetched(200, pages.description(path))

    (offer,) = await vllm.ADAPTER.examine(fetch) or []
    assert offer.abilities == frozenset((Ability.TRANSCRIPTION, Ability.TRANSLATION))


@pytest.mark.slow
async def test_the_whole_program(start_up: Any, tiny_model: Path, tmp_path: Path) -> None:
    """A real llama.cpp that sees nothing, a vLLM that hears, and an engine of which the settings say what it can."""
    hears, speaks = FakeEngine("vllm", (FakeModel("whisper", hears=True),)), FakeEngine("vllm", (FakeModel("voice"),))
    async with hears, speaks:
        file = tmp_path / "ringfence.yaml"
        file.write_text(
            f"models:\n  tiny: {{source: {tiny_model}}}\n"
            f"  ears: {{url: 'http://127.0.0.1:{hears.port}'}}\n"
            f"  voice: {{url: 'http://127.0.0.1:{speaks.port}', engine: openai_compatible, "
            "abilities: [speech, images], media: [image]}\n"
        )
        up = await asyncio.to_thread(start_up, "--config", str(file))

        def work() -> None:
            told = {"base_url": up.base_url, "api_key": up.api_key, "max_retries": 0, "timeout": 20}
            with openai.OpenAI(**told) as client:
                rows = {row.id: row.to_dict() for row in client.models.list()}
                assert [rows[name]["media"] for name in ("tiny", "ears", "voice")] == [[], None, ["image"]]
                assert rows["voice"]["abilities"] == ["images", "speech"]
                with pytest.raises(openai.BadRequestError) as caught:
                    client.chat.completions.create(model="tiny", messages=PICTURE_ASKED["chat"][1]["messages"])
                assert caught.value.code == "media_not_supported"
                sound = ("gate.wav", SOUND, "audio/wav")
                assert client.audio.transcriptions.create(model="ears", file=sound).text == f"heard {len(SOUND)} bytes"
                said = client.audio.speech.create(model="voice", voice="alloy", input="Who goes there?")
                assert said.content == fake_media.sound("Who goes there?")
                with pytest.raises(openai.BadRequestError) as caught:
                    client.audio.speech.create(model="tiny", voice="alloy", input="Who goes there?")
                assert caught.value.code == "model_not_able"
                with pytest.raises(openai.BadRequestError) as caught:
                    lines = client.files.create(file=("a.jsonl", b"{}"), purpose="batch")
                    client.batches.create(
                        input_file_id=lines.id,
                        endpoint="/v1/audio/speech",
                        completion_window="24h",  # type: ignore
                    )
                assert caught.value.param == "endpoint"

        await asyncio.to_thread(work)
