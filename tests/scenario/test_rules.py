"""Rules behind the whole product: engines on this machine and a rented cloud, and calls that leave the choice open."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from outgoing import KEY, provider
from served import served
from whole import Reply, ask, made_key, question, reloaded

from ringfence.testing.fake_cloud import FakeCloud
from ringfence.testing.fake_dialects import FakeModel
from ringfence.testing.fake_engine import Behaviour, FakeEngine
from ringfence.testing.fake_turns import Says

CONFIG = """
discovery: {adopt: false}
providers:
  rented: {url: "https://api.cloud.example/v1", api_key: "env:RENTED_KEY", calls_per_day: 1000, max_tokens: 100}
models:
  small: {url: SMALL, engine: vllm, aliases: [local/fast]}
  big: {url: BIG, engine: vllm, aliases: [local/quality]}
  quick: {provider: rented, provider_model: fake-large, price: {input: 3, output: 15}, aliases: [cloud/fast]}
profiles:
  speedy: {tier: T2}
  bold: {tier: T3}
agents:
  coder: {profile: bold}
sensitivity: {labels: [ours]}
chains:
  ways: {models: [big, small]}
thinking: {model: big, reasoning: quick}
"""
RULES = """
rules:
  - {name: private, when: {sensitivity: host}, use: [big]}
  - {name: coder, when: {caller: {agent: coder}}, use: [ways]}
  - {name: hasty, when: {speed: critical}, use: [cloud/fast, small]}
  - {name: later, when: {batch: true, tools: true}, use: [quick], else: next}
  - {name: hard, when: {effort: ">6"}, use: [local/quality]}
  - {name: rest, use: [local/fast]}
"""


@dataclass
class House:
    root_url: str
    folder: Path
    file: Path
    engines: str
    big: FakeEngine
    keys: dict[str, str]
    cloud: FakeCloud

    def ask(self, profile: str, text: str = "hello", headers: dict[str, str] | None = None, **more: Any) -> Reply:
        return ask(
            self.root_url, "POST", "/v1/chat/completions", question(text, **more), self.keys[profile], 30.0, headers
        )

    async def went(
        self, profile: str, text: str = "hello", headers: dict[str, str] | None = None, **more: Any
    ) -> tuple[str, str]:
        """The target that answered, and the rule that chose it."""
        reply = await asyncio.to_thread(self.ask, profile, text, headers, **more)
        assert reply.status == 200, reply.body
        return reply.headers["x-ringfence-target"].rpartition("/")[2], reply.headers["x-ringfence-reason"]

    async def run(self, *words: str) -> str:
        environment = os.environ | {"RINGFENCE_STATE_DIR": str(self.folder)}
        command = [sys.executable, "-m", "ringfence", *words]
        done = await asyncio.to_thread(
            subprocess.run, command, env=environment, capture_output=True, text=True, timeout=50
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    async def reload(self, rules: str) -> None:
        self.file.write_text(self.engines + rules)
        await asyncio.to_thread(reloaded, self)


@contextlib.asynccontextmanager
async def running(tmp_path: Path, rules: str) -> AsyncIterator[House]:
    folder, file = tmp_path / "state", tmp_path / "ringfence.yaml"
    small, big = FakeEngine("vllm", (FakeModel("small"),)), FakeEngine("vllm", (FakeModel("big"),))
    async with small, big, FakeCloud("openai", api_key=KEY) as cloud:
        engines = CONFIG.replace("SMALL", f"http://127.0.0.1:{small.port}").replace(
            "BIG", f"http://127.0.0.1:{big.port}"
        )
        file.write_text(engines + rules)
        async with served(folder, file, provider(cloud.url)) as (root_url, _):
            house = House(root_url, folder, file, engines, big, {}, cloud)
            for profile in ("default", "speedy", "bold"):
                house.keys[profile] = await asyncio.to_thread(made_key, house, profile, profile=profile)
            yield house


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """For tests that only ask. On a loop and a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def wait(doing: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(doing, loop).result(50)

    made = running(tmp_path_factory.mktemp("rules"), RULES)
    yield wait(made.__aenter__())
    wait(made.__aexit__(None, None, None))
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with running(tmp_path, RULES) as house:
        yield house


async def test_each_call_goes_where_the_first_rule_says(unchanged: House) -> None:
    house = unchanged
    assert await house.went("bold") == ("small", "rest")
    assert await house.went("bold", reasoning_effort="high") == ("big", "hard")
    assert await house.went("bold", service_tier="priority") == ("fake-large", "hasty")
    assert house.cloud.calls[-1].body["service_tier"] == "default", "haste has a price that nobody held"
    assert await house.went("bold", headers={"x-ringfence-agent": "coder"}) == ("big", "coder")
    assert await house.went("bold", model="quick") == ("fake-large", "requested-model")
    assert await house.went("bold", model="ways", service_tier="priority") == ("big", "requested-model")
    # Own models first under T2, and under T1 alone.
    assert await house.went("speedy", service_tier="priority") == ("small", "hasty")
    assert await house.went("default", service_tier="priority") == ("small", "hasty")
    tools = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    # A tool that is not listed keeps the call here: that rule has nothing, and says to go on.
    where, rule = await house.went("bold", service_tier="flex", tools=tools)
    assert (where, rule.partition(";")[0]) == ("big", "private")
    names = [
        row["id"]
        for row in (await asyncio.to_thread(ask, house.root_url, "GET", "/v1/models", None, house.keys["bold"])).json[
            "data"
        ]
    ]
    assert {"auto", "ways", "small", "local/fast", "local/long", "cloud/fast"} <= set(names)
    assert "cloud/mid" not in names


async def test_private_text_does_not_leave_whatever_a_rule_says(unchanged: House) -> None:
    house = unchanged
    card = "my card is 4111 1111 1111 1111"
    for headers, text in ((None, card), ({"x-ringfence-label": "ours"}, "hello"), (None, card + " words" * 8000)):
        seen = len(house.cloud.requests)
        where, rule = await house.went("bold", text, headers, service_tier="priority")
        assert where == "big"
        assert rule.startswith("private; kept near by")
        assert len(house.cloud.requests) == seen
    assert await house.went("bold", "hello", service_tier="priority") == ("fake-large", "hasty")


async def test_every_rule_is_explained(unchanged: House, tmp_path: Path) -> None:
    house = unchanged
    request = tmp_path / "request.json"
    request.write_text(json.dumps(question("hello", service_tier="priority")))
    found = json.loads(await house.run("explain", "auto", "--profile", "bold", "--body", str(request), "--json"))
    assert (found["rule"], [one["target"] for one in found["chain"]]) == (
        "hasty",
        ["rented/fake-large", "vllm/small"],
    )
    rows = {row["name"]: row for row in found["rules"]}
    assert list(rows) == ["private", "coder", "hasty", "later", "hard", "rest"]
    assert [name for name, row in rows.items() if row["taken"]] == ["hasty"]
    assert [name for name, row in rows.items() if row["matched"]] == ["hasty", "rest"]
    assert "sensitivity cloud is not host" in rows["private"]["why"]
    assert (found["signals"]["speed"], found["signals"]["caller"]["profile"]) == ("critical", "bold")
    kept = json.loads(await house.run("explain", "auto", "--profile", "default", "--body", str(request), "--json"))
    excluded = next(row for row in kept["rules"] if row["name"] == "hasty")["excluded"]
    assert "beyond HOST" in excluded[0]["reason"]
    page = await house.run("explain", "auto", "--profile", "bold", "--body", str(request))
    assert "hasty (speed is critical): taken" in " ".join(page.split()) and "speed critical" in page
    named = json.loads(await house.run("explain", "big", "--profile", "bold", "--json"))
    assert named["rules"] == []


@pytest.mark.parametrize("stream", [False, True])
async def test_a_thought_reaches_a_cloud_where_the_request_may(unchanged: House, stream: bool) -> None:
    house = unchanged
    asks, answers = Says(calls=(("think", {"question": "Why is it so?"}),)), Says("It is so.")
    for profile, headers, reaches in (
        ("bold", None, 1), ("default", None, 0), ("bold", {"x-ringfence-label": "ours"}, 0),
    ):  # fmt: skip
        seen = len(house.cloud.requests)
        house.big.once(Behaviour(twist=asks), Behaviour(twist=answers))
        told = {"model": "orchestrator", "reasoning_effort": "high", "stream": stream}
        reply = await asyncio.to_thread(house.ask, profile, "Is it so?", headers, **told)
        assert reply.status == 200 and b"so." in reply.body, reply.body
        assert reply.headers["x-ringfence-thinking"] == ("CLOUD" if reaches else "HOST")
        assert len(house.cloud.requests) == seen + reaches
        result = house.big.calls[-1].body["messages"][-1]
        assert result["role"] == "tool" and ("boundary_refused" in result["content"]) is not bool(reaches)


async def test_what_would_think_is_explained(unchanged: House) -> None:
    house = unchanged
    hard = ("explain", "orchestrator", "--prompt", "Prove that there are infinitely many primes.")
    found = json.loads(await house.run(*hard, "--profile", "bold", "--json"))["thinking"]
    assert (found["thinks"], found["targets"], found["excluded"]) == (True, ["rented/fake-large"], [])
    page = await house.run(*hard, "--profile", "default")
    assert "Thinking  big may ask quick: 3 thoughts at most, 32,768 tokens in all" in page
    assert "not rented/fake-large: lies at CLOUD, beyond HOST" in page
    easy = json.loads(await house.run("explain", "orchestrator", "--prompt", "Hello", "--profile", "bold", "--json"))
    assert not easy["thinking"]["thinks"] and "is not > 6" in easy["thinking"]["why"]
    assert "thinking" not in json.loads(await house.run("explain", "big", "--profile", "bold", "--json"))


async def test_a_rule_may_wait(house: House) -> None:
    await house.reload(
        "rules:\n  - {name: waits, when: {caller: {profile: bold}}, use: [big], else: queue}\n"
        "  - {name: rest, use: [big]}\n"
    )
    assert await house.went("bold") == ("big", "waits")
    port = house.big.port
    await house.big.stop()
    failed = await asyncio.to_thread(house.ask, "default")
    assert failed.status in (502, 503), failed.body
    waiting = asyncio.create_task(house.went("bold", headers={"x-ringfence-deadline-s": "25"}))
    headers = {"prefer": "respond-async", "x-ringfence-deadline-s": "25"}
    ticket = await asyncio.to_thread(house.ask, "bold", "hello", headers)
    assert ticket.status == 202, ticket.body
    assert not waiting.done()
    await house.big.start(port)
    assert await waiting == ("big", "waits")


async def test_rules_take_effect_at_once(house: House) -> None:
    assert await house.went("bold") == ("small", "rest")
    await house.reload("rules:\n  - {name: other, use: [big]}\n")
    assert await house.went("bold") == ("big", "other")
    await house.reload("")
    assert (await house.went("bold"))[1] != "other"
    await house.reload("rules: []\n")
    assert await house.went("bold") == ("small", "own-models")
