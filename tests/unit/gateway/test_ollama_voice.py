"""Answers in Ollama's words, field by field."""

from __future__ import annotations

import json
import re
from typing import Any

from ringfence.gateway.dialects.ollama_embed import EmbedVoice
from ringfence.gateway.dialects.ollama_voice import CHAT, GENERATE, OllamaVoice

USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")


def event(**fields: Any) -> bytes:
    return b"data: " + json.dumps({"id": "1", "model": "engine", **fields}).encode() + b"\n\n"


def delta(finish: str | None = None, **fields: Any) -> bytes:
    return event(choices=[{"index": 0, "delta": fields, "finish_reason": finish}])


def lines(*data: bytes) -> list[dict[str, Any]]:
    voice = OllamaVoice(CHAT, "m")
    told = b"".join([*map(voice.feed, data), voice.end()])
    return [json.loads(one) for one in told.splitlines()]


def test_thoughts_texts_and_calls() -> None:
    *said, last = lines(
        delta(role="assistant", content=None), delta(reasoning_content="hm"), delta(reasoning="so"),
        delta(content="I "), delta(content="see"),
        delta(tool_calls=[{"index": 0, "id": "c1", "type": "function", "function": {"name": "look", "arguments": ""}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": '{"at"'}}]),
        delta(tool_calls=[{"index": 1, "id": "c2", "function": {"name": "go", "arguments": "{}"}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": ": 1}"}}]),
        delta("tool_calls"), event(choices=[], usage=USAGE), b"data: [DONE]\n\n",
    )  # fmt: skip
    assert [one["message"] for one in said] == [
        {"role": "assistant", "content": "", "thinking": "hm"}, {"role": "assistant", "content": "", "thinking": "so"},
        {"role": "assistant", "content": "I "}, {"role": "assistant", "content": "see"},
    ]  # fmt: skip
    assert last["message"]["tool_calls"] == [
        {"id": "c1", "function": {"index": 0, "name": "look", "arguments": {"at": 1}}},
        {"id": "c2", "function": {"index": 1, "name": "go", "arguments": {}}},
    ]
    assert (last["done_reason"], last["prompt_eval_count"], last["eval_count"]) == ("stop", 3, 4)
    assert all(one["model"] == "m" and TIME.fullmatch(one["created_at"]) for one in (*said, last))


def test_arguments_that_are_no_object_are_not_lost() -> None:
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"cut'}}
    (last,) = lines(delta("length", tool_calls=[call]))
    assert last["message"]["tool_calls"][0]["function"]["arguments"] == {"arguments": '{"cut'}
    assert last["done_reason"] == "length"


def test_an_error_is_the_end() -> None:
    told = lines(delta(content="a"), event(error={"message": "It broke.", "code": "engine_failed"}))
    assert told[-1] == {"error": "It broke.", "code": "engine_failed"}
    assert len(told) == 2


def test_who_waits_gets_lines_that_say_nothing() -> None:
    first, last = lines(b": loading\n\n")
    assert (first["message"], first["done"]) == ({"role": "assistant", "content": ""}, False)
    assert last["done"] is True


def test_times_of_an_engine_are_told() -> None:
    timings = {"prompt_n": 3, "prompt_ms": 1.5, "predicted_n": 4, "predicted_ms": 2.25}
    *_, last = lines(delta(content="a"), event(choices=[], usage=USAGE, timings=timings))
    assert (last["prompt_eval_duration"], last["eval_duration"]) == (1_500_000, 2_250_000)
    assert last["total_duration"] > 0 and last["load_duration"] >= 0


def test_a_whole_answer() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": [1]}'}}
    message = {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [call]}
    odds = {"content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls", "logprobs": odds}
    body = json.dumps({"model": "x", "choices": [choice], "usage": USAGE}).encode()
    told = json.loads(OllamaVoice(CHAT, "m").answer(body))
    assert told["message"] == {
        "role": "assistant", "content": "", "thinking": "hm",
        "tool_calls": [{"id": "c", "function": {"index": 0, "name": "f", "arguments": {"a": [1]}}}],
    }  # fmt: skip
    assert told["logprobs"] == odds["content"]
    assert (told["done"], told["done_reason"], told["eval_count"]) == (True, "stop", 4)


def test_a_whole_prompt() -> None:
    for choice in (
        {"text": "on", "logprobs": {"tokens": ["on"], "token_logprobs": [-1.0], "top_logprobs": [{}]}},
        {"message": {"content": "on"}, "logprobs": {"content": [{"token": "on", "logprob": -1.0}]}},
    ):
        body = json.dumps({"choices": [{**choice, "finish_reason": "length"}], "usage": USAGE}).encode()
        told = json.loads(OllamaVoice(GENERATE, "m").answer(body))
        assert (told["response"], told["done_reason"]) == ("on", "length")
        assert told["logprobs"] == [{"token": "on", "logprob": -1.0}]


def test_vectors_come_in_order() -> None:
    rows = [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]
    body = json.dumps({"data": rows, "usage": {"prompt_tokens": 5, "total_tokens": 5}}).encode()
    told = json.loads(EmbedVoice("m", is_older=False).answer(body))
    assert (told["embeddings"], told["prompt_eval_count"], told["model"]) == ([[1.0], [2.0]], 5, "m")
    assert json.loads(EmbedVoice("m", is_older=True).answer(body)) == {"embedding": [1.0]}
