"""What Ollama is asked by its own routes: each field as its OpenAI layer carries it, and no other."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.catalog import Ability
from ringfence.core.errors import BadRequest
from ringfence.engines.ollama import ADAPTER
from ringfence.testing import fake_ollama

USER = {"role": "user", "content": "hi"}
PNG = "data:image/png;base64,iVBORw0KGgo="
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": [1, "ä"]}'}}


def chat(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    body = {"model": "m", "messages": list(messages or (USER,)), **more}
    before = copy.deepcopy(body)
    asked = ADAPTER.wires[Ability.CHAT].request(body)
    assert body == before, "what a caller sent is left as it is: another target may come"
    fake_ollama.heard("chat", json.loads(json.dumps(asked)))
    return asked


def completion(**more: Any) -> dict[str, Any]:
    asked = ADAPTER.wires[Ability.COMPLETIONS].request({"model": "m", "prompt": "Once", **more})
    fake_ollama.heard("completions", asked)
    return asked


def embedding(**more: Any) -> dict[str, Any]:
    asked = ADAPTER.wires[Ability.EMBEDDINGS].request({"model": "m", "input": "a", **more})
    fake_ollama.heard("embeddings", asked)
    return asked


def refused(param: str, ability: Ability = Ability.CHAT, **more: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        ADAPTER.wires[ability].request({"model": "m", "messages": [USER], "prompt": "p", "input": "i"} | more)
    assert caught.value.param == param
    assert f"'{param}'" in caught.value.message


class TestAll:
    @pytest.mark.parametrize("value", [True, False, None])
    def test_it_is_always_told_not_to_cut(self, value: Any) -> None:
        callers = {"truncate": True, "shift": True}
        for asked in (chat(stream=value, **callers), completion(stream=value, **callers)):
            assert (asked["truncate"], asked["shift"], asked["stream"]) == (False, False, value is True)
        assert embedding(**callers)["truncate"] is False

    def test_nothing_else_of_a_caller_gets_there(self) -> None:
        steering = {
            "options": {"num_ctx": 9, "num_gpu": 0}, "truncate": True, "shift": True, "raw": True, "template": "x",
            "system": "x", "context": [1], "keep_alive": 0, "_debug_render_only": True, "format": "json",
            "images": ["x"], "think": True, "user": "u", "metadata": {"a": "b"}, "store": False, "num_ctx": 3,
            "service_tier": "auto", "parallel_tool_calls": True, "stream_options": {"include_usage": True},
        }  # fmt: skip
        assert chat(**steering) == chat()
        assert completion(**steering) == completion()
        assert embedding(**steering, encoding_format="float") == embedding()

    def test_options_that_shape_the_answer_are_carried(self) -> None:
        shaping = {"top_k": 3, "min_p": 0.1, "typical_p": 0.9, "repeat_penalty": 1.1, "repeat_last_n": 64}
        assert chat(**shaping)["options"].items() >= shaping.items()
        assert completion(**shaping)["options"].items() >= shaping.items()
        assert "top_k" not in chat(top_k="3")["options"] and "min_p" not in chat(min_p=True)["options"]

    def test_paths(self) -> None:
        paths = [ADAPTER.wires[ability].path for ability in (Ability.CHAT, Ability.COMPLETIONS, Ability.EMBEDDINGS)]
        assert paths == ["/api/chat", "/api/generate", "/api/embed"]


class TestOptions:
    def test_its_openai_layer_has_other_defaults_than_its_own(self) -> None:
        assert chat()["options"] == {"temperature": 1.0, "top_p": 1.0}
        none = {"temperature": None, "top_p": None, "seed": None, "stop": None, "max_tokens": None}
        assert chat(**none)["options"] == {"temperature": 1.0, "top_p": 1.0}
        plain = {"temperature": 1.0, "top_p": 1.0, "frequency_penalty": 0, "presence_penalty": 0}
        assert completion(top_p=0)["options"] == plain

    def test_each_is_carried(self) -> None:
        asked = {
            "temperature": 0, "top_p": 0.5, "seed": 7, "frequency_penalty": 0.1, "presence_penalty": -1,
        }  # fmt: skip
        expected = asked | {"num_predict": 9, "stop": ["a"]}
        assert chat(**asked, max_tokens=9, stop="a")["options"] == expected
        assert completion(**asked, max_tokens=9, stop=["a"])["options"] == expected

    def test_the_tighter_of_both_names(self) -> None:
        assert chat(max_tokens=9, max_completion_tokens=5)["options"]["num_predict"] == 5
        assert chat(max_completion_tokens=5)["options"]["num_predict"] == 5

    @pytest.mark.parametrize("field", ["seed", "stop", "response_format", "reasoning_effort", "reasoning"])
    def test_what_it_would_not_understand(self, field: str) -> None:
        refused(field, **{field: 1.5})

    def test_stops_that_are_no_text(self) -> None:
        refused("stop", stop=["a", 1])


class TestChat:
    @pytest.mark.parametrize(
        ("asked", "expected"),
        [
            ({"type": "text"}, None),
            ({"type": "json_object"}, "json"),
            ({"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}, {"type": "object"}),
        ],
    )
    def test_formats(self, asked: Any, expected: Any) -> None:
        assert chat(response_format=asked).get("format") == expected

    @pytest.mark.parametrize("asked", [{"type": "grammar"}, {"type": "json_schema"}, {}])
    def test_formats_that_it_does_not_have(self, asked: Any) -> None:
        refused("response_format", response_format=asked)

    @pytest.mark.parametrize(
        ("asked", "think"),
        [
            ({"reasoning_effort": "high"}, "high"), ({"reasoning_effort": "none"}, False),
            ({"reasoning": {"effort": "low"}, "reasoning_effort": "high"}, "low"), ({"reasoning": {}}, None),
            ({"reasoning_effort": None}, None), ({"reasoning_effort": ""}, None),
        ],
    )  # fmt: skip
    def test_effort(self, asked: dict[str, Any], think: Any) -> None:
        assert chat(**asked).get("think") == think

    def test_an_effort_that_it_does_not_know(self) -> None:
        refused("reasoning_effort", reasoning_effort="minimal")
        refused("reasoning.effort", reasoning={"effort": 3})

    def test_tools(self) -> None:
        assert chat(tools=[TOOL])["tools"] == [TOOL]
        for choice in ("auto", "required", {"type": "function", "function": {"name": "look"}}):
            assert chat(tools=[TOOL], tool_choice=choice)["tools"] == [TOOL]
        assert "tools" not in chat(tools=[TOOL], tool_choice="none")
        assert "tools" not in chat(tools=[])
        refused("tools[1]", tools=[TOOL, {"type": "custom", "custom": {"name": "x"}}])

    def test_probabilities(self) -> None:
        asked = chat(logprobs=True, top_logprobs=3)
        assert (asked["logprobs"], asked["top_logprobs"]) == (True, 3)
        assert chat(logprobs=True)["top_logprobs"] == 0
        assert "logprobs" not in chat(logprobs=False, top_logprobs=3)

    @pytest.mark.parametrize(
        "asked",
        [
            {"n": 2}, {"logit_bias": {"1": 5}}, {"functions": [{"name": "f"}]}, {"function_call": {"name": "f"}},
            {"modalities": ["text", "audio"]}, {"audio": {"voice": "x"}},
        ],
    )  # fmt: skip
    def test_what_would_be_lost_without_a_word(self, asked: dict[str, Any]) -> None:
        refused(next(iter(asked)), **asked)

    def test_what_asks_for_nothing_is_left_out(self) -> None:
        nothing = {"n": 1, "logit_bias": {}, "functions": [], "function_call": "auto", "modalities": ["text"]}
        assert chat(**nothing) == chat(n=None) == chat()


class TestMessages:
    def test_roles(self) -> None:
        asked = chat({"role": "developer", "content": "be brief"}, USER, {"role": "assistant", "content": "yes"})
        assert [message["role"] for message in asked["messages"]] == ["system", "user", "assistant"]

    def test_calls_and_their_results(self) -> None:
        said = {"role": "assistant", "content": None, "tool_calls": [CALL], "reasoning": "hm"}
        results = [
            {"role": "tool", "tool_call_id": "c1", "content": "found"},
            {"role": "tool", "tool_call_id": "c1", "name": "own", "content": [{"type": "text", "text": "again"}]},
            {"role": "tool", "tool_call_id": "lost", "content": "?"},
        ]
        assert chat(USER, said, *results)["messages"][1:] == [
            {
                "role": "assistant", "content": "", "thinking": "hm",
                "tool_calls": [{"id": "c1", "function": {"name": "look", "arguments": {"at": [1, "ä"]}}}],
            },
            {"role": "tool", "content": "found", "tool_name": "look", "tool_call_id": "c1"},
            {"role": "tool", "content": "again", "tool_name": "own", "tool_call_id": "c1"},
            {"role": "tool", "content": "?", "tool_call_id": "lost"},
        ]  # fmt: skip

    def test_of_two_calls_with_one_id_the_last_has_the_name(self) -> None:
        other = CALL | {"function": {"name": "seek", "arguments": ""}}
        called = [{"role": "assistant", "content": "", "tool_calls": [call]} for call in (CALL, other)]
        asked = chat(USER, *called, {"role": "tool", "tool_call_id": "c1", "content": "x"})["messages"]
        assert asked[-1]["tool_name"] == "seek"
        assert asked[-2]["tool_calls"][0]["function"]["arguments"] == {}

    def test_the_older_form_of_a_call(self) -> None:
        called = {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": '{"a":1}'}}
        said, result = chat(USER, called, {"role": "function", "name": "look", "content": "x"})["messages"][1:]
        assert said["tool_calls"] == [{"function": {"name": "look", "arguments": {"a": 1}}}]
        assert result == {"role": "tool", "content": "x", "tool_name": "look"}

    @pytest.mark.parametrize(
        "arguments", ["{", "[1]", "3", [1], "[" * 600 + "]" * 600, '{"a":' * 252 + "1" + "}" * 252]
    )
    def test_arguments_that_are_no_object(self, arguments: Any) -> None:
        bad = {"role": "assistant", "tool_calls": [CALL | {"function": {"name": "f", "arguments": arguments}}]}
        refused("messages[0].tool_calls[0].function.arguments", messages=[bad])

    @pytest.mark.parametrize("call", [3, {}, {"function": {}}, {"function": {"name": 3, "arguments": "{}"}}])
    def test_what_is_no_call(self, call: Any) -> None:
        refused("messages[0].tool_calls[0]", messages=[{"role": "assistant", "tool_calls": [call]}])

    def test_parts_are_messages_in_their_order(self) -> None:
        parts = [
            {"type": "text", "text": "before"},
            {"type": "image_url", "image_url": {"url": PNG}},
            {"type": "image_url", "image_url": "data:;base64,AAAA"},
            {"type": "refusal", "refusal": "after"},
        ]
        said = {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}], "tool_calls": [CALL]}
        *asked, answered = chat({"role": "user", "content": parts}, said)["messages"]
        assert asked == [
            {"role": "user", "content": "before"},
            {"role": "user", "content": "", "images": ["iVBORw0KGgo="]},
            {"role": "user", "content": "", "images": ["AAAA"]},
            {"role": "user", "content": "after"},
        ]
        assert (answered["thinking"], len(answered["tool_calls"])) == ("hm", 1)

    def test_an_empty_message_stays_one(self) -> None:
        empty = [{"role": "assistant", "content": None}, {"role": "user", "content": []}]
        refusing = {"role": "assistant", "content": None, "refusal": "no"}
        assert [message["content"] for message in chat(*empty, refusing)["messages"]] == ["", "", "no"]

    @pytest.mark.parametrize(
        "url",
        ["https://example.com/a.png", "//example.com/a", "file:///etc/passwd", "AAAA", "data:image/gif;base64,AAAA",
         "data:image/png,AAAA", "data:image/png;base64,AA AA", "data:image/png;base64,", None, 3],
    )  # fmt: skip
    def test_images_that_are_not_in_the_request_or_not_of_its_kinds(self, url: Any) -> None:
        part = {"type": "image_url", "image_url": {"url": url}}
        refused("messages[0].content[0].image_url", messages=[{"role": "user", "content": [part]}])

    @pytest.mark.parametrize("kind", ["input_audio", "file", "video_url", "something"])
    def test_parts_that_it_does_not_take(self, kind: str) -> None:
        refused("messages[0].content[0].type", messages=[{"role": "user", "content": [{"type": kind}]}])


class TestTheOthers:
    def test_a_completion(self) -> None:
        asked = completion(suffix="end", logprobs=2)
        assert (asked["prompt"], asked["suffix"]) == ("Once", "end")
        assert (asked["logprobs"], asked["top_logprobs"]) == (True, 2)
        assert completion(prompt=["Once"]) == completion()
        assert "raw" not in asked, "through the model's template, as by its OpenAI route"

    @pytest.mark.parametrize("prompt", [["a", "b"], [1, 2], [[1, 2]], None])
    def test_prompts_that_it_does_not_take(self, prompt: Any) -> None:
        refused("prompt", Ability.COMPLETIONS, prompt=prompt)

    @pytest.mark.parametrize("asked", [{"best_of": 2}, {"n": 2}, {"echo": True}, {"suffix": 3}, {"logprobs": 1.5}])
    def test_fields_that_it_does_not_take(self, asked: dict[str, Any]) -> None:
        refused(next(iter(asked)), Ability.COMPLETIONS, **asked)

    def test_embeddings(self) -> None:
        assert embedding(input=["a", "b"], dimensions=64, user="u") == {
            "model": "m", "input": ["a", "b"], "truncate": False, "dimensions": 64,
        }  # fmt: skip
        refused("input", Ability.EMBEDDINGS, input=[1, 2])
        refused("input", Ability.EMBEDDINGS, input=["a", [1]])
        refused("dimensions", Ability.EMBEDDINGS, dimensions="64")


TEXT = st.text(max_size=30)
PARTS = st.one_of(
    TEXT.map(lambda text: {"type": "text", "text": text}),
    TEXT.map(lambda text: {"type": "refusal", "refusal": text}),
    st.binary(min_size=3, max_size=3).map(lambda _: {"type": "image_url", "image_url": {"url": PNG}}),
)
ARGUMENTS = st.dictionaries(
    TEXT, st.recursive(TEXT | st.integers(-(2**53), 2**53) | st.booleans(), st.lists), max_size=3
)
CALLS = st.lists(st.tuples(TEXT, st.sampled_from(["a", "b"]), ARGUMENTS), max_size=3)


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    role = draw(st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"]))
    message: dict[str, Any] = {"role": role, "content": draw(st.one_of(TEXT, st.lists(PARTS, max_size=4)))}
    if role == "assistant":
        message["tool_calls"] = [
            {"id": known, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
            for known, name, arguments in draw(CALLS)
        ]
    if role == "tool":
        message["tool_call_id"] = draw(TEXT)
    return message


def texts(message: dict[str, Any]) -> list[str]:
    content = message["content"]
    parts = [content] if isinstance(content, str) else [part.get("text", part.get("refusal", "")) for part in content]
    calls = [call["function"]["arguments"] for call in message.get("tool_calls") or ()]
    known = [call if isinstance(call, dict) else json.loads(call) for call in calls]
    return [text for text in parts if text] + [json.dumps(call, sort_keys=True) for call in known]


@given(st.lists(messages(), min_size=1, max_size=6))
def test_the_same_texts_in_the_same_order(listed: list[dict[str, Any]]) -> None:
    asked = chat(*listed)["messages"]
    assert [text for one in asked for text in texts(one)] == [text for one in listed for text in texts(one)]
    images = [
        part for one in listed if isinstance(one["content"], list) for part in one["content"] if "image_url" in part
    ]
    assert sum(len(one.get("images", ())) for one in asked) == len(images)
    assert {one["role"] for one in asked} <= {"system", "user", "assistant", "tool"}
