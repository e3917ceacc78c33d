"""From a caller's body to a fake cloud over a real socket and back: what is translated is what the clouds take."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import orjson
import pytest

from ringfence import providers
from ringfence.core.catalog import Ability
from ringfence.core.errors import (
    ContextLengthExceeded,
    EngineFailed,
    EngineRefused,
    Failure,
    ModelNotFound,
    RateLimited,
)
from ringfence.core.ports import Provider
from ringfence.core.registry import adapters
from ringfence.core.usage import Usage
from ringfence.gateway.sse import EventStream
from ringfence.providers.anthropic import ADAPTER as ANTHROPIC
from ringfence.providers.openai import ADAPTER as OPENAI
from ringfence.testing.chunks import Assembled, assemble
from ringfence.testing.fake_cloud import Conduct, FakeCloud, Misdeed
from ringfence.testing.fake_cloud_answers import Saying, ToolCall

TOOLS = [
    {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {"x": {}}}}},
    {"type": "function", "function": {"name": "now"}},
]
SAYING = Saying(
    words=("I ", "look", " – naïve 🙂"),
    calls=(ToolCall("look", '{"x": [1, {"ü": null}]}', "t1"), ToolCall("now", "{}", "t2")),
    cached_tokens=4, written_tokens=2,
)  # fmt: skip
ASK = {
    "model": "fake-large", "tools": TOOLS, "parallel_tool_calls": False,
    "messages": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Look, then tell."}],
}  # fmt: skip
CLOUDS: list[Provider] = [OPENAI, ANTHROPIC]


@pytest.fixture(params=CLOUDS, ids=lambda provider: provider.kind)
def provider(request: pytest.FixtureRequest) -> Provider:
    return request.param


@pytest.fixture
async def cloud(provider: Provider) -> AsyncIterator[FakeCloud]:
    async with FakeCloud(provider.kind) as running:
        running.says = SAYING
        yield running


async def post(provider: Provider, cloud: FakeCloud, body: dict[str, Any]) -> httpx2.Response:
    asked = provider.request(Ability.CHAT, body, cloud.url, 500)
    lines = provider.headers(cloud.api_key).decode().splitlines()
    headers = {"content-type": "application/json", **dict(line.split(": ", 1) for line in lines)}
    async with httpx2.AsyncClient() as client:
        url = cloud.url + provider.path(Ability.CHAT, cloud.url)
        return await client.post(url, content=orjson.dumps(asked), headers=headers)


async def streamed(provider: Provider, cloud: FakeCloud, body: dict[str, Any]) -> Assembled:
    options = {"stream": True, "stream_options": {"include_usage": True}}
    answer = await post(provider, cloud, {**body, **options})
    assert answer.status_code == 200, answer.text
    stream = provider.stream(True)
    return assemble(stream.feed(answer.content) + stream.end())


def test_the_two_dialects_are_found_by_being_there() -> None:
    assert adapters(providers) == {"openai": OPENAI, "anthropic": ANTHROPIC}


async def test_a_conversation_with_tools_goes_round_and_round(provider: Provider, cloud: FakeCloud) -> None:
    """The answer is put back into the next request, as an agent does it, whole and streamed."""
    messages: list[dict[str, Any]] = list(ASK["messages"])  # type: ignore[arg-type]
    for is_streamed in (False, True, False):
        body = {**ASK, "messages": messages}
        if is_streamed:
            made = await streamed(provider, cloud, body)
            assert made.is_done
            assert made.finishes == ["tool_calls"]
            text, calls = made.text, made.calls
        else:
            response = await post(provider, cloud, body)
            assert response.status_code == 200, response.text
            message = provider.answer(response.json())["choices"][0]["message"]
            text = message["content"]
            calls = [{"id": call["id"], **call["function"]} for call in message["tool_calls"]]
        assert text == "I look – naïve 🙂"
        assert [(call["name"], json.loads(call["arguments"])) for call in calls] == [
            ("look", {"x": [1, {"ü": None}]}), ("now", {}),
        ]  # fmt: skip
        sent = [
            {"id": c["id"], "type": "function", "function": {"name": c["name"], "arguments": c["arguments"]}}
            for c in calls
        ]
        messages = [*messages, {"role": "assistant", "content": text, "tool_calls": sent}]
        messages += [{"role": "tool", "tool_call_id": call["id"], "content": f"of {call['name']}"} for call in calls]
    last = cloud.calls[-1].body
    assert len(cloud.calls) == 3
    assert json.dumps(last, ensure_ascii=False).count("I look – naïve 🙂") == 2


async def test_usage_is_the_same_whole_and_streamed(provider: Provider, cloud: FakeCloud) -> None:
    whole = Usage.read(provider.answer((await post(provider, cloud, ASK)).json())["usage"])
    parts = Usage.read((await streamed(provider, cloud, ASK)).usage)
    assert whole == parts
    assert whole is not None
    assert (whole.cached_tokens, whole.completion_tokens) == (4, 3)


@pytest.mark.parametrize("hides_usage", [True, False])
async def test_the_gateways_own_relay_takes_the_translated_stream(
    provider: Provider, cloud: FakeCloud, hides_usage: bool
) -> None:
    answer = await post(provider, cloud, {**ASK, "stream": True, "stream_options": {"include_usage": True}})
    stream, relayed = provider.stream(True), EventStream("ours", hides_usage=hides_usage)
    out = b"".join(relayed.feed(stream.feed(answer.content[at : at + 50])) for at in range(0, len(answer.content), 50))
    made = assemble(out + relayed.ending())
    assert made.text == "I look – naïve 🙂"
    assert (made.usage is None) is hides_usage
    assert relayed.usage is not None
    assert relayed.is_done
    assert b"fake-large" not in out
    assert b'"ours"' in out


async def test_a_break_in_the_middle_reaches_the_caller_as_an_error(provider: Provider, cloud: FakeCloud) -> None:
    cloud.once(Conduct(Misdeed.ERROR_EVENT, after_events=4))
    made = await streamed(provider, cloud, ASK)
    assert made.error is not None
    assert not made.is_done


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({**ASK, "model": "unknown"}, ModelNotFound),
        ({**ASK, "messages": [{"role": "user", "content": "word " * 6000}]}, ContextLengthExceeded),
        ({**ASK, "tool_choice": {"type": "function", "function": {"name": "missing"}}}, EngineRefused),
    ],
)
async def test_what_the_cloud_refuses_is_one_of_our_errors(
    provider: Provider, cloud: FakeCloud, body: dict[str, Any], kind: type[Failure]
) -> None:
    answer = await post(provider, cloud, body)
    assert isinstance(provider.failure(answer.status_code, answer.json()), kind)


async def test_a_refused_key_and_a_limit(provider: Provider, cloud: FakeCloud) -> None:
    cloud.once(Conduct(Misdeed.STATUS, status=429, headers=(("retry-after", "7"),)))
    answer = await post(provider, cloud, ASK)
    limited = provider.failure(answer.status_code, answer.json(), float(answer.headers["retry-after"]))
    assert isinstance(limited, RateLimited)
    assert limited.retry_after_s == 7
    right, cloud.api_key = cloud.api_key, "another"
    async with httpx2.AsyncClient() as client:
        lines = provider.headers(right).decode().splitlines()
        headers = dict(line.split(": ", 1) for line in lines)
        refused = await client.post(cloud.url + provider.path(Ability.CHAT, cloud.url), json=ASK, headers=headers)
    failure = provider.failure(refused.status_code, refused.json())
    assert isinstance(failure, EngineFailed)
    assert (failure.status, failure.code) == (502, "provider_key_refused")
    assert right[-4:] not in failure.message
