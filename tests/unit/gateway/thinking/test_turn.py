"""What a model said in one turn, whole or in pieces: which calls are ours, and what is left for the caller."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.gateway.thinking.turn import Turn

OURS, THEIRS = "think", "look"


def call(name: str, index: int | None = None, given: str = "{}") -> dict[str, Any]:
    place = {} if index is None else {"index": index}
    return {**place, "id": f"call_{name}_{index}", "function": {"name": name, "arguments": given}}


@pytest.mark.parametrize(
    ("names", "ours", "theirs"),
    [
        ((OURS,), 1, []),
        ((THEIRS,), 0, [THEIRS]),
        ((OURS, THEIRS), 1, []),
        ((THEIRS, OURS), 0, [THEIRS]),
        ((OURS, OURS), 2, []),
        ((THEIRS, OURS, THEIRS), 0, [THEIRS, THEIRS]),
        ((), 0, []),
    ],
)
def test_what_is_called_first_counts(names: tuple[str, ...], ours: int, theirs: list[str]) -> None:
    whole, streamed = Turn(OURS), Turn(OURS)
    message = whole.take_whole({"message": {"content": None, "tool_calls": [call(name) for name in names]}})
    shown = [streamed.take({"delta": {"tool_calls": [call(name, place)]}}) for place, name in enumerate(names)]
    assert len(whole.thoughts) == len(streamed.thoughts) == ours
    assert [one["function"]["name"] for one in message.get("tool_calls", ())] == theirs
    pieces = [piece for delta in shown for piece in delta.get("tool_calls", ())]
    assert [(piece["function"]["name"], piece["index"]) for piece in pieces] == [(n, i) for i, n in enumerate(theirs)]
    assert whole.calls_tools == streamed.calls_tools == bool(theirs)


def test_pieces_of_a_call_are_put_together() -> None:
    turn = Turn(OURS)
    for given in ('{"question"', ': "Wh', 'y?"}'):
        first = {"id": "a", "function": {"name": OURS, "arguments": given}}
        piece = first if not turn.thoughts else {"function": {"arguments": given}}
        assert turn.take({"delta": {"tool_calls": [piece | {"index": 0}]}}) == {}
    (called,) = turn.thoughts
    assert (called.id, called.arguments) == ("a", '{"question": "Why?"}')
    assert turn.message()["tool_calls"][0]["function"] == {"name": OURS, "arguments": '{"question": "Why?"}'}


@pytest.mark.parametrize(
    "delta",
    [
        None, {}, {"tool_calls": None}, {"tool_calls": "x"}, {"tool_calls": [None, 3]}, {"content": 3},
        {"tool_calls": [{"index": "a"}]}, {"tool_calls": [{"function": None}]}, {"tool_calls": [{"id": 3}]},
        {"tool_calls": [{"index": 0, "function": {"name": OURS, "arguments": None}}]},
    ],
)  # fmt: skip
def test_whatever_an_engine_says_is_taken(delta: Any) -> None:
    turn = Turn(OURS)
    turn.take({"delta": delta, "finish_reason": "stop"})
    Turn(OURS).take_whole({"message": delta})
    assert turn.text == "" and turn.finish_reason == "stop"
    assert all(called.arguments == "" for called in turn.thoughts)


def test_a_call_without_an_id_gets_one() -> None:
    turn = Turn(OURS)
    turn.take_whole({"message": {"tool_calls": [{"function": {"name": OURS}}, {"function": {"name": OURS}}]}})
    first, second = (called.id for called in turn.thoughts)
    assert first and second and first != second


def test_what_was_reasoned_is_the_conclusion_where_nothing_was_said() -> None:
    turn = Turn(OURS)
    assert turn.take({"delta": {"reasoning_content": "So it is."}}) == {"reasoning_content": "So it is."}
    assert turn.conclusion == "So it is." and turn.text == ""
    turn.take({"delta": {"content": "It is."}})
    assert turn.conclusion == turn.text == "It is."
