"""Whatever an engine answers: told in events and put together, it is the same as told whole, in each dialect, and
nothing of it is lost."""

from __future__ import annotations

import json
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.gateway.dialects.messages_voice import MessagesVoice
from ringfence.gateway.dialects.ollama_voice import CHAT, OllamaVoice
from ringfence.gateway.responses_request import asked
from ringfence.gateway.responses_stream import ResponseVoice
from ringfence.gateway.voice import Voice

Body = dict[str, Any]
USAGE = {
    "prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13, "prompt_tokens_details": {"cached_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 2},
}  # fmt: skip
ODD = st.text(st.sampled_from('ab \n\r\x00"\\\u2028\u00e9\U0001f600{}:'), max_size=8)
NUMBERS = st.integers(-(10**30), 10**30)
ARGUMENTS = st.one_of(
    st.dictionaries(ODD, st.one_of(NUMBERS, ODD, st.lists(NUMBERS, max_size=2)), max_size=3).flatmap(
        lambda found: st.sampled_from([json.dumps(found), json.dumps(found, indent=1)])
    ),
    st.just(""), st.just('{"a": 1, "a": 2}'), st.just('{"cut": "of'), st.just("[1]"),
)  # fmt: skip
FINISHES = ("stop", "length", "tool_calls", "content_filter")


@st.composite
def answers(draw: st.DrawFn) -> tuple[Body, str, str]:
    """A message, why it ended, and how the engine numbers its calls."""
    said: Body = {"role": "assistant", "content": draw(st.one_of(st.none(), ODD))}
    for name in ("reasoning_content", "refusal"):
        if text := draw(ODD):
            said[name] = text
    if calls := draw(st.lists(ARGUMENTS, max_size=3)):
        said["tool_calls"] = [
            {"id": f"c/{place} é", "type": "function", "function": {"name": f"f{place}", "arguments": text}}
            for place, text in enumerate(calls)
        ]
    return said, draw(st.sampled_from(FINISHES)), draw(st.sampled_from(["counted", "all 0", "gaps"]))


def pieces(said: Body, finish: str, numbering: str) -> list[Body]:
    """The answer as a stream of chunks, two characters at a time; with a usage on the way, and another at the end."""
    deltas: list[Body] = [{"role": "assistant", "content": ""}]
    for name in ("reasoning_content", "content", "refusal"):
        text = said.get(name) or ""
        deltas += [{name: text[at : at + 2]} for at in range(0, len(text), 2)]
    for place, call in enumerate(said.get("tool_calls", ())):
        index = {"counted": place, "all 0": 0, "gaps": 3 * place + 1}[numbering]
        function = call["function"]
        deltas.append({"tool_calls": [call | {"index": index, "function": function | {"arguments": ""}}]})
        text = function["arguments"]
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": text[at : at + 2]}}]}
            for at in range(0, len(text), 2)
        ]
    chunks = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    early = USAGE | {"completion_tokens": 1}
    ending = [
        {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}], "usage": early},
        {"choices": [], "usage": USAGE},
    ]
    return [{"id": "chatcmpl-1", "model": "m", **chunk} for chunk in (*chunks, *ending)]


def streamed(voice: Voice, answer: tuple[Body, str, str]) -> bytes:
    written = [b"data: %b\n\n" % orjson.dumps(chunk) for chunk in pieces(*answer)]
    return b"".join([voice.feed(one) for one in (*written, b"data: [DONE]\n\n")]) + voice.end()


def whole(voice: Voice, answer: tuple[Body, str, str]) -> Body:
    message, finish, _ = answer
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return json.loads(
        voice.answer(orjson.dumps({"id": "chatcmpl-1", "model": "m", "choices": [choice], "usage": USAGE}))
    )


def events(data: bytes) -> list[Body]:
    assert b"\r" not in data, "a line would end there for some"
    return [json.loads(block.split(b"\ndata: ")[1]) for block in data.split(b"\n\n") if b"\ndata: " in block]


def said_in_all(answer: tuple[Body, str, str]) -> list[str]:
    """Every text of the answer that is to be found in what is told."""
    message = answer[0]
    return [text for name in ("reasoning_content", "content", "refusal") if (text := message.get(name))]


def read(arguments: str) -> Any:
    try:
        found = json.loads(arguments or "{}")
    except json.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


@settings(max_examples=60, deadline=None)
@given(answers())
def test_as_messages(answer: tuple[Body, str, str]) -> None:
    blocks: list[Body] = []
    ended: Body = {}
    for event in events(streamed(MessagesVoice(shows_thinking=True), answer)):
        if event["type"] == "content_block_start":
            blocks.append(event["content_block"] | {"json": ""})
            assert event["index"] == len(blocks) - 1
        elif event["type"] == "content_block_delta":
            for name, text in event["delta"].items():
                if name != "type":
                    blocks[-1]["json" if name == "partial_json" else name] += text
        elif event["type"] == "message_delta":
            ended = event
    told = whole(MessagesVoice(shows_thinking=True), answer)
    for block in blocks:
        text = block.pop("json")
        if block["type"] == "tool_use":
            found = read(text)
            block["input"] = {"unreadable_arguments": text} if found is None else found
    assert blocks == told["content"]
    assert ended["delta"]["stop_reason"] == told["stop_reason"]
    assert ended["usage"] == told["usage"]
    shown = [block.get("text") or block.get("thinking") or "" for block in blocks]
    assert "".join(shown) == "".join(said_in_all(answer))


@settings(max_examples=60, deadline=None)
@given(answers())
def test_as_ollama(answer: tuple[Body, str, str]) -> None:
    lines = [json.loads(line) for line in streamed(OllamaVoice(CHAT, "m"), answer).split(b"\n") if line]
    told = whole(OllamaVoice(CHAT, "m"), answer)
    message = told["message"]
    assert "".join(line["message"]["content"] for line in lines) == message["content"]
    assert "".join(line["message"].get("thinking", "") for line in lines) == message.get("thinking", "")
    assert lines[-1]["message"].get("tool_calls") == message.get("tool_calls")
    names = ("done", "done_reason", "prompt_eval_count", "eval_count")
    assert [lines[-1][name] for name in names] == [told[name] for name in names]
    assert message.get("thinking", "") + message["content"] == "".join(said_in_all(answer))
    calls = answer[0].get("tool_calls", [])
    for call, found in zip(calls, message.get("tool_calls", []), strict=True):
        arguments = read(call["function"]["arguments"])
        given_text = call["function"]["arguments"]
        assert found["id"] == call["id"]
        assert found["function"]["arguments"] == ({"arguments": given_text} if arguments is None else arguments)


@settings(max_examples=60, deadline=None)
@given(answers())
def test_as_a_response(answer: tuple[Body, str, str]) -> None:
    def voice() -> ResponseVoice:
        return ResponseVoice(asked({"model": "m", "input": "x"}), "m")

    *_, last = events(streamed(voice(), answer))
    told = whole(voice(), answer)
    passing = ("id", "created_at", "completed_at")
    for response in (last["response"], told):
        for each in (response, *response["output"]):
            for name in passing:
                each.pop(name, None)
    assert last["response"] == told
    calls = [item for item in told["output"] if item["type"] == "function_call"]
    expected = [(call["id"], call["function"]["arguments"]) for call in answer[0].get("tool_calls", ())]
    assert [(call["call_id"], call["arguments"]) for call in calls] == expected
    assert told["usage"]["input_tokens_details"]["cached_tokens"] == 3
    assert told["usage"]["output_tokens_details"]["reasoning_tokens"] == 2


def test_parts_of_an_answer_are_heard() -> None:
    """As Mistral's models that think answer."""
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    answer = ({"role": "assistant", "content": [thought, {"type": "text", "text": "Yes."}]}, "stop", "counted")
    assert [block["type"] for block in whole(MessagesVoice(shows_thinking=True), answer)["content"]] == [
        "thinking", "text",
    ]  # fmt: skip
    told = whole(OllamaVoice(CHAT, "m"), answer)["message"]
    assert (told["thinking"], told["content"]) == ("Hm.", "Yes.")
    response = whole(ResponseVoice(asked({"model": "m", "input": "x"}), "m"), answer)
    assert [item["content"][0]["text"] for item in response["output"]] == ["Hm.", "Yes."]
