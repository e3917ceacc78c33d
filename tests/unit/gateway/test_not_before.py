"""Before when work is not to be begun, as callers say it."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.core.errors import BadRequest
from ringfence.gateway.head import read_head
from ringfence.gateway.not_before import moment_of
from ringfence.gateway.parked_wishes import ParkingSettings, Wishes, read_wishes

NOW_S = 1_790_000_000.0
SETTINGS = ParkingSettings(deadline_s=900, most_deadline_s=86_400)


@pytest.mark.parametrize(
    "given",
    [1_790_000_000, 1_790_000_000.0, "1790000000", " 1790000000 ", "2026-09-21T14:13:20Z", "2026-09-21T16:13:20+02:00"],
)
def test_moments(given: Any) -> None:
    assert moment_of(given) == NOW_S


@pytest.mark.parametrize(
    "given",
    ["", "soon", "2026-09-21T14:13:20", "2026-09-21", "1e9", "-5", -5, True, None, [], {}, float("nan"), float("inf"),
     10**30, "9" * 39, "²", "9999-12-31T23:59:59-23:59"],
)  # fmt: skip
def test_moments_that_are_refused(given: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        moment_of(given)
    assert caught.value.param == "not_before"


def wishes(**headers: str) -> Wishes:
    rows = [(f"x-ringfence-{name.replace('_', '-')}".encode(), value.encode()) for name, value in headers.items()]
    head = read_head(b"POST", "1.1", b"/", [(b"host", b"here"), *rows], True)
    assert head.failure is None
    return read_wishes(head, SETTINGS, NOW_S)


def test_a_deadline_counts_from_the_moment() -> None:
    assert wishes() == Wishes(900, False)
    assert wishes(not_before=f"{NOW_S + 3600:.0f}") == Wishes(4500, False, NOW_S + 3600)
    assert wishes(not_before=f"{NOW_S + 3600:.0f}", deadline_s="100") == Wishes(3700, False, NOW_S + 3600)
    assert wishes(not_before=f"{NOW_S + 86_000:.0f}").deadline_s == 86_400
    assert wishes(not_before=f"{NOW_S - 5:.0f}") == Wishes(900, False)


def test_further_ahead_than_may_be_waited() -> None:
    with pytest.raises(BadRequest, match="further ahead"):
        wishes(not_before=f"{NOW_S + 86_400:.0f}")
