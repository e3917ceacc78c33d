"""Open WebUI: every request that its server sends, over a socket, and what it then does with the answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from exchanges import Told, sent

EXCHANGES: dict[str, Any] = json.loads((Path(__file__).parent / "recorded" / "open_webui.json").read_text())[
    "exchanges"
]
FAKES = ("fakes/llamacpp", "fakes/vllm", "fakes/ollama", "fakes/lmstudio")
SENTENCE = "The quick brown fox jumps."


Send = Callable[..., Told]


@pytest.fixture
def send(gateway: Any) -> Send:
    """One of the recorded requests; what is given by name changes the body."""

    def send(name: str, model: str = "", key: str | None = None, **more: Any) -> Told:
        asked = EXCHANGES[name]
        body = {**asked["body"], "model": model, **more} if "body" in asked else None
        headers = {**asked["headers"], "Authorization": f"Bearer {gateway.api_key if key is None else key}"}
        return sent(gateway.root_url, asked["method"], asked["path"], headers, body)

    return send


@dataclass
class Message:
    """What its page shows."""

    content: str = ""
    usage: Any = None
    error: Any = None
    calls: dict[int, dict[str, Any]] | None = None


def shown(told: Told) -> Message:
    """An answer of OpenAI's routes as it reads it: lines that begin with `data:`, the first choice, calls by index."""
    assert told.status == 200 and "text/event-stream" in told.headers["content-type"], told
    message = Message()
    for line in told.text.splitlines():
        if not line.startswith("data:") or line == "data: [DONE]":
            continue
        data = json.loads(line.removeprefix("data:"))
        message.error = data.get("error") or message.error
        message.usage = data.get("usage") or message.usage
        for choice in data.get("choices", [])[:1]:
            delta = choice.get("delta", {})
            message.content += delta.get("content") or ""
            for call in delta.get("tool_calls") or []:
                message.calls = message.calls or {}
                known = message.calls.setdefault(call["index"], {"name": "", "arguments": ""})
                for part, text in call.get("function", {}).items():
                    known[part] += text or ""
    return message


def shown_of_ollama(told: Told) -> Message:
    """An answer of Ollama's routes as it translates it: whole lines of JSON, and the usage of the one that is done."""
    assert told.status == 200 and "x-ndjson" in told.headers["content-type"], told
    message = Message()
    for line in told.text.splitlines():
        data = json.loads(line)
        message.error = data.get("error") or message.error
        message.content += data.get("message", {}).get("content", "") or ""
        for place, call in enumerate(data.get("message", {}).get("tool_calls") or []):
            message.calls = (message.calls or {}) | {place: call["function"]}
        if data.get("done", False):
            message.usage = {name: data[name] for name in ("prompt_eval_count", "eval_count", "total_duration")}
    return message


def test_its_lists(send: Send) -> None:
    for name in ("openai_models", "openai_verify"):
        told = send(name).json
        assert {"tiny", "auto", *FAKES} <= {model["id"] for model in told["data"]}
    version = send("ollama_verify").json["version"]
    assert tuple(map(int, re.sub(r"^v|-.*", "", version).split("."))) > (0, 1), version  # as it finds the lowest
    tags = send("ollama_tags").json["models"]
    assert {"tiny", *FAKES} <= {model["model"] for model in tags} and all(model["name"] for model in tags)
    loaded = send("ollama_ps").json["models"]
    assert "tiny" in [model["name"] for model in loaded]
    assert all(datetime.fromisoformat(model["expires_at"]).timestamp() > 0 for model in loaded)
    assert "completion" in send("ollama_show", "tiny").json["capabilities"]


@pytest.mark.parametrize("model", FAKES)
def test_chats(send: Send, engines: Any, model: str) -> None:
    for name in ("openai_chat", "openai_chat_with_parameters"):
        message = shown(send(name, model))
        assert (message.content, message.error) == (SENTENCE, None), (name, message)
    assert shown(send("openai_chat", model)).usage["completion_tokens"] == 6
    message = shown_of_ollama(send("ollama_chat", model))
    assert (message.content, message.usage["eval_count"], message.error) == (SENTENCE, 6, None)
    sent = json.dumps([call.headers for call in engines[model].calls]).lower()
    assert "openwebui" not in sent and "example.invalid" not in sent  # who asks is told to no engine


@pytest.mark.parametrize("model", FAKES)
def test_tools(send: Send, model: str) -> None:
    message = shown(send("openai_tools", model))
    assert message.calls is not None and json.loads(message.calls[0]["arguments"]) == {"city": "Paris"}
    assert message.calls[0]["name"] == "look_up"
    assert shown(send("openai_tools_answered", model)).content == "It is 21 degrees."
    of_ollama = shown_of_ollama(send("ollama_tools", model)).calls or {}
    assert [(call["name"], call["arguments"]) for call in of_ollama.values()] == [("look_up", {"city": "Paris"})]


def test_a_real_model(send: Send) -> None:
    assert shown(send("openai_chat_with_parameters", "tiny", max_tokens=8)).content
    assert shown_of_ollama(send("ollama_chat", "tiny", options={"num_ctx": 2048, "num_predict": 8})).content
    assert len(send("openai_embeddings", "tiny").json["data"][0]["embedding"]) == 128


def test_what_it_does_in_the_background(send: Send) -> None:
    for task in ("title", "tags", "follow_ups"):
        told = send(task, "fakes/vllm")
        assert told.headers["content-type"].startswith("application/json")
        assert told.json["choices"][0]["message"]["content"] == SENTENCE and told.json["usage"]
    assert send("ollama_title", "fakes/vllm").json["message"]["content"] == SENTENCE


def test_embeddings(send: Send) -> None:
    rows = send("openai_embeddings", "fakes/embedder").json["data"]
    assert [len(row["embedding"]) for row in rows] == [8, 8]
    assert send("ollama_embed", "fakes/embedder").json["embeddings"] == [row["embedding"] for row in rows]


@pytest.mark.parametrize("name", sorted(EXCHANGES))
def test_a_wrong_key_is_said_in_each(send: Send, name: str) -> None:
    told = send(name, "tiny", key="sk-rf-wrong")
    said = told.json["error"]
    assert told.status == 401 and "Incorrect API key" in (said if isinstance(said, str) else said["message"])


CHATS = ("openai_chat", "ollama_chat")


@pytest.mark.parametrize("name", CHATS)
def test_errors_are_json_also_where_a_stream_was_asked_for(
    send: Send, make_key: Any, whole_key: str, name: str
) -> None:
    """It waits for the end of an error that comes as a stream for ever."""
    once = make_key(f"open-webui-{name}", "--rpm", "1")
    assert send(name, "fakes/vllm", key=once).status == 200
    long = [{"role": "user", "content": "word " * 6000}]
    found = {
        404: send(name, "gpt-9"),
        400: send(name, "fakes/vllm", key=whole_key, messages=long),
        429: send(name, "fakes/vllm", key=once),
        503: send(name, "fakes/busy-open-webui"),
        502: send(name, "fakes/failing"),
    }
    for status, told in found.items():
        assert told.headers["content-type"].startswith("application/json"), (status, told)
        said = told.json["error"]
        assert said if isinstance(said, str) else said["message"], (status, told)
    assert [told.status for told in found.values()][:4] == [404, 400, 429, 503]
    assert found[502].status in (502, 503)  # it is set aside once it has failed often
    assert all(int(found[status].headers["retry-after"]) >= 1 for status in (429, 503))
    assert "context length" in found[400].text


def test_a_stream_that_breaks_shows_an_error(send: Send) -> None:
    for name, read in (("openai_chat", shown), ("ollama_chat", shown_of_ollama)):
        message = read(send(name, "fakes/cut-open-webui"))
        assert message.error and SENTENCE.startswith(message.content) and message.content, (name, message)
