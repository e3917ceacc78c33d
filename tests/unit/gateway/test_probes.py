"""What a template adds, measured with a few small requests, covers larger ones."""

from __future__ import annotations

from functools import lru_cache
from random import Random
from typing import Any

import pytest
from conversations import Conversations
from jinja2 import Environment
from tokenizers import Tokenizer

from ringfence.gateway.count import UNMEASURED, Meter, chat_bound
from ringfence.gateway.probes import PROBES, measured_template
from ringfence.testing.tiny_model import TEMPLATE, tiny_tokenizer

CHATTY = (
    "{{ '<|im_start|>system\nYou are a helpful assistant. Today is Monday, the first of May.<|im_end|>\n' }}" + TEMPLATE
)


@lru_cache(1)
def tokenizer() -> Tokenizer:
    return tiny_tokenizer()


def tokens(template: str, body: dict[str, Any]) -> int:
    messages = [{**message, "content": _text(message.get("content"))} for message in body["messages"]]
    environment = Environment(trim_blocks=True, lstrip_blocks=True)
    rendered = environment.from_string(template).render(
        messages=messages, tools=body.get("tools"), add_generation_prompt=True
    )
    return len(tokenizer().encode(rendered, add_special_tokens=False).ids)


def _text(content: Any) -> str:
    return "".join(part.get("text", "") for part in content) if isinstance(content, list) else content or ""


@pytest.mark.parametrize("template", [TEMPLATE, CHATTY])
def test_larger_requests_are_within_what_was_measured(template: str) -> None:
    measured = measured_template({name: tokens(template, body) for name, body in PROBES.items()})
    assert measured.base < UNMEASURED.base
    count = lambda text: len(tokenizer().encode(text, add_special_tokens=False).ids)  # noqa: E731
    for seed in range(150):
        body = Conversations(Random(seed).randint, 1024).body()
        real = tokens(template, body)
        bound = chat_bound(body, Meter(template=measured))
        assert bound is not None
        assert real <= bound
        counted = Meter(count, measured)
        messages = body["messages"]
        assert real <= counted.schemas(body) + sum(
            counted.around(message) + count(_text(message.get("content"))) for message in messages
        )


def test_what_was_not_counted_keeps_its_default() -> None:
    assert measured_template({}) == UNMEASURED
    only = measured_template({"one": 9})
    assert (only.base, only.message, only.tools) == (13, UNMEASURED.message, UNMEASURED.tools)
    without_tools = measured_template({"one": 9, "three": 19, "system": 12})
    assert (without_tools.message, without_tools.call) == (9, UNMEASURED.call)
