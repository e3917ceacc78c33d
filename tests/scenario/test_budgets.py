"""Budgets as callers meet them: the soft limit, the hard limit, in every dialect, and caps that change meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from outgoing import KEY, provider
from served import served
from whole import ask, control, made_key, question

from ringfence.testing.fake_cloud import FakeCloud

pytestmark = pytest.mark.slow

CONFIG = """
discovery: {adopt: false}
providers:
  rented: {url: "https://api.cloud.example/v1", api_key: "env:RENTED_KEY", calls_per_day: 1000, max_tokens: 100}
models:
  fast: {source: TINY}
  smart: {provider: rented, provider_model: fake-large, price: {input: 1000, output: 1000}}
profiles:
  personal: {tier: T2, chain: [smart, fast]}
  pocket: {tier: T2, budget: {day: 50}}
  thrifty: {tier: T2, budget: {call: 0.0001}}
  code: {tier: T2, budget: {month: 50}}
agents:
  coder: {profile: code}
"""
CENT = 10_000


class House:
    """One gateway, and a key for each budget."""

    def __init__(self, root_url: str, folder: Path) -> None:
        self.root_url = root_url
        self.folder = folder

    def key(self, name: str, **budget: int) -> str:
        return made_key(self, name, profile="personal", budget=budget)

    def chat(self, key: str, model: str = "auto", **named: str) -> Any:
        head = {f"x-ringfence-{what}": name for what, name in named.items()}
        said = question("hello", model=model, max_tokens=8)
        return ask(self.root_url, "POST", "/v1/chat/completions", said, key, 30.0, head)

    def spent(self) -> dict[str, tuple[int, int]]:
        """By profiles: what their caps are said to have spent, by `status` and by `money`."""
        told = [one for one in control(self, "/status")["money"]["caps"] if one["scope"] == "profile"]
        page = [one for one in control(self, "/money")["standings"] if one["scope"] == "profile"]
        shown = {(one["name"], one["period"]): one["spent_usd_micros"] for one in page}
        return {one["name"]: (one["spent"], shown[one["name"], one["period"]]) for one in told}


def sent(cloud: FakeCloud) -> int:
    return len(cloud.requests)


def meets_the_soft_limit(house: House, cloud: FakeCloud) -> None:
    key = house.key("soft", day=50 * CENT, soft_percent=1)
    assert [house.chat(key).json["model"] for _ in range(3)] == ["smart", "fast", "fast"]
    assert (sent(cloud), house.chat(key, "smart").status) == (1, 200)  # who names it gets it, up to the cap
    page = ask(house.root_url, "GET", "/metrics").body.decode()
    assert 'ringfence_budget_alerts_total{alert="soft",scope="key"} 1.0' in page
    assert 'name="soft (key_' in page and 'what="limit"} 0.5' in page
    (cap,) = [one for one in control(house, "/status")["money"]["caps"] if one["scope"] == "key"]
    assert (cap["name"], cap["is_soft"], cap["held"]) == ("soft", True, 0)
    (row,) = [one for one in control(house, "/keys")["keys"] if one["name"] == "soft"]
    assert row["spent"]["day"] == cap["spent"] > CENT


def meets_the_hard_limit(house: House, cloud: FakeCloud) -> None:
    before, key = sent(cloud), house.key("hard", call=CENT)
    assert house.chat(key).json["model"] == "fast"
    said = question("hello", model="smart", max_tokens=8)
    asked = {
        "/v1/chat/completions": said, "/v1/messages": said, "/api/chat": said,
        "/v1/responses": {"model": "smart", "input": "hello", "max_output_tokens": 16},
    }  # fmt: skip
    refused = {path: ask(house.root_url, "POST", path, body, key, 30.0) for path, body in asked.items()}
    for path, reply in refused.items():
        assert (reply.status, reply.headers["x-should-retry"]) == (429, "false"), path
        told = reply.json["error"]
        assert "a call of the key 'hard' may cost no more than $0.01" in (
            told if path == "/api/chat" else told["message"]
        )
    assert refused["/v1/chat/completions"].json["error"]["code"] == "insufficient_quota"
    assert refused["/v1/responses"].json["error"]["type"] == "insufficient_quota"
    assert refused["/v1/messages"].json["type"] == "error"
    assert sent(cloud) == before
    changed = control(house, "/keys/hard/budget", "PATCH", {"call": None, "day": 100 * CENT})
    assert changed["budget"] == {"day": 100 * CENT, "week": None, "month": None, "call": None, "soft_percent": 80}
    assert (house.chat(key, "smart").status, sent(cloud)) == (200, before + 1)


def asks_once(house: House, cloud: FakeCloud) -> None:
    """The official libraries do not try again what no money is there for."""
    key, said = house.key("poor", day=0), [{"role": "user", "content": "hello"}]
    started = control(house, "/status")["requests"]["total"]
    with (
        openai.OpenAI(base_url=f"{house.root_url}/v1", api_key=key) as client,
        pytest.raises(openai.RateLimitError) as no,
    ):
        client.chat.completions.create(model="smart", messages=said)  # type: ignore[arg-type]
    assert no.value.code == "insufficient_quota"
    with anthropic.Anthropic(base_url=house.root_url, api_key=key) as other, pytest.raises(anthropic.RateLimitError):
        other.messages.create(model="smart", max_tokens=8, messages=said)  # type: ignore[arg-type]
    assert control(house, "/status")["requests"]["total"] == started + 2


def names_another_profile(house: House, cloud: FakeCloud) -> None:
    """Which takes it out of no budget, neither its key's nor its agent's."""
    poor = made_key(house, "poor-2", profile="thrifty")
    before = sent(cloud)
    for named in ({"profile": "personal"}, {"agent": "coder"}, {"agent": "coder", "profile": "personal"}):
        refused = house.chat(poor, "smart", **named)
        assert (refused.status, sent(cloud)) == (429, before)
        assert "a call of the profile 'thrifty' may cost no more than $0.0001" in refused.json["error"]["message"]
    key = made_key(house, "pocket", profile="pocket")
    assert house.chat(key, "smart", profile="personal", agent="coder").status == 200
    assert house.spent()["pocket"] == house.spent()["code"] != (0, 0)
    assert house.chat(key, "smart", profile="personal").status == 200
    control(house, "/keys/pocket", "DELETE")


async def test_budgets(tmp_path: Path, tiny_model: Path) -> None:
    folder, file = tmp_path / "state", tmp_path / "ringfence.yaml"
    file.write_text(CONFIG.replace("TINY", str(tiny_model)))
    async with FakeCloud("openai", api_key=KEY) as cloud, served(folder, file, provider(cloud.url)) as (root_url, _):
        house = House(root_url, folder)
        for meets in (meets_the_soft_limit, meets_the_hard_limit, asks_once, names_another_profile):
            await asyncio.to_thread(meets, house, cloud)
        before = await asyncio.to_thread(house.spent)
        assert before["pocket"][0] == before["pocket"][1] > before["code"][0] > 0
    async with FakeCloud("openai", api_key=KEY) as cloud, served(folder, file, provider(cloud.url)) as (root_url, _):
        house = House(root_url, folder)
        assert await asyncio.to_thread(house.spent) == before, "after a restart, of a key that is revoked"
