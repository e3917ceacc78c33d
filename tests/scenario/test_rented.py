"""A rented cloud behind the whole product: who may reach it, what it sees, what the caller gets."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from outgoing import KEY, provider
from served import served
from whole import Reply, ask, made_key, question

from ringfence.egress.child import EgressProcess
from ringfence.egress.journal_chain import calls, verify
from ringfence.testing.fake_cloud import FakeCloud
from ringfence.testing.fake_cloud_answers import Saying, ToolCall

pytestmark = pytest.mark.slow

CLAUDE_CODE = Path(__file__).parents[1] / "clients" / "recorded" / "claude_code.json"
GONE = {"type": "text", "text": "gone"}
CONFIG = """
discovery: {adopt: false}
providers:
  rented: {url: "https://api.cloud.example/v1", api_key: "env:RENTED_KEY", calls_per_day: 1000, max_tokens: 100}
  other:
    {dialect: anthropic, url: "https://api.other.example", api_key: "env:OTHER_KEY", calls_per_day: 3, max_tokens: 64}
models:
  fast: {source: TINY}
  smart: {provider: rented, provider_model: fake-large, price: {input: 3, output: 15}}
  wise: {provider: other, provider_model: fake-large, price: {input: 3, output: 15}}
profiles:
  personal: {tier: T2, chain: [smart, fast]}
  bold: {tier: T3, chain: [wise]}
tools:
  look: {profile: personal}
"""


@dataclass
class House:
    root_url: str
    folder: Path
    keys: dict[str, str]
    rented: FakeCloud
    other: FakeCloud
    egress: EgressProcess

    def ask(self, profile: str, headers: dict[str, str] | None = None, **more: Any) -> Reply:
        body = question("canary-in-the-prompt", **({"model": "auto", "max_tokens": 8} | more))
        return ask(self.root_url, "POST", "/v1/chat/completions", body, self.keys[profile], 30.0, headers)

    async def chat(self, profile: str, headers: dict[str, str] | None = None, **more: Any) -> Reply:
        return await asyncio.to_thread(self.ask, profile, headers, **more)


@pytest.fixture
async def house(tmp_path: Path, tiny_model: Path) -> AsyncIterator[House]:
    folder, file = tmp_path / "state", tmp_path / "ringfence.yaml"
    file.write_text(CONFIG.replace("TINY", str(tiny_model)))
    async with FakeCloud("openai", api_key=KEY) as rented, FakeCloud("anthropic", api_key=KEY) as other:
        providers = (
            provider(rented.url), provider(other.url, "other", dialect="anthropic", calls_per_day=3, max_tokens=64),
        )  # fmt: skip
        async with served(folder, file, *providers) as (root_url, egress):
            keys: dict[str, str] = {}
            house = House(root_url, folder, keys, rented, other, egress)
            for profile in ("default", "personal", "bold"):
                keys[profile] = await asyncio.to_thread(made_key, house, profile, profile=profile)
            yield house


async def test_what_leaves_and_what_comes_back(house: House) -> None:
    house.rented.says = Saying(("from", " afar"))
    reply = await house.chat("personal", user="somebody")
    assert reply.status == 200, reply.body
    assert reply.json["choices"][0]["message"]["content"] == "from afar"
    assert (reply.json["model"], reply.headers["x-ringfence-boundary"]) == ("smart", "CLOUD")
    (sent,) = house.rented.requests
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert house.keys["personal"] not in str(sent.headers)
    streamed = await house.chat("personal", stream=True)
    assert b"from" in streamed.body and streamed.body.rstrip().endswith(b"data: [DONE]")
    journal = calls(house.folder / "journal")
    until_s = time.monotonic() + 25
    while any(call.ended is None for call in journal) and time.monotonic() < until_s:
        await asyncio.sleep(0.05)  # the end of a call is written after the caller has it
        journal = calls(house.folder / "journal")
    assert [(call.sent.profile, call.sent.provider, call.ended is not None) for call in journal] == [
        ("personal", "rented", True)
    ] * 2
    assert verify(house.folder / "journal").is_whole
    await asyncio.to_thread(house.egress.stop)  # it renames files of its journal while it runs
    written = b"".join(path.read_bytes() for path in house.folder.rglob("*") if path.is_file())
    assert b"canary-in-the-prompt" not in written and KEY.encode() not in written


async def test_the_control_api_tells_what_left(house: House) -> None:
    def told() -> dict[str, dict[str, Any]]:
        token = (house.folder / "admin.token").read_text().strip()
        found = ask(house.root_url, "GET", "/control/v1/egress", None, token).json
        assert found["journal"]["state"] in ("empty", "whole"), found
        return {one["name"]: one for one in found["profiles"]}

    before = await asyncio.to_thread(told)
    assert {one["since"] for one in before.values()} == {"journal"}
    assert (await house.chat("default", model="fast")).status == 200
    assert await asyncio.to_thread(told) == before
    began_s = time.time()
    assert (await house.chat("personal")).headers["x-ringfence-boundary"] == "CLOUD"
    async with asyncio.timeout(25):
        while (now := await asyncio.to_thread(told))["personal"]["is_running"]:
            await asyncio.sleep(0.05)  # the end of a call is written after the caller has it
    assert (now["personal"]["calls"], now["personal"]["since"]) == (1, "last_call")
    assert began_s - 0.01 <= now["personal"]["since_s"] <= time.time()
    for name in ("default", "bold"):
        assert (now[name]["calls"], now[name]["since"]) == (0, "journal")


async def test_another_dialect(house: House) -> None:
    house.other.says = Saying(("in", " other", " words"))
    reply = await house.chat("bold")
    assert reply.json["choices"][0]["message"]["content"] == "in other words", reply.body
    assert reply.json["usage"]["total_tokens"] > 0
    streamed = await house.chat("bold", stream=True, stream_options={"include_usage": True})
    events = [json.loads(line[6:]) for line in streamed.body.splitlines() if line.startswith(b"data: {")]
    assert "".join(e["choices"][0]["delta"].get("content") or "" for e in events if e["choices"]) == "in other words"
    assert events[-1]["usage"]["total_tokens"] > 0
    assert {event["model"] for event in events} == {"wise"}
    assert (await house.chat("bold")).status == 200
    spent = await house.chat("bold")
    assert (spent.status, spent.code) == (429, "provider_calls_used_up"), spent.body
    assert len(house.other.requests) == 3


async def test_anthropics_dialect_is_kept_on_the_way_there_and_back(house: House) -> None:
    """Markers of caches and signed thoughts go to Anthropic as they came, and its thoughts come back signed."""
    marked = {"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}
    thought = {"type": "thinking", "thinking": "I look.", "signature": "c2lnbmVk"}
    called = {"type": "tool_use", "id": "toolu_9", "name": "look", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_9", "is_error": True, "content": "gone"}
    turns = [
        {"role": "user", "content": [marked]}, {"role": "assistant", "content": [thought, called]},
        {"role": "user", "content": [result]},
    ]  # fmt: skip
    body = {
        "model": "wise", "max_tokens": 64, "messages": turns, "system": [marked], "thinking": {"type": "adaptive"},
        "tools": [{"name": "look", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}],
    }  # fmt: skip
    house.other.says = Saying(("It", " is."), (ToolCall("look", '{"at": 1}'),), thinking="I think.", cached_tokens=2)

    def asked(**more: Any) -> Reply:
        return ask(house.root_url, "POST", "/v1/messages", body | more, house.keys["bold"], 30.0)

    whole = await asyncio.to_thread(asked)
    assert whole.status == 200, whole.body
    sent = house.other.requests[-1].body
    assert (sent["system"], sent["tools"], sent["thinking"]) == (body["system"], body["tools"], body["thinking"])
    assert sent["messages"] == [*turns[:2], {"role": "user", "content": [result | {"content": [GONE]}]}]
    kinds = [block["type"] for block in whole.json["content"]]
    assert (kinds, whole.json["stop_reason"]) == (["thinking", "text", "tool_use"], "tool_use")
    assert whole.json["content"][0] == {"type": "thinking", "thinking": "I think.", "signature": "c2lnbmVk"}
    assert (whole.json["model"], whole.json["usage"]["cache_read_input_tokens"]) == ("wise", 2)
    streamed = await asyncio.to_thread(asked, stream=True)
    events = [json.loads(line[6:]) for line in streamed.body.splitlines() if line.startswith(b"data: ")]
    assert [event["content_block"]["type"] for event in events if event["type"] == "content_block_start"] == kinds
    assert {"type": "signature_delta", "signature": "c2lnbmVk"} in [event.get("delta") for event in events]
    assert events[-1]["type"] == "message_stop" and events[-2]["usage"]["cache_read_input_tokens"] == 2


async def test_what_claude_code_sends_reaches_anthropic(house: House) -> None:
    """Its beta header does not: the heads of what leaves are fixed before anybody asks."""
    listed = CLAUDE_CODE.read_text().replace('"Bash"', '"look"')  # for only what is listed goes there
    _, asks, goes_on = json.loads(listed)["exchanges"]
    look = next(tool for tool in asks["body"]["tools"] if tool["name"] == "look")
    head = {name: asks["headers"][name] for name in ("anthropic-beta", "anthropic-version", "x-app", "user-agent")}
    for one in (asks, goes_on):
        body = asks["body"] | one["body"] | {"model": "wise", "tools": [look]}
        path, key = asks["target"], house.keys["bold"]
        told = await asyncio.to_thread(ask, house.root_url, "POST", path, body, key, 30.0, head)
        assert told.status == 200, told.json["error"]["message"]
        assert b"event: message_stop" in told.body and b"event: error" not in told.body
        sent = house.other.requests[-1]
        assert sent.headers["anthropic-version"] == "2023-06-01" and "anthropic-beta" not in sent.headers
        assert not {"x-app", "x-stainless-lang"} & sent.headers.keys()
        _, first, second = body["system"]
        late = next(message for message in body["messages"] if message["role"] == "system")
        assert sent.body["system"] == [first, second, {"type": "text", "text": late["content"]}]
        turns = [message for message in body["messages"] if message["role"] != "system"]
        assert [message["role"] for message in sent.body["messages"]] == [message["role"] for message in turns]
        assert sent.body["messages"][:2] == turns[:2]
        assert sent.body["messages"][-1]["content"][-1]["cache_control"] == {"type": "ephemeral"}
        assert sent.body["thinking"] == {"type": "adaptive"} and sent.body["output_config"] == {"effort": "high"}
        assert "context_management" not in sent.body


async def test_who_may_not_reach_it(house: House) -> None:
    refused = await house.chat("default", model="smart")
    assert (refused.status, refused.code) == (403, "boundary_refused")
    assert "would have to reach CLOUD" in refused.json["error"]["message"]
    tool = {"type": "function", "function": {"name": "unlisted", "parameters": {"type": "object", "properties": {}}}}
    stays = await house.chat("personal", tools=[tool])
    assert stays.headers["x-ringfence-boundary"] == "HOST", stays.body
    tool["function"]["name"] = "look"
    goes = await house.chat("personal", tools=[tool])
    assert goes.headers["x-ringfence-boundary"] == "CLOUD", goes.body
    assert (house.rented.connections, len(house.rented.requests)) == (1, 1)


async def test_what_is_sensitive_stays(house: House) -> None:
    def said(text: str) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": text}]}

    for text in ("pay with 4111 1111 1111 1111", "the token is ghp_" + "a1B2c3D4e5" * 4):
        reply = await house.chat("personal", **said(text))
        assert reply.headers["x-ringfence-boundary"] == "HOST", text
        refused = await house.chat("personal", model="smart", **said(text))
        assert (refused.status, refused.code) == (403, "boundary_refused")
    labelled = await house.chat("personal", {"x-ringfence-label": "never heard of"})
    assert labelled.headers["x-ringfence-boundary"] == "HOST"
    assert house.rented.connections == 0
    plain = await house.chat("personal", **said("pay with 4111 1111 1111 1112"))  # no card: its check digit is wrong
    assert plain.headers["x-ringfence-boundary"] == "CLOUD"


async def test_local_calls_do_not_notice_when_it_dies(house: House) -> None:
    assert (await house.chat("personal")).headers["x-ringfence-boundary"] == "CLOUD"
    assert house.egress.pid is not None
    os.kill(house.egress.pid, 9)
    assert (await house.chat("default", model="fast")).status == 200
    assert (await house.chat("personal")).status == 200  # by the next of its chain, or by the one that came back
    until_s = time.monotonic() + 25
    while (await house.chat("personal")).headers["x-ringfence-boundary"] != "CLOUD":
        assert time.monotonic() < until_s, "it did not come back"
        await asyncio.sleep(0.1)
    assert verify(house.folder / "journal").is_whole
