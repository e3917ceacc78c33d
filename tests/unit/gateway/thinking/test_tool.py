"""The tool as it is offered, what it is asked, and how much of it there is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.usage import Usage
from ringfence.gateway.thinking.bounds import LEAST_TOKENS, Bounds, Spent
from ringfence.gateway.thinking.tool import can_take, free_name, offered, question_in

LOOK = {"type": "function", "function": {"name": "look"}}


@pytest.mark.parametrize(
    ("arguments", "question"),
    [
        ('{"question": "Why?"}', "Why?"),
        ('{"q": "Why?"}', "Why?"),
        ('{"question": ["Why?"]}', ""),
        ('"Why?"', "Why?"),
        ("Why?", "Why?"),
        ('{"question": "Why', '{"question": "Why'),
        ("{}", ""),
        ("", ""),
        ("[1]", ""),
    ],
)
def test_a_question_is_found_in_what_models_write(arguments: str, question: str) -> None:
    assert question_in(arguments) == question


@given(st.text(max_size=50))
def test_any_text_can_be_asked(text: str) -> None:
    assert isinstance(question_in(text), str)


@pytest.mark.parametrize(
    ("body", "can"),
    [
        ({}, True),
        ({"tool_choice": "auto", "n": 1, "response_format": {"type": "text"}}, True),
        ({"n": 2}, False),
        ({"tool_choice": "none"}, False),
        ({"tool_choice": {"type": "function", "function": {"name": "look"}}}, False),
        ({"response_format": {"type": "json_schema"}}, False),
        ({"functions": [{"name": "look"}]}, False),
        ({"grammar": "root ::= x"}, False),
    ],
)
def test_callers_who_say_how_they_are_answered_get_no_tool(body: dict[str, Any], can: bool) -> None:
    assert can_take(body) is can


def test_a_name_is_free_or_there_is_none() -> None:
    assert free_name([]) == "think"
    assert free_name(["think"]) == "ringfence_think"
    assert free_name(["think", "ringfence_think"]) is None


def test_in_the_end_it_is_called_no_more() -> None:
    def names(body: dict[str, Any]) -> list[str]:
        return [tool["function"]["name"] for tool in body["tools"]]

    assert names(offered({"tools": [LOOK]}, [], "think", is_last=False)) == ["look", "think"]
    assert names(offered({"tools": [LOOK]}, [], "think", is_last=True)) == ["look"]
    last = offered({}, [], "think", is_last=True)
    assert names(last) == ["think"] and last["tool_choice"] == "none"
    asked: dict[str, Any] = {"tools": [LOOK], "messages": [1]}
    offered(asked, [2], "think", is_last=False)
    assert asked == {"tools": [LOOK], "messages": [1]}


@given(
    st.integers(0, 5),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000), st.booleans()), max_size=10),
    st.none() | st.integers(-5, 5),
)
def test_no_thought_begins_beyond_the_bounds(
    thoughts: int, used: list[tuple[int, int, bool]], money: int | None
) -> None:
    spent = Spent(Bounds(thoughts=thoughts, tokens=10_000), lambda: money)
    for prompt, output, is_thought in used:
        spent.add(Usage(prompt, output), of_thought=is_thought)
        spent.thoughts += is_thought
    total = sum(prompt + output for prompt, output, _ in used)
    begins = not spent.refuses()
    assert begins == (spent.thoughts < thoughts and 10_000 - total >= LEAST_TOKENS and (money is None or money > 0))
    told = spent.told()
    assert told["total_tokens"] == total == spent.usage.total_tokens
