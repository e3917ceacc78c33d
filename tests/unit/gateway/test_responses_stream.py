"""How a response is told: each event as OpenAI's own types have it, in order, and the same answer in one piece."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from ringfence.gateway.dialects.responses import DIALECT
from ringfence.gateway.head import NO_HEAD
from ringfence.gateway.responses_input import carried
from ringfence.gateway.responses_stream import ResponseVoice

EVENT = TypeAdapter(ResponseStreamEvent)
BEGINS = ["response.created", "response.in_progress"]
MESSAGE = ["response.output_item.added", "response.content_part.added"]
ENDS = ["response.content_part.done", "response.output_item.done"]
TOOLS = [
    {"type": "function", "name": "read", "parameters": {}},
    {"type": "namespace", "name": "ns", "description": "", "tools": [{"type": "function", "name": "f"}]},
    {"type": "custom", "name": "patch"},
]
USAGE = {
    "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, "prompt_tokens_details": {"cached_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 1},
}  # fmt: skip


def voice(**asked: Any) -> ResponseVoice:
    heard = DIALECT.heard({"model": "m", "input": "hi", "stream": True, "tools": TOOLS} | asked, NO_HEAD)
    assert isinstance(heard.voice, ResponseVoice)
    return heard.voice


def chunk(delta: dict[str, Any], **more: Any) -> bytes:
    said = {"id": "x", "model": "real", "choices": [{"index": 0, "delta": delta, "finish_reason": None, **more}]}
    return b"data: " + orjson.dumps(said) + b"\n\n"


def call(index: int, arguments: str, name: str | None = None, call_id: str | None = None) -> dict[str, Any]:
    head = {"id": call_id, "type": "function"} if call_id else {}
    return {"tool_calls": [{"index": index, **head, "function": {"name": name, "arguments": arguments}}]}


def told(speaks: ResponseVoice, *pieces: bytes, end: str | None = "stop") -> list[dict[str, Any]]:
    """The events, each of which the library can read, numbered from 0. `end` None: what came says how it ends."""
    if end is not None:
        usage = b"data: " + orjson.dumps({"choices": [], "usage": USAGE}) + b"\n\n"
        pieces += (chunk({}, finish_reason=end), usage, b"data: [DONE]\n\n")
    data = b"".join(map(speaks.feed, pieces)) + speaks.end()
    events: list[dict[str, Any]] = []
    for block in data.decode().split("\n\n")[:-1]:
        if block.startswith(":"):
            continue
        name, _, body = block.partition("\n")
        event = orjson.loads(body.removeprefix("data: "))
        assert name == f"event: {event['type']}" and event["sequence_number"] == len(events)
        EVENT.validate_python(event)
        events.append(event)
    return events


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def test_thoughts_text_and_calls_are_items_of_their_own() -> None:
    events = told(
        voice(), chunk({"role": "assistant", "content": ""}), chunk({"reasoning_content": "h"}),
        chunk({"reasoning_content": "m"}), chunk({"content": "I "}), chunk({"content": "look."}),
        chunk(call(0, "", "read", "c1")), chunk(call(0, '{"a"')), chunk(call(0, ":1}")),
        chunk(call(1, "{}", "ns__f", "c2")), end="tool_calls",
    )  # fmt: skip
    call_of = ["response.output_item.added", "response.function_call_arguments.delta"]
    call_ends = ["response.function_call_arguments.done", "response.output_item.done"]
    assert kinds(events) == [
        *BEGINS, *MESSAGE, *["response.reasoning_text.delta"] * 2, "response.reasoning_text.done", *ENDS,
        *MESSAGE, *["response.output_text.delta"] * 2, "response.output_text.done", *ENDS,
        *call_of, "response.function_call_arguments.delta", *call_ends, *call_of, *call_ends, "response.completed",
    ]  # fmt: skip
    answer = events[-1]["response"]
    Response.model_validate(answer)
    thought, message, first, second = answer["output"]
    assert (thought["type"], thought["content"]) == ("reasoning", [{"type": "reasoning_text", "text": "hm"}])
    assert "encrypted_content" not in thought and thought["summary"] == []
    assert message["content"] == [{"type": "output_text", "text": "I look.", "annotations": [], "logprobs": []}]
    named = {"type": "function_call", "name": "read", "call_id": "c1", "arguments": '{"a":1}', "status": "completed"}
    assert named.items() <= first.items() and "namespace" not in first
    assert {"name": "f", "namespace": "ns", "call_id": "c2", "arguments": "{}"}.items() <= second.items()
    assert [event["output_index"] for event in events if event["type"].endswith("item.done")] == [0, 1, 2, 3]
    for event in events:
        if "item_id" in event:
            assert event["item_id"] == answer["output"][event["output_index"]]["id"]
    assert answer["usage"] == {
        "input_tokens": 3, "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0}, "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 1}, "total_tokens": 7,
    }  # fmt: skip
    assert answer["model"] == "real" and answer["completed_at"] >= answer["created_at"]


def test_what_an_event_showed_is_not_changed_later() -> None:
    events = told(voice(), chunk({"content": "a"}), chunk({"content": "b"}))
    assert events[0]["response"]["output"] == [] and events[2]["item"]["content"] == []
    assert events[3]["part"] == {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    assert events[2]["item"]["status"] == "in_progress" and events[-2]["item"]["status"] == "completed"


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_a_summary_that_was_asked_for_and_reasoning_to_be_carried(field: str) -> None:
    speaks = voice(reasoning={"summary": "auto"}, include=["reasoning.encrypted_content"])
    events = told(speaks, chunk({field: "hm"}), chunk({"content": "a"}))
    assert kinds(events)[2:8] == [
        "response.output_item.added", "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta", "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done", "response.output_item.done",
    ]  # fmt: skip
    thought = events[-1]["response"]["output"][0]
    assert thought["summary"] == [{"type": "summary_text", "text": "hm"}] and "content" not in thought
    assert thought["encrypted_content"] == carried("hm") == events[7]["item"]["encrypted_content"]


def test_a_tool_that_takes_a_text_is_told_its_text() -> None:
    events = told(voice(), chunk(call(0, '{"input":"+ ü', "patch", "c1")), chunk(call(0, '\\n"}')), end="tool_calls")
    assert kinds(events)[2:-1] == [
        "response.output_item.added", "response.custom_tool_call_input.delta", "response.custom_tool_call_input.done",
        "response.output_item.done",
    ]  # fmt: skip
    (item,) = events[-1]["response"]["output"]
    assert (item["type"], item["name"], item["input"]) == ("custom_tool_call", "patch", "+ ü\n")
    written = told(voice(), chunk(call(0, "just text", "patch", "c1")))
    assert written[-1]["response"]["output"][0]["input"] == "just text", "what the model wrote otherwise is not lost"


def test_calls_that_all_have_the_same_index_are_told_apart() -> None:
    both = told(voice(), chunk(call(0, "{}", "read", "c1")), chunk(call(0, "{}", "read", "c2")))
    assert [item["call_id"] for item in both[-1]["response"]["output"]] == ["c1", "c2"]


def test_calls_that_are_mixed_up_are_no_answer() -> None:
    events = told(
        voice(), chunk(call(0, "{", "read", "a")), chunk(call(1, "{", "read", "b")), chunk(call(0, "}")), end=None
    )
    assert kinds(events)[-2:] == ["error", "response.failed"] and events[-2]["code"] == "engine_failed"


def test_a_refusal_after_a_text_is_a_part_of_its_own() -> None:
    events = told(voice(), chunk({"content": "Well. "}), chunk({"refusal": "No."}))
    parts = [event["content_index"] for event in events if event["type"] == "response.content_part.added"]
    assert parts == [0, 1] and kinds(events).count("response.refusal.done") == 1
    (message,) = events[-1]["response"]["output"]
    assert [part["type"] for part in message["content"]] == ["output_text", "refusal"]


def test_probabilities() -> None:
    told_of = {"token": "a", "logprob": -0.5, "bytes": [97]}
    events = told(voice(), chunk({"content": "a"}, logprobs={"content": [told_of | {"top_logprobs": [told_of]}]}))
    expected = [told_of | {"top_logprobs": [told_of]}]
    assert events[4]["logprobs"] == events[5]["logprobs"] == expected
    assert events[-1]["response"]["output"][0]["content"][0]["logprobs"] == expected


@pytest.mark.parametrize(("end", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_what_was_cut_is_incomplete(end: str, reason: str) -> None:
    events = told(voice(), chunk({"content": "a"}), end=end)
    answer = events[-1]["response"]
    assert events[-1]["type"] == "response.incomplete" and answer["incomplete_details"] == {"reason": reason}
    assert answer["status"] == answer["output"][0]["status"] == "incomplete" and "completed_at" not in answer


def test_an_error_midway_ends_it_and_nothing_follows() -> None:
    error = b'data: {"error":{"message":"It broke.","type":"api_error","param":null,"code":"engine_failed"}}\n\n'
    speaks = voice()
    events = told(speaks, chunk({"content": "a"}), error, chunk({"content": "b"}), end=None)
    assert kinds(events)[-2:] == ["error", "response.failed"]
    assert {"code": "engine_failed", "message": "It broke.", "param": None}.items() <= events[-2].items()
    answer = events[-1]["response"]
    assert (answer["status"], answer["error"]) == ("failed", {"code": "server_error", "message": "It broke."})
    assert answer["output"][0]["content"][0]["text"] == "a" and answer["output"][0]["status"] == "incomplete"
    assert speaks.feed(b"data: [DONE]\n\n") == speaks.end() == b""


def test_an_error_before_anything_else_has_a_response_to_fail() -> None:
    events = told(voice(), b'data: {"error":{"message":"No.","code":"x"}}\n\n', end=None)
    assert kinds(events) == [*BEGINS, "error", "response.failed"]


def test_comments_are_passed_on_after_the_beginning() -> None:
    speaks = voice()
    data = speaks.feed(b": parked position=1 estimate_s=2\n\n")
    assert data.startswith(b"event: response.created\n") and data.endswith(b": parked position=1 estimate_s=2\n\n")


def test_nothing_said_is_an_answer_without_items() -> None:
    events = told(voice(), chunk({"role": "assistant", "content": ""}))
    assert kinds(events) == [*BEGINS, "response.completed"] and events[-1]["response"]["output"] == []


def test_one_piece_comes_to_the_same_as_the_stream() -> None:
    calls = [
        {"id": "c1", "type": "function", "function": {"name": "read", "arguments": "{}"}},
        {"id": "c2", "type": "function", "function": {"name": "patch", "arguments": '{"input":"x"}'}},
    ]  # fmt: skip
    message = {"role": "assistant", "reasoning_content": "hm", "content": "a", "tool_calls": calls}
    whole = {
        "model": "real",
        "usage": USAGE,
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
    }
    answer = orjson.loads(voice().answer(orjson.dumps(whole)))
    streamed = told(
        voice(), chunk({"reasoning_content": "hm"}), chunk({"content": "a"}), chunk(call(0, "{}", "read", "c1")),
        chunk(call(1, '{"input":"x"}', "patch", "c2")), end="tool_calls",
    )[-1]["response"]  # fmt: skip
    Response.model_validate(answer)
    for one in (answer, streamed):
        for name in ("id", "created_at", "completed_at"):
            assert one.pop(name)
        assert [item.pop("id") for item in one["output"]]
    assert answer == streamed


def test_what_it_came_to_is_kept_once() -> None:
    kept: list[Any] = []
    speaks = voice()
    speaks.keep = kept.append
    events = told(speaks, chunk({"content": "a"}))
    speaks.end()
    assert [one["id"] for one in kept] == [events[-1]["response"]["id"]] and kept[0]["status"] == "completed"


def test_one_that_is_cancelled_says_so() -> None:
    speaks = voice()
    speaks.feed(chunk({"content": "a"}))
    event = orjson.loads(speaks.cancelled().decode().split("data: ")[-1])
    assert (event["type"], event["response"]["status"]) == ("response.incomplete", "cancelled")
    EVENT.validate_python(event)
    assert speaks.end() == b""
