"""What goes wrong, as callers of the openai package see it: its own error classes, with code and parameter."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from ringfence.testing.fake_engine import Behaviour, Fault

ASKED = [{"role": "user", "content": "Say something."}]
FREED_S = 0.1


@pytest.fixture(scope="module")
def client(gateway: Any) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=gateway.base_url, api_key=gateway.api_key, max_retries=0, timeout=30) as client:
        yield client


@pytest.fixture
def fragile(impatient: Any) -> Iterator[openai.OpenAI]:
    """A client of the gateway whose only engine misbehaves; each test begins with one that works."""
    impatient.engine._next.clear()
    with openai.OpenAI(base_url=impatient.base_url, api_key=impatient.api_key, max_retries=0, timeout=10) as client:
        waiting = client.with_options(max_retries=10)  # it may be set aside still, after the test before
        waiting.chat.completions.create(model="fragile", messages=ASKED)
        impatient.engine.requests.clear()
        yield client


# -- the request is at fault ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", ["sk-rf-wrong", "none"])
def test_401_for_a_key_that_is_not_known(gateway: Any, secret: str) -> None:
    with openai.OpenAI(base_url=gateway.base_url, api_key=secret) as client:
        for ask in (client.models.list, lambda: client.chat.completions.create(model="tiny", messages=ASKED)):
            with pytest.raises(openai.AuthenticationError) as caught:
                ask()
            assert caught.value.code == "invalid_api_key" and "API key" in caught.value.message


def test_401_for_a_revoked_key(gateway: Any, make_key: Any) -> None:
    with openai.OpenAI(base_url=gateway.base_url, api_key=make_key("short-lived"), max_retries=0) as client:
        assert client.models.list().data
        assert gateway.run("keys", "revoke", "short-lived").returncode == 0
        with pytest.raises(openai.AuthenticationError):
            client.models.list()


@pytest.mark.parametrize("stream", [False, True])
def test_404_for_a_model_that_is_not_served(client: openai.OpenAI, stream: bool) -> None:
    asks: list[Callable[[], Any]] = [
        lambda: client.chat.completions.create(model="gpt-9", messages=ASKED, stream=stream),
        lambda: client.completions.create(model="gpt-9", prompt="a", stream=stream),
        lambda: client.embeddings.create(model="gpt-9", input="a"),
        lambda: client.models.retrieve("gpt-9"),
    ]
    for ask in asks:
        with pytest.raises(openai.NotFoundError) as caught:
            ask()
        assert (
            caught.value.code == "model_not_found" and caught.value.param == "model" and "gpt-9" in caught.value.message
        )


def test_404_for_what_is_not_offered(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.fine_tuning.jobs.list()
    assert caught.value.code == "not_found"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"tools": {}}, "tools"),
        ({"extra_body": {"api_base": "http://127.0.0.1:1"}}, "api_base"),
    ],
)
def test_400_names_the_parameter(client: openai.OpenAI, more: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**{"model": "fakes/vllm", "messages": ASKED, **more})
    assert caught.value.param == param and caught.value.code and caught.value.type == "invalid_request_error"


def test_400_for_an_image_that_an_engine_would_have_to_fetch(client: openai.OpenAI, engines: Any) -> None:
    before = len(engines["fakes/vllm"].calls)
    parts = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="fakes/vllm", messages=[{"role": "user", "content": parts}])
    assert caught.value.code == "remote_media_refused" and len(engines["fakes/vllm"].calls) == before


BROKEN_CALL = {"id": "1", "type": "function", "function": {"name": "look_up", "arguments": "{not json"}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(
    "more",
    [
        {"messages": [{"role": "user", "content": [IMAGE]}]},
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        {"messages": [*ASKED, {"role": "assistant", "tool_calls": [BROKEN_CALL]}]},
        {"tools": [{"type": "custom", "custom": {"name": "look_up"}}]},
    ],
    ids=["image for a text model", "part without text", "broken arguments in the history", "tool of another type"],
)
def test_what_llama_cpp_calls_its_own_failure_is_the_callers(client: openai.OpenAI, more: dict[str, Any]) -> None:
    for _ in range(4):  # as a failure of the engine it would be tried again, and keep others out for a while
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(**{"model": "tiny", "messages": ASKED, "max_tokens": 4, **more})
    assert client.chat.completions.create(model="tiny", messages=ASKED, max_tokens=4).choices


def test_413_for_a_body_beyond_the_limit(gateway: Any) -> None:
    with openai.OpenAI(base_url=gateway.base_url, api_key=gateway.api_key, max_retries=0, timeout=60) as client:
        with pytest.raises(openai.APIStatusError) as caught:
            client.embeddings.create(model="fakes/embedder", input="a" * 34 * 1024 * 1024)
        assert caught.value.status_code == 413 and caught.value.code == "request_too_large"


# -- too much at once -----------------------------------------------------------------------------------------------


def test_429_and_the_packages_own_retry(gateway: Any, make_key: Any) -> None:
    secret = make_key("often", "--rpm", "60")
    with openai.OpenAI(base_url=gateway.base_url, api_key=secret, max_retries=0) as client:
        with pytest.raises(openai.RateLimitError) as caught:
            for _ in range(120):
                client.chat.completions.create(model="fakes/vllm", messages=ASKED)
        refused = caught.value
        assert refused.code == "rate_limit_exceeded" and refused.type == "rate_limit_error"
        assert refused.response.headers["retry-after"] == "1"
        assert refused.response.headers["x-ratelimit-remaining-requests"] == "0"
        began = time.monotonic()
        answer = client.with_options(max_retries=1).chat.completions.create(model="fakes/vllm", messages=ASKED)
        assert answer.choices and time.monotonic() - began < 5


def test_429_for_tokens(gateway: Any, make_key: Any) -> None:
    secret = make_key("at-length", "--tpm", "100")
    with openai.OpenAI(base_url=gateway.base_url, api_key=secret, max_retries=0) as client:
        client.chat.completions.create(model="fakes/vllm", messages=ASKED, max_tokens=60)
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(model="fakes/vllm", messages=ASKED, max_tokens=100)
        assert "tokens a minute" in caught.value.message and int(caught.value.response.headers["retry-after"]) >= 1


# -- the engine is at fault -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("behaviour", "status", "code"),
    [
        (Behaviour(Fault.STATUS, status=500), 502, "engine_failed"),
        (Behaviour(Fault.STATUS, status=401), 502, "engine_failed"),
        (Behaviour(Fault.DROP), 502, "engine_failed"),
        (Behaviour(Fault.RESET, after_events=0), 502, "engine_failed"),
        (Behaviour(Fault.GARBAGE), 502, "engine_failed"),
        (Behaviour(Fault.STATUS, status=503), 503, "overloaded"),
        (Behaviour(Fault.STATUS, status=429), 503, "overloaded"),
        (Behaviour(Fault.HANG), 504, "engine_timeout"),
    ],
    ids=lambda value: f"{value.fault}-{value.status}" if isinstance(value, Behaviour) else None,
)
def test_5xx_when_the_engine_fails(
    fragile: openai.OpenAI, impatient: Any, behaviour: Behaviour, status: int, code: str, stream: bool
) -> None:
    impatient.engine.once(behaviour, behaviour)  # a kept connection that breaks at once is tried again on a new one
    with pytest.raises(openai.InternalServerError) as caught:
        fragile.chat.completions.create(model="fragile", messages=ASKED, stream=stream)
    assert caught.value.status_code == status and caught.value.code == code
    assert caught.value.response.headers["x-request-id"]


def test_the_packages_own_retries_get_over_a_failing_engine(fragile: openai.OpenAI, impatient: Any) -> None:
    impatient.engine.once(Behaviour(Fault.STATUS, status=500), Behaviour(Fault.STATUS, status=500))
    answer = fragile.with_options(max_retries=2).chat.completions.create(model="fragile", messages=ASKED)
    assert answer.choices and len(impatient.engine.calls) == 3


@pytest.mark.parametrize("status", [400, 409, 422])
def test_an_engine_that_refuses_is_a_bad_request(fragile: openai.OpenAI, impatient: Any, status: int) -> None:
    said = {
        "error": {"message": "'top_k' must be positive", "type": "BadRequestError", "param": "top_k", "code": status}
    }
    impatient.engine.once(Behaviour(Fault.STATUS, status=status, body=said))
    with pytest.raises(openai.APIStatusError) as caught:
        fragile.chat.completions.create(model="fragile", messages=ASKED)
    assert "'top_k' must be positive" in caught.value.message and caught.value.param == "top_k"
    assert caught.value.status_code == (409 if status == 409 else 400)


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.RESET, Fault.STALL])
def test_a_stream_that_breaks_raises_in_the_loop(fragile: openai.OpenAI, impatient: Any, fault: Fault) -> None:
    impatient.engine.once(Behaviour(fault, after_events=3, between_s=0.1))
    said = ""
    with pytest.raises(openai.APIError) as caught:
        for chunk in fragile.chat.completions.create(model="fragile", messages=ASKED, stream=True):
            said += chunk.choices[0].delta.content or ""
    assert said == "The quick" and not isinstance(caught.value, openai.APIStatusError)
    assert caught.value.code == ("engine_timeout" if fault is Fault.STALL else "engine_failed")


async def test_an_async_stream_that_breaks_raises_in_the_loop(fragile: openai.OpenAI, impatient: Any) -> None:
    impatient.engine.once(Behaviour(Fault.CUT, after_events=3))
    async with openai.AsyncOpenAI(base_url=impatient.base_url, api_key=impatient.api_key, max_retries=0) as client:
        with pytest.raises(openai.APIError, match="broke off"):
            async for _ in await client.chat.completions.create(model="fragile", messages=ASKED, stream=True):
                pass


# -- the client goes away -------------------------------------------------------------------------------------------


def _left_s(engine: Any, gone_s: float) -> float:
    """Seconds from `gone_s` until the engine noticed that nobody listens."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        left_s = engine.calls[-1].client_left_s
        if left_s is not None:
            return left_s - gone_s
        time.sleep(0.005)
    raise AssertionError("the engine still works for a client that left")


def test_leaving_a_stream_frees_the_engine(client: openai.OpenAI, engines: Any) -> None:
    engine, took = engines["fakes/vllm"], []
    for _ in range(3):  # the best of three: this machine may be busy with something else
        engine.once(Behaviour(between_s=1.0))
        stream = client.chat.completions.create(model="fakes/vllm", messages=ASKED, stream=True)
        next(iter(stream))
        gone_s = time.monotonic()
        stream.close()
        took.append(_left_s(engine, gone_s))
    assert min(took) < FREED_S, took


async def test_cancelling_an_async_call_frees_the_engine(gateway: Any, engines: Any) -> None:
    engine, took = engines["fakes/ollama"], []
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key=gateway.api_key, max_retries=0) as client:
        for _ in range(3):
            engine.once(Behaviour(Fault.HANG))
            asked = len(engine.calls)
            call = asyncio.create_task(client.chat.completions.create(model="fakes/ollama", messages=ASKED))
            while len(engine.calls) == asked:
                await asyncio.sleep(0.005)
            gone_s = time.monotonic()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            took.append(await asyncio.to_thread(_left_s, engine, gone_s))
    assert min(took) < FREED_S, took


def test_a_clients_own_timeout_frees_the_engine(client: openai.OpenAI, engines: Any) -> None:
    engine = engines["fakes/lmstudio"]
    engine.once(Behaviour(Fault.HANG))
    asked = len(engine.calls)
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=2).chat.completions.create(model="fakes/lmstudio", messages=ASKED)
    gone_s = time.monotonic()
    while len(engine.calls) == asked:
        time.sleep(0.005)
    assert _left_s(engine, gone_s) < 2
