"""Every text of a request in another dialect is carried to the engine and read for what is private, or the request is
refused by name; what stays here is listed, place by place."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from ringfence.core.errors import BadRequest
from ringfence.gateway.carried import for_engine
from ringfence.gateway.dialects import messages, ollama_chat, ollama_embed, ollama_generate, responses
from ringfence.gateway.head import NO_HEAD
from ringfence.gateway.route import Foreign
from ringfence.signals.texts import texts_of

Body = dict[str, Any]
MARK = "MARKED-TEXT"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
SCHEMA = {"type": "object", "properties": {"at": {"type": "string", "enum": ["a"], "description": "Where."}}}

MESSAGES: Body = {
    "model": "m", "max_tokens": 9, "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
    "metadata": {"user_id": "u"}, "stop_sequences": ["END"], "service_tier": "auto",
    "tools": [{"name": "look", "description": "Looks.", "input_schema": SCHEMA}],
    "tool_choice": {"type": "tool", "name": "look"},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
    "messages": [
        {"role": "user", "content": [
            {"type": "text", "text": "t"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
            {"type": "document", "title": "T", "context": "C",
             "source": {"type": "text", "media_type": "text/plain", "data": "D"}},
            {"type": "search_result", "title": "T", "source": "S", "content": [{"type": "text", "text": "R"}]},
        ]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "h", "signature": ""}, {"type": "text", "text": "t"},
            {"type": "tool_use", "id": "i", "name": "look", "input": {"at": "x", "deep": [{"er": "y"}]}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "i", "content": [{"type": "text", "text": "r"}], "is_error": True},
            {"type": "text", "text": "u"},
        ]},
        {"role": "system", "content": "s"}, {"role": "user", "content": "u"},
    ],
}  # fmt: skip
RESPONSES: Body = {
    "model": "m", "instructions": "i", "user": "u", "prompt_cache_key": "k", "safety_identifier": "s",
    "metadata": {"a": "b"}, "include": ["reasoning.encrypted_content"], "service_tier": "auto",
    "reasoning": {"effort": "low", "summary": "auto"},
    "text": {"verbosity": "low", "format": {"type": "json_schema", "name": "n", "description": "d", "schema": SCHEMA}},
    "tools": [
        {"type": "function", "name": "look", "description": "Looks.", "parameters": SCHEMA, "strict": False},
        {"type": "custom", "name": "say", "description": "Says.",
         "format": {"type": "grammar", "syntax": "lark", "definition": "start: A"}},
        {"type": "namespace", "name": "crm", "description": "Of customers.",
         "tools": [{"type": "function", "name": "find", "description": "Finds.", "parameters": SCHEMA}]},
    ],
    "tool_choice": {"type": "function", "name": "look"},
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "d"}]},
        {"type": "message", "role": "user", "content": [
            {"type": "input_text", "text": "t"},
            {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "low"},
            {"type": "input_file", "file_data": f"data:application/pdf;base64,{PNG}", "filename": "f.pdf"},
        ]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "h"}]},
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [
            {"type": "output_text", "text": "t", "annotations": []}, {"type": "refusal", "refusal": "no"},
        ]},
        {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "o"}]},
        {"type": "custom_tool_call", "call_id": "d", "name": "say", "input": "i"},
        {"type": "custom_tool_call_output", "call_id": "d", "output": "o"},
    ],
}  # fmt: skip
OLLAMA_CHAT: Body = {
    "model": "m", "options": {"stop": ["END"], "temperature": 1}, "format": SCHEMA, "keep_alive": "5m", "think": "low",
    "tools": [{"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": SCHEMA}}],
    "messages": [
        {"role": "system", "content": "s"}, {"role": "user", "content": "u", "images": [PNG]},
        {"role": "assistant", "content": "a", "thinking": "h",
         "tool_calls": [{"id": "i", "function": {"name": "look", "arguments": {"at": "x", "deep": ["y"]}}}]},
        {"role": "tool", "content": "r", "tool_name": "look", "tool_call_id": "i"},
    ],
}  # fmt: skip
GENERATE: Body = {"model": "m", "prompt": "p", "system": "s", "images": [PNG], "format": "json"}
RAW: Body = {"model": "m", "prompt": "p", "suffix": "x", "raw": True, "options": {"stop": "END"}}
EMBED: Body = {"model": "m", "input": ["a", "b"], "keep_alive": "5m"}

STAYS: dict[str, frozenset[str]] = {
    "messages": frozenset((
        "messages.0.content.2.source.media_type", "messages.1.content.0.signature",
    )),
    "responses": frozenset((
        "metadata.a", "include.0", "reasoning.summary", "tools.1.format.type",
        "input.2.id", "input.3.id", "input.3.status", "input.4.id",
    )),
    "ollama_chat": frozenset(("keep_alive",)),
    "ollama_embed": frozenset(("keep_alive",)),
}  # fmt: skip
"""By dialect: places that say nothing to a model. What stands there changes no answer. A signature is for Anthropic
alone, and goes nowhere else."""


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a text stands."""
    if isinstance(value, str):
        yield at
    elif isinstance(value, dict | list):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*at, name))


def marked(body: Body, at: tuple[Any, ...]) -> Body:
    changed: Any = copy.deepcopy(body)
    inner = changed
    for name in at[:-1]:
        inner = inner[name]
    inner[at[-1]] = MARK
    return changed


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (messages.DIALECT, MESSAGES), (responses.DIALECT, RESPONSES), (ollama_chat.DIALECT, OLLAMA_CHAT),
        (ollama_generate.DIALECT, GENERATE), (ollama_generate.DIALECT, RAW), (ollama_embed.DIALECT, EMBED),
    ],
    ids=["messages", "responses", "ollama_chat", "generate", "raw", "embed"],
)  # fmt: skip
def test_every_text_is_carried_and_read_or_refused(dialect: Foreign, body: Body) -> None:
    heard = dialect.heard(copy.deepcopy(body), NO_HEAD)
    (heard.dialect or dialect.goes_as).check(heard.body)
    carried = 0
    lost: list[str] = []
    for at in places(body):
        try:
            heard = dialect.heard(marked(body, at), NO_HEAD)
            (heard.dialect or dialect.goes_as).check(heard.body)
        except BadRequest as refused:
            assert refused.param, at
            continue
        sent = orjson.dumps(for_engine(heard.body, "vllm"))
        if MARK.encode() in sent:
            carried += 1
            assert any(MARK in text for text in texts_of(heard.body)), at
        else:
            lost.append(".".join(map(str, at)))
    assert set(lost) == STAYS.get(dialect.name, frozenset())
    assert carried
