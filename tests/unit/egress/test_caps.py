"""A permit is read strictly, a body is held to it, and a day has an end."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability
from ringfence.egress.caps import Cap, Claim, Refused, check_day, checked_body, read_permit
from ringfence.egress.client import permit_line
from ringfence.egress.permit import Permit

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=200).filter(str.isprintable)
counts = st.integers(1, 2**31)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
CLAIM = Claim("c", "h", "k", "p", "rented", "m", Boundary.CLOUD, 100, Ability.CHAT)
SAID = {
    "call": "c",
    "hold": "h",
    "key": "k",
    "profile": "p",
    "provider": "rented",
    "model": "m",
    "allowed": "CLOUD",
    "max_tokens": 9,
}


@given(st.binary(max_size=300) | json_values.map(orjson.dumps))
def test_only_a_whole_permit_is_one(header: bytes) -> None:
    with pytest.raises(Refused) as refused:
        read_permit(header)
    assert refused.value.status == 403


@given(st.sampled_from(sorted(SAID)), json_values)
def test_what_is_read_was_said(name: str, value: Any) -> None:
    """Whatever stands in a field: it is refused, or it is exactly what the call is held to."""
    said = SAID | {name: value}
    try:
        claim = read_permit(orjson.dumps(said))
    except Refused:
        return
    assert claim.allowed is Boundary.CLOUD
    assert type(claim.max_tokens) is int and claim.max_tokens > 0
    assert {**claim._asdict(), "allowed": claim.allowed.name} == {**said, "ability": Ability.CHAT}


@given(names, names, names, names, counts, st.sampled_from(list(Ability)))
def test_what_a_gateway_writes_is_what_egress_reads(
    key: str, profile: str, provider: str, model: str, most: int, ability: Ability
) -> None:
    permit = Permit("call-1", Boundary.CLOUD, Boundary.CLOUD)
    line = permit_line(
        permit,
        hold="hold-1",
        key=key,
        profile=profile,
        provider=provider,
        model=model,
        max_tokens=most,
        ability=ability,
    )
    assert line.count(b"\r") == line.count(b"\n") == 1
    value = line.removeprefix(b"x-permit: ").removesuffix(b"\r\n")
    assert line.isascii()
    if len(value) <= 4096:
        claim = read_permit(value)
        assert claim == Claim("call-1", "hold-1", key, profile, provider, model, Boundary.CLOUD, most, ability)


@given(st.dictionaries(st.sampled_from(["max_tokens", "max_completion_tokens", "n", "best_of"]), json_values))
def test_what_passes_is_bounded(fields: dict[str, Any]) -> None:
    try:
        body, _ = checked_body(CLAIM, Cap(1, 100), orjson.dumps({"model": "m", **fields}))
    except Refused as refused:
        assert refused.status in (400, 403)
        return
    sent = json.loads(body)
    limits = [sent[name] for name in ("max_tokens", "max_completion_tokens") if sent.get(name) is not None]
    assert limits
    assert all(0 < limit * (sent.get("n") or 1) <= 100 for limit in limits)


def test_embeddings_need_no_bound_on_what_they_do_not_write() -> None:
    claim = CLAIM._replace(ability=Ability.EMBEDDINGS)
    assert checked_body(claim, Cap(1, 100), b'{"model":"m","input":"x"}') == (b'{"model":"m","input":"x"}', False)


def test_a_stream_is_told_from_an_answer() -> None:
    assert checked_body(CLAIM, Cap(1, 100), b'{"model":"m","max_tokens":1,"stream":true}')[1] is True
    assert checked_body(CLAIM, Cap(1, 100), b'{"model":"m","max_tokens":1,"stream":"true"}')[1] is False


@pytest.mark.parametrize(("now_s", "wait_s"), [(0, 86_400), (86_399.5, 0.5), (86_400 * 3 + 60, 86_340)])
def test_a_day_ends_at_midnight(now_s: float, wait_s: float) -> None:
    check_day(4, Cap(5, 1), now_s)
    with pytest.raises(Refused) as refused:
        check_day(5, Cap(5, 1), now_s)
    assert (refused.value.status, refused.value.retry_after_s) == (429, wait_s)


@pytest.mark.parametrize(
    ("prompt", "count"),
    [("a", 1), (["a"], 1), (["a"] * 5, 5), ([1, 2, 3], 1), ([[1, 2], [3]], 2), (["a", 1, 2, [3]], 3), ([], 1)],
)
def test_the_bound_holds_for_all_prompts_together(prompt: Any, count: int) -> None:
    claim = CLAIM._replace(ability=Ability.COMPLETIONS)
    fits = orjson.dumps({"model": "m", "prompt": prompt, "max_tokens": 100 // count})
    assert orjson.loads(checked_body(claim, Cap(9, 100), fits)[0])["prompt"] == prompt
    for more in ({"max_tokens": 100 // count + 1}, {"max_tokens": 100 // count, "n": 2}):
        with pytest.raises(Refused) as refused:
            checked_body(claim, Cap(9, 100), orjson.dumps({"model": "m", "prompt": prompt, **more}))
        assert refused.value.code == "over_permit"
