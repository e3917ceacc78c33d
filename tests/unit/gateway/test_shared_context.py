"""Where all requests share one context, they are let in as long as what they weigh fits it together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.gateway.admission import Admission, answers
from ringfence.gateway.lane import Asking, Lane
from ringfence.gateway.step import Run

WINDOW = 1000


def target(window: int | None = WINDOW, slots: int = 4) -> Target:
    return Target("a", "fast", "llamacpp", "m", Boundary.HOST, window=window, slots=slots)


class Asker:
    def __init__(self, admission: Admission, tokens: int) -> None:
        self.lane: Lane | None = None
        self.tokens = tokens
        self.run = Run(self._ask(admission))
        self.run.step()

    async def _ask(self, admission: Admission) -> None:
        at = target()
        self.lane = admission.take(at, self.tokens) or await admission.place(at, self.tokens)

    @property
    def is_in(self) -> bool:
        return self.lane is not None

    def leave(self) -> None:
        assert self.lane is not None
        lane, self.lane = self.lane, None
        lane.leave(self.tokens)


async def test_until_an_engine_is_crowded_only_places_count() -> None:
    admission = Admission(9, 5)
    assert all(Asker(admission, WINDOW).is_in for _ in range(4))
    assert admission.shared(target(), {"n": 4}) == (target(), 1)


async def test_an_engine_that_is_known_to_share_is_never_crowded() -> None:
    admission = Admission(9, 5)
    at = replace(target(), shares_window=True)
    assert admission.shared(at, {"n": 2})[1] == 2
    lane = await admission.place(at, 600)
    assert admission.take(at, 500) is None
    assert admission.take(at, 400) is lane
    assert admission.shared(replace(at, window=None), {"n": 2})[1] == 1


async def test_those_who_were_let_in_before_count_as_well() -> None:
    admission = Admission(9, 5)
    before = [Asker(admission, 600) for _ in range(2)]
    admission.crowded(target())
    again = Asker(admission, 400)
    assert not again.is_in
    before[0].leave()
    assert again.is_in
    before[1].leave()
    assert Asker(admission, 600).is_in


async def test_one_that_is_found_lighter_lets_the_next_in() -> None:
    admission = Admission(9, 5)
    heavy = Asker(admission, WINDOW)
    admission.crowded(target())
    later = Asker(admission, 500)
    assert heavy.lane is not None
    assert not later.is_in
    heavy.lane.lighten(500)
    heavy.tokens -= 500
    assert later.is_in
    assert admission.lanes["a"].used == WINDOW


async def test_nobody_passes_a_heavy_one_who_waits() -> None:
    admission = Admission(9, 5)
    first = Asker(admission, 600)
    admission.crowded(target())
    heavy, light = Asker(admission, 900), Asker(admission, 100)
    assert (heavy.is_in, light.is_in) == (False, False)
    heavy.run.cancel()
    assert light.is_in, "the heavy one has gone"
    first.leave()


async def test_one_alone_is_let_in_whatever_it_weighs() -> None:
    admission = Admission(9, 5)
    Asker(admission, 0).leave()
    admission.crowded(target())
    alone = Asker(admission, 5 * WINDOW)
    assert alone.is_in
    assert not Asker(admission, 1).is_in


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        ({}, 1),
        ({"n": 3}, 3),
        ({"n": 9}, 4),
        ({"n_cmpl": 2}, 2),
        ({"prompt": ["a", "b", "c"]}, 3),
        ({"prompt": ["a", "b"], "n": 2}, 4),
        ({"prompt": [1, 2, 3]}, 1),
        ({"input": [[1, 2], [3]]}, 2),
        ({"n": "many"}, 1),
    ],
)
async def test_answers_at_a_time_share_the_context(body: dict[str, Any], parts: int) -> None:
    admission = Admission(9, 5)
    Asker(admission, 0).leave()
    admission.crowded(target())
    at, found = admission.shared(target(), body)
    assert (at.window, found) == (WINDOW // parts, parts)


async def test_with_another_window_it_was_started_anew() -> None:
    admission = Admission(9, 5)
    Asker(admission, 0).leave()
    admission.crowded(target())
    assert admission.shared(target(2 * WINDOW), {"n": 2}) == (target(2 * WINDOW), 1)
    assert admission.lanes["a"].room is None


def test_a_prompt_of_many_texts_asks_for_as_many_answers() -> None:
    assert answers({"prompt": ["a"] * 3, "best_of": 2}) == 6


@settings(deadline=None, max_examples=100)
@given(moves=st.lists(st.tuples(st.integers(0, 4), st.integers(1, WINDOW)), max_size=60))
async def test_together_they_never_exceed_it_and_nobody_is_forgotten(moves: list[tuple[int, int]]) -> None:
    admission = Admission(99, 60)
    Asker(admission, 0).leave()
    admission.crowded(target())
    askers: list[Asker] = []
    for move, tokens in moves:
        inside = [asker for asker in askers if asker.is_in]
        waiting = [asker for asker in askers if not asker.run.is_done]
        if move <= 1:
            askers.append(Asker(admission, tokens))
        elif move == 2 and inside:
            inside[tokens % len(inside)].leave()
        elif move == 3 and waiting:
            waiting[tokens % len(waiting)].run.cancel()
        elif inside:
            one = inside[tokens % len(inside)]
            by = min(tokens, one.tokens - 1)
            one.tokens -= by
            assert one.lane is not None
            one.lane.lighten(by)
        inside = [asker for asker in askers if asker.is_in]
        lane = admission.lanes["a"]
        assert lane.used == sum(asker.tokens for asker in inside) <= WINDOW
        assert len(inside) <= 4
        first = lane.queue.first(0.0)
        assert first is None or (isinstance(first, Asking) and not lane.has_room(first.tokens))
    while inside := [asker for asker in askers if asker.is_in]:
        inside[0].leave()
    assert all(asker.run.is_done for asker in askers)
    assert (admission.lanes["a"].used, admission.lanes["a"].free) == (0, 4)
