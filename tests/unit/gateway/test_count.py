"""The bound by bytes is never below what tokenizers and templates make of a request."""

from __future__ import annotations

import json
import sys
import unicodedata
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from ringfence.gateway import count
from ringfence.gateway.count import (
    Meter,
    Template,
    byte_length,
    chat_bound,
    expanded_length,
    known_bound,
    serialised_bound,
)
from ringfence.testing.tiny_model import TEMPLATE, tiny_tokenizer

TEXT = st.text(max_size=60)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
CHATML = Template(base=24, message=12, part=4, call=48, tools=80, tool=8)


@lru_cache(1)
def byte_level() -> Tokenizer:
    return tiny_tokenizer()


@lru_cache(1)
def expanding() -> Tokenizer:
    """Pieces of text after NFKC and lower case, with bytes for what is unknown, as SentencePiece has them."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.decoder = decoders.ByteFallback()
    tokenizer.pre_tokenizer = pre_tokenizers.Split("\n", "isolated")
    alphabet = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=alphabet, show_progress=False)
    tokenizer.train_from_iterator(["the night watch walks from gate to gate"], trainer)
    return tokenizer


def tokens(tokenizer: Tokenizer, text: str) -> int:
    return len(tokenizer.encode(text, add_special_tokens=False).ids)


@given(TEXT)
def test_a_token_is_at_least_a_byte(text: str) -> None:
    assert tokens(byte_level(), text) <= byte_length(text) == len(text.encode())


@given(TEXT | st.text("ﷺﬁ①㍿İǅ", max_size=20))
def test_a_normaliser_may_lengthen_a_text(text: str) -> None:
    assert tokens(expanding(), text) <= expanded_length(text)


def test_bytes_alone_are_no_bound_then() -> None:
    assert byte_length("ﷺ") < tokens(expanding(), "ﷺ") <= expanded_length("ﷺ")


def test_no_character_grows_beyond_the_factor() -> None:
    for code in range(0x80, sys.maxunicode + 1, 1):
        char = chr(code)
        if not 0xD800 <= code < 0xE000 and len(char.lower().encode()) > len(char.encode()):
            assert expanded_length(char) >= len(char.lower().encode()), hex(code)


@given(JSON)
def test_json_however_it_is_written(value: Any) -> None:
    bound = serialised_bound(value)
    for indent in (None, 2, 4):
        for ascii_only in (True, False):
            assert byte_length(json.dumps(value, indent=indent, ensure_ascii=ascii_only)) <= bound
    for_html = Environment().from_string("{{ value | tojson }} ").render(value=value)
    assert byte_length(for_html) - 1 <= bound


CALL = st.fixed_dictionaries(
    {"id": TEXT, "type": st.just("function")}
    | {"function": st.fixed_dictionaries({"name": TEXT, "arguments": JSON.map(json.dumps)})}
)
MESSAGE = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": TEXT}),
    st.fixed_dictionaries({"role": st.just("tool"), "tool_call_id": TEXT, "content": TEXT}),
    st.fixed_dictionaries(
        {
            "role": st.just("assistant"),
            "content": st.none() | TEXT,
            "tool_calls": st.lists(CALL, min_size=1, max_size=3),
        }
    ),
)
TOOL = st.fixed_dictionaries(
    {"type": st.just("function"), "function": st.fixed_dictionaries({"name": TEXT, "x": JSON})}
)
BODY = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGE, min_size=1, max_size=6)}, optional={"tools": st.lists(TOOL, max_size=3)}
)


@given(BODY)
def test_a_prompt_has_no_more_tokens_than_the_bound(body: dict[str, Any]) -> None:
    environment = Environment(trim_blocks=True, lstrip_blocks=True)
    rendered = environment.from_string(TEMPLATE).render(
        messages=body["messages"], tools=body.get("tools"), add_generation_prompt=True
    )
    real = tokens(byte_level(), rendered)
    bound = chat_bound(body, Meter(template=CHATML))
    assert bound is not None
    assert real <= bound
    default = chat_bound(body, Meter())
    assert default is not None
    assert bound <= default


@pytest.mark.parametrize(
    ("message", "more"),
    [
        ({"role": "user", "content": "hello", "name": "Ann"}, 3),
        ({"role": "user", "content": [{"type": "text", "text": "hello"}]}, 0),
        ({"role": "assistant", "content": "hello", "reasoning_content": "x" * 90}, 90),
        ({"role": "user", "content": "hello", "unheard_of": {"a": ["b" * 50]}}, 50),
        ({"role": "user", "content": [{"type": "unheard_of", "text": "hello", "deep": {"a": "b" * 50}}]}, 50),
    ],
)
def test_nothing_of_a_message_goes_uncounted(message: dict[str, Any], more: int) -> None:
    plain = chat_bound({"messages": [{"role": "user", "content": "hello"}]}, Meter())
    bound = chat_bound({"messages": [message]}, Meter())
    assert plain is not None and bound is not None
    assert bound >= plain + more


@pytest.mark.parametrize("field", ["tools", "functions", "response_format", "documents", "chat_template_kwargs"])
def test_nothing_beside_the_messages_goes_uncounted(field: str) -> None:
    body = {"messages": [{"role": "user", "content": "hello"}]}
    plain, bound = chat_bound(body, Meter()), chat_bound({**body, field: [{"text": "x" * 300}]}, Meter())
    assert plain is not None and bound is not None
    assert bound >= plain + 300


def test_sound_has_a_bound_and_a_film_has_none() -> None:
    def bound(part: dict[str, Any]) -> int | None:
        return chat_bound({"messages": [{"role": "user", "content": [part]}]}, Meter())

    sound = bound({"type": "input_audio", "input_audio": {"data": "A" * 160_000, "format": "wav"}})
    assert sound is not None and sound >= 11_500
    assert bound({"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}}) is None
    assert bound({"type": "file", "file": {"file_data": "AAAA"}}) is None


@given(st.lists(st.tuples(st.text(max_size=40), JSON, st.text(max_size=9)), min_size=1, max_size=4))
def test_what_agents_send_is_bounded_together_as_well_as_one_by_one(rows: list[tuple[str, Any, str]]) -> None:
    messages: list[dict[str, Any]] = []
    for said, arguments, known in rows:
        call = {"id": known, "type": "function", "function": {"name": said, "arguments": arguments}}
        messages += [
            {"role": "assistant", "content": said or None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": known, "content": said},
        ]
    meter = Meter()
    alone = sum(meter.around(message) + meter.count(message["content"] or "") for message in messages)
    bound = chat_bound({"messages": messages}, meter)
    assert bound is not None
    assert bound >= alone + meter.template.base


def test_tools_that_come_again_weigh_the_same_and_leave_no_text_behind() -> None:
    for index in range(3):
        tools = [{"type": "function", "function": {"name": f"canary_{index % 2}", "description": "täglich " * 9}}]
        assert known_bound(tools) == serialised_bound(tools)
    assert "canary" not in repr(count._known)
    for index in range(count.MOST_KNOWN + 9):
        known_bound([index])
    assert len(count._known) <= count.MOST_KNOWN


def test_a_long_text_is_counted_piece_by_piece() -> None:
    text = "é日\U0001f600x\ud800" * (count.LONG_CHARS // 2)
    assert byte_length(text) == len(text.encode("utf-8", "surrogatepass"))
    text = "é日\U0001f600xﷺ" * (count.LONG_CHARS // 2)
    assert expanded_length(text) >= len(unicodedata.normalize("NFKD", text).encode())
