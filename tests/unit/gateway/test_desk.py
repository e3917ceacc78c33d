"""Desks that wait for something: whatever goes wrong, their caller is told, or nobody is any more."""

from __future__ import annotations

import asyncio
from time import monotonic
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest

from ringfence.core.errors import BadRequest
from ringfence.gateway.decisions import Decisions
from ringfence.gateway.desk import AsyncDesk, is_rising, limit_of
from ringfence.gateway.ids import CallIds
from ringfence.gateway.parked_answer import Recorder
from ringfence.gateway.request import Request
from ringfence.store.failure import StoreFailed


class Drawer(AsyncDesk):
    """Raises what it is given, else waits."""

    what = "a drawer"

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.was_left = False

    async def attend(self, request: Request, call_id: str) -> None:
        if self.error is not None:
            raise self.error
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.was_left = True
            raise


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BadRequest("No.", code="invalid_value"), 400, "invalid_value"),
        (StoreFailed("ringfence.db", "is full", "make room on the disk"), 503, "target_unavailable"),
        (ZeroDivisionError("secret words"), 500, "internal_error"),
    ],
)
async def test_its_caller_is_told_what_went_wrong(error: BaseException, status: int, code: str) -> None:
    request = Recorder(None)
    Drawer(error).serve(request)
    await request.done
    assert request.answered[0] == status
    assert orjson.loads(request.body)["error"]["code"] == code
    assert b"secret words" not in request.body
    assert b"disk" not in request.body


async def test_it_stops_when_its_caller_goes_away() -> None:
    request, desk = Recorder(None), Drawer()
    desk.serve(request)
    assert request.on_gone is not None
    request.on_gone()
    await asyncio.sleep(0)
    assert desk.was_left
    assert not request.is_answered


def test_the_number_of_a_decision_lets_those_behind_it_go_on_in_time() -> None:
    ids = CallIds()
    desk = Decisions(cast("Any", SimpleNamespace(ids=ids)), cast("Any", None))
    first = desk.call_id(Recorder(None))
    assert ids.next(monotonic() + 60.0)[:23] != first[:23]


@pytest.mark.parametrize("limit", ["0", "101", "-1", "ten", "1" * 5000, ""])
def test_a_list_has_as_many_rows_as_may_be_wanted(limit: str) -> None:
    assert limit_of({"limit": "100"}, 20, 100) == 100
    assert limit_of({}, 20, 100) == 20
    with pytest.raises(BadRequest):
        limit_of({"limit": limit}, 20, 100)


def test_the_latest_come_first_unless_the_oldest_are_wanted() -> None:
    assert [is_rising({}), is_rising({"order": "desc"}), is_rising({"order": "asc"})] == [False, False, True]
    with pytest.raises(BadRequest):
        is_rising({"order": "up"})
