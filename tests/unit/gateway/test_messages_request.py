"""Anthropic's messages as a chat, field by field: what is carried, what is refused by name, and that it comes back."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.core.catalog import Ability
from ringfence.core.errors import BadRequest
from ringfence.gateway.carried import for_cloud, for_engine
from ringfence.gateway.dialects.messages import DIALECT
from ringfence.gateway.head import NO_HEAD
from ringfence.providers.anthropic import ADAPTER
from ringfence.testing.fake_cloud_rules import check_anthropic

Body = dict[str, Any]
PIXEL = "iVBORw0KGgo="
MARK = {"type": "ephemeral"}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
BY_URL, BY_ID = {"type": "url", "url": "https://a.example"}, {"type": "file", "file_id": "f"}
PLAIN = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}
TOOL = {"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {}}}
USE = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "é"}}
SIGNED = {"type": "thinking", "thinking": "Hm.", "signature": "c2lnbmVk"}
HISTORY = [{"role": "user", "content": "hi"}]
REDACTED = {"type": "redacted_thinking", "data": "c2VhbGVk"}


def heard(messages: Any = None, **fields: Any) -> Body:
    """As chat completions; the caller's own body stays as it is, and what comes of it is a good one."""
    body = {"model": "m", "max_tokens": 9, "messages": messages or [{"role": "user", "content": "hi"}], **fields}
    before = copy.deepcopy(body)
    chat = DIALECT.heard(body, NO_HEAD).body
    assert body == before
    DIALECT.goes_as.check(chat)
    return chat


def refused(**fields: Any) -> BadRequest:
    with pytest.raises(BadRequest) as found:
        heard(**fields)
    return found.value


def said(role: str, *blocks: Any) -> Body:
    return {"role": role, "content": list(blocks)}


def text(words: str, **more: Any) -> Body:
    return {"type": "text", "text": words, **more}


class TestFields:
    @pytest.mark.parametrize(
        ("field", "value", "carried"),
        [
            ("temperature", 0.5, {"temperature": 0.5}),
            ("top_p", 0.9, {"top_p": 0.9}),
            ("top_k", 5, {"top_k": 5}),
            ("stop_sequences", ["END"], {"stop": ["END"]}),
            ("stop_sequences", [], {}),
            ("metadata", {"user_id": "u"}, {"user": "u"}),
            ("stream", False, {"stream": False}),
            ("stream", True, {"stream": True, "stream_options": {"include_usage": True}}),
            ("thinking", {"type": "adaptive"}, {"thinking": {"type": "adaptive"}}),
            ("output_config", {"effort": "max"}, {"reasoning_effort": "max"}),
            ("service_tier", "auto", {}),
            ("service_tier", "standard_only", {"service_tier": "standard_only"}),
            ("cache_control", MARK, {"cache_control": MARK}),
            ("context_management", {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}, {}),
            ("speed", "standard", {}),
            ("mcp_servers", [], {}),
            ("container", None, {}),
            ("diagnostics", {"previous_message_id": None}, {}),
        ],
    )
    def test_is_carried(self, field: str, value: Any, carried: Body) -> None:
        plain = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
        assert heard(**{field: value}) == plain | carried

    @pytest.mark.parametrize("place", ["output_config", "output_format"])
    def test_a_schema_of_the_answer_is_carried(self, place: str) -> None:
        form = {"type": "json_schema", "schema": {"type": "object"}}
        chat = heard(**{place: {"format": form} if place == "output_config" else form})
        described = chat["response_format"]["json_schema"]
        assert (described["schema"], described["strict"]) == ({"type": "object"}, True)

    @pytest.mark.parametrize(
        ("choice", "carried"),
        [
            ({"type": "auto"}, "auto"),
            ({"type": "any"}, "required"),
            ({"type": "none"}, "none"),
            ({"type": "tool", "name": "look"}, {"type": "function", "function": {"name": "look"}}),
        ],
    )
    def test_tools_and_which_of_them(self, choice: Body, carried: Any) -> None:
        chat = heard(tools=[TOOL | {"cache_control": MARK, "strict": True}], tool_choice=choice)
        function = {"name": "look", "description": "Looks.", "parameters": TOOL["input_schema"], "strict": True}
        assert chat["tools"] == [{"type": "function", "function": function, "cache_control": MARK}]
        assert chat["tool_choice"] == carried
        assert "parallel_tool_calls" not in chat

    def test_one_call_at_a_time(self) -> None:
        chat = heard(tools=[TOOL], tool_choice={"type": "auto", "disable_parallel_tool_use": True})
        assert chat["parallel_tool_calls"] is False

    @pytest.mark.parametrize(
        ("field", "value", "param"),
        [
            ("container", "c_1", "container"),
            ("mcp_servers", [{"type": "url", "url": "https://a.example"}], "mcp_servers"),
            ("inference_geo", "us", "inference_geo"),
            ("speed", "fast", "speed"),
            ("nonsense", 1, "nonsense"),
            ("api_base", "https://a.example", "api_base"),
            ("metadata", {"other": 1}, "metadata.other"),
            ("metadata", "u", "metadata"),
            ("thinking", {"type": "sometimes"}, "thinking.type"),
            ("thinking", {"type": "enabled"}, "thinking.budget_tokens"),
            ("output_config", {"effort": "huge"}, "output_config.effort"),
            ("output_config", {"task_budget": 1}, "output_config.task_budget"),
            ("output_format", {"type": "text"}, "output_format"),
            ("stop_sequences", "END", "stop_sequences"),
            ("service_tier", "fast", "service_tier"),
            ("cache_control", {"type": "persistent"}, "cache_control.type"),
            ("context_management", {"edits": [{"type": "compact_20260112"}]}, "context_management.edits[0].type"),
            ("tools", [{"type": "web_search_20250305", "name": "web_search"}], "tools[0].type"),
            ("tools", [TOOL, {"name": "no-schema"}], "tools[1].input_schema"),
            ("tools", [TOOL | {"defer_loading": True}], "tools[0].defer_loading"),
            ("tools", "look", "tools"),
            ("tool_choice", {"type": "some"}, "tool_choice.type"),
            ("tool_choice", {"type": "tool"}, "tool_choice.name"),
            ("system", 5, "system"),
            ("system", [IMAGE], "system[0].type"),
        ],
    )
    def test_is_refused_by_name(self, field: str, value: Any, param: str) -> None:
        failure = refused(**{field: value})
        assert (failure.status, failure.param) == (400, param)
        assert param in failure.message

    @pytest.mark.parametrize("hint", [{"defer_loading": False}, {"eager_input_streaming": True}, {"type": "custom"}])
    def test_a_tool_may_say_what_changes_nothing(self, hint: Body) -> None:
        assert heard(tools=[TOOL | hint]) == heard(tools=[TOOL])


class TestMessages:
    def test_system_is_the_first_message(self) -> None:
        assert heard(system="Be kind.")["messages"][0] == {"role": "system", "content": "Be kind."}
        parts = [text("Be kind.", cache_control=MARK), text("And short.")]
        assert heard(system=parts)["messages"][0] == {"role": "system", "content": parts}
        assert heard(system="")["messages"][0]["role"] == "user"

    def test_who_sends_is_no_prompt(self) -> None:
        billing = text("x-anthropic-billing-header: cc_version=2.1.101.e51; cc_entrypoint=cli; cch=a5145;")
        assert heard(system=[billing, text("Be kind.")]) == heard(system="Be kind.")

    def test_what_users_say_is_not_taken_for_it(self) -> None:
        about = "x-anthropic-billing-header: is what?"
        assert heard([said("user", text(about))])["messages"] == [{"role": "user", "content": about}]

    def test_what_an_answer_had_may_be_sent_again(self) -> None:
        plain = heard([*HISTORY, said("assistant", USE)])
        told = USE | {"caller": {"type": "direct"}, "toolset_name": None}
        assert heard([*HISTORY, said("assistant", told)]) == plain
        assert heard([said("assistant", text("x", citations=None))]) == heard([said("assistant", text("x"))])

    def test_one_text_is_a_string(self) -> None:
        assert heard([said("user", text("hi"))]) == heard([{"role": "user", "content": "hi"}])

    def test_images_and_documents(self) -> None:
        pdf = {"type": "document", "title": "a.pdf", "source": IMAGE["source"] | {"media_type": "application/pdf"}}
        plain = {
            "type": "document",
            "title": "Notes",
            "source": {"type": "text", "media_type": "text/plain", "data": "x"},
        }
        found = {"type": "search_result", "title": "T", "source": "there", "content": [text("found")]}
        (message,) = heard([said("user", text("see"), IMAGE, pdf, plain, found)])["messages"]
        assert message["content"] == [
            text("see"), {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
            {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PIXEL}", "filename": "a.pdf"}},
            text("Notes"), text("x"), text("T\nthere"), text("found"),
        ]  # fmt: skip

    def test_calls_and_results(self) -> None:
        parts = [text("seen"), IMAGE]
        messages = heard([
            said("user", text("look")),
            said("assistant", text("I look."), USE, {**USE, "id": "toolu_2", "input": {}, "cache_control": MARK}),
            said(
                "user", {"type": "tool_result", "tool_use_id": "toolu_1", "content": parts, "cache_control": MARK},
                {"type": "tool_result", "tool_use_id": "toolu_2"}, text("go on"),
            ),
        ])["messages"]  # fmt: skip
        called, first, second, user = messages[1:]
        assert called["content"] == "I look."
        assert [(call["id"], call["function"]["arguments"]) for call in called["tool_calls"]] == [
            ("toolu_1", '{"at":"é"}'), ("toolu_2", "{}"),
        ]  # fmt: skip
        assert (first["role"], first["tool_call_id"], first["cache_control"]) == ("tool", "toolu_1", MARK)
        assert [part["type"] for part in first["content"]] == ["text", "image_url"]
        assert second == {"role": "tool", "tool_call_id": "toolu_2", "content": ""}
        assert user == {"role": "user", "content": "go on"}

    @pytest.mark.parametrize(("content", "told"), [("gone", "The tool failed:"), ("Error: gone", "Error: gone")])
    def test_a_tool_that_failed_is_told_in_words(self, content: str, told: str) -> None:
        result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": content, "is_error": True}
        message = heard([said("assistant", USE), said("user", result)])["messages"][1]
        assert message["is_error"]
        assert (message["content"] if isinstance(message["content"], str) else message["content"][0]["text"]) == told

    def test_thoughts(self) -> None:
        unsigned = {"type": "thinking", "thinking": "So.", "signature": ""}
        (message,) = heard([said("assistant", unsigned, text("Yes."))])["messages"]
        assert message == {"role": "assistant", "content": "Yes.", "reasoning_content": "So."}
        (message,) = heard([said("assistant", SIGNED, REDACTED, text("Yes."))])["messages"]
        assert (message["reasoning_content"], message["thinking_blocks"]) == ("Hm.", [SIGNED, REDACTED])

    def test_thoughts_behind_a_text_stay_there(self) -> None:
        first, second = heard([said("assistant", text("One."), SIGNED, text("Two."))])["messages"]
        assert (first["content"], second["content"], second["thinking_blocks"]) == ("One.", "Two.", [SIGNED])

    @pytest.mark.parametrize(
        ("messages", "param"),
        [
            ([], "messages"),
            ("hi", "messages"),
            (["hi"], "messages[0]"),
            ([{"role": "tool", "content": "x"}], "messages[0].role"),
            ([{"role": "user"}], "messages[0].content"),
            ([said("user", "hi")], "messages[0].content[0]"),
            ([said("user", {"type": "text"})], "messages[0].content[0].text"),
            ([said("user", {"type": "server_tool_use"})], "messages[0].content[0].type"),
            ([said("user", {"type": "image", "source": BY_URL})], "messages[0].content[0].source"),
            ([said("user", {"type": "image", "source": BY_ID})], "messages[0].content[0].source.type"),
            ([said("user", text("x"), {"type": "tool_result", "tool_use_id": "a"})], "messages[0].content[1]"),
            ([said("user", {"type": "tool_result"})], "messages[0].content[0].tool_use_id"),
            ([said("assistant", {"type": "tool_use", "id": "a", "name": "b"})], "messages[0].content[0].input"),
            ([said("assistant", IMAGE)], "messages[0].content[0].type"),
            ([said("user", text("x", cache_control=5))], "messages[0].content[0].cache_control"),
            (
                [said("user", PLAIN | {"citations": {"enabled": True}})],
                "messages[0].content[0].citations",
            ),
            ([said("assistant", text("x", citations=[{"cited_text": "y"}]))], "messages[0].content[0].citations"),
            ([said("user", IMAGE | {"transformations": {"crop": 1}})], "messages[0].content[0].transformations"),
            ([said("assistant", USE | {"toolset_name": "t"})], "messages[0].content[0].toolset_name"),
            ([said("assistant", USE | {"caller": {"type": "program"}})], "messages[0].content[0].caller"),
            ([said("user", {"type": "tool_result", "tool_use_id": "a", "x": 1})], "messages[0].content[0].x"),
            ([{"role": "user", "content": "hi", "name": "me"}], "messages[0].name"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_carried_is_refused_by_its_place(self, messages: Any, param: str) -> None:
        with pytest.raises(BadRequest) as found:
            DIALECT.heard({"model": "m", "messages": messages}, NO_HEAD)
        assert found.value.param == param


RICH: Body = {
    "thinking": {"type": "enabled", "budget_tokens": 2048}, "cache_control": MARK, "service_tier": "standard_only",
    "output_config": {"effort": "max"}, "tools": [TOOL | {"cache_control": MARK}],
}  # fmt: skip
TALK = [
    said("user", text("look", cache_control=MARK)),
    said("assistant", SIGNED, text("I look."), USE),
    said("user", {"type": "tool_result", "tool_use_id": "toolu_1", "content": "gone", "is_error": True}),
]


class TestTargets:
    @pytest.mark.parametrize("kind", ["llamacpp", "vllm", "ollama", "lmstudio"])
    def test_an_engine_gets_nothing_that_is_not_its_own(self, kind: str) -> None:
        chat = heard(TALK, **RICH)
        before = copy.deepcopy(chat)
        asked = for_engine(chat, kind)
        assert chat == before
        assert b"cache_control" not in orjson.dumps(asked) and b"signature" not in orjson.dumps(asked)
        assert not {"thinking", "is_error"} & (asked.keys() | asked["messages"][2].keys())
        assert asked["messages"][1]["reasoning_content"] == "Hm."
        assert (asked["reasoning_effort"], asked["service_tier"]) == ("high", "default")
        assert asked.get("thinking_budget_tokens") == (2048 if kind == "llamacpp" else None)

    @pytest.mark.parametrize(
        ("kind", "said_so"),
        [
            ("llamacpp", {"chat_template_kwargs": {"enable_thinking": False}}),
            ("vllm", {"chat_template_kwargs": {"enable_thinking": False}}),
            ("ollama", {"reasoning_effort": "none"}),
            ("lmstudio", {}),
        ],
    )
    def test_not_to_think_is_said_in_the_words_of_the_engine(self, kind: str, said_so: Body) -> None:
        assert for_engine(heard(thinking={"type": "disabled"}), kind) == heard() | said_so

    def test_the_beginning_of_an_answer_is_gone_on_with(self) -> None:
        chat = heard([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Well"}])
        asked = for_engine(chat, "vllm")
        assert (asked["continue_final_message"], asked["add_generation_prompt"]) == (True, False)
        assert "continue_final_message" not in for_engine(chat, "llamacpp")
        assert "continue_final_message" not in for_cloud(chat, "anthropic", "https://api.anthropic.com")

    def test_other_clouds_get_what_they_know(self) -> None:
        chat = heard(TALK, **RICH)
        plain = orjson.dumps(for_cloud(chat, "openai", "https://api.openai.com/v1"))
        assert not any(name in plain for name in (b"cache_control", b"thinking", b"reasoning_content", b"is_error"))
        kept = for_cloud(chat, "openai", "https://openrouter.ai/api/v1")
        assert kept["tools"][0]["cache_control"] == MARK and kept["messages"][1]["reasoning_content"] == "Hm."
        assert "thinking_blocks" not in kept["messages"][1]

    def test_a_budget_for_thinking_stays_below_the_output(self) -> None:
        thinking = {"type": "enabled", "budget_tokens": 31_999}
        asked = to_anthropic([said("user", text("hi"))], thinking=thinking)
        assert (asked["max_tokens"], asked["thinking"]["budget_tokens"]) == (4096, 4095)

    def test_anthropic_gets_what_was_said(self) -> None:
        asked = to_anthropic(TALK, **RICH)
        assert asked["messages"] == [*TALK[:2], said("user", {**TALK[2]["content"][0], "content": [text("gone")]})]
        assert {name: asked[name] for name in RICH} == RICH


def to_anthropic(messages: list[Body], **fields: Any) -> Body:
    chat = for_cloud(heard(messages, max_tokens=4096, **fields), "anthropic", "https://api.anthropic.com")
    asked = ADAPTER.request(Ability.CHAT, chat, "https://api.anthropic.com", 4096)
    check_anthropic(orjson.loads(orjson.dumps(asked)), "2023-06-01", frozenset("m"), 10**9, 10**9)
    return asked


WORDS = st.text(min_size=1, max_size=12).filter(str.strip)
TEXTS = st.builds(lambda words, mark: text(words, **({"cache_control": MARK} if mark else {})), WORDS, st.booleans())
RESULTS = st.builds(
    lambda parts, failed: {"content": parts, **({"is_error": True} if failed else {})},
    st.lists(st.one_of(TEXTS, st.just(IMAGE)), min_size=1, max_size=3), st.booleans(),
)  # fmt: skip
TURNS = st.lists(
    st.tuples(
        st.lists(st.one_of(TEXTS, st.just(IMAGE)), min_size=1, max_size=3),
        st.sampled_from([[], [SIGNED], [SIGNED, REDACTED]]),
        st.lists(TEXTS, max_size=2), st.lists(RESULTS, max_size=2),
    ), min_size=1, max_size=4,
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(TURNS)
def test_a_conversation_comes_to_anthropic_as_it_was(turns: list[Any]) -> None:
    """Blocks, markers, signatures, failures: through the chat and back, nothing of it has changed."""
    messages: list[Body] = []
    for number, (asked, thoughts, answer, results) in enumerate(turns):
        calls = [{**USE, "id": f"toolu_{number}_{place}"} for place in range(len(results))]
        returned = [
            {"type": "tool_result", "tool_use_id": call["id"], **result}
            for call, result in zip(calls, results, strict=True)
        ]
        last = [] if calls else [text("done")]
        messages += [said("user", *asked), said("assistant", *thoughts, *answer, *calls, *last)]
        if returned:
            messages += [said("user", *returned), said("assistant", text("I see."))]
    messages.append(said("user", text("bye")))
    assert to_anthropic(messages)["messages"] == messages
