"""A word that nobody else uses goes through everything; afterwards it is nowhere but in the answers."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from whole import ask, chat, command, control, open_request, question, until

from ringfence.testing.fake_dialects import FakeModel
from ringfence.testing.fake_engine import Behaviour, FakeEngine, Fault

CANARY = "xyzzy-canary-4d1c9"
IMAGE = "data:image/png;base64,Y2FuYXJ5LXBpeGVsLTkx"
MESSAGES: dict[str, Any] = {
    "model": "auto", "max_tokens": 2, "system": CANARY, "metadata": {"user_id": CANARY},
    "tools": [{"name": "f", "description": CANARY, "input_schema": {"type": "object"}}],
    "messages": [
        {"role": "user", "content": CANARY},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": CANARY, "signature": CANARY},
            {"type": "tool_use", "id": "a", "name": "f", "input": {"q": CANARY}},
        ]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": CANARY, "is_error": True}]},
    ],
}  # fmt: skip
BODIES: dict[str, tuple[str, Any]] = {
    "prompt": ("/v1/chat/completions", question(CANARY)),
    "system": ("/v1/chat/completions", question() | {"messages": [{"role": "system", "content": CANARY}]}),
    "completion": ("/v1/completions", {"model": "auto", "prompt": CANARY, "max_tokens": 2}),
    "embedding": ("/v1/embeddings", {"model": "auto", "input": [CANARY]}),
    "image": (
        "/v1/chat/completions",
        question() | {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": IMAGE}}]}]},
    ),
    "tool": (
        "/v1/chat/completions",
        question(tools=[{"type": "function", "function": {"name": CANARY, "description": CANARY, "parameters": {}}}]),
    ),
    "tool arguments": (
        "/v1/chat/completions",
        question()
        | {
            "messages": [
                {"role": "user", "content": "hello"},
                {
                    "role": "assistant",
                    "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": CANARY}}],
                },
                {"role": "tool", "tool_call_id": "a", "content": CANARY},
            ]
        },
    ),
    "grammar": ("/v1/chat/completions", question(grammar=f"root ::= {CANARY} [[[")),
    "schema": (
        "/v1/chat/completions",
        question(response_format={"type": "json_schema", "json_schema": {"name": CANARY, "schema": {"type": CANARY}}}),
    ),
    "user": ("/v1/chat/completions", question(user=CANARY, metadata={"a": CANARY}, stop=[CANARY])),
    "too long": ("/v1/chat/completions", question(f"{CANARY} " * 3000)),
    "too long to shorten": ("/v1/embeddings", {"model": "auto", "input": f"{CANARY} " * 3000}),
    "wrong type": ("/v1/chat/completions", {"model": "auto", "messages": CANARY}),
    "wrong role": ("/v1/chat/completions", {"model": "auto", "messages": [{"role": CANARY, "content": CANARY}]}),
    "wrong field": ("/v1/chat/completions", question(temperature=CANARY, max_tokens=CANARY)),
    "no object": ("/v1/chat/completions", [CANARY]),
    "model": ("/v1/chat/completions", question(model=CANARY)),
    "broken": ("/v1/chat/completions", b'{"model": "auto", "messages": "' + CANARY.encode()),
    "no text at all": ("/v1/chat/completions", b"\xff\xfe" + CANARY.encode("utf-16")),
    "messages": ("/v1/messages", MESSAGES),
    "messages counted": ("/v1/messages/count_tokens", MESSAGES),
    "messages wrong block": (
        "/v1/messages",
        MESSAGES | {"messages": [{"role": "user", "content": [{"type": CANARY}]}]},
    ),
    "messages wrong type": ("/v1/messages", MESSAGES | {"system": {"text": CANARY}}),
    "path": (f"/v1/{CANARY}", {}),
    "explain": ("/control/v1/explain", {"model": "auto", "body": question(CANARY)}),
    "explain wrong": ("/control/v1/explain", {"model": "auto", "body": {"messages": CANARY}, "more": CANARY}),
    "decisions": (
        "/v1/decisions",
        {"model": "auto", "input": CANARY, "questions": [{"type": "choice", "name": CANARY}]},
    ),
    "decisions wrong": ("/v1/decisions", {"model": CANARY, "input": [{"role": CANARY, "content": CANARY}]}),
    "key name": ("/control/v1/keys", {"name": "k", "profile": CANARY, "rpm": CANARY}),
}


WELL = ("prompt", "system", "completion", "embedding", "user", "too long", "messages", "messages counted")
WRONG_MESSAGES = ("messages wrong block", "messages wrong type")


def _shown_by(up: Any) -> dict[str, str]:
    """Everything that the gateway shows of itself."""
    shown = {path: ask(up.root_url, "GET", path).body.decode() for path in ("/metrics", "/health", "/ready")}
    for path in ("/status", "/models", "/instances", "/config", "/keys", "/devices", "/requests"):
        token = (up.folder / "admin.token").read_text().strip()
        shown[f"control {path}"] = ask(up.root_url, "GET", f"/control/v1{path}", None, token).body.decode()
    for words in (("status",), ("models",), ("keys", "list"), ("doctor",)):
        told = command(*words, folder=up.folder, env={"COLUMNS": "400"})
        shown[" ".join(words)] = told.stdout + told.stderr
    return shown


def _assert_nowhere(up: Any, *words: str, stderr: Path) -> None:
    for place, text in _shown_by(up).items():
        for word in words:
            assert word not in text, place
    up.stop()
    for path in (path for path in (*up.folder.rglob("*"), stderr) if path.is_file()):
        content = path.read_bytes()
        for word in words:
            assert word.encode() not in content, path


def _send(up: Any, path: str, body: Any) -> int:
    secret = (up.folder / "admin.token").read_text().strip() if path.startswith("/control") else up.api_key
    return ask(up.root_url, "POST", path, body, secret).status


def test_what_callers_say_to_an_engine_of_our_own(start_up: Any, tmp_path: Path, tiny_model: Path) -> None:
    """At the level that writes the most."""
    printed = tmp_path / "stderr.txt"
    with printed.open("wb") as stderr:
        up = start_up("--model", str(tiny_model), "--set", "logging.level=debug", stderr=stderr)
        seen = {name: _send(up, path, body) for name, (path, body) in BODIES.items()}
        assert {seen[name] for name in WELL} == {200}, seen
        refused = ("broken", "wrong type", "no object", "too long to shorten", "grammar", *WRONG_MESSAGES)
        assert {seen[name] for name in refused} == {400}, seen
        assert {seen[name] for name in ("path", "model")} == {404}, seen
        assert seen["explain"] == 200, seen
        # llama.cpp calls these two a fault of its own, so they are passed on as one
        assert {name for name, status in seen.items() if status >= 500} <= {"image", "tool arguments"}, seen
        for name in ("prompt", "tool", "grammar", "too long"):
            path, body = BODIES[name]
            _send(up, path, body | {"stream": True})
        headers = ask(up.root_url, "GET", f"/v1/models/{CANARY}?q={CANARY}", None, f"sk-rf-{CANARY}")
        assert headers.status == 401
        until(lambda: control(up, "/status")["requests"]["total"] >= 5, 25, "the requests in the status")
        log = (up.folder / "logs" / "gateway.log").read_bytes()
        assert b'"answered"' in log
        _assert_nowhere(up, CANARY, "Y2FuYXJ5LXBpeGVsLTkx", stderr=printed)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vllm", "llamacpp", "ollama"])
async def test_what_an_engine_answers(start_up: Any, tmp_path: Path, tiny_model: Path, kind: str) -> None:
    """Also where the engine breaks, and quotes what it was sent in its errors."""
    printed = tmp_path / "stderr.txt"
    quoting = {"error": {"message": f"cannot do {CANARY}", "type": CANARY, "code": 500, "param": CANARY}}
    async with FakeEngine(kind, (FakeModel("echo"),), words=(CANARY, " and ", CANARY)) as engine:
        file = tmp_path / "some.yaml"
        file.write_text(
            f"models:\n  echo: {{url: 'http://127.0.0.1:{engine.port}', engine: {kind}, aliases: [auto]}}\n"
            "timeouts: {first_byte_s: 0.3, between_bytes_s: 0.3, answer_s: 0.3}\nlogging: {level: debug}\n"
        )
        with printed.open("wb") as stderr:
            up = await asyncio.to_thread(start_up, "--config", str(file), stderr=stderr)
            answer = await asyncio.to_thread(chat, up, CANARY, max_tokens=20)
            assert CANARY in answer.text  # what it is asked does come back to who asked
            for stream in (False, True):
                for behaviour in (
                    *(Behaviour(fault) for fault in Fault if fault is not Fault.OVERSIZED),
                    Behaviour(Fault.STATUS, 400, quoting),
                    Behaviour(Fault.STATUS, 422, {"detail": CANARY}),
                    Behaviour(Fault.STATUS, 500, quoting),
                ):
                    engine.once(*[behaviour] * 3)
                    body = question(CANARY, max_tokens=20, stream=stream)
                    await asyncio.to_thread(_read_all, up, body)
                    engine._next.clear()
            await asyncio.to_thread(_assert_nowhere, up, CANARY, stderr=printed)


def _read_all(up: Any, body: Any) -> None:
    response = open_request(up.root_url, "POST", "/v1/chat/completions", body, up.api_key)
    with response:
        response.read()


@pytest.mark.slow
async def test_events_tell_what_happened_and_not_what_was_said(start_up: Any, tiny_model: Path) -> None:
    up = await asyncio.to_thread(start_up, "--model", str(tiny_model))
    token = (up.folder / "admin.token").read_text().strip()

    def watch() -> str:
        response = open_request(up.root_url, "GET", "/control/v1/events", None, token, 10)
        with response:
            lines = [response.readline() for _ in range(2)]
            for path, body in (BODIES["prompt"], BODIES["broken"], BODIES["model"]):
                _send(up, path, body)
            while not re.search(rb'"total": ?[1-9]', lines[-1]) and len(lines) < 40:
                lines.append(response.readline())
            return b"".join(lines).decode()

    seen = await asyncio.to_thread(watch)
    assert '"recent"' in seen
    assert CANARY not in seen
    await asyncio.to_thread(up.stop)


def test_a_chat_in_the_terminal_leaves_no_trace(ringfence: Any) -> None:
    told = command("chat", "--json", CANARY, "--system", CANARY, folder=ringfence.folder)
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["model"] == "auto"
    found = [p for p in ringfence.folder.rglob("*") if p.is_file() and CANARY.encode() in p.read_bytes()]
    assert found == []
