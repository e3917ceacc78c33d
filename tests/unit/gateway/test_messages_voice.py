"""A chat's answer as Anthropic's message: blocks, reasons and usage, whole and in its order of events.

Every stream is put together by the official package, from its own types, and must come to the whole answer's message.
"""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from ringfence.core.errors import EngineTimedOut, Overloaded
from ringfence.gateway.dialects.messages_voice import MessagesVoice

Body = dict[str, Any]
EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at":"é"}'}}


def chunk(delta: Body, finish: str | None = None, **more: Any) -> Body:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, **more}
    return {"id": "chatcmpl-7", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}


def written(*events: Body | str) -> bytes:
    return b"".join(
        event.encode() + b"\n\n" if isinstance(event, str) else b"data: " + orjson.dumps(event) + b"\n\n"
        for event in events
    )


def told(*chunks: Body | str, thinks: bool = False) -> list[Body]:
    """All events of a stream, each under its own name."""
    voice = MessagesVoice(shows_thinking=thinks)
    out = b"".join(voice.feed(written(one)) for one in chunks) + voice.end()
    found: list[Body] = []
    for block in out.decode().split("\n\n")[:-1]:
        name, data = block.split("\n")
        event = orjson.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    return found


def assembled(found: list[Body]) -> Message:
    """As the official package makes a message of events. Blocks come one after the other, each begun and ended."""
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    is_open = False
    for event in (event for event in found if event["type"] != "ping"):
        parsed = EVENT.validate_python(event)
        kind = event["type"]
        if kind == "content_block_start":
            assert not is_open and event["index"] == len(snapshot.content)
        elif kind.startswith("content_block"):
            assert is_open and event["index"] == len(snapshot.content) - 1
        else:
            assert not is_open
        is_open = kind == "content_block_start" or (is_open and kind != "content_block_stop")
        snapshot = accumulate_event(event=parsed, current_snapshot=snapshot, json_bufs=buffers)
    assert [found[0]["type"], *(event["type"] for event in found[-2:])] == [
        "message_start", "message_delta", "message_stop",
    ]  # fmt: skip
    return Message.model_validate(snapshot.to_dict())


def whole(message: Body, finish: str = "stop", *, thinks: bool = False, usage: Any = USAGE, **more: Any) -> Message:
    choice = {"index": 0, "message": {"role": "assistant", "content": None} | message, "finish_reason": finish, **more}
    body = {"id": "chatcmpl-7", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}
    return Message.model_validate_json(MessagesVoice(shows_thinking=thinks).answer(orjson.dumps(body)))


class TestWhole:
    def test_a_text(self) -> None:
        message = whole({"content": "Hello."})
        assert (message.id, message.model, message.role) == ("msg_7", "m", "assistant")
        assert [block.to_dict() for block in message.content] == [{"type": "text", "text": "Hello."}]
        assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
        assert (message.usage.input_tokens, message.usage.output_tokens) == (9, 4)

    @pytest.mark.parametrize(
        ("finish", "reason"),
        [("stop", "end_turn"), ("length", "max_tokens"), ("tool_calls", "tool_use"), ("content_filter", "refusal")],
    )
    def test_why_it_ended(self, finish: str, reason: str) -> None:
        assert whole({"content": "x"}, finish).stop_reason == reason

    def test_which_sequence_ended_it(self) -> None:
        message = whole({"content": "x"}, stop_reason="END")
        assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "END")
        assert whole({"content": "x"}, stop_reason=151643).stop_reason == "end_turn"

    def test_calls_of_tools(self) -> None:
        called = {"function": {"name": "look", "arguments": ""}}
        message = whole({"content": "I look.", "tool_calls": [CALL, called]}, "stop")
        text, first, second = (block.to_dict() for block in message.content)
        assert (text["text"], first["input"], first["id"]) == ("I look.", {"at": "é"}, "call_1")
        assert second["input"] == {} and str(second["id"]).startswith("toolu_")
        assert message.stop_reason == "tool_use"

    @pytest.mark.parametrize("arguments", ['{"at":', "[1]", "x"])
    def test_arguments_that_are_cut_off_are_no_call_without_any(self, arguments: str) -> None:
        message = whole({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": arguments}}]}, "length")
        assert message.content[0].to_dict()["input"] == {"unreadable_arguments": arguments}

    def test_thoughts_are_for_who_asked_for_them(self) -> None:
        thought = {"content": "Yes.", "reasoning_content": "Hm."}
        assert [block.type for block in whole(thought, thinks=True).content] == ["thinking", "text"]
        assert [block.type for block in whole(thought).content] == ["text"]
        assert whole({"content": "Yes.", "reasoning": "Hm."}, thinks=True).content[0].type == "thinking"
        blocks = [{"type": "thinking", "thinking": "Hm.", "signature": "s"}, {"type": "redacted_thinking", "data": "d"}]
        signed = whole(thought | {"thinking_blocks": blocks}, thinks=True)
        assert [block.to_dict() for block in signed.content[:2]] == blocks

    def test_of_thoughts_whose_text_is_not_wanted_only_signatures_are_told(self) -> None:
        block = {"type": "thinking", "thinking": "", "signature": "c2ln"}
        for message, kinds in (({}, ["text"]), ({"thinking_blocks": [block]}, ["thinking", "text"])):
            said = {"role": "assistant", "reasoning_content": "Hm.", "content": "Yes.", **message}
            choice = {"index": 0, "message": said, "finish_reason": "stop"}
            voice = MessagesVoice(shows_thinking=True, omits_text=True)
            assert [
                each["type"] for each in orjson.loads(voice.answer(orjson.dumps({"choices": [choice]})))["content"]
            ] == kinds
            voice = MessagesVoice(shows_thinking=True, omits_text=True)
            pieces = [{"reasoning_content": "Hm."}, message, {"content": "Yes."}]
            out = b"".join(voice.feed(written(chunk(piece))) for piece in pieces) + voice.end()
            begun = [line for line in out.split(b"\n") if b'"content_block_start"' in line]
            assert [kind.encode() in line for kind, line in zip(kinds, begun, strict=True)] == [True] * len(kinds)
            assert b"Hm." not in out

    def test_a_refusal(self) -> None:
        message = whole({"refusal": "I will not."})
        assert (message.stop_reason, message.content[0].to_dict()["text"]) == ("refusal", "I will not.")
        assert message.stop_details is not None and message.stop_details.explanation == "I will not."

    def test_what_a_cache_had_is_counted_beside(self) -> None:
        details = {"cached_tokens": 3, "cache_creation_tokens": 2, "cache_creation_1h_tokens": 1}
        thought = {"reasoning_tokens": 1}
        usage = whole(
            {"content": "x"}, usage=USAGE | {"prompt_tokens_details": details, "completion_tokens_details": thought}
        ).usage
        assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (4, 3, 2)
        assert usage.cache_creation is not None
        kept = usage.cache_creation.ephemeral_5m_input_tokens, usage.cache_creation.ephemeral_1h_input_tokens
        assert kept == (1, 1)
        assert usage.output_tokens_details is not None and usage.output_tokens_details.thinking_tokens == 1


class TestEvents:
    def test_the_order_of_a_text(self) -> None:
        found = told(chunk({"role": "assistant", "content": ""}), chunk({"content": "He"}), chunk({"content": "llo"}),
                     chunk({}, "stop"), {**chunk({}), "choices": [], "usage": USAGE}, "data: [DONE]")  # fmt: skip
        assert [event["type"] for event in found] == [
            "message_start", "content_block_start", "content_block_delta", "content_block_delta",
            "content_block_stop", "message_delta", "message_stop",
        ]  # fmt: skip
        message = assembled(found)
        assert (message.content[0].to_dict()["text"], message.usage.input_tokens) == ("Hello", 9)

    def test_thoughts_text_and_calls(self) -> None:
        found = told(
            chunk({"reasoning_content": "H"}), chunk({"reasoning_content": "m."}),
            chunk({"thinking_blocks": [{"type": "thinking", "thinking": "", "signature": "s1"}]}),
            chunk({"thinking_blocks": [{"type": "redacted_thinking", "data": "d"}]}), chunk({"content": "I look."}),
            chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "look", "arguments": ""}}]}),
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"at":'}}]}),
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}),
            chunk({"tool_calls": [{"index": 1, "id": "b", "function": {"name": "see"}}]}), chunk({}, "tool_calls"),
            thinks=True,
        )  # fmt: skip
        message = assembled(found)
        assert [block.to_dict() for block in message.content] == [
            {"type": "thinking", "thinking": "Hm.", "signature": "s1"}, {"type": "redacted_thinking", "data": "d"},
            {"type": "text", "text": "I look."}, {"type": "tool_use", "id": "a", "name": "look", "input": {"at": 1}},
            {"type": "tool_use", "id": "b", "name": "see", "input": {}},
        ]  # fmt: skip
        assert message.stop_reason == "tool_use"

    def test_thoughts_that_nobody_asked_for_are_signs_of_life(self) -> None:
        found = told(*(chunk({"reasoning_content": "x"}) for _ in range(40)), chunk({"content": "Yes."}))
        assert [event["type"] for event in found].count("ping") == 2
        assert [block.type for block in assembled(found).content] == ["text"]

    def test_comments_are_pings(self) -> None:
        found = told(": parked position=1 estimate_s=5", chunk({"content": "x"}))
        assert [event["type"] for event in found[:2]] == ["ping", "message_start"]

    def test_an_error_ends_it(self) -> None:
        late, full = EngineTimedOut("Too late.").envelope(), Overloaded("Full.").envelope()
        for error, kind in (
            (late, "timeout_error"),
            (full, "overloaded_error"),
            ({"error": {"message": "x"}}, "api_error"),
        ):
            *_, last = told(chunk({"content": "x"}), error, chunk({"content": "y"}))
            assert (last["type"], last["error"]["type"]) == ("error", kind)

    def test_arguments_in_turns_are_not_mixed_up(self) -> None:
        calls = [{"index": number, "id": str(number), "function": {"name": "f", "arguments": "{"}} for number in (0, 1)]
        *_, last = told(*(chunk({"tool_calls": [call]}) for call in (*calls, calls[0])))
        assert last["type"] == "error"

    def test_an_answer_of_nothing(self) -> None:
        assert assembled(told("data: [DONE]")).content == []
        assert assembled(told(chunk({}, "length"))).stop_reason == "max_tokens"

    def test_a_stop_sequence(self) -> None:
        message = assembled(told(chunk({"content": "x"}), chunk({}, "stop", stop_reason="END")))
        assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "END")


PIECES = st.lists(
    st.one_of(
        st.text(min_size=1, max_size=6).map(lambda words: ("content", words)),
        st.text(min_size=1, max_size=6).map(lambda words: ("reasoning_content", words)),
    ),
    max_size=8,
)


@settings(max_examples=80, deadline=None)
@given(PIECES, st.integers(0, 3), st.sampled_from(["stop", "length"]))
def test_a_stream_comes_to_the_whole_answer(pieces: list[tuple[str, str]], calls: int, finish: str) -> None:
    made = [{**CALL, "index": place, "id": f"c{place}"} for place in range(calls)]
    chunks = [chunk({kind: words}) for kind, words in sorted(pieces, key=lambda piece: piece[0], reverse=True)]
    chunks += [chunk({"tool_calls": [call]}) for call in made]
    found = told(*chunks, chunk({}, finish), {**chunk({}), "choices": [], "usage": USAGE}, thinks=True)
    joined = {
        name: "".join(words for kind, words in pieces if kind == name) for name in ("content", "reasoning_content")
    }
    expected = whole({**joined, "tool_calls": made or None}, finish, thinks=True)
    assert assembled(found).model_dump(exclude_none=True) == expected.model_dump(exclude_none=True)
