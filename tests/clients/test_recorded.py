"""What programs really sent (recorded/, see record.py), said again over a socket; each answer is read as they read it.

Claude Code and Continue also run for real, in test_programs.py; Codex, Cline and SillyTavern are too big to install.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from anthropic.types import RawMessageStreamEvent
from exchanges import Told, sent
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

RECORDED = Path(__file__).parent / "recorded"
FAKES = ("fakes/vllm", "fakes/llamacpp", "fakes/ollama", "fakes/lmstudio")
LARGE = ("fakes/vllm", "fakes/llamacpp")
EVERY_MODEL = (*FAKES, "tiny")
SLOWLY = (*FAKES, pytest.param("tiny", marks=pytest.mark.slow))
FAILED = (502, 503, 529)
"""That of one answer, and that of an engine which is set aside as it fails so often."""
SENTENCE = "The quick brown fox jumps."
TOLD = "It is 21 degrees."
MESSAGE_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
RESPONSE_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
OF_THIS_MACHINE = re.compile(r"/tmp/|/home/(?!user/project)|/root/|sk-rf-|BEGIN ")


def recorded(name: str) -> list[dict[str, Any]]:
    """Its requests. One that is `like` an earlier one has that one's head, and what it does not say itself."""
    exchanges: list[dict[str, Any]] = json.loads((RECORDED / f"{name}.json").read_text())["exchanges"]
    for place, one in enumerate(exchanges):
        if "like" in one:
            old = exchanges[one["like"]]
            exchanges[place] = old | {"body": old["body"] | one["body"]}
    return exchanges


@pytest.fixture
def say(gateway: Any) -> Any:
    """Sends a recorded request as it was, but for the key and what is given here."""

    def say(exchange: dict[str, Any], key: str | None = None, **more: Any) -> Told:
        headers = {name: value.replace("KEY", key or gateway.api_key) for name, value in exchange["headers"].items()}
        body = {**exchange["body"], **more} if "body" in exchange else None
        return sent(gateway.base_url, exchange["method"], exchange["target"], headers, body)

    return say


def small(exchange: dict[str, Any], model: str, limit: str) -> dict[str, Any]:
    """What is said otherwise to this model: some windows are small, and the real one answers at length."""
    given: dict[str, Any] = {"model": model}
    if model in LARGE:
        return given
    tools = [tool for tool in exchange["body"].get("tools") or () if tool.get("type", "function") == "function"]
    least = min(tools, key=lambda tool: len(json.dumps(tool)), default=None)
    return given | {limit: 8} | ({"tools": [least]} if least is not None else {})


def first_tool(exchange: dict[str, Any], given: dict[str, Any]) -> str:
    """The name of the tool that is offered first: the one that is called."""
    tool = (exchange["body"] | given)["tools"][0]
    return str(tool.get("function", tool)["name"])


# -- Claude Code ----------------------------------------------------------------------------------------------------


def read_message(told: Told) -> tuple[list[dict[str, Any]], str]:
    """Blocks and the reason for the end, of a stream in the one order that there is."""
    assert told.status == 200 and told.headers["content-type"].startswith("text/event-stream"), told.text
    events = [event for _, event in told.events if event["type"] != "ping"]
    assert [name for name, _ in told.events] == [event["type"] for _, event in told.events]
    for event in events:
        MESSAGE_EVENT.validate_python(event)
    assert events[0]["type"] == "message_start" and events[0]["message"]["id"].startswith("msg_")
    assert [event["type"] for event in events[-2:]] == ["message_delta", "message_stop"]
    assert events[-2]["usage"]["output_tokens"] > 0
    blocks: list[dict[str, Any]] = []
    is_open = False
    for event in events[1:-2]:
        kind = event["type"].removeprefix("content_block_")
        assert is_open is (kind != "start"), "blocks stand side by side, each of them whole"
        is_open = kind != "stop"
        if kind == "start":
            assert event["index"] == len(blocks)
            blocks.append({**event["content_block"], "said": ""})
        elif kind == "delta":
            delta = event["delta"]
            blocks[-1]["said"] += delta.get("text") or delta.get("partial_json") or delta.get("thinking") or ""
    assert not is_open
    return blocks, events[-2]["delta"]["stop_reason"]


@pytest.mark.parametrize("model", EVERY_MODEL)
def test_claude_code(say: Any, model: str) -> None:
    look, asks, goes_on = recorded("claude_code")
    found = say(look)
    assert (look["method"], found.status, found.text) == ("HEAD", 200, "")
    given = small(asks, model, "max_tokens")
    blocks, reason = read_message(say(asks, **given))
    if model in FAKES:
        (call,) = blocks
        assert (call["type"], call["name"], reason) == ("tool_use", first_tool(asks, given), "tool_use")
        assert call["id"] and json.loads(call["said"]) == {"city": "Paris"}
        blocks, reason = read_message(say(goes_on, **small(goes_on, model, "max_tokens")))
        assert ([block["said"] for block in blocks], reason) == ([TOLD], "end_turn")


def test_an_engine_of_claude_code_sees_one_system_message(say: Any, engines: dict[str, Any]) -> None:
    _, asks, goes_on = recorded("claude_code")
    assert [message["role"] for message in asks["body"]["messages"]] == ["user", "system"]
    for exchange, roles in ((asks, ["system", "user"]), (goes_on, ["system", "user", "assistant", "tool"])):
        assert say(exchange, model="fakes/llamacpp").status == 200
        asked = engines["fakes/llamacpp"].calls[-1].body
        assert [message["role"] for message in asked["messages"]] == roles
        assert "cache_control" not in json.dumps(asked) and "x-anthropic-billing" not in json.dumps(asked)


@pytest.mark.parametrize("model", ("fakes/vllm", "tiny"))
def test_claude_code_asks_for_a_title_and_counts(say: Any, model: str) -> None:
    title, *counts, _, _ = recorded("claude_code_talk")
    assert title["body"]["output_config"]["format"]["type"] == "json_schema"
    blocks, reason = read_message(say(title, **small(title, model, "max_tokens")))
    assert {block["type"] for block in blocks} <= {"text"} and reason in ("end_turn", "max_tokens")
    if model == "fakes/vllm":
        assert json.loads(blocks[0]["said"])
    numbers = []
    for count in counts:
        assert count["target"] == "/v1/messages/count_tokens?beta=true"
        told = say(count, model=model)
        assert told.status == 200 and told.json.keys() == {"input_tokens"}
        numbers.append(told.json["input_tokens"])
    assert all(number > 0 for number in numbers)
    if model == "tiny":  # which counts as it will read
        assert numbers[0] < numbers[1] < numbers[2], "tools are counted too"


@pytest.mark.parametrize(
    ("model", "status", "kind"),
    [
        ("fakes/failing", FAILED, ("api_error", "overloaded_error")),
        ("no-such-model", (404,), ("not_found_error",)),
        ("full", (400,), ("invalid_request_error",)),
    ],
)
def test_claude_code_reads_what_went_wrong(
    say: Any, whole_key: str, model: str, status: tuple[int, ...], kind: tuple[str, ...]
) -> None:
    _, asks, _ = recorded("claude_code")
    if model == "full":  # it then shortens its own history
        told = say(asks, key=whole_key, model="fakes/full-vllm")
        assert "prompt is too long" in told.json["error"]["message"].lower()
    else:
        told = say(asks, model=model)
    assert told.status in status and told.json["type"] == "error" and told.json["error"]["type"] in kind
    assert told.json["error"]["message"]


# -- Codex ----------------------------------------------------------------------------------------------------------


def read_response(told: Told) -> dict[str, Any]:
    """The response at the end of a stream, with what came of its items on the way."""
    assert told.status == 200 and told.headers["content-type"].startswith("text/event-stream"), told.text
    events = [event for _, event in told.events]
    for event in events:
        RESPONSE_EVENT.validate_python(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[0]["type"] == "response.created"
    assert events[-1]["type"] in ("response.completed", "response.incomplete")
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert done == events[-1]["response"]["output"], "Codex acts on each item when it is done"
    assert events[-1]["response"]["id"] and events[-1]["response"]["usage"]["total_tokens"] > 0
    return dict(events[-1]["response"])


@pytest.mark.parametrize("model", EVERY_MODEL)
def test_codex(say: Any, model: str) -> None:
    asks, goes_on = recorded("codex")
    assert {tool["type"] for tool in asks["body"]["tools"]} == {"function", "namespace", "web_search"}
    given = small(asks, model, "max_output_tokens")
    response = read_response(say(asks, **given))
    if model in FAKES:
        (call,) = response["output"]
        assert (call["type"], call["name"]) == ("function_call", first_tool(asks, given))
        assert call["call_id"] and json.loads(call["arguments"]) == {"city": "Paris"}
        response = read_response(say(goes_on, **small(goes_on, model, "max_output_tokens")))
        (message,) = response["output"]
        assert (message["type"], message["content"][0]["text"]) == ("message", TOLD)


@pytest.mark.parametrize(("model", "status"), [("fakes/failing", FAILED), ("no-such-model", (404,))])
def test_codex_reads_what_went_wrong(say: Any, model: str, status: tuple[int, ...]) -> None:
    told = say(recorded("codex")[0], model=model)
    assert told.status in status and told.json["error"]["message"] and told.json["error"]["code"]


# -- programs that speak OpenAI's chat ------------------------------------------------------------------------------


def read_chat(told: Told) -> tuple[str, list[dict[str, str]], str]:
    """Text, calls and the reason for the end."""
    assert told.status == 200 and told.headers["content-type"].startswith("text/event-stream"), told.text
    *chunks, last = [event for _, event in told.events]
    assert last == "[DONE]"
    text, calls, reason = "", [], ""
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
        for choice in chunk["choices"]:
            text += choice["delta"].get("content") or ""
            reason = choice["finish_reason"] or reason
            for call in choice["delta"].get("tool_calls") or ():
                if call["index"] == len(calls):
                    calls.append({"id": call["id"], "name": call["function"]["name"], "arguments": ""})
                calls[call["index"]]["arguments"] += call["function"].get("arguments") or ""
    return text, calls, reason


@pytest.mark.parametrize("model", EVERY_MODEL)
@pytest.mark.parametrize("name", ["continue", "cline"])
def test_programs_that_chat(say: Any, name: str, model: str) -> None:
    asks, goes_on = recorded(name)
    given = small(asks, model, "max_tokens")
    told = say(asks, **given)
    _, calls, reason = read_chat(told)
    assert any(event["usage"] for _, event in told.events if event != "[DONE]" and event.get("usage")), "it was asked"
    if model in FAKES:
        (call,) = calls
        assert call["name"] == first_tool(asks, given) and reason == "tool_calls"
        assert call["id"] and json.loads(call["arguments"]) == {"city": "Paris"}
        text, calls, reason = read_chat(say(goes_on, **small(goes_on, model, "max_tokens")))
        assert (text, calls, reason) == (TOLD, [], "stop")


def test_they_read_what_went_wrong(say: Any) -> None:
    for name in ("continue", "cline", "sillytavern"):
        asks = next(one for one in recorded(name) if one["method"] == "POST")
        told = say(asks, model="no-such-model")
        assert told.status == 404 and told.json["error"]["message"], told.text
    told = say(asks, model="fakes/failing")
    assert told.status in FAILED and told.json["error"]["message"], told.text


# -- SillyTavern ----------------------------------------------------------------------------------------------------


def test_sillytavern_lists_models(say: Any) -> None:
    listed = [one for one in recorded("sillytavern") if one["method"] == "GET" and one["target"] == "/v1/models"]
    for one in listed:
        told = say(one)
        assert told.status == 200 and "auto" in [row["id"] for row in told.json["data"]]
    assert len(listed) == 4


@pytest.mark.parametrize("model", SLOWLY)
def test_sillytavern_chats(say: Any, model: str) -> None:
    chats = [one for one in recorded("sillytavern") if one["target"] == "/v1/chat/completions"]
    assert len(chats) == 8
    for one in chats:
        body = one["body"]
        if body.get("n") and model in ("fakes/ollama", "fakes/lmstudio"):
            continue  # what it does not have is refused by name, as docs/clients.md says
        told = say(one, **small(one, model, "max_tokens"))
        assert told.status == 200, told.text
        if not body["stream"]:
            assert len(told.json["choices"]) == body.get("n", 1)
            assert all(choice["message"]["role"] == "assistant" for choice in told.json["choices"])
            continue
        text, calls, _ = read_chat(told)
        if model in FAKES:
            is_told = body["messages"][-1]["role"] == "tool"
            is_called = "tools" in body and not is_told
            assert text == ("" if is_called else TOLD if is_told else SENTENCE)
            assert [call["name"] for call in calls] == (["look_up"] if is_called else [])


@pytest.mark.parametrize("model", SLOWLY)
def test_sillytavern_completes_texts(say: Any, model: str) -> None:
    """With the types vLLM and Generic."""
    texts = [one for one in recorded("sillytavern") if one["target"] == "/v1/completions"]
    assert len(texts) == 2
    for one in texts:
        told = say(one, **small(one, model, "max_tokens"))
        assert told.status == 200, told.text
        *chunks, last = [event for _, event in told.events]
        assert last == "[DONE]"
        said = "".join(choice["text"] for chunk in chunks for choice in chunk["choices"])
        assert said == SENTENCE or model == "tiny"


def test_sillytavern_is_told_what_there_is_not(say: Any) -> None:
    """llama.cpp's own routes. As for Ollama's, it sends no key, so it lists nothing where keys are on."""
    own = [
        one for one in recorded("sillytavern") if one["target"].split("?")[0] in ("/completion", "/tokenize", "/props")
    ]
    assert len(own) == 4
    for one in own:
        told = say(one)
        assert told.status == 404 and "/v1/completions" in told.json["error"]["message"]
    tags, generates = [one for one in recorded("sillytavern") if one["target"].startswith("/api/")]
    assert say(tags).status == say(generates).status == 401
    keyed = {name: one | {"headers": one["headers"] | {"authorization": "Bearer KEY"}}
             for name, one in (("tags", tags), ("generates", generates))}  # fmt: skip
    assert "tiny" in [row["name"] for row in say(keyed["tags"]).json["models"]]
    lines = [json.loads(line) for line in say(keyed["generates"], model="fakes/vllm").text.splitlines()]
    assert "".join(line["response"] for line in lines) == SENTENCE and lines[-1]["done"]


# -- the recordings themselves --------------------------------------------------------------------------------------


def test_nothing_of_anybody_is_in_a_recording() -> None:
    for path in RECORDED.iterdir():
        text = path.read_text()
        assert not OF_THIS_MACHINE.search(text), path.name
        read_or_run = {"read_from", "note"} if path.stem == "open_webui" else {"version", "run"}
        assert json.loads(text).keys() == {"program", "exchanges"} | read_or_run
        assert max(map(len, re.findall(r"(?<= )[^\s\"\\]+(?: [^\s\"\\]+){12,}", text)), default=0) < 200, "no prompts"
