"""What a response asks for, field by field, as a chat is asked it; and what is refused by which name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ringfence.core.boundary import Boundary
from ringfence.core.errors import BadRequest
from ringfence.gateway.dialects import chat
from ringfence.gateway.dialects.responses import DIALECT
from ringfence.gateway.head import NO_HEAD
from ringfence.gateway.responses_input import carried, messages_of
from ringfence.gateway.responses_request import Previous, asked, previous_of
from ringfence.gateway.responses_tools import Named, flat_name

CODEX = Path(__file__).parents[2] / "clients" / "codex_first_request.json"
PIXEL = "data:image/png;base64,iVBORw0KGgo="
FUNCTION = {
    "type": "function",
    "name": "read",
    "description": "Reads.",
    "parameters": {"type": "object"},
    "strict": True,
}
HI = {"model": "m", "input": "hi"}

HOSTED = ("mcp", "file_search", "code_interpreter", "shell")
NESTED = {"type": "namespace", "name": "n", "tools": [{"type": "namespace"}]}


def said(*items: Any) -> list[dict[str, Any]]:
    return messages_of([*items], "input")


def refused(body: dict[str, Any]) -> BadRequest:
    with pytest.raises(BadRequest) as found:
        asked(HI | body)
    return found.value


class TestInput:
    def test_a_text_is_said_by_the_user(self) -> None:
        assert asked(HI).chat == {"model": "m", "messages": [{"role": "user", "content": "hi"}]}

    def test_messages_with_and_without_a_type(self) -> None:
        assert said(
            {"role": "user", "content": "a"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "c"}]},
        ) == [
            {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"},
        ]  # fmt: skip

    def test_pictures_files_and_sounds_are_parts(self) -> None:
        (message,) = said({
            "role": "user",
            "content": [
                {"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": PIXEL, "detail": "low"},
                {"type": "input_file", "file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
            ],
        })  # fmt: skip
        assert message["content"] == [
            {"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
            {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        ]  # fmt: skip
        assert chat.DIALECT.check({"messages": [message]}) is False, "and a chat takes them"

    def test_what_the_model_did_in_one_turn_is_one_message(self) -> None:
        assert said(
            {"role": "user", "content": "go"},
            {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
            {"type": "message", "role": "assistant", "content": "I look."},
            {"type": "function_call", "call_id": "c1", "name": "read", "arguments": "{}", "id": "fc_1"},
            {"type": "function_call", "call_id": "c2", "name": "f", "namespace": "ns", "arguments": "{}"},
            {"type": "custom_tool_call", "call_id": "c3", "name": "patch", "input": "+ a"},
            {"type": "function_call_output", "call_id": "c1", "output": "one"},
            {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "t"}] * 2},
            {"type": "custom_tool_call_output", "call_id": "c3", "output": "done"},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "so"}]},
            {"type": "function_call", "call_id": "c4", "name": "read", "arguments": "{}"},
        ) == [
            {"role": "user", "content": "go"},
            {
                "role": "assistant", "reasoning_content": "hm", "content": "I look.",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "read", "arguments": "{}"}},
                    {"id": "c2", "type": "function", "function": {"name": "ns__f", "arguments": "{}"}},
                    {"id": "c3", "type": "function", "function": {"name": "patch", "arguments": '{"input":"+ a"}'}},
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "one"},
            {"role": "tool", "tool_call_id": "c2", "content": "t\nt"},
            {"role": "tool", "tool_call_id": "c3", "content": "done"},
            {
                "role": "assistant", "reasoning_content": "so", "content": None,
                "tool_calls": [{"id": "c4", "type": "function", "function": {"name": "read", "arguments": "{}"}}],
            },
        ]  # fmt: skip

    def test_reasoning_that_was_carried_is_read_again_and_what_others_sealed_is_not(self) -> None:
        ours = {"type": "reasoning", "summary": [], "encrypted_content": carried("because ü")}
        theirs = {"type": "reasoning", "summary": [], "encrypted_content": "gAAAAABo-sealed-elsewhere"}
        answer = {"role": "assistant", "content": "yes"}
        assert said(ours, answer) == [{"role": "assistant", "reasoning_content": "because ü", "content": "yes"}]
        assert said(theirs, answer) == [answer]
        assert said(ours) == [{"role": "assistant", "reasoning_content": "because ü", "content": ""}]
        with pytest.raises(BadRequest) as broken:
            said(ours | {"encrypted_content": "ringfence.1.\xff"})
        assert broken.value.param == "input[0].encrypted_content"

    def test_instructions_and_what_developers_say_first_are_one_message(self) -> None:
        body = HI | {
            "instructions": "Be brief.",
            "input": [
                {"role": "developer", "content": [{"type": "input_text", "text": text} for text in "AB"]},
                {"role": "user", "content": "hi"}, {"role": "developer", "content": "Later."},
            ],
        }  # fmt: skip
        assert asked(body).chat["messages"] == [
            {"role": "system", "content": "Be brief.\n\nA\nB"}, {"role": "user", "content": "hi"},
            {"role": "system", "content": "Later."},
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("given", "param"),
        [
            (None, "input"), ([], "input"), (5, "input"), (["x"], "input[0]"),
            ([{"type": "item_reference"}], "input[0].type"), ([{"type": ["message"]}], "input[0].type"),
            ([{"role": "user", "content": [{"type": {}, "text": "x"}]}], "input[0].content[0].type"),
            ([{"role": "king", "content": "x"}], "input[0].role"), ([{"role": "user"}], "input[0].content"),
            ([{"role": "user", "content": [{"type": "video"}]}], "input[0].content[0].type"),
            ([{"role": "user", "content": [{"type": "input_text"}]}], "input[0].content[0].text"),
            (
                [{"role": "user", "content": [{"type": "input_image", "image_url": "https://far.example/a.png"}]}],
                "input[0].content[0].image_url",
            ),
            ([{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}], "input[0].content[0].file_id"),
            ([{"role": "user", "content": [{"type": "input_file", "file_url": "f"}]}], "input[0].content[0].file_url"),
            ([{"role": "user", "content": [{"type": "input_file"}]}], "input[0].content[0].file_data"),
            ([{"role": "assistant", "content": [{"type": "input_image", "image_url": PIXEL}]}], "input[0].content[0]"),
            ([{"type": "function_call", "name": "f", "arguments": "{}"}], "input[0].call_id"),
            ([{"type": "function_call", "call_id": "c", "name": "f", "arguments": {}}], "input[0].arguments"),
            ([{"type": "function_call_output", "call_id": "c"}], "input[0].output"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_carried_is_named(self, given: Any, param: str) -> None:
        assert refused({"input": given}).param == param

    def test_what_another_service_looked_up_is_left_out(self) -> None:
        assert said(
            {"type": "web_search_call", "id": "ws_1", "status": "completed"}, {"role": "user", "content": "x"}
        ) == [{"role": "user", "content": "x"}]


class TestTools:
    def test_functions(self) -> None:
        told = asked(HI | {"tools": [FUNCTION], "tool_choice": {"type": "function", "name": "read"}})
        function = {name: FUNCTION[name] for name in ("name", "parameters", "description", "strict")}
        assert told.chat["tools"] == [{"type": "function", "function": function}]
        assert told.chat["tool_choice"] == {"type": "function", "function": {"name": "read"}}
        assert told.shown["tools"] == [FUNCTION] and told.tools.named == {"read": Named("read")}

    def test_a_namespace_becomes_functions_that_are_told_apart(self) -> None:
        space = {"type": "namespace", "name": "mcp__a__", "description": "", "tools": [FUNCTION]}
        told = asked(HI | {"tools": [FUNCTION, space, space | {"name": "b"}]})
        assert [tool["function"]["name"] for tool in told.chat["tools"]] == ["read", "mcp__a__read", "b__read"]
        assert told.tools.named["mcp__a__read"] == Named("read", "mcp__a__")
        long = flat_name("read", "n" * 80)
        assert len(long) == 64 and long != flat_name("read", "n" * 81)

    def test_a_tool_that_takes_a_text_is_a_function_with_one(self) -> None:
        tool = {
            "type": "custom", "name": "patch", "description": "Changes.",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: WORD"},
        }  # fmt: skip
        told = asked(HI | {"tools": [tool], "tool_choice": {"type": "custom", "name": "patch"}})
        function = told.chat["tools"][0]["function"]
        assert (
            function["parameters"]["required"] == ["input"] and "lark grammar:\nstart: WORD" in function["description"]
        )
        assert told.tools.named == {"patch": Named("patch", is_custom=True)}

    def test_some_are_allowed(self) -> None:
        tools = [FUNCTION, FUNCTION | {"name": "write"}]
        allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "write"}]}
        told = asked(HI | {"tools": tools, "tool_choice": allowed})
        assert [tool["function"]["name"] for tool in told.chat["tools"]] == ["write"]
        assert told.chat["tool_choice"] == "required" and told.shown["tools"] == tools

    def test_what_a_service_would_do_is_left_out_and_not_shown_as_in_force(self) -> None:
        hosted = [{"type": name} for name in ("web_search", "web_search_preview_2025_03_11", "image_generation")]
        told = asked(HI | {"tools": hosted, "tool_choice": "auto", "parallel_tool_calls": True})
        assert not {"tools", "tool_choice", "parallel_tool_calls"} & told.chat.keys() and told.shown["tools"] == []

    @pytest.mark.parametrize(
        ("body", "param"),
        [
            ({"tools": {}}, "tools"), ({"tools": ["x"]}, "tools[0]"),
            ({"tools": [{"type": "function"}]}, "tools[0].name"),
            *(({"tools": [{"type": name}]}, "tools[0].type") for name in HOSTED),
            ({"tools": [{"type": "namespace", "name": "n"}]}, "tools[0].tools"),
            ({"tools": [NESTED]}, "tools[0].tools[0].type"),
            ({"tools": [{"type": "custom", "name": "n", "description": 5}]}, "tools[0].description"),
            ({"tools": [FUNCTION, {"type": "custom", "name": "read"}]}, "tools[1].name"),
            ({"tool_choice": "any"}, "tool_choice"), ({"tool_choice": {"type": "web_search"}}, "tool_choice.type"),
            ({"tool_choice": {"type": "function", "name": "none"}}, "tool_choice.name"),
            ({"tool_choice": {"type": "allowed_tools", "mode": "all"}}, "tool_choice.mode"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_offered_is_named(self, body: dict[str, Any], param: str) -> None:
        assert refused(body).param == param

    def test_codex(self) -> None:
        """Its first request, as it was sent; texts cut short."""
        body = json.loads(CODEX.read_text())
        told = asked(body)
        names = [tool["function"]["name"] for tool in told.chat["tools"]]
        assert names[0] == "exec_command" and any(name.startswith("multi_agent_v1__") for name in names)
        assert [message["role"] for message in told.chat["messages"]] == ["system", "user", "user"]
        assert told.carries_reasoning and told.tells_summary and told.chat["prompt_cache_key"]
        assert not {"client_metadata", "include", "store", "reasoning"} & told.chat.keys()
        assert chat.DIALECT.check(told.chat) is True or told.chat["messages"]


class TestFields:
    def test_each_goes_where_a_chat_has_it(self) -> None:
        schema = {"type": "json_schema", "name": "w", "schema": {"type": "object"}, "strict": True}
        given = {
            "max_output_tokens": 9, "temperature": 0.1, "top_p": 0.2,
            "reasoning": {"effort": "high", "summary": "auto"},
            "text": {"format": schema, "verbosity": "low"}, "metadata": {"a": "b"}, "store": True, "user": "u",
            "include": ["message.output_text.logprobs", "reasoning.encrypted_content"], "top_logprobs": 3,
            "prompt_cache_key": "k", "safety_identifier": "s", "service_tier": "flex", "truncation": "disabled",
            "parallel_tool_calls": False, "stream": True, "tools": [FUNCTION], "top_k": 5, "background": False,
        }  # fmt: skip
        told = asked(HI | given)
        chat_body = told.chat
        assert chat_body.pop("messages") and chat_body.pop("tools")
        assert chat_body == {
            "model": "m", "max_tokens": 9, "temperature": 0.1, "top_p": 0.2, "reasoning_effort": "high",
            "verbosity": "low", "logprobs": True, "top_logprobs": 3, "user": "u", "prompt_cache_key": "k",
            "safety_identifier": "s", "service_tier": "flex", "parallel_tool_calls": False, "stream": True,
            "stream_options": {"include_usage": True}, "top_k": 5,
            "response_format": {
                "type": "json_schema", "json_schema": {"name": "w", "schema": {"type": "object"}, "strict": True},
            },
        }  # fmt: skip
        for name in (
            "max_output_tokens",
            "temperature",
            "top_p",
            "metadata",
            "user",
            "prompt_cache_key",
            "service_tier",
        ):
            assert told.shown[name] == given[name]
        assert told.shown["text"] == given["text"] and told.shown["reasoning"] == given["reasoning"]

    def test_other_formats(self) -> None:
        assert "response_format" not in asked(HI | {"text": {"format": {"type": "text"}}}).chat
        assert asked(HI | {"text": {"format": {"type": "json_object"}}}).chat["response_format"] == {
            "type": "json_object"
        }

    @pytest.mark.parametrize(
        ("body", "param", "code"),
        [
            ({"background": True}, "background", "unsupported_parameter"),
            ({"conversation": "conv_1"}, "conversation", "unsupported_parameter"),
            ({"prompt": {"id": "p"}}, "prompt", "unsupported_parameter"),
            ({"truncation": "auto"}, "truncation", "unsupported_parameter"),
            ({"messages": []}, "messages", "unsupported_parameter"), ({"n": 2}, "n", "unsupported_parameter"),
            ({"max_tokens": 5}, "max_tokens", "unsupported_parameter"),
            ({"previous_response_id": "resp_1"}, "previous_response_id", "unsupported_parameter"),
            ({"max_output_tokens": 0}, "max_output_tokens", "invalid_type"),
            ({"max_output_tokens": True}, "max_output_tokens", "invalid_type"),
            ({"top_logprobs": 21}, "top_logprobs", "invalid_type"), ({"include": "x"}, "include", "invalid_type"),
            ({"reasoning": "high"}, "reasoning", "invalid_type"), ({"text": []}, "text", "invalid_type"),
            ({"text": {"format": {"type": "xml"}}}, "text.format.type", "invalid_type"),
            ({"instructions": 5}, "instructions", "invalid_type"), ({"store": "yes"}, "store", "invalid_type"),
            ({"metadata": []}, "metadata", "invalid_type"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_named(self, body: dict[str, Any], param: str, code: str) -> None:
        failure = refused(body)
        assert (failure.param, failure.code) == (param, code)

    @pytest.mark.parametrize("name", ["api_base", "fallbacks", "images", "truncate_prompt_tokens"])
    def test_what_steers_a_chat_is_refused_here_as_well(self, name: str) -> None:
        heard = DIALECT.heard(HI | {name: ["x"]}, NO_HEAD)
        with pytest.raises(BadRequest) as found:
            chat.DIALECT.check(heard.body)
        assert found.value.param == name


class TestPrevious:
    def test_what_was_said_until_then_comes_first_and_tells_how_far_it_may_go(self) -> None:
        body = dict(HI)
        Previous("resp_1", [{"role": "user", "content": "first"}], Boundary.MESH).put_into(body)
        told = asked(body)
        assert [message["content"] for message in told.chat["messages"]] == ["first", "hi"]
        assert told.shown["previous_response_id"] == "resp_1"
        found = previous_of(body)
        assert found is not None and found.at_most is Boundary.MESH

    @pytest.mark.parametrize("forged", [5, [], {}, {"id": "x"}, {"id": "x", "items": 5, "at_most": 0}, {"at_most": 9}])
    def test_nothing_else_passes_for_it(self, forged: Any) -> None:
        assert refused({"previous_response_id": forged}).param == "previous_response_id"


def test_a_chat_is_not_taken_for_a_response() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "input": "y"}
    assert chat.DIALECT.check(body) is True and body["input"] == "y"


def test_a_response_at_the_address_of_chats_keeps_what_a_chat_says_of_its_stream() -> None:
    body = {"model": "m", "input": "y", "stream": True, "stream_options": {"include_usage": False}}
    chat.DIALECT.check(body)
    assert body == {
        "model": "m", "messages": [{"role": "user", "content": "y"}], "stream": True,
        "stream_options": {"include_usage": False},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("moderation", {"model": "x"}, "moderation"),
        ("image", {"type": "x"}, "image"),
        ("access_programs", {"cyber": "daybreak_red"}, "access_programs"),
        ("reasoning", {"mode": "pro"}, "reasoning.mode"),
        ("reasoning", {"context": "all_turns"}, "reasoning.context"),
        ("text", {"tone": "kind"}, "text.tone"),
        (
            "input",
            [{"role": "user", "content": [{"type": "input_text", "text": "x", "y": 1}]}],
            "input[0].content[0].y",
        ),
        (
            "input",
            [{"role": "user", "content": [{"type": "input_file", "file_data": "data:x", "detail": "low"}]}],
            "input[0].content[0].detail",
        ),
        (
            "tools",
            [{"type": "function", "name": "f", "parameters": {}, "allowed_callers": ["programmatic"]}],
            "tools[0].allowed_callers",
        ),
    ],
)
def test_what_would_be_lost_is_refused_by_name(field: str, value: Any, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        asked({"model": "m", "input": "x", field: value})
    assert refused.value.param == param


def test_what_asks_for_nothing_is_taken() -> None:
    plain = asked({"model": "m", "input": "x"}).chat
    body = {
        "model": "m", "input": [{"role": "user", "content": [
            {"type": "input_text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}},
        ]}], "moderation": None, "prompt_cache_options": {"ttl": "30m"},
        "reasoning": {"mode": "standard", "context": "auto", "effort": None}, "text": {"format": None},
    }  # fmt: skip
    assert asked(body).chat == plain


def test_the_older_name_of_a_summary_is_understood() -> None:
    told = asked({"model": "m", "input": "x", "reasoning": {"generate_summary": "auto"}})
    assert told.tells_summary
    assert told.shown["reasoning"] == {"effort": None, "summary": "auto"}


def test_what_is_said_of_a_namespace_is_not_lost() -> None:
    inner = [{"type": "function", "name": name, "description": name.upper(), "parameters": {}} for name in ("a", "b")]
    given = {"type": "namespace", "name": "crm", "description": "Of customers.", "tools": inner}
    functions = [tool["function"] for tool in asked({"model": "m", "input": "x", "tools": [given]}).chat["tools"]]
    assert [one["description"] for one in functions] == ["crm: Of customers.\n\nA", "B"]
    assert inner[0]["description"] == "A"
