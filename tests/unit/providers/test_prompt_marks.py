"""Up to where a prompt is kept: what callers say goes to who understands it; the rest is set for them."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.catalog import Ability
from ringfence.core.markers import without_markers
from ringfence.providers import anthropic, openai

MARK = {"type": "ephemeral"}
MARKS = replace(anthropic.ADAPTER, marks=True)
CLAUDE, GPT, ROUTER = "https://api.anthropic.com", "https://api.openai.com/v1", "https://openrouter.ai/api/v1"
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **more}


MARKED: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": [text("be kind", cache_control=MARK)]},
        {"role": "user", "content": [text("one"), text("two", cache_control=MARK)]},
        {"role": "assistant", "content": "three"},
        {"role": "user", "content": "four"},
    ],
    "tools": [TOOL | {"cache_control": MARK}],
}


def marked(found: Any) -> int:
    """How many marks stand in it, however deep."""
    if isinstance(found, dict):
        return ("cache_control" in found) + sum(marked(value) for value in found.values())
    return sum(marked(one) for one in found) if isinstance(found, list) else 0


def test_anthropic_is_sent_the_marks_of_the_caller_where_they_stood() -> None:
    for adapter in (anthropic.ADAPTER, MARKS):
        asked = adapter.request(Ability.CHAT, MARKED, CLAUDE, 100)
        assert asked["system"] == [text("be kind", cache_control=MARK)]
        assert asked["messages"][0]["content"] == [text("one"), text("two", cache_control=MARK)]
        assert asked["tools"][0]["cache_control"] == MARK
        assert marked(asked) == 3


def test_other_clouds_are_sent_none_but_one_that_passes_them_on() -> None:
    before = deepcopy(MARKED)
    asked = openai.ADAPTER.request(Ability.CHAT, MARKED, GPT, 100)
    assert marked(asked) == 0
    assert asked["messages"][1]["content"] == [text("one"), text("two")]
    assert marked(openai.ADAPTER.request(Ability.CHAT, MARKED, ROUTER, 100)) == 3
    assert before == MARKED


def test_the_key_of_a_prompt_goes_to_openai() -> None:
    asked = openai.ADAPTER.request(Ability.CHAT, MARKED | {"prompt_cache_key": "tenant-7"}, GPT, 100)
    assert asked["prompt_cache_key"] == "tenant-7"
    assert "prompt_cache_key" not in anthropic.ADAPTER.request(
        Ability.CHAT, MARKED | {"prompt_cache_key": "tenant-7"}, CLAUDE, 100
    )


def test_without_the_setting_none_are_set() -> None:
    assert marked(anthropic.ADAPTER.request(Ability.CHAT, without_markers(MARKED), CLAUDE, 100)) == 0


def test_with_it_tools_system_and_the_last_two_turns_are_marked() -> None:
    asked = MARKS.request(Ability.CHAT, without_markers(MARKED), CLAUDE, 100)
    assert asked["system"][-1]["cache_control"] == asked["tools"][-1]["cache_control"] == MARK
    assert [marked(turn) for turn in asked["messages"]] == [1, 0, 1]
    assert asked["messages"][2]["content"][-1] == text("four", cache_control=MARK)


def test_a_result_of_a_tool_is_the_end_of_a_turn() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages: list[Any] = [
        {"role": "user", "content": "look"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "a wall"},
    ]
    asked = MARKS.request(Ability.CHAT, {"model": "m", "messages": messages, "tools": [TOOL]}, CLAUDE, 100)
    assert asked["messages"][2]["content"][0]["type"] == "tool_result"
    assert [marked(turn) for turn in asked["messages"]] == [1, 0, 1]


@given(turns=st.integers(1, 12), systems=st.integers(0, 3), tools=st.integers(0, 3))
def test_there_are_never_more_than_four(turns: int, systems: int, tools: int) -> None:
    messages: list[Any] = [{"role": "system", "content": f"rule {number}"} for number in range(systems)]
    for number in range(turns):
        messages += [{"role": "user", "content": f"ask {number}"}, {"role": "assistant", "content": f"say {number}"}]
    body: dict[str, Any] = {"model": "m", "messages": messages[:-1]}
    if tools:
        body["tools"] = [{"type": "function", "function": {"name": f"t{number}"}} for number in range(tools)]
    asked = MARKS.request(Ability.CHAT, body, CLAUDE, 100)
    assert marked(asked) == bool(systems) + bool(tools) + min(turns, 2) <= 4


PARTS = st.lists(st.one_of(st.just(text("x")), st.just(text("x", cache_control=MARK)), st.text()), max_size=3)
MESSAGES = st.lists(
    st.one_of(
        st.fixed_dictionaries({"role": st.just("user"), "content": st.one_of(st.text(), PARTS)}),
        st.fixed_dictionaries({"role": st.just("user"), "content": st.text(), "cache_control": st.just(MARK)}),
    ),
    max_size=4,
)


@given(messages=MESSAGES, tools=st.lists(st.sampled_from([TOOL, TOOL | {"cache_control": MARK}]), max_size=2))
def test_nothing_but_marks_is_taken_away(messages: list[Any], tools: list[Any]) -> None:
    body = {"model": "m", "messages": messages, "tools": tools, "cache_control": MARK}
    before = deepcopy(body)
    found = without_markers(body)
    assert body == before
    assert marked(found) == 0
    assert [message["role"] for message in found["messages"]] == [message["role"] for message in messages]
    bare = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    assert without_markers(bare) is bare
