"""Chat completions as Anthropic's messages: what is carried, what is refused by name, and that nothing gets lost."""

from __future__ import annotations

import copy
import json
import time
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.core.catalog import Ability
from ringfence.core.errors import BadRequest
from ringfence.providers.anthropic import ADAPTER
from ringfence.testing.fake_cloud_rules import check_anthropic, texts_of

URL = "https://api.anthropic.com"
PIXEL = "iVBORw0KGgo="
TOOL = {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}}


def ask(messages: list[dict[str, Any]] | None = None, *, max_tokens: int = 512, **fields: Any) -> dict[str, Any]:
    body = {"model": "claude", "messages": messages or [{"role": "user", "content": "hello"}], **fields}
    before = copy.deepcopy(body)
    asked = ADAPTER.request(Ability.CHAT, body, URL, max_tokens)
    assert body == before, "the caller's body serves other targets too"
    check_anthropic(orjson.loads(orjson.dumps(asked)), "2023-06-01", frozenset(("claude",)), 10**9, 10**9)
    return asked


def call(id_: str, arguments: Any = "{}", name: str = "look") -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


class TestMessages:
    def test_system_and_developer_go_before_the_conversation(self) -> None:
        asked = ask([
            {"role": "system", "content": "one"}, user("two"), {"role": "developer", "content": "three"}, user("four"),
        ])  # fmt: skip
        assert [block["text"] for block in asked["system"]] == ["one", "three"]
        assert asked["messages"] == [
            {"role": "user", "content": [{"type": "text", "text": "two"}, {"type": "text", "text": "four"}]}
        ]

    def test_images_and_pdf_go_as_base64(self) -> None:
        parts = [
            {"type": "text", "text": "see"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}", "detail": "high"}},
            {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PIXEL}", "filename": "a.pdf"}},
        ]
        blocks = ask([{"role": "user", "content": parts}])["messages"][0]["content"]
        assert blocks[1] == {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
        assert (blocks[2]["type"], blocks[2]["title"]) == ("document", "a.pdf")

    def test_results_of_several_calls_are_one_message_before_the_users_text(self) -> None:
        asked = ask([
            user("go"),
            {"role": "assistant", "content": None, "tool_calls": [call("a", '{"x": 1}'), call("b")]},
            {"role": "tool", "tool_call_id": "b", "content": "second"},
            {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "first"}]},
            user("and now?"),
        ], tools=[TOOL])  # fmt: skip
        assert [message["role"] for message in asked["messages"]] == ["user", "assistant", "user"]
        assert asked["messages"][1]["content"][0] == {"type": "tool_use", "id": "a", "name": "look", "input": {"x": 1}}
        kinds = [(block["type"], block.get("tool_use_id")) for block in asked["messages"][2]["content"]]
        assert kinds == [("tool_result", "b"), ("tool_result", "a"), ("text", None)]

    def test_ids_of_other_clouds_are_made_fit_and_stay_apart(self) -> None:
        turn = [
            {"role": "assistant", "content": "", "tool_calls": [call("functions.look:0"), call("functions look 0")]},
            {"role": "tool", "tool_call_id": "functions look 0", "content": "B"},
            {"role": "tool", "tool_call_id": "functions.look:0", "content": "A"},
        ]
        messages = ask([user("go"), *turn, *turn], tools=[TOOL])["messages"]
        for asking, answering in ((messages[1], messages[2]), (messages[3], messages[4])):
            ids = [block["id"] for block in asking["content"]]
            results = {block["tool_use_id"]: block["content"][0]["text"] for block in answering["content"]}
            assert [results[call_id] for call_id in ids] == ["A", "B"]

    def test_signed_thinking_comes_back_first_and_unchanged(self) -> None:
        thinking = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
        said = {"role": "assistant", "content": "yes", "thinking_blocks": [thinking], "reasoning_content": "hm"}
        assert ask([user("go"), said, user("on")])["messages"][1]["content"][0] == thinking

    @pytest.mark.parametrize("empty", ["", None, " \n", [], [{"type": "text", "text": ""}]])
    def test_an_assistant_who_said_nothing_leaves_no_empty_block(self, empty: Any) -> None:
        asked = ask([user("a"), {"role": "assistant", "content": empty}, user("b")])
        assert list(texts_of(asked)) == ["a", "b"]
        assert len(asked["messages"]) == 1

    @pytest.mark.parametrize(
        ("messages", "param"),
        [
            ([{"role": "assistant", "content": "me first"}], "messages"),
            ([{"role": "system", "content": "alone"}], "messages"),
            ([user("")], "messages[0].content"),
            ([user("a"), {"role": "function", "name": "f", "content": "x"}], "messages[1].role"),
            ([user("a"), {"role": "tool", "tool_call_id": "z", "content": "x"}], "messages[1].tool_call_id"),
            ([user("a"), {"role": "assistant", "tool_calls": [call("a")]}], "messages"),
            ([user("a"), {"role": "assistant", "tool_calls": [call("a")]}, user("b")], "messages[2]"),
            ([user("a"), {"role": "assistant", "tool_calls": [call("a"), call("a")]}], "tool_calls"),
            ([{"role": "user", "content": [{"type": "input_audio"}]}], "messages[0].content[0].type"),
            (
                [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}]}],
                "messages[0].content[0].image_url",
            ),
            (
                [{"role": "user", "content": [{"type": "image_url", "image_url": "data:image/tiff;base64,AAAA"}]}],
                "messages[0].content[0].image_url",
            ),
        ],
    )
    def test_what_anthropic_would_refuse_is_refused_by_name(self, messages: list[Any], param: str) -> None:
        with pytest.raises(BadRequest) as refused:
            ask(messages)
        assert refused.value.param == param

    @pytest.mark.parametrize(
        "arguments",
        ["{", "[1]", '"a"', '{"n": 123456789012345678901}', '{"n": 1e999}', '{"n": NaN}', '{"s": "\\ud800"}', 7],
    )
    def test_arguments_that_would_change_on_the_way_are_refused(self, arguments: Any) -> None:
        messages = [
            user("a"),
            {"role": "assistant", "tool_calls": [call("a", arguments)]},
            {"role": "tool", "tool_call_id": "a", "content": "x"},
        ]
        with pytest.raises(BadRequest, match=r"tool_calls\[0\].function.arguments"):
            ask(messages, tools=[TOOL])


class TestFields:
    def test_all_that_anthropic_knows_is_carried(self) -> None:
        asked = ask(
            max_tokens=100, stop="END", temperature=0.5, top_p=0.9, top_k=5, stream=True, user="u1",
            reasoning_effort="high", thinking={"type": "adaptive"}, stream_options={"include_usage": True},
            response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
        )  # fmt: skip
        asked.pop("messages")
        assert asked == {
            "model": "claude",
            "max_tokens": 100,
            "stop_sequences": ["END"],
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 5,
            "stream": True,
            "metadata": {"user_id": "u1"},
            "thinking": {"type": "adaptive"},
            "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        }

    def test_what_asks_for_nothing_is_left_out(self) -> None:
        neutral = {"n": 1, "frequency_penalty": 0, "logit_bias": {}, "logprobs": False, "seed": None, "store": False}
        assert ask(**neutral, response_format={"type": "text"}) == ask()

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("n", 2), ("logprobs", True), ("top_logprobs", 3), ("logit_bias", {"1": 5}), ("seed", 1),
            ("frequency_penalty", 0.5), ("presence_penalty", 1), ("temperature", 1.5), ("stop", [" "]), ("stop", [3]),
            ("reasoning_effort", "minimal"), ("response_format", {"type": "json_object"}), ("functions", [{}]),
            ("store", True), ("web_search_options", {}), ("mcp_servers", []), ("a_field_of_tomorrow", 1),
            ("tool_choice", "required"),
        ],
    )  # fmt: skip
    def test_what_would_be_lost_is_refused_by_name(self, name: str, value: Any) -> None:
        with pytest.raises(BadRequest) as refused:
            ask(**{name: value})
        assert refused.value.param == name
        assert f"'{name}'" in refused.value.message

    @pytest.mark.parametrize(
        ("asked", "expected"),
        [
            ({}, 512),
            ({"max_tokens": 20}, 20),
            ({"max_tokens": 9999}, 512),
            ({"max_completion_tokens": 7, "max_tokens": 9}, 7),
        ],
    )
    def test_output_is_always_asked_for_within_the_cap(self, asked: dict[str, int], expected: int) -> None:
        body = {"model": "claude", "messages": [user("a")], **asked}
        assert ADAPTER.request(Ability.CHAT, body, URL, 512)["max_tokens"] == expected

    @pytest.mark.parametrize("value", [0, -1, True, "9", 1.5])
    def test_output_that_is_no_number_is_refused(self, value: Any) -> None:
        body = {"model": "claude", "messages": [user("a")], "max_completion_tokens": value}
        with pytest.raises(BadRequest):
            ADAPTER.request(Ability.CHAT, body, URL, 512)


class TestTools:
    def test_definitions(self) -> None:
        bare = {"type": "function", "function": {"name": "bare", "strict": True}}
        assert ask(tools=[TOOL, bare])["tools"] == [
            {"name": "look", "description": "Looks.", "input_schema": {"type": "object"}},
            {"name": "bare", "input_schema": {"type": "object", "properties": {}}, "strict": True},
        ]

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({}, None),
            ({"tool_choice": "auto"}, {"type": "auto"}),
            ({"tool_choice": "none"}, {"type": "none"}),
            ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
            ({"tool_choice": "required"}, {"type": "any"}),
            ({"tool_choice": {"type": "function", "function": {"name": "look"}}}, {"type": "tool", "name": "look"}),
            ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
            ({"parallel_tool_calls": True}, None),
        ],
    )
    def test_choice(self, fields: dict[str, Any], expected: Any) -> None:
        assert ask(tools=[TOOL], **fields).get("tool_choice") == expected

    @pytest.mark.parametrize("kind", ["web_search", "mcp", "code_interpreter", None])
    def test_tools_that_the_provider_would_run_are_refused(self, kind: Any) -> None:
        with pytest.raises(BadRequest, match=r"tools\[0\]"):
            ask(tools=[{"type": kind}])


# -- properties ---------------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
VALUES = st.recursive(
    st.none() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=3)
CONTENTS = TEXTS | st.lists(TEXTS.map(lambda text: {"type": "text", "text": text}), max_size=3)


@st.composite
def turns(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Conversations as OpenAI's API takes them."""
    messages: list[dict[str, Any]] = [user("start" + draw(TEXTS))]
    for _ in range(draw(st.integers(0, 5))):
        kind = draw(st.sampled_from(("system", "user", "assistant", "calls")))
        if kind == "user":
            messages.append(user("u" + draw(TEXTS)))
        elif kind != "calls":
            messages.append({"role": kind, "content": draw(CONTENTS)})
        else:
            ids = draw(st.lists(st.text(max_size=4), min_size=1, max_size=3, unique=True))
            made = [call(id_, json.dumps(draw(OBJECTS))) for id_ in ids]
            messages.append({"role": "assistant", "content": draw(st.none() | CONTENTS), "tool_calls": made})
            messages += [
                {"role": "tool", "tool_call_id": id_, "content": draw(CONTENTS)} for id_ in draw(st.permutations(ids))
            ]
    return messages


def texts_in(messages: list[dict[str, Any]]) -> list[str]:
    ordered = [m for m in messages if m["role"] == "system"] + [m for m in messages if m["role"] != "system"]
    found: list[str] = []
    for message in ordered:
        content = message["content"]
        found += [content] if isinstance(content, str) else [part["text"] for part in content or ()]
    return [text for text in found if text.strip()]


@given(turns())
@settings(max_examples=300, deadline=None)
def test_no_text_and_no_argument_is_lost_or_reordered(messages: list[dict[str, Any]]) -> None:
    asked = ask(messages, tools=[TOOL])
    assert list(texts_of(asked)) == texts_in(messages)
    given_inputs = [
        json.loads(made["function"]["arguments"]) for message in messages for made in message.get("tool_calls") or ()
    ]
    carried = [block["input"] for m in asked["messages"] for block in m["content"] if block["type"] == "tool_use"]
    assert orjson.dumps(carried) == orjson.dumps(given_inputs)


@given(turns())
@settings(max_examples=100, deadline=None)
def test_each_result_stays_with_its_call(messages: list[dict[str, Any]]) -> None:
    asked = ask(messages, tools=[TOOL])
    calls = [block["id"] for m in asked["messages"] for block in m["content"] if block["type"] == "tool_use"]
    results = {
        block["tool_use_id"]: "".join(part["text"] for part in block.get("content", ()))
        for m in asked["messages"] for block in m["content"] if block["type"] == "tool_result"
    }  # fmt: skip
    expected: list[str] = []
    for place, message in enumerate(messages):
        for made in message.get("tool_calls") or ():
            result = next(m for m in messages[place:] if m.get("tool_call_id") == made["id"])
            expected.append("".join(texts_in([result])))
    assert [results[call_id] for call_id in calls] == expected


def test_many_calls_of_one_id_take_no_longer_than_their_number() -> None:
    """Counted from 1 each time, these took minutes, on the loop that serves everybody."""
    count = 20_000
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turn = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "ok"},
    ]
    began = time.process_time()
    said = [{"role": "user", "content": "hi"}, *turn * count]
    asked = ADAPTER.request(Ability.CHAT, {"model": "m", "messages": said}, URL, 100)
    assert time.process_time() - began < 3
    ids = [block["id"] for said in asked["messages"] for block in said["content"] if block["type"] == "tool_use"]
    assert len(set(ids)) == count
    assert ids[:2] == ["c", "c_2"]
