"""Answers that go as they came: only where their bytes leave no doubt, and never with another meaning."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.usage import Usage
from ringfence.gateway.answer import read, renamed

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.just("usage"), inner, max_size=4),
    max_leaves=12,
)
COUNTS = st.fixed_dictionaries(
    {"prompt_tokens": st.integers(-9, 10**6), "completion_tokens": st.integers(0, 10**6)},
    optional={
        "total_tokens": st.integers(0, 2 * 10**6),
        "prompt_tokens_details": st.dictionaries(
            st.sampled_from(["cached_tokens", "audio_tokens", "cache_creation_tokens", "cache_creation_1h_tokens"]),
            st.integers(0, 9),
        ),
        "completion_tokens_details": st.dictionaries(st.just("reasoning_tokens"), st.integers(0, 9)),
    },
)


@given(before=st.dictionaries(st.text(), JSON, max_size=4), usage=COUNTS | JSON, after=st.dictionaries(st.text(), JSON))
def test_it_reads_what_parsing_reads_or_leaves_it_to_parsing(before: Any, usage: Any, after: Any) -> None:
    answer = {**before, "usage": usage, **after}
    data = orjson.dumps(answer)
    found = read(data)
    if found is not None:
        assert found == (answer["model"], Usage.read(answer["usage"]))


@given(content=st.text(), usage=COUNTS, name=st.text(max_size=20))
def test_an_ordinary_answer_need_not_be_parsed(content: str, usage: Any, name: str) -> None:
    answer = {"model": name, "choices": [{"message": {"role": "assistant", "content": content}}], "usage": usage}
    data = orjson.dumps(answer)
    assert read(data) == (name, Usage.read(usage))
    old, new = (b'"model":%b' % orjson.dumps(shown) for shown in (name, "ours"))
    shown = renamed(data, old, new)
    assert shown is not None
    assert json.loads(shown) == answer | {"model": "ours"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"model":"m","usage":{"prompt_tokens":1,"completion_tokens":2}',
        b'{"model":"m","usage":{"prompt_tokens":1,"completion_tokens":2}}garbage',
        b'{"model":"m","usage":{"prompt_tokens":"many","completion_tokens":2}}',
        b'{"model":"m","usage":{"prompt_tokens":true,"completion_tokens":2}}',
        b'{"model":"m","usage":{"prompt_tokens":1,,"completion_tokens":2}}',
        b'{"model":"m","choices":[1,}],"usage":{"prompt_tokens":1,"completion_tokens":2}}',
        b'{"model":"m","content":"\xff","usage":{"prompt_tokens":1,"completion_tokens":2}}',
        b'{"model":"m","n":NaN,"usage":{"prompt_tokens":1,"completion_tokens":2}}',
        b'{"model":7,"usage":{"prompt_tokens":1}}',
        b'{"usage":{"prompt_tokens":1}}',
        b'{"model":"m","usage":null}',
        b'{"model":"m"}',
    ],
)
def test_what_is_not_sure_is_parsed(data: bytes) -> None:
    assert read(data) is None


def test_a_name_that_stands_there_twice_is_not_guessed() -> None:
    old, new = b'"model":"a"', b'"model":"b"'
    assert renamed(b'{"model":"a","more":{"model":"a"}}', old, new) is None
    assert renamed(b'{"model":"c"}', old, new) is None
    assert (
        renamed(b'{"text":"\\"model\\":\\"a\\"","model":"a"}', old, new)
        == b'{"text":"\\"model\\":\\"a\\"","model":"b"}'
    )


@pytest.mark.parametrize(
    ("usage", "output"),
    [
        # xAI: 32 of the prompt, 9 of the answer, 94 that it thought, 135 in all
        ({"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135,
          "completion_tokens_details": {"reasoning_tokens": 94}}, 103),
        # Gemini tells of thoughts in the total alone
        ({"prompt_tokens": 279, "completion_tokens": 6, "total_tokens": 374}, 95),
        # OpenAI counts them in the answer
        ({"prompt_tokens": 32, "completion_tokens": 103, "total_tokens": 135,
          "completion_tokens_details": {"reasoning_tokens": 94}}, 103),
    ],
)  # fmt: skip
def test_what_a_model_thought_is_output_wherever_it_is_counted(usage: dict[str, Any], output: int) -> None:
    found = read(orjson.dumps({"model": "m", "usage": usage}))
    assert found is not None and found[1].completion_tokens == output
    assert found[1] == Usage.read(usage)
