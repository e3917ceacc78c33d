"""The signals are as good on the labelled requests as the page says, and no worse than they have been."""

from __future__ import annotations

import pytest
from labelled import load
from score import PAGE, SPACE, WANTED, Scored, scored, table

from ringfence.core.boundary import Boundary


@pytest.fixture(scope="module")
def results() -> list[Scored]:
    return scored(load())


FLOORS = {"task": 0.90, "effort": 0.90, "length": 1.0, "private": 1.0, "goes": 0.90}


@pytest.mark.parametrize("wanted", WANTED)
def test_signals_do_not_get_worse(results: list[Scored], wanted: str) -> None:
    right = sum(wanted in one.right for one in results)
    assert right >= FLOORS[wanted] * len(results)


def test_every_private_request_is_found_and_no_other(results: list[Scored]) -> None:
    assert [one.request.id for one in results if "private" not in one.right] == []


def test_nothing_private_may_go_to_a_cloud(results: list[Scored]) -> None:
    private = [one.decision for one in results if one.request.private]
    assert {target.boundary for decision in private for target in decision.chain.targets} == {Boundary.HOST}
    assert {decision.allowed for decision in private} == {Boundary.HOST}


def test_the_page_says_what_the_code_gives(results: list[Scored]) -> None:
    told = SPACE.search(PAGE.read_text(encoding="utf-8"))
    assert told is not None
    assert told[0].strip() == table(results), "run: python tests/routing/score.py --write"
