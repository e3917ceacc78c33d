"""Requests in Ollama's words, field by field."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest

from ringfence.core.errors import BadRequest
from ringfence.gateway.dialects import chat, completions, embeddings, ollama_chat, ollama_embed, ollama_generate
from ringfence.gateway.dialects.ollama_messages import translated
from ringfence.gateway.dialects.ollama_told import rfc3339
from ringfence.gateway.head import NO_HEAD

HI = [{"role": "user", "content": "hello"}]


def chatted(**body: Any) -> dict[str, Any]:
    heard = ollama_chat.DIALECT.heard({"model": "m", "messages": HI, **body}, NO_HEAD)
    chat.DIALECT.check(heard.body)
    return heard.body


def generated(**body: Any) -> dict[str, Any]:
    heard = ollama_generate.DIALECT.heard({"model": "m", "prompt": "hello", **body}, NO_HEAD)
    (heard.dialect or chat.DIALECT).check(heard.body)
    return heard.body


def embedded(**body: Any) -> dict[str, Any]:
    heard = ollama_embed.DIALECT.heard({"model": "m", **body}, NO_HEAD)
    embeddings.DIALECT.check(heard.body)
    return heard.body


STREAMED = {"stream": True, "stream_options": {"include_usage": True}}


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({}, STREAMED),
        ({"stream": None}, STREAMED),
        ({"stream": False}, {}),
        ({"options": {"num_predict": -1, "seed": -1}}, STREAMED),
        ({"options": {"num_predict": 7.0, "top_k": 4.0}}, {**STREAMED, "max_tokens": 7, "top_k": 4}),
        ({"options": {"seed": 3}}, {**STREAMED, "seed": 3}),
        ({"options": {"stop": "x"}}, {**STREAMED, "stop": ["x"]}),
        ({"options": {"stop": []}}, STREAMED),
        ({"options": {"repeat_penalty": 1.1}}, {**STREAMED, "repeat_penalty": 1.1, "repetition_penalty": 1.1}),
        ({"options": {"num_ctx": 9, "unknown": "x", "temperature": None}}, STREAMED),
        ({"options": None}, STREAMED),
        ({"think": True}, {**STREAMED, "reasoning_effort": "medium"}),
        ({"think": False}, {**STREAMED, "reasoning_effort": "none"}),
        ({"think": "high"}, {**STREAMED, "reasoning_effort": "high"}),
        ({"format": "json"}, {**STREAMED, "response_format": {"type": "json_object"}}),
        ({"format": ""}, STREAMED),
        ({"logprobs": True, "top_logprobs": 2}, {**STREAMED, "logprobs": True, "top_logprobs": 2}),
        ({"logprobs": False, "top_logprobs": 2}, STREAMED),
        ({"keep_alive": 0, "truncate": True, "shift": False}, STREAMED),
        ({"keep_alive": "-1m"}, STREAMED),
    ],
)  # fmt: skip
def test_fields_of_a_chat(given: dict[str, Any], asked: dict[str, Any]) -> None:
    assert chatted(**given) == {"model": "m", "messages": HI, **asked}


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"stream": "yes"}, "stream"), ({"options": []}, "options"), ({"options": {"top_k": "4"}}, "options.top_k"),
        ({"options": {"top_k": 1e308}}, "options.top_k"), ({"options": {"seed": 1e300}}, "options.seed"),
        ({"options": {"temperature": True}}, "options.temperature"), ({"options": {"stop": [1]}}, "options.stop"),
        ({"options": {"stop": {"a": 1}}}, "options.stop"), ({"think": "very"}, "think"), ({"think": 3}, "think"),
        ({"format": "xml"}, "format"), ({"format": 1}, "format"), ({"logprobs": 1}, "logprobs"),
        ({"logprobs": True, "top_logprobs": "a"}, "top_logprobs"), ({"keep_alive": []}, "keep_alive"),
        ({"keep_alive": True}, "keep_alive"), ({"truncate": "no"}, "truncate"), ({"messages": {}}, "messages"),
        ({"messages": [], "keep_alive": 0}, "keep_alive"), ({"messages": None, "keep_alive": "0s"}, "keep_alive"),
        ({"messages": ["hello"]}, "messages[0]"), ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "boss", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "thinking": 1}]}, "messages[0].thinking"),
        ({"messages": [{"role": "user", "images": "x"}]}, "messages[0].images"),
        ({"messages": [{"role": "assistant", "tool_calls": {"a": 1}}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "messages[0].tool_calls[0].function"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"messages": [{"role": "tool", "tool_name": 1}]}, "messages[0].tool_name"),
        ({"messages": [{"role": "tool", "tool_call_id": 1}]}, "messages[0].tool_call_id"),
        ({"api_base": "http://203.0.113.1"}, "api_base"), ({"tools": {}}, None), ({"tools": {"a": 1}}, "tools"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(given: dict[str, Any], param: str | None) -> None:
    if param is None:
        assert "tools" not in chatted(**given)
        return
    with pytest.raises(BadRequest) as refused:
        chatted(**given)
    assert refused.value.param == param


def picture(head: bytes) -> str:
    return base64.b64encode(head + bytes(40)).decode()


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff\xe0", "jpeg"), (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "webp"),
        (b"GIF89a", "gif"), (b"BM\x00\x00", "bmp"),
    ],
)  # fmt: skip
def test_a_picture_tells_its_type(head: bytes, kind: str) -> None:
    body = chatted(messages=[{"role": "user", "content": "", "images": [picture(head) + "\n"]}])
    (part,) = body["messages"][0]["content"]
    assert part == {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{picture(head)}"}}
    body = generated(images=[picture(head)])
    assert [one["type"] for one in body["messages"][0]["content"]] == ["text", "image_url"]


@pytest.mark.parametrize(
    "image", ["http://203.0.113.1/a.png", "data:image/png;base64,iVBORw0KGgo", picture(b"RIFFwave"), "", 7, "é"]
)
def test_what_is_no_picture_is_refused(image: Any) -> None:
    with pytest.raises(BadRequest) as refused:
        chatted(messages=[{"role": "user", "content": "x", "images": [image]}])
    assert refused.value.param == "messages[0].images[0]"


def test_calls_of_tools_get_ids_and_answers_find_theirs() -> None:
    def call(name: str, **more: Any) -> dict[str, Any]:
        return {"function": {"name": name, "arguments": {"x": name}}, **more}

    told = chatted(messages=[
        *HI, {"role": "assistant", "thinking": "hm", "tool_calls": [call("a"), call("b", id="own"), call("a")]},
        {"role": "tool", "content": "1", "tool_name": "b"}, {"role": "tool", "content": "2", "tool_name": "a"},
        {"role": "tool", "content": "3"}, {"role": "tool", "content": "4", "tool_call_id": "else"},
        {"role": "tool", "content": "5"},
    ])["messages"]  # fmt: skip
    assert [one["id"] for one in told[1]["tool_calls"]] == ["call_1", "own", "call_3"]
    assert [json.loads(one["function"]["arguments"])["x"] for one in told[1]["tool_calls"]] == ["a", "b", "a"]
    assert told[1]["reasoning_content"] == "hm"
    assert [(one["tool_call_id"], one.get("name")) for one in told[2:]] == [
        ("own", "b"), ("call_1", "a"), ("call_3", "a"), ("else", None), ("call_4", None),
    ]  # fmt: skip


def test_a_prompt_with_a_system_message() -> None:
    assert generated(system="Be brief.", stream=False, think=False) == {
        "model": "m", "reasoning_effort": "none",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}],
    }  # fmt: skip


def test_raw_prompts_and_suffixes_are_continued() -> None:
    for body in ({"raw": True}, {"suffix": "end"}):
        heard = ollama_generate.DIALECT.heard({"model": "m", "prompt": "hello", **body}, NO_HEAD)
        assert heard.dialect is completions.DIALECT
    assert generated(raw=True, stream=False, options={"num_predict": 3}, logprobs=True) == {
        "model": "m", "prompt": "hello", "max_tokens": 3, "logprobs": 1,
    }  # fmt: skip
    assert generated(suffix="end", stream=False, top_logprobs=4, logprobs=True) == {
        "model": "m", "prompt": "hello", "suffix": "end", "logprobs": 4,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"template": "{{ .Prompt }}"}, "template"), ({"context": [1, 2]}, "context"), ({"prompt": 1}, "prompt"),
        ({"raw": True, "system": "x"}, "system"), ({"raw": True, "think": True}, "think"), ({"raw": 1}, "raw"),
        ({"suffix": "x", "images": [picture(b"GIF89a")]}, "images"), ({"prompt": "", "keep_alive": 0}, "keep_alive"),
    ],
)  # fmt: skip
def test_what_a_prompt_cannot_have(given: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        generated(**given)
    assert refused.value.param == param


def test_texts_to_embed() -> None:
    asked = {"model": "m", "encoding_format": "float"}
    assert embedded(input="a") == {**asked, "input": ["a"]}
    assert embedded(input=["a", "b"], dimensions=64, options={"x": 1}) == {
        **asked,
        "input": ["a", "b"],
        "dimensions": 64,
    }
    assert embedded(prompt="a") == {**asked, "input": ["a"]}


@pytest.mark.parametrize(
    "given", [{}, {"input": []}, {"input": [1]}, {"input": {}}, {"prompt": ["a"]}, {"input": None}]
)
def test_what_cannot_be_embedded(given: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        embedded(**given)


def test_times_are_written_as_go_writes_them() -> None:
    assert rfc3339(1_709_208_000_000_000_042) == "2024-02-29T12:00:00.000000042Z"
    assert rfc3339(0) == "1970-01-01T00:00:00.000000000Z"


def test_many_calls_and_results_take_no_longer_than_their_number() -> None:
    """Looked for one by one, these took minutes, on the loop that serves everybody."""
    count = 20_000
    calls = [{"id": f"c{number}", "function": {"name": "f"}} for number in range(count)]
    by_id = [{"role": "tool", "content": "", "tool_call_id": f"c{count - 1 - number}"} for number in range(count // 2)]
    by_name = [{"role": "tool", "content": "", "tool_name": "f"} for _ in range(count // 4)]
    unnamed = [{"role": "tool", "content": ""} for _ in range(count // 4)]
    began = time.process_time()
    told = translated([{"role": "assistant", "tool_calls": calls}, *by_id, *by_name, *unnamed])
    assert time.process_time() - began < 2
    assert [one["tool_call_id"] for one in told[1:]] == [
        *(f"c{count - 1 - number}" for number in range(count // 2)), *(f"c{number}" for number in range(count // 2)),
    ]  # fmt: skip
