"""Anthropic's answers as chat completions: whole and in events, cut anywhere, broken anywhere."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.core.errors import EngineFailed, Overloaded
from ringfence.core.lines import MAX_EVENT_BYTES
from ringfence.core.usage import Usage
from ringfence.providers.anthropic import ADAPTER
from ringfence.providers.anthropic_stream import MessageStream
from ringfence.testing.chunks import Assembled, assemble
from ringfence.testing.fake_cloud_answers import Saying, ToolCall, anthropic_answer, anthropic_events

BODY = {"model": "claude", "max_tokens": 1000, "messages": [{"role": "user", "content": "a b"}]}


def translate(events: bytes, include_usage: bool = True, cut: int = 0) -> Assembled:
    stream = ADAPTER.stream(include_usage)
    pieces = [events[at : at + cut] for at in range(0, len(events), cut)] if cut else [events]
    return assemble(b"".join(stream.feed(piece) for piece in pieces) + stream.end())


def event(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind, **fields}))


def delta(place: int, kind: str, **fields: Any) -> bytes:
    return event("content_block_delta", index=place, delta={"type": kind, **fields})


START = event("message_start", message={"id": "msg_1", "model": "claude", "usage": {"input_tokens": 4}})
END = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 3}) + event("message_stop")


class TestWhole:
    def test_text_calls_thinking_and_usage(self) -> None:
        saying = Saying(
            words=("a", " b"),
            calls=(ToolCall("look", '{"x": [1, "é"]}', "t1"), ToolCall("go", "{}", "t2")),
            thinking="hm",
            cached_tokens=10,
            written_tokens=5,
        )
        answer = ADAPTER.answer(anthropic_answer(BODY, saying))
        choice = answer["choices"][0]
        assert choice["message"]["content"] == "a b"
        assert [(c["id"], c["function"]["name"]) for c in choice["message"]["tool_calls"]] == [
            ("t1", "look"),
            ("t2", "go"),
        ]
        assert json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"]) == {"x": [1, "é"]}
        assert choice["message"]["reasoning_content"] == "hm"
        assert choice["message"]["thinking_blocks"][0]["signature"]
        assert choice["finish_reason"] == "tool_calls"
        usage = Usage.read(answer["usage"])
        assert usage is not None
        assert usage.cached_tokens == 10
        asked = anthropic_answer(BODY, saying)["usage"]["input_tokens"]
        assert usage.prompt_tokens == asked + 15

    @pytest.mark.parametrize(
        ("reason", "finish"),
        [
            ("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"), ("tool_use", "tool_calls"),
            ("refusal", "content_filter"), ("pause_turn", "length"), ("model_context_window_exceeded", "length"),
            ("a_reason_of_tomorrow", "stop"), (None, "stop"),
        ],
    )  # fmt: skip
    def test_reasons(self, reason: str | None, finish: str) -> None:
        body = {**anthropic_answer(BODY, Saying()), "stop_reason": reason}
        assert ADAPTER.answer(body)["choices"][0]["finish_reason"] == finish

    def test_only_calls_have_no_content_and_nothing_at_all_is_empty(self) -> None:
        only = ADAPTER.answer(anthropic_answer(BODY, Saying(words=(), calls=(ToolCall("look"),))))
        assert only["choices"][0]["message"]["content"] is None
        nothing = ADAPTER.answer(anthropic_answer(BODY, Saying(words=())))
        assert nothing["choices"][0]["message"]["content"] == ""

    @pytest.mark.parametrize("body", [{}, {"type": "message"}, {"type": "message", "content": "x"}, {"choices": []}])
    def test_what_is_no_answer_is_said_to_be_none(self, body: dict[str, Any]) -> None:
        with pytest.raises(EngineFailed):
            ADAPTER.answer(body)

    def test_an_error_in_the_place_of_an_answer(self) -> None:
        with pytest.raises(Overloaded):
            ADAPTER.answer({"type": "error", "error": {"type": "overloaded_error", "message": "x"}})


class TestStream:
    def test_the_order_of_chunks(self) -> None:
        stream = ADAPTER.stream(True)
        events = b"".join(anthropic_events(BODY, Saying(words=("a",), calls=(ToolCall("look", '{"x":1}', "t1"),))))
        chunks = [json.loads(part[6:]) for part in stream.feed(events).split(b"\n\n") if part.startswith(b"data: {")]
        deltas = [chunk["choices"][0]["delta"] if chunk["choices"] else "usage" for chunk in chunks]
        function = {"name": "look", "arguments": ""}
        assert deltas == [
            {"role": "assistant", "content": ""},
            {"content": "a"},
            {"tool_calls": [{"index": 0, "id": "t1", "type": "function", "function": function}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": '{"x":1}'}}]},
            {},
            "usage",
        ]
        assert [chunk["id"] for chunk in chunks] == ["msg_01"] * 6
        assert stream.is_done
        assert stream.feed(events) == b""
        assert stream.end() == b""

    def test_what_is_signed_and_what_ended_it_come_along(self) -> None:
        sealed = {"type": "redacted_thinking", "data": "c2VhbGVk"}
        events = START + event("content_block_start", index=0, content_block={"type": "thinking", "thinking": "hm"})
        events += delta(0, "signature_delta", signature="c2ln") + event("content_block_stop", index=0)
        events += event("content_block_start", index=1, content_block=sealed) + event("content_block_stop", index=1)
        events += END.replace(b'"end_turn"', b'"stop_sequence","stop_sequence":"END"')
        stream = ADAPTER.stream(True)
        chunks = [json.loads(line[6:]) for line in stream.feed(events).splitlines() if line.startswith(b"data: {")]
        blocks = [
            block for c in chunks for choice in c["choices"] for block in choice["delta"].get("thinking_blocks", ())
        ]
        assert blocks == [{"type": "thinking", "thinking": "", "signature": "c2ln"}, sealed]
        (last,) = [choice for c in chunks for choice in c["choices"] if choice["finish_reason"]]
        assert (last["finish_reason"], last["stop_reason"]) == ("stop", "END")
        whole = anthropic_answer(BODY, Saying(stop_reason="stop_sequence")) | {"stop_sequence": "END"}
        assert ADAPTER.answer(whole)["choices"][0]["stop_reason"] == "END"

    def test_why_it_was_refused_is_told_as_in_a_whole_answer(self) -> None:
        ended = {"stop_reason": "refusal", "stop_details": {"type": "refusal", "explanation": "I will not."}}
        out = ADAPTER.stream(include_usage=True).feed(event("message_delta", delta=ended) + event("message_stop"))
        assert b'"refusal":"I will not."' in out
        assert b'"finish_reason":"content_filter"' in out

    def test_usage_is_shown_only_when_asked_for(self) -> None:
        events = b"".join(anthropic_events(BODY, Saying(cached_tokens=7)))
        assert translate(events, include_usage=False).usage is None
        usage = Usage.read(translate(events).usage)
        assert usage is not None
        assert (usage.completion_tokens, usage.cached_tokens) == (5, 7)

    def test_what_a_cache_keeps_for_an_hour_is_told_apart(self) -> None:
        created = {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 70}
        told = {"input_tokens": 5, "output_tokens": 3, "cache_creation_input_tokens": 100, "cache_creation": created}
        begun = event("message_start", message={"id": "m", "model": "m", "usage": told})
        for usage in (
            Usage.read(translate(begun + END).usage),
            Usage.read(ADAPTER.answer(anthropic_answer(BODY, Saying()) | {"usage": told})["usage"]),
        ):
            assert usage == Usage(105, 3, 0, False, 0, 100, 70)

    def test_what_was_reported_by_now_is_known_at_any_time(self) -> None:
        """Whoever leaves midway pays for it."""
        stream = ADAPTER.stream(True)
        assert stream.reported is None
        created = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 70}
        usage = {"input_tokens": 4, "cache_creation_input_tokens": 70, "cache_creation": created, "output_tokens": 1}
        stream.feed(event("message_start", message={"id": "msg_1", "model": "claude", "usage": usage}))
        for said in (1, 30):
            assert Usage.read(stream.reported) == Usage(74, said, cache_write_tokens=70, cache_write_1h_tokens=70)
            stream.feed(event("message_delta", delta={}, usage={"output_tokens": 30}))

    def test_a_call_without_arguments_is_called_with_an_empty_object(self) -> None:
        made = translate(b"".join(anthropic_events(BODY, Saying(words=(), calls=(ToolCall("now"),)))))
        assert [call["arguments"] for call in made.calls] == ["{}"]

    def test_a_call_that_came_whole_at_its_start_is_kept(self) -> None:
        block = {"type": "tool_use", "id": "t", "name": "look", "input": {"x": 1}}
        made = translate(START + event("content_block_start", index=0, content_block=block) + END)
        assert [call["arguments"] for call in made.calls] == ['{"x":1}']

    def test_pieces_that_are_white_space_belong_to_the_arguments(self) -> None:
        block = {"type": "tool_use", "id": "t", "name": "look", "input": {}}
        pieces = [delta(0, "input_json_delta", partial_json=piece) for piece in ('{"x":"a', "  ", 'b"}')]
        made = translate(START + event("content_block_start", index=0, content_block=block) + b"".join(pieces) + END)
        assert [call["arguments"] for call in made.calls] == ['{"x":"a  b"}']

    def test_blocks_may_come_mixed_with_pings_and_news(self) -> None:
        calls = [{"type": "tool_use", "id": f"t{n}", "name": f"f{n}", "input": {}} for n in range(2)]
        made = translate(
            START + event("ping") + event("content_block_start", index=0, content_block={"type": "text", "text": "A"})
            + event("content_block_start", index=1, content_block=calls[0]) + event("brand_new", x=1)
            + event("content_block_start", index=2, content_block=calls[1])
            + delta(2, "input_json_delta", partial_json='{"b"') + delta(0, "text_delta", text="B")
            + delta(1, "input_json_delta", partial_json='{"a":1}') + delta(2, "input_json_delta", partial_json=":2}")
            + delta(0, "citations_delta", citation={}) + event("content_block_stop", index=1)
            + event("content_block_stop", index=2) + event("content_block_stop", index=0)
            + event("message_delta", delta={"stop_reason": None}, usage={"output_tokens": 2}) + END
        )  # fmt: skip
        assert made.text == "AB"
        assert [(call["id"], call["arguments"]) for call in made.calls] == [("t0", '{"a":1}'), ("t1", '{"b":2}')]
        assert (made.roles, made.finishes, made.is_done) == (["assistant"], ["stop"], True)

    @pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
    @pytest.mark.parametrize("cut", [1, 2, 3, 7, 100])
    def test_pieces_may_be_cut_anywhere(self, newline: bytes, cut: int) -> None:
        saying = Saying(words=("naïve ", "日本", "🙂"), calls=(ToolCall("look", '{"é": "🙂"}', "t1"),), thinking="so…")
        events = b"".join(anthropic_events(BODY, saying))
        assert translate(events.replace(b"\n", newline), cut=cut) == translate(events)

    def test_an_error_in_the_middle_ends_the_stream_and_is_ours(self) -> None:
        error = {"type": "overloaded_error", "message": "Overloaded"}
        stream = ADAPTER.stream(True)
        out = stream.feed(START + delta(0, "text_delta", text="half") + event("error", error=error) + END)
        made = assemble(out + stream.feed(END) + stream.end())
        assert (made.text, made.is_done) == ("half", False)
        assert made.error is not None
        assert (made.error["type"], made.error["code"]) == ("overloaded_error", "overloaded")
        assert isinstance(stream.failure, Overloaded)
        assert b'data: {"error"' in out

    @pytest.mark.parametrize("keep", range(0, 8))
    def test_a_stream_that_ends_early_is_never_taken_for_whole(self, keep: int) -> None:
        events = list(anthropic_events(BODY, Saying(words=("a", "b"))))[:keep]
        made = translate(b"".join(events))
        assert made.error is not None
        assert not made.is_done

    @pytest.mark.parametrize(
        "bad",
        [
            b"data: {nonsense\n\n",
            b"data: [1]\n\n",
            event("content_block_delta", index=0),
            event("content_block_stop"),
            delta(5, "input_json_delta", partial_json="{}"),
            event("message_start"),
            event("content_block_start", index=0, content_block={"type": "tool_use", "id": "x"}),
        ],
    )
    def test_what_cannot_be_read_breaks_it_in_our_words(self, bad: bytes) -> None:
        made = translate(START + bad + END)
        assert made.error is not None
        assert made.error["code"] == "engine_failed"

    def test_memory_is_bounded(self) -> None:
        stream = ADAPTER.stream(True)
        piece, out = b"data: " + b"x" * 2**20, b""
        for _ in range(MAX_EVENT_BYTES // len(piece) + 2):
            out += stream.feed(piece)
        assert assemble(out).error is not None
        assert stream.feed(piece) == b""

    def test_the_frame_is_written_even_when_the_start_is_missing(self) -> None:
        assert translate(delta(0, "text_delta", text="x") + END).roles == ["assistant"]


PIECES = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
ARGUMENTS = st.dictionaries(PIECES, st.integers(-9, 9) | PIECES | st.lists(PIECES, max_size=2), max_size=3)


@given(
    st.lists(PIECES.filter(bool), max_size=5).map(tuple),
    st.lists(ARGUMENTS, max_size=3),
    PIECES,
    st.booleans(),
    st.data(),
)
@settings(max_examples=300, deadline=None)
def test_stream_and_whole_say_the_same_however_it_is_cut(
    words: tuple[str, ...], arguments: list[dict[str, Any]], thinking: str, ascii_only: bool, data: st.DataObject
) -> None:
    calls = tuple(
        ToolCall(f"f{n}", json.dumps(value, ensure_ascii=ascii_only), f"t{n}") for n, value in enumerate(arguments)
    )
    saying = Saying(words=words, calls=calls, thinking=thinking)
    events = b"".join(anthropic_events(BODY, saying))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(events)), max_size=6)))
    stream: MessageStream = ADAPTER.stream(True)
    bounds = [0, *cuts, len(events)]
    made = assemble(b"".join(stream.feed(events[a:b]) for a, b in pairwise(bounds)) + stream.end())
    message = ADAPTER.answer(anthropic_answer(BODY, saying))["choices"][0]["message"]
    assert made.text == "".join(words) == (message["content"] or "")
    assert made.reasoning == thinking == message.get("reasoning_content", "")
    assert [json.loads(call["arguments"]) for call in made.calls] == arguments
    assert [json.loads(c["function"]["arguments"]) for c in message.get("tool_calls", ())] == arguments
    assert [call["arguments"] for call in made.calls] == [call.arguments for call in calls]
    assert made.is_done
    assert stream.failure is None


@given(
    st.binary(max_size=300)
    | st.lists(st.sampled_from((START, END, b"data:", b"\n\n", b"{}", b'"')), max_size=9).map(b"".join)
)
@settings(max_examples=300, deadline=None)
def test_nothing_that_arrives_raises(data: bytes) -> None:
    stream = ADAPTER.stream(False)
    out = stream.feed(data) + stream.end()
    assert stream.is_done or (stream.failure is not None and out.count(b'data: {"error"') == 1)
