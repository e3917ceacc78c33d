"""Which of several targets of one model a call goes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.routing.balance import MARGIN, PREFIX_BYTES, balanced, home, prefix


def target(name: str, model: str = "m") -> Target:
    return Target(name, model, "vllm", model, Boundary.HOST)


def four(size: int = 4) -> list[Target]:
    return [target(f"t{number}") for number in range(size)]


def order(
    targets: list[Target], start: bytes, loads: Mapping[str, float] | None = None, away: frozenset[str] = frozenset()
) -> list[str]:
    ordered = balanced(targets, lambda: start, lambda t: (loads or {}).get(t.name, 0.0), lambda t: t.name not in away)
    return [each.name for each in ordered]


STARTS = st.binary(min_size=8, max_size=8)
LOADS = st.floats(0, 3)


class TestBalanced:
    @given(models=st.lists(st.sampled_from("abc"), max_size=7), start=st.one_of(STARTS, st.just(b"")), loads=st.data())
    def test_only_neighbours_of_one_model_change_places_and_none_is_lost(
        self, models: list[str], start: bytes, loads: st.DataObject
    ) -> None:
        targets = [target(f"t{number}", model) for number, model in enumerate(models)]
        busy = {each.name: loads.draw(LOADS) for each in targets}
        away = frozenset(name for name in busy if loads.draw(st.booleans()))
        ordered = balanced(targets, lambda: start, lambda t: busy[t.name], lambda t: t.name not in away)
        assert sorted(each.name for each in ordered) == sorted(each.name for each in targets)
        assert [each.model for each in ordered] == models

    def test_a_chain_of_different_models_costs_no_look_at_the_text(self) -> None:
        targets = [target("a", "x"), target("b", "y"), target("c", "x")]

        def never() -> bytes:
            raise AssertionError("there is nothing to choose")

        assert balanced(targets, never, lambda _t: 0.0, lambda _t: True) is targets

    @given(start=STARTS, size=st.integers(2, 8))
    def test_one_more_takes_its_share_and_nothing_else_moves(self, start: bytes, size: int) -> None:
        before, after = order(four(size), start)[0], order(four(size + 1), start)[0]
        assert after in (before, f"t{size}")

    @given(start=STARTS, loads=st.lists(LOADS, min_size=4, max_size=4))
    def test_a_text_stays_until_its_target_is_busy(self, start: bytes, loads: list[float]) -> None:
        targets = four()
        busy = dict(zip((each.name for each in targets), loads, strict=True))
        at, first = home(targets, start).name, order(targets, start, busy)[0]
        least = min(loads)
        if busy[at] - least > MARGIN or busy[at] >= 1.0 > least:
            assert busy[first] == least
        else:
            assert first == at

    @given(start=STARTS, loads=st.lists(LOADS, min_size=4, max_size=4))
    def test_what_is_not_here_comes_last(self, start: bytes, loads: list[float]) -> None:
        busy = {f"t{number}": load for number, load in enumerate(loads)}
        assert order(four(), start, busy, frozenset(("t0", "t2")))[0] in ("t1", "t3")

    def test_where_none_is_here_the_text_still_has_its_target(self) -> None:
        away = frozenset(("t0", "t1", "t2", "t3"))
        firsts = {order(four(), bytes([number] * 8), away=away)[0] for number in range(64)}
        assert firsts == set(away)

    def test_without_a_text_the_least_busy_is_first(self) -> None:
        assert order(four(3), b"", {"t0": 0.5, "t1": 0.25, "t2": 0.75}) == ["t1", "t0", "t2"]

    def test_a_thousand_beginnings_are_spread(self) -> None:
        starts = (prefix({"messages": [{"role": "user", "content": f"question {number}"}]}) for number in range(1000))
        counts = Counter(order(four(), start)[0] for start in starts)
        assert len(counts) == 4
        assert max(counts.values()) <= 350


def chat(*turns: tuple[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


class TestPrefix:
    FIRST = (("system", "You are terse."), ("user", "hello"))

    def test_a_conversation_has_the_same_at_each_turn(self) -> None:
        begin = prefix(chat(*self.FIRST))
        assert begin
        assert prefix(chat(*self.FIRST, ("assistant", "hi"), ("user", "and now?"))) == begin

    @pytest.mark.parametrize(
        "other",
        [
            chat(("system", "You are terse."), ("user", "hullo")),
            chat(("system", "You are verbose."), ("user", "hello")),
            chat(("user", "hello")),
        ],
    )
    def test_another_conversation_has_another(self, other: dict[str, Any]) -> None:
        assert prefix(other) != prefix(chat(*self.FIRST))

    def test_it_is_that_of_one_caller(self) -> None:
        assert prefix(chat(*self.FIRST), "key_1") != prefix(chat(*self.FIRST), "key_2")

    def test_only_the_beginning_of_a_long_text_is_looked_at(self) -> None:
        long = "x" * PREFIX_BYTES
        assert prefix(chat(("user", long + "a"))) == prefix(chat(("user", long + "b")))
        assert prefix(chat(("user", "a" + long))) != prefix(chat(("user", "b" + long)))

    def test_parts_and_prompts_have_one_and_what_has_no_next_turn_has_none(self) -> None:
        parts = [{"type": "image_url", "image_url": {"url": "data:"}}, {"type": "text", "text": "what is this?"}]
        assert prefix(chat(("user", parts))) == prefix(chat(("user", "what is this?")))
        assert prefix({"prompt": "once"}) == prefix({"prompt": ["once"]}) != b""
        assert prefix({"input": "embed me"}) == b""

    @given(
        st.recursive(
            st.none() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["role", "content", "text"]), inner)
            ),
        )
    )
    def test_whatever_callers_send_it_does_not_fail(self, odd: Any) -> None:
        assert isinstance(prefix({"messages": odd, "prompt": odd}), bytes)
        assert isinstance(prefix({"prompt": odd}), bytes)
