"""/v1/decisions on the real thing, beside engines and a cloud that must hear nothing of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest
from outgoing import KEY, provider
from served import served
from whole import Reply, ask, made_key, question

from ringfence.core.reading import TASKS
from ringfence.testing.fake_cloud import FakeCloud
from ringfence.testing.fake_dialects import FakeModel
from ringfence.testing.fake_engine import FakeEngine

CANARY = "canary-decided-4821"
SECRET = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n"
CONFIG = """
discovery: {adopt: false}
providers:
  rented: {url: "https://api.cloud.example/v1", api_key: "env:RENTED_KEY", calls_per_day: 1000, max_tokens: 100}
models:
  small: {url: SMALL, engine: vllm, aliases: [local/fast]}
  quick: {provider: rented, provider_model: fake-large, price: {input: 3, output: 15}, aliases: [cloud/fast]}
profiles:
  speedy: {tier: T2}
  bold: {tier: T3}
sensitivity: {labels: [ours]}
thinking: {reasoning: cloud/fast}
rules:
  - {name: hidden-from-callers, when: {caller: {key: somebody-else}}, use: [small]}
  - {name: hard, when: {effort: ">6"}, use: [cloud/fast, small]}
  - {name: rest, use: [small]}
"""


@dataclass
class Site:
    root_url: str
    folder: Path
    keys: dict[str, str]
    engine: FakeEngine
    cloud: FakeCloud

    def ask(self, profile: str, body: Any, headers: dict[str, str] | None = None) -> Reply:
        return ask(self.root_url, "POST", "/v1/decisions", body, self.keys[profile], 30.0, headers)

    def decided(self, profile: str, text: str, headers: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
        reply = self.ask(profile, {"model": "auto", "input": text, **more}, headers)
        assert reply.status == 200, reply.body
        return reply.json


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """It runs in a thread of its own, for all tests."""
    tmp_path = tmp_path_factory.mktemp("decisions")
    ready: list[Site] = []
    is_there, is_over = threading.Event(), threading.Event()

    async def run() -> None:
        folder, file = tmp_path / "state", tmp_path / "ringfence.yaml"
        async with FakeEngine("vllm", (FakeModel("small"),)) as engine, FakeCloud("openai", api_key=KEY) as cloud:
            file.write_text(CONFIG.replace("SMALL", f"http://127.0.0.1:{engine.port}"))
            async with served(folder, file, provider(cloud.url)) as (root_url, _):
                site = Site(root_url, folder, {}, engine, cloud)
                for name in ("bold", "speedy", "default"):
                    site.keys[name] = await asyncio.to_thread(made_key, site, name, profile=name)
                ready.append(site)
                is_there.set()
                await asyncio.to_thread(is_over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert is_there.wait(55)
    yield ready[0]
    is_over.set()
    thread.join(20)


def test_what_is_decided_is_what_the_call_itself_gets(site: Site) -> None:
    for profile in ("bold", "speedy", "default"):
        for effort, rule in (("high", "hard"), ("low", "rest")):
            body = question("hello", model="auto", reasoning_effort=effort)
            told = site.ask(profile, body).json
            reply = ask(site.root_url, "POST", "/v1/chat/completions", body, site.keys[profile])
            assert reply.status == 200, reply.body
            decision = told["decision"]
            assert decision["rule"] == rule == reply.headers["x-ringfence-reason"].partition(";")[0]
            assert decision["chain"][0]["target"] == reply.headers["x-ringfence-target"]
            assert decision["chain"][0]["boundary"] == reply.headers["x-ringfence-boundary"]
            assert decision["profile"] == profile and decision["chain"][0]["ready"] is True


def test_what_was_read_is_told(site: Site) -> None:
    told = site.decided("bold", "Write a Python function that sorts a list of names, with tests.")
    assert told["signals"]["task"] == "code" and 1 <= told["signals"]["effort"] <= 10
    assert (told["signals"]["sensitivity"], told["signals"]["kept_by"]) == ("cloud", "")
    kept = site.decided("bold", f"Look: {SECRET}", reasoning_effort="high")
    assert (kept["signals"]["sensitivity"], kept["signals"]["kept_by"]) == ("host", "secret")
    assert [row["boundary"] for row in kept["decision"]["chain"]] == ["HOST"]
    assert [row["reason"] for row in kept["decision"]["excluded"]] == ["lies at CLOUD, beyond HOST"]
    labelled = site.decided("bold", "hello", {"x-ringfence-label": "ours"})
    assert labelled["signals"]["kept_by"] == "ours"
    assert site.decided("bold", "hello", {"x-ringfence-priority": "agent"})["signals"]["priority"] == "agent"


def test_a_caller_is_told_nothing_of_what_lies_beyond_its_key(site: Site) -> None:
    reply = site.ask("default", {"model": "auto", "input": "hello", "reasoning_effort": "high"})
    assert reply.json["decision"]["beyond_boundary"] == 1 and reply.json["decision"]["excluded"] == []
    for hidden in (b"rented", b"fake-large", b"quick", b"hidden-from-callers", b"somebody-else", b"effort: "):
        assert hidden not in reply.body, hidden
    assert b"hidden-from-callers" not in site.ask("bold", {"model": "auto", "input": "hello"}).body


def test_it_is_refused_as_the_call_itself_would_be(site: Site) -> None:
    assert (refused := site.ask("default", {"model": "quick", "input": "x"})).status == 403
    assert refused.code == "boundary_refused"
    assert (unknown := site.ask("bold", {"model": "nobody", "input": "x"})).status == 404
    assert unknown.code == "model_not_found"
    assert ask(site.root_url, "POST", "/v1/decisions", {"model": "auto", "input": "x"}).status == 401
    assert ask(site.root_url, "GET", "/v1/decisions", None, site.keys["bold"]).status == 405
    agent = site.ask("bold", {"model": "auto", "input": "x"}, {"x-ringfence-agent": "nobody"})
    assert agent.status == 403


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "auto"}, "messages"),
        ({"input": "x"}, "model"),
        ({"model": "auto", "input": []}, "input"),
        ({"model": "auto", "input": 3}, "input"),
        ({"model": "auto", "input": "x", "messages": []}, "input"),
        ({"model": "auto", "input": [3]}, "input[0]"),
        ({"model": "auto", "input": [{"type": ["message"]}]}, "input[0].type"),
        ({"model": "auto", "input": [{"type": "nothing"}]}, "input[0].type"),
        ({"model": "auto", "input": [{"role": "user", "content": [{}]}]}, "input[0].content[0]"),
        ({"model": "auto", "input": "x", "questions": 3}, "questions"),
        ({"model": "auto", "input": "x", "questions": [{}]}, "questions[0].type"),
        ({"model": "auto", "input": "x", "questions": [{"type": "choice", "name": "task"}]}, "questions[0].choices"),
        ({"model": "auto", "input": "x", "questions": [{"type": "score", "name": 3}]}, "questions[0].name"),
    ],
)
def test_what_is_wrong_is_named(site: Site, body: Any, param: str) -> None:
    reply = site.ask("bold", body)
    assert (reply.status, reply.json["error"]["param"]) == (400, param)


def test_it_says_whether_it_would_think(site: Site) -> None:
    plain = site.decided("bold", "Hello.")["decision"]["thinking"]
    assert plain == {"thinks": False, "why": "only 'orchestrator' thinks"}
    easy = site.decided("speedy", "Say hello.", model="orchestrator")["decision"]["thinking"]
    assert easy["thinks"] is False and "is not > 6" in easy["why"]
    hard = site.decided("speedy", "Hello.", model="orchestrator", reasoning_effort="high")["decision"]["thinking"]
    assert (hard["thinks"], hard["why"]) == (True, "") and hard["targets"] and hard["thoughts"] > 0
    within = site.decided("default", "Hello.", model="orchestrator", reasoning_effort="high")["decision"]["thinking"]
    assert (within["targets"], within["excluded"], within["beyond_boundary"]) == ([], [], 1)


def test_it_describes_itself(site: Site) -> None:
    found = ask(site.root_url, "GET", "/v1/openapi.json", None, site.keys["default"]).json
    assert {"/v1/decisions", "/v1/chat/completions", "/v1/models", "/v1/openapi.json"} <= set(found["paths"])
    assert "500" not in found["paths"]["/v1/decisions"]["post"]["responses"]
    assert ask(site.root_url, "GET", "/v1/openapi.json").status == 401


def test_pictures_are_not_fetched(site: Site) -> None:
    far = [{"role": "user", "content": [{"type": "input_image", "image_url": "https://far.example/x.png"}]}]
    assert site.ask("bold", {"model": "auto", "input": far}).code == "remote_media_refused"


def test_the_client_of_openai_reads_it(site: Site) -> None:
    client = openai.OpenAI(base_url=f"{site.root_url}/v1", api_key=site.keys["bold"])
    found = client.decisions.create(
        model="auto",
        input=[
            {"role": "developer", "content": "You help with programs."},
            {"role": "user", "content": [{"type": "input_text", "text": "Write a Python function that sorts names."}]},
            {"type": "function_call", "call_id": "a", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "a", "output": "nothing"},
            {"role": "user", "content": "Write the function again, with tests in pytest."},
        ],
        questions=[
            {"type": "choice", "name": "task", "instructions": "?", "choices": [{"value": task} for task in TASKS]},
            {"type": "score", "name": "effort", "instructions": "?", "levels": [{"label": "low"}, {"label": "high"}]},
            {"type": "predicate", "name": "private", "instructions": "?"},
            {"type": "choice", "name": "sensitivity", "instructions": "?", "choices": [{"value": True}]},
            {"type": "predicate", "instructions": "Is it polite?"},
        ],
    )
    task, effort, private, other, unknown = found.answers
    assert task.type == "choice" and task.choice == "code" and task.name == "task"
    assert sum(one.probability for one in task.probabilities) == 1.0
    assert effort.type == "score" and effort.probabilities[int(effort.score)].probability == 1.0
    assert private.type == "predicate" and private.probability == 1.0  # a tool that nobody listed
    assert (other.type, other.name, unknown.type, unknown.name) == ("refusal", "sensitivity", "refusal", None)
    assert found.usage.total_tokens == 0 and found.model == "auto"


def test_a_key_with_limits_is_held_to_them(site: Site) -> None:
    secret = made_key(site, "few", profile="bold", requests_per_minute=2)
    body = {"model": "auto", "input": "hello"}
    seen = [ask(site.root_url, "POST", "/v1/decisions", body, secret) for _ in range(3)]
    assert [reply.status for reply in seen] == [200, 200, 429]
    assert "retry-after" in seen[2].headers


def test_nobody_is_asked_and_nothing_is_kept(site: Site) -> None:
    before = len(site.engine.calls), len(site.cloud.calls)
    for text in (CANARY, f"{CANARY} {SECRET}", f"{CANARY} " * 9000):  # the last is read in steps
        site.decided("bold", text, reasoning_effort="high")
    site.ask("bold", {"model": "auto", "input": [{"role": CANARY, "content": CANARY}]})
    assert (len(site.engine.calls), len(site.cloud.calls)) == before
    for path in (path for path in site.folder.rglob("*") if path.is_file()):
        with contextlib.suppress(OSError):
            assert CANARY.encode() not in path.read_bytes(), path
    assert CANARY not in ask(site.root_url, "GET", "/metrics").body.decode()


def test_the_owner_asks_in_either_form(site: Site) -> None:
    token = (site.folder / "admin.token").read_text().strip()
    said = [{"role": "user", "content": [{"type": "input_text", "text": "hello"}]}]
    for asked in (
        {"model": "auto", "body": {"input": said}},
        {"model": "auto", "body": {"input": "hello"}, "dialect": "decisions"},
        {"model": "auto", "input": said},
    ):
        reply = ask(site.root_url, "POST", "/control/v1/explain", {**asked}, token)
        assert reply.status == 200, reply.body
        assert json.loads(reply.body)["rule"] == "rest"
    unknown = {"model": "auto", "body": {"input": "hello"}, "dialect": "klingon"}
    assert ask(site.root_url, "POST", "/control/v1/explain", unknown, token).status == 400
