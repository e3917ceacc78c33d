"""Whatever is asked: input and output fit the window together, or it is refused; and what is kept makes sense."""

from __future__ import annotations

import os
from functools import lru_cache
from random import Random
from time import monotonic
from typing import Any

import orjson
import pytest
from conversations import IN_BYTES, IN_TOKENS, Conversations, Draw, prompt, said
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.core.errors import ContextLengthExceeded
from ringfence.gateway.count import Count, Meter, byte_length
from ringfence.gateway.shrink import SHAPES, Fitted, fit_request
from ringfence.gateway.shrink.plan import LEAST_LAST
from ringfence.gateway.window import FIT, RESERVE, hard_cap, least_output
from ringfence.testing.tiny_model import tiny_tokenizer
from share import share_of

CHAT = SHAPES["chat"]
EXAMPLES = int(os.environ.get("RINGFENCE_EXAMPLES", "0"))
"""How many examples; 0 for those of each test."""
BYTES = Meter(byte_length, IN_BYTES)
WINDOWS = st.one_of(
    st.integers(512, 4096), st.integers(9, 20).map(lambda power: 1 << power), st.integers(512, 1_048_576)
)
ASKED = st.one_of(st.none(), st.integers(1, 4096), st.integers(1, 2_000_000))
UNHURRIED = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
Body = dict[str, Any]


def of(default: int) -> settings:
    return settings(max_examples=EXAMPLES or default, deadline=None, suppress_health_check=UNHURRIED, database=None)


@lru_cache(1)
def tokenizer_count() -> Count:
    tokenizer = tiny_tokenizer()
    return lru_cache(256)(lambda text: len(tokenizer.encode_batch_fast([text], add_special_tokens=False)[0]))


def numbers(seed: int) -> Draw:
    return Random(seed).randint


def check(body: Body, window: int, asked: int | None, meter: Meter) -> str:
    """All that must hold of one request; says what was done."""
    before = orjson.dumps(body)
    output = hard_cap(window) if asked is None else min(asked, hard_cap(window))
    least = least_output(window) if asked is None else output
    try:
        fitted = fit_request(body, CHAT, window, asked, meter)
    except ContextLengthExceeded as refused:
        assert orjson.dumps(body) == before
        assert refused.tokens is not None
        assert _last(body["messages"]) < 0 or _last_at_least(body, meter) > min(
            max(window - least - RESERVE, min(256, window - 1)), window - 1
        )
        return "refused"
    assert orjson.dumps(body) == before, "the caller's body was changed"
    assert fitted.output is not None
    assert 1 <= fitted.output <= output
    assert fitted.after + fitted.output <= window
    assert meter.count(prompt(fitted.body)) <= fitted.after, "more tokens than were counted"
    _keeps_what_it_must(body, fitted, window, output, meter)
    _is_in_order_and_not_torn(body["messages"], fitted.body["messages"])
    for again in (asked, fitted.output):
        second = fit_request(fitted.body, CHAT, window, again, meter)
        assert second.body == fitted.body, "a second time does not change it"
        assert (second.dropped, second.shortened) == (0, {})
    return fitted.state


def _last(messages: list[Body]) -> int:
    """Where the user's last message stands; -1 without one."""
    return max((index for index, message in enumerate(messages) if message["role"] == "user"), default=-1)


def _last_at_least(body: Body, meter: Meter) -> int:
    """What is left when everything that may go has gone."""
    messages: list[Body] = body["messages"]
    last = messages[_last(messages)]
    return meter.schemas(body) + meter.around(last) + LEAST_LAST


def _keeps_what_it_must(body: Body, fitted: Fitted, window: int, output: int, meter: Meter) -> None:
    assert fitted.body.get("tools") == body.get("tools")
    messages, kept = body["messages"], fitted.body["messages"]
    assert kept, "nothing is left"
    last = _last(messages)
    if last < 0:
        return
    whole, left = messages[last], kept[_last(kept)]
    assert left["mark"] == whole["mark"], "the user's last message is not there"
    alone = meter.schemas(body) + meter.around(whole) + sum(map(meter.count, _texts(whole)))
    if alone <= window - output - RESERVE:
        assert left == whole, "it would have fitted"
    elif left != whole:
        assert said(left).strip() or not said(whole).strip()
        for short, long in zip(_texts(left), _texts(whole), strict=True):
            if short != long and len(short) > 64:
                assert (short[:8], short[-8:]) == (long[:8], long[-8:]), "beginning and end"
    if fitted.state == FIT:
        assert fitted.body is body


def _texts(message: Body) -> list[str]:
    content = message["content"]
    return [content] if isinstance(content, str) else [part["text"] for part in content if "text" in part]


def _is_in_order_and_not_torn(messages: list[Body], kept: list[Body]) -> None:
    numbers = [int(message["mark"][1:]) for message in kept]
    assert numbers == sorted(set(numbers)), "order"
    owner: dict[str, int] = {}
    for index, message in enumerate(messages):
        for call in message.get("tool_calls") or ():
            owner[call["id"]] = index
        if message.get("function_call"):
            owner["old"] = index
        known = message.get("tool_call_id") or ("old" if message["role"] == "function" else None)
        if known in owner:
            assert (index in numbers) == (owner[known] in numbers), "a call without its result, or the other way round"
    for message in kept:
        whole = messages[int(message["mark"][1:])]
        assert {**message, "content": None} == {**whole, "content": None}, "only texts are shortened"


@of(150)
@given(data=st.data(), window=WINDOWS, asked=ASKED)
def test_any_conversation_fits_by_bytes(data: st.DataObject, window: int, asked: int | None) -> None:
    body = Conversations(lambda least, most: data.draw(st.integers(least, most)), min(window, 16_384)).body()
    check(body, window, asked, BYTES)


@of(400)
@given(seed=st.integers(0, 2**64), window=WINDOWS, asked=ASKED)
def test_any_seed_fits_by_bytes(seed: int, window: int, asked: int | None) -> None:
    check(Conversations(numbers(seed), window).body(), window, asked, BYTES)


@of(60)
@given(seed=st.integers(0, 2**64), window=st.integers(512, 16_384), asked=ASKED)
def test_any_seed_fits_by_a_tokenizer(seed: int, window: int, asked: int | None) -> None:
    check(Conversations(numbers(seed), window).body(), window, asked, Meter(tokenizer_count(), IN_TOKENS))


@of(150)
@given(seed=st.integers(0, 2**64), window=WINDOWS, asked=ASKED)
def test_who_does_not_want_it_shortened_gets_it_whole_or_refused(seed: int, window: int, asked: int | None) -> None:
    body = Conversations(numbers(seed), window).body()
    try:
        fitted = fit_request(body, CHAT, window, asked, BYTES, refuses=True)
    except ContextLengthExceeded as refused:
        assert refused.tokens is not None
        least = least_output(window) if asked is None else min(asked, hard_cap(window))
        assert refused.tokens > max(window - least, min(256, window - 1))
    else:
        assert fitted.body is body
        assert fitted.output is not None
        assert fitted.output >= 1
        assert fitted.after + fitted.output <= window


@of(150)
@given(seed=st.integers(0, 2**64), window=WINDOWS, asked=ASKED)
def test_prompts_fit_one_by_one(seed: int, window: int, asked: int | None) -> None:
    drawn = Conversations(numbers(seed), min(window, 65_536))
    prompts: list[Any] = [drawn.text() or [drawn.draw(0, 99)] for _ in range(drawn.draw(1, 5))]
    body: Body = {"prompt": prompts[0] if len(prompts) == 1 else prompts}
    if drawn.draw(0, 3) == 0:
        body["suffix"] = drawn.word()
    before = orjson.dumps(body)
    fitted = fit_request(body, SHAPES["completions"], window, asked, BYTES)
    assert orjson.dumps(body) == before
    assert fitted.output is not None
    left = fitted.body["prompt"] if len(prompts) > 1 else [fitted.body["prompt"]]
    assert len(left) == len(prompts)
    for short, long in zip(left, prompts, strict=True):
        assert len(short) + fitted.output <= window if isinstance(short, list) else byte_length(short) <= fitted.after
        assert short == long or (short[:4], short[-4:]) == (long[:4], long[-4:])
    assert fitted.after + fitted.output <= window
    assert fit_request(fitted.body, SHAPES["completions"], window, asked, BYTES).body == fitted.body


def test_all_that_can_happen_happens() -> None:
    draw = Random(7)
    seen: dict[str, int] = {}
    for seed in range(400):
        window = 1 << draw.randint(9, 14)
        asked = draw.choice((None, 16, 100, window))
        state = check(Conversations(numbers(seed), window).body(), window, asked, BYTES)
        seen[state] = seen.get(state, 0) + 1
    assert set(seen) == {"fit", "clamped", "compressed", "truncated", "refused"}, seen
    assert min(seen.values()) >= 5, seen


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_hundred_thousand_by_bytes() -> None:
    draw = Random(int(os.environ.get("RINGFENCE_SEED", "20261121")))
    began, examples = monotonic(), EXAMPLES or share_of(100_000)
    for _ in range(examples):
        seed = draw.getrandbits(64)
        window = draw.choice((draw.randint(512, 4096), 1 << draw.randint(9, 20), draw.randint(512, 1_048_576)))
        asked = draw.choice((None, draw.randint(1, 4096), draw.randint(1, 2_000_000)))
        size = window if draw.randint(0, 9) == 0 else min(window, 16_384)
        try:
            check(Conversations(numbers(seed), size).body(), window, asked, BYTES)
        except BaseException:
            print(f"seed={seed} size={size} window={window} asked={asked}")
            raise
    print(f"{examples} conversations in {monotonic() - began:.0f} s")


@pytest.mark.slow
@pytest.mark.timeout(900)
@settings(max_examples=EXAMPLES or share_of(2000), deadline=None, suppress_health_check=UNHURRIED, database=None)
@given(seed=st.integers(0, 2**64), window=st.integers(512, 16_384), asked=ASKED)
def test_two_thousand_by_a_tokenizer(seed: int, window: int, asked: int | None) -> None:
    check(Conversations(numbers(seed), window).body(), window, asked, Meter(tokenizer_count(), IN_TOKENS))


@pytest.mark.slow
@pytest.mark.timeout(900)
@settings(max_examples=min(EXAMPLES or share_of(50), 50), deadline=None, suppress_health_check=UNHURRIED, database=None)
@given(seed=st.integers(0, 2**64), asked=ASKED)
def test_fifty_of_a_million_by_a_tokenizer(seed: int, asked: int | None) -> None:
    window = 1_048_576
    check(Conversations(numbers(seed), window // 2).body(), window, asked, Meter(tokenizer_count(), IN_TOKENS))
