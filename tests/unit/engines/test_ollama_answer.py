"""Ollama's answers in OpenAI's words: whole and in lines, cut anywhere, broken anywhere."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.core.catalog import Ability
from ringfence.core.errors import BadRequest, ContextLengthExceeded, EngineFailed, Failure
from ringfence.core.lines import MAX_EVENT_BYTES
from ringfence.core.usage import Usage
from ringfence.engines.ollama import ADAPTER
from ringfence.engines.ollama_stream import LineStream
from ringfence.testing.chunks import Assembled, assemble

CHAT, TEXT, VECTORS = (ADAPTER.wires[each] for each in (Ability.CHAT, Ability.COMPLETIONS, Ability.EMBEDDINGS))
CALL = {"id": "call_7", "function": {"index": 0, "name": "look", "arguments": {"at": "Köln"}}}
COUNTS = {"prompt_eval_count": 11, "eval_count": 4}
END: dict[str, Any] = {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop", **COUNTS}
TOO_LONG = "the prompt is longer than the context length currently available to the model; shorten the prompt"


def whole(message: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": "hello", **(message or {})}
    return CHAT.answer({"model": "m:1", "created_at": "2026-11-01T00:00:00Z", **END, "message": said, **more})


def line(**fields: Any) -> bytes:
    return json.dumps({"model": "m:1", "created_at": "2026-11-01T00:00:00Z", "done": False, **fields}).encode() + b"\n"


def says(**message: Any) -> bytes:
    return line(message={"role": "assistant", "content": "", **message})


def translate(data: bytes, cut: int = 10**9, usage: bool = True) -> Assembled:
    stream = CHAT.stream(usage)
    out = b"".join(stream.feed(data[at : at + cut]) for at in range(0, len(data), cut))
    return assemble(out + stream.end())


class TestWhole:
    def test_a_chat(self) -> None:
        answer = whole()
        assert (answer["object"], answer["model"], answer["id"][:9]) == ("chat.completion", "m:1", "chatcmpl-")
        assert answer["id"] != whole()["id"]
        assert answer["choices"] == [
            {
                "index": 0, "message": {"role": "assistant", "content": "hello"}, "logprobs": None,
                "finish_reason": "stop",
            },
        ]  # fmt: skip
        assert answer["usage"] == {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}

    def test_thoughts_and_calls(self) -> None:
        nameless = {"function": {"name": "seek", "arguments": {}}}
        choice = whole({"thinking": "hm", "content": "", "tool_calls": [CALL, nameless]})["choices"][0]
        first, second = choice["message"]["tool_calls"]
        assert (choice["message"]["reasoning"], choice["finish_reason"]) == ("hm", "tool_calls")
        assert first | {"function": first["function"] | {"arguments": json.loads(first["function"]["arguments"])}} == {
            "index": 0, "id": "call_7", "type": "function",
            "function": {"name": "look", "arguments": {"at": "Köln"}},
        }  # fmt: skip
        assert (second["index"], second["function"]["arguments"], second["id"][:5]) == (1, "{}", "call_")

    @pytest.mark.parametrize(
        ("reason", "finish"), [("stop", "stop"), ("length", "length"), ("load", "stop"), (None, "stop"), (3, "stop")]
    )
    def test_reasons(self, reason: Any, finish: str) -> None:
        assert whole(done_reason=reason)["choices"][0]["finish_reason"] == finish

    def test_counts_that_are_missing(self) -> None:
        assert "usage" not in whole(prompt_eval_count=None, eval_count=None)
        assert whole(prompt_eval_count=None)["usage"]["prompt_tokens"] == 0

    def test_probabilities(self) -> None:
        told = [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}]
        assert whole(logprobs=told)["choices"][0]["logprobs"] == {"content": told}

    def test_a_completion(self) -> None:
        told = [
            {"token": "on", "logprob": -1, "top_logprobs": [{"token": "in", "logprob": -2}]},
            {"token": "ce", "logprob": -3},
        ]
        answer = TEXT.answer(END | {"model": "m:1", "response": "once", "done_reason": "length", "logprobs": told})
        assert (answer["object"], answer["usage"]["total_tokens"]) == ("text_completion", 15)
        assert answer["choices"] == [
            {
                "index": 0, "text": "once", "finish_reason": "length",
                "logprobs": {
                    "tokens": ["on", "ce"], "token_logprobs": [-1, -3], "top_logprobs": [{"in": -2}, {}],
                    "text_offset": [0, 2],
                },
            },
        ]  # fmt: skip

    def test_embeddings(self) -> None:
        answer = VECTORS.answer({"model": "m:1", "embeddings": [[0.5], [1.5]], "prompt_eval_count": 3})
        assert [row["embedding"] for row in answer["data"]] == [[0.5], [1.5]]
        assert [row["index"] for row in answer["data"]] == [0, 1]
        assert Usage.read(answer["usage"]) == Usage(3)

    @pytest.mark.parametrize(
        "body",
        [
            {}, {"message": {}}, {"done": True}, {"done": False, "message": {"content": "half"}},
            {"done": True, "message": "x"}, {"done": True, "message": {"tool_calls": [3]}}, {"choices": []},
            {"done": True, "message": {"tool_calls": "x"}},
        ],
    )  # fmt: skip
    def test_what_is_no_answer_is_said_to_be_none(self, body: dict[str, Any]) -> None:
        for wire in (CHAT, TEXT, VECTORS):
            with pytest.raises(EngineFailed):
                wire.answer(body)

    def test_an_error_in_the_place_of_an_answer(self) -> None:
        for wire in (CHAT, TEXT, VECTORS):
            with pytest.raises(ContextLengthExceeded):
                wire.answer({"error": TOO_LONG})
            with pytest.raises(EngineFailed):
                wire.answer({"error": "model runner has unexpectedly stopped"})


class TestStream:
    def test_the_order_of_chunks(self) -> None:
        stream = CHAT.stream(True)
        lines = says(content="a") + says(content="b", thinking="hm") + says(tool_calls=[CALL]) + line(**END)
        chunks = [json.loads(part[6:]) for part in stream.feed(lines).split(b"\n\n") if part.startswith(b"data: {")]
        told = [
            (chunk["choices"][0]["delta"], chunk["choices"][0]["finish_reason"]) if chunk["choices"] else "usage"
            for chunk in chunks
        ]
        call = {"index": 0, "id": "call_7", "type": "function"}
        call["function"] = {"name": "look", "arguments": '{"at":"Köln"}'}
        assert told == [
            ({"role": "assistant", "content": "a"}, None),
            ({"content": "", "reasoning": "hm"}, None),
            ({"content": "b"}, None),
            ({"content": "", "tool_calls": [call]}, None),
            ({"content": ""}, "tool_calls"),
            "usage",
        ]
        assert len({chunk["id"] for chunk in chunks}) == 1
        assert {chunk["model"] for chunk in chunks} == {"m:1"}
        assert stream.feed(lines) == stream.end() == b""

    def test_calls_on_several_lines_are_numbered_on(self) -> None:
        made = translate(says(tool_calls=[CALL]) + says(tool_calls=[CALL | {"id": "call_8"}]) + line(**END))
        assert [call["id"] for call in made.calls] == ["call_7", "call_8"]

    def test_usage_is_shown_only_when_asked_for(self) -> None:
        assert translate(says(content="a") + line(**END), usage=False).usage is None
        assert Usage.read(translate(says(content="a") + line(**END)).usage) == Usage(11, 4)

    def test_probabilities_come_once(self) -> None:
        odds = [{"token": "a", "logprob": -1, "bytes": [97], "top_logprobs": []}]
        said = {"role": "assistant", "content": "a", "thinking": "hm"}
        out = CHAT.stream(True).feed(line(message=said, logprobs=odds))
        told = [json.loads(part[6:])["choices"][0]["logprobs"] for part in out.split(b"\n\n") if part]
        assert told == [{"content": odds}, None]

    def test_a_completion(self) -> None:
        odds = [{"token": "ö", "logprob": -1}]
        stream = TEXT.stream(True)
        lines = b"".join(line(response=text, logprobs=odds) for text in ("ö", "x")) + line(
            response="", done=True, done_reason="length", **COUNTS
        )
        events = stream.feed(lines).decode().split("\n\n")
        chunks = [json.loads(event[6:]) for event in events if event.startswith("data: {")]
        choices = [choice for chunk in chunks for choice in chunk["choices"]]
        assert [choice["text"] for choice in choices] == ["ö", "x", ""]
        assert [choice["finish_reason"] for choice in choices] == [None, None, "length"]
        assert [choice["logprobs"]["text_offset"] for choice in choices[:2]] == [[0], [1]]
        assert (chunks[-1]["usage"]["total_tokens"], events[-2]) == (15, "data: [DONE]")

    def test_a_route_that_does_not_stream(self) -> None:
        with pytest.raises(EngineFailed):
            VECTORS.stream(True)

    @pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\n\n"])
    def test_pieces_may_be_cut_anywhere(self, newline: bytes) -> None:
        lines = says(content="naïve 日本") + says(content="🙂", thinking="so…") + says(tool_calls=[CALL]) + line(**END)
        shaped = lines.replace(b"\n", newline)
        expected = translate(lines)
        assert (expected.text, expected.reasoning, expected.finishes) == ("naïve 日本🙂", "so…", ["tool_calls"])
        assert translate(shaped, cut=1) == expected
        for at in range(len(shaped)):
            stream = CHAT.stream(True)
            assert assemble(stream.feed(shaped[:at]) + stream.feed(shaped[at:]) + stream.end()) == expected

    def test_a_last_line_without_its_end_is_one(self) -> None:
        assert translate((says(content="a") + line(**END)).rstrip()).is_done

    def test_an_error_in_the_middle_ends_the_stream(self) -> None:
        stream = CHAT.stream(True)
        out = stream.feed(says(content="half") + line(error="model runner has unexpectedly stopped") + line(**END))
        made = assemble(out + stream.feed(line(**END)) + stream.end())
        assert (made.text, made.is_done) == ("half", False)
        assert made.error is not None
        assert made.error["code"] == "engine_failed"
        assert isinstance(stream.failure, EngineFailed)

    def test_an_overflow_in_the_middle_is_one(self) -> None:
        made = translate(says(content="half") + json.dumps({"error": TOO_LONG}).encode() + b"\n")
        assert made.error is not None
        assert made.error["code"] == "context_length_exceeded"

    @pytest.mark.parametrize("keep", range(3))
    def test_a_stream_that_ends_early_is_never_taken_for_whole(self, keep: int) -> None:
        lines = [says(content="a"), says(content="b"), line(**END)][:keep]
        for cut in (b"", b'{"model": "m:1", "done": tr'):
            made = translate(b"".join(lines) + cut)
            assert made.error is not None
            assert made.error["code"] == "engine_failed"
            assert not made.is_done

    @pytest.mark.parametrize(
        "bad",
        [b"{nonsense\n", b"[1]\n", b"data: {}\n", line(), line(message=3), says(tool_calls=[{}]), says(tool_calls=3)],
    )
    def test_what_cannot_be_read_breaks_it_in_our_words(self, bad: bytes) -> None:
        made = translate(says(content="a") + bad + line(**END))
        assert made.error is not None
        assert made.error["code"] == "engine_failed"
        assert not made.is_done

    def test_memory_is_bounded(self) -> None:
        stream = CHAT.stream(True)
        piece, out = b"x" * 2**20, b""
        for _ in range(MAX_EVENT_BYTES // len(piece) + 2):
            out += stream.feed(piece)
        assert b"16 MiB" in out
        assert stream.failure is not None


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4), lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["message", "response", "done", "error", "tool_calls", "function", "name",
                                       "arguments", "content", "thinking", "logprobs", "token", "top_logprobs",
                                       "embeddings", "done_reason"]), inner, max_size=5), max_leaves=12,
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(ANY, max_size=4), st.integers(1, 9))
def test_whatever_comes_ends_in_one_way(lines: list[Any], cut: int) -> None:
    data = b"".join(json.dumps(one).encode() + b"\n" for one in lines)
    for wire in (CHAT, TEXT):
        stream = wire.stream(True)
        assert isinstance(stream, LineStream)
        out = b"".join(stream.feed(data[at : at + cut]) for at in range(0, len(data), cut)) + stream.end()
        assert stream.is_done is (stream.failure is None)
        assert out.endswith(b"data: [DONE]\n\n") is stream.is_done
        assert (b'data: {"error"' in out) is (stream.failure is not None)


@settings(max_examples=300)
@given(ANY)
def test_whatever_comes_whole_is_an_answer_or_a_failure(body: Any) -> None:
    for wire in (CHAT, TEXT, VECTORS):
        try:
            answer = wire.answer(body if isinstance(body, dict) else {"message": body})
        except Failure as failure:
            assert not isinstance(failure, BadRequest) or isinstance(failure, ContextLengthExceeded)
        else:
            assert {"object", "model"} <= answer.keys()
