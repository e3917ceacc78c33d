"""What fits by the length of its JSON alone: that bound is none too small, and gaps are told as by the close one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability, Target
from ringfence.core.identity import Key
from ringfence.core.usage import Usage
from ringfence.gateway.call import Call
from ringfence.gateway.count import Meter, byte_length, chat_bound
from ringfence.gateway.dialects.chat import DIALECT
from ringfence.gateway.fitting import surely
from ringfence.gateway.held import Held
from ringfence.gateway.meters import Meters
from ringfence.gateway.reported import By, Counted, Reported
from ringfence.routing.health import Health
from ringfence.telemetry.events import CountGap

METERS = Meters(lambda: 0.0)
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=80).map(lambda text: 20 * text)
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": TEXT}),
    min_size=1, max_size=6,
)  # fmt: skip


def target(window: int = 4096, **changes: Any) -> Target:
    return Target("seat/m", "m", "vllm", "m", Boundary.HOST, window, 8, abilities=frozenset(Ability), **changes)


def call_of(raw: bytes, output: int | None = 64) -> Call:
    body = json.loads(raw)
    is_bare = DIALECT.check(body)
    return Call("c", Key("k", "t"), DIALECT, "m", body, len(raw), False, 0.0, output=output, is_bare=is_bare)


@given(MESSAGES, st.booleans(), st.sampled_from([None, 1]))
def test_it_is_never_below_the_close_one(messages: Any, ascii_only: bool, indent: int | None) -> None:
    raw = json.dumps({"model": "m", "messages": messages}, ensure_ascii=ascii_only, indent=indent).encode()
    call = call_of(raw)
    fitted = surely(call, target(131_072), METERS, refuses=False)
    assert fitted is not None
    assert call.is_rough
    close = chat_bound(call.body, Meter())
    assert close is not None
    assert fitted.before >= close
    assert call.counted == Counted(fitted.before, By.BOUND)


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [{"type": "function", "function": {"name": "look"}}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]},
        {"messages": [{"role": "user", "content": "hello", "name": "Ann"}]},
        {"messages": [{"role": "tool", "content": "hello", "tool_call_id": "1"}]},
        {"documents": ["<" * 300]},
    ],
)
def test_what_a_template_may_write_otherwise_is_looked_at_closely(more: dict[str, Any]) -> None:
    raw = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}]} | more).encode()
    call = call_of(raw)
    fitted = surely(call, target(16_384), METERS, refuses=False)
    assert fitted is not None
    assert not call.is_rough
    assert fitted.before == chat_bound(call.body, Meter())


def test_where_the_context_is_shared_the_close_one_is_what_it_weighs() -> None:
    call = call_of(json.dumps({"messages": [{"role": "user", "content": "hello"}]}).encode())
    fitted = surely(call, target(shares_window=True), METERS, refuses=False)
    assert fitted is not None
    assert not call.is_rough
    assert fitted.before == chat_bound(call.body, Meter())


@pytest.mark.parametrize("reported", [100, 700, 1_655, 1_657, 1_700, 5_000])
def test_a_report_meets_the_close_one_where_it_could_be_above(reported: int) -> None:
    """1,656 tokens at most by the close bound, and some dozens more by the rough one."""
    text = "é" * 500
    call = call_of(json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode())
    close = 640 + 16 + byte_length(text)
    assert close == 1_656 == chat_bound(call.body, Meter())
    assert surely(call, target(16_384), METERS, refuses=False) is not None
    assert call.counted is not None
    assert call.counted.tokens > close

    events: list[object] = []
    records = Records(Reported(events.append))
    held = Held(records, call)
    held.target = target(16_384)
    call.sent_bytes = call.body_bytes
    held.finish(200, "ok", Usage(reported, 5), 0.0)
    records.reported.settle()
    expected = [CountGap("c", "seat/m", close, reported, "bound", "above")] if reported > close else []
    assert events == expected
    assert records.ended == 1


class Records:
    def __init__(self, reported: Any) -> None:
        self.reported = reported
        self.health = Health(lambda: 0.0)
        self.ended = 0

    def record(self, *_told: Any) -> None:
        self.ended += 1
