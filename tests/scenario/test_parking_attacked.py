"""What would make parked requests leak, starve, vanish or count twice: bad callers, engines, disks and rows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from composed import CHAT, SECRET, STREAM, request, target, until
from parked_inside import Waiting

from ringfence.core.boundary import Boundary
from ringfence.core.identity import Key
from ringfence.core.isolation import Isolation, Wall
from ringfence.gateway.parked_wishes import ParkingSettings
from ringfence.routing.waiting import BACK_OFF_S
from ringfence.store.failure import StoreFailed
from ringfence.store.tables import parked
from ringfence.testing.fake_engine import Behaviour, FakeEngine, Fault

BROKEN = Behaviour(Fault.STATUS, status=500, body={"error": {"message": "no", "type": "x", "code": None}})
POISON = {"model": "fast", "messages": [{"role": "user", "content": "poison"}]}


async def turns(waits: Waiting, count: int, step_s: float = 6) -> None:
    for _ in range(count):
        waits.now_s += step_s
        await waits.parking.tick()
        await asyncio.sleep(0.02)


def state_of(waits: Waiting, ticket: str) -> str:
    return waits.db.call(lambda c: c.execute(parked.select().where(parked.c.id == ticket)).one().state)


# -- callers --------------------------------------------------------------------------------------------------------


async def test_the_head_of_a_ticket_that_is_followed_has_no_body(waits: Waiting, engine: FakeEngine) -> None:
    ticket = await waits.park()
    waits.back(engine.endpoint)
    await waits.answered(ticket)
    client = await waits.gateway.client()
    await client.send(request(f"/v1/parked/{ticket}?stream=true", method="HEAD"))
    assert (await client.answer(is_head=True)).status == 200
    assert await client.is_served()
    client.leave()


async def test_an_answer_of_several_lines_is_one_event(waits: Waiting, engine: FakeEngine) -> None:
    ticket = await waits.park()
    shown = {"model": "fake-model", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    engine.once(Behaviour(Fault.STATUS, status=200, body=shown))
    waits.back(engine.endpoint)
    await waits.answered(ticket)
    rows = waits.parking.rows
    row = await rows.find(ticket)
    assert row is not None
    written = json.dumps(shown, indent=1).encode()

    async def result(_: Any) -> tuple[bytes, bytes]:
        return b"content-type: application/json\r\n", written

    rows.result = result  # type: ignore[method-assign]
    followed = await waits.ask(f"/v1/parked/{ticket}?stream=true", method="GET")
    first, last = followed.events
    assert "\n" not in first and json.loads(first) == shown and last == "[DONE]"


async def test_a_client_of_anthropic_reads_a_failed_ticket_in_its_own_shape(waits: Waiting, engine: FakeEngine) -> None:
    ticket = await waits.park()
    engine.once(Behaviour(Fault.STATUS, status=400, body={"error": {"message": "no", "type": "x", "code": "bad"}}))
    waits.back(engine.endpoint)
    plain = await waits.answered(ticket)
    assert plain.status == 400
    theirs = await waits.ask(f"/v1/parked/{ticket}", method="GET", head=b"anthropic-version: 2023-06-01\r\n")
    assert theirs.status == 400 and theirs.json["type"] == "error"
    assert theirs.json["error"]["message"] == plain.error["message"]


async def test_a_call_that_takes_the_name_of_a_ticket_is_written_down_beside_it(
    waits: Waiting, engine: FakeEngine
) -> None:
    """A caller chooses its request id; with that of its ticket it must not hide either from the record."""
    ticket = await waits.park()
    client = await waits.gateway.client()
    await client.send(request(body=STREAM, head=f"x-request-id: {ticket}\r\n".encode()))
    await client.head()
    waits.back(engine.endpoint)
    await waits.answered(ticket)
    await until(lambda: len(waits.gateway.answered) >= 3)
    client.leave()
    assert sorted((one.kind.status, one.kind.outcome) for one in waits.gateway.answered) == [
        (200, "ok"), (200, "ok"), (202, "parked"),
    ]  # fmt: skip


async def test_what_waits_on_its_connection_leaves_memory_for_others(waits: Waiting, engine: FakeEngine) -> None:
    waits.parking.settings = ParkingSettings(most_body_bytes=1000)
    long = {"model": "fast", "messages": [{"role": "user", "content": "x" * 700}]}
    client = await waits.gateway.client()
    await client.send(request(body=long))
    await until(lambda: len(waits.parking.waiting) == 1)
    full = await waits.ask(body=long)
    assert (full.status, full.error["code"]) == (503, "queue_full")
    await waits.park(long)  # its text does not stay in memory
    client.leave()


# -- keys -----------------------------------------------------------------------------------------------------------


def limited(waits: Waiting, **limits: Any) -> None:
    assert waits.gateway.keys is not None
    waits.gateway.keys.known[SECRET] = Key("key_1", "tests", **limits)


async def test_a_request_counts_once_however_often_it_is_tried(waits: Waiting, engine: FakeEngine) -> None:
    limited(waits, requests_per_minute=2)
    tickets = [await waits.park(), await waits.park()]
    for ticket in tickets:
        waits.parking.kept[ticket]._broken = -100
    waits.back(engine.endpoint)
    for _ in range(6):
        engine.once(BROKEN)
    await turns(waits, 4)
    for ticket in tickets:
        assert (await waits.answered(ticket)).status == 200
    assert waits.gateway.rate_limits._allowances["key_1"].requests_left < 1


async def test_a_key_at_its_limit_is_not_tried_over_and_over(waits: Waiting, engine: FakeEngine) -> None:
    limited(waits, requests_per_minute=1)
    for _ in range(20):
        await waits.park()
    read = 0
    text = waits.parking.rows.text

    async def counted(row: Any) -> bytes:
        nonlocal read
        read += 1
        return await text(row)

    waits.parking.rows.text = counted  # type: ignore[method-assign]
    waits.back(engine.endpoint)
    await turns(waits, 5, BACK_OFF_S)
    assert len(engine.calls) == 1 and read <= target().slots


# -- engines --------------------------------------------------------------------------------------------------------


async def test_one_that_breaks_what_serves_others_is_told_so(waits: Waiting, engine: FakeEngine) -> None:
    """An engine that fails on this text alone: it is not tried for ever, and the others are served meanwhile."""
    poison = await waits.park(POISON)
    waits.back(engine.endpoint)
    for _ in range(12):
        engine.always = BROKEN
        await turns(waits, 1)
        await until(lambda: not waits.parking._in_flight.total())
        engine.always = Behaviour()
        if (await waits.look(poison)).status != 202:
            break
        waits.now_s += 5
        assert (await waits.ask(body=CHAT)).status == 200
    await waits.parking.endings.settled()
    assert (await waits.look(poison)).error["code"] == "engine_failed" and state_of(waits, poison) == "failed"
    assert len(engine.calls) < 25


async def test_an_engine_that_fails_for_everybody_is_waited_for(waits: Waiting, engine: FakeEngine) -> None:
    ticket = await waits.park()
    waits.back(engine.endpoint)
    engine.always = BROKEN
    await turns(waits, 10)
    assert (await waits.look(ticket)).status == 202 and len(engine.calls) > 10
    engine.always = Behaviour()
    assert (await waits.answered(ticket)).status == 200


async def test_a_ticket_waits_when_the_wall_opens_while_it_is_served(waits: Waiting, engine: FakeEngine) -> None:
    ticket = await waits.park()
    seats, pipeline = waits.gateway.seats, waits.gateway.pipeline
    waits.back(engine.endpoint)
    begun, go_on = asyncio.Event(), asyncio.Event()
    text = waits.parking.rows.text

    async def slow(row: Any) -> bytes:
        begun.set()
        await go_on.wait()
        return await text(row)

    waits.parking.rows.text = slow  # type: ignore[method-assign]
    await turns(waits, 1)
    assert begun.is_set()
    walled = pipeline.settings
    pipeline.settings = replace(walled, isolation=Isolation(Wall.OPEN, "it is open"), decisions={})
    go_on.set()
    await turns(waits, 5)
    assert (await waits.look(ticket)).status == 202 and engine.calls == [] and seats.users.count == 0
    pipeline.settings = replace(walled, decisions={})
    assert (await waits.answered(ticket)).status == 200


async def test_a_fault_of_ours_does_not_keep_a_place(
    waits: Waiting, engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    client = await waits.gateway.client()
    await client.send(request(body=CHAT))
    await until(lambda: len(waits.parking.waiting) == 1)

    async def fails(_: Any) -> Any:
        raise RuntimeError("a fault")

    complete, waits.gateway.pipeline.complete = waits.gateway.pipeline.complete, fails  # type: ignore[method-assign]
    waits.back(engine.endpoint)
    await turns(waits, 1)
    assert (await client.answer()).status == 500
    waits.gateway.pipeline.complete = complete  # type: ignore[method-assign]
    assert (len(waits.parking.waiting), waits.parking.kept, +waits.parking._in_flight) == (0, {}, {})
    client.leave()
    caplog.clear()


# -- the disk -------------------------------------------------------------------------------------------------------


class FullDisk:
    """Nothing can be written while it is in force."""

    def __init__(self, waits: Waiting) -> None:
        self._db = waits.db

    def __enter__(self) -> None:
        async def fails(_: Any) -> Any:
            raise StoreFailed("ringfence.db", "cannot grow: the disk is full", "free some space on that disk")

        self._db.run = fails  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        with suppress(AttributeError):
            del self._db.run


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What is logged here is meant to be."""
    yield
    caplog.clear()


async def test_an_end_that_could_not_be_written_is_written_later(waits: Waiting, quiet: None) -> None:
    ticket = await waits.park()
    with FullDisk(waits):
        assert waits.parking.cancel(ticket)
        await waits.parking.endings.settled()
    await waits.parking.tick()
    await waits.parking.endings.settled()
    assert state_of(waits, ticket) == "cancelled"


async def test_an_answer_that_could_not_be_written_is_not_made_again(
    waits: Waiting, engine: FakeEngine, quiet: None
) -> None:
    ticket = await waits.park()
    end = waits.parking.rows.end
    tries = 0

    async def full(*words: Any) -> bool:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise StoreFailed("ringfence.db", "cannot grow: the disk is full", "free some space on that disk")
        return await end(*words)

    waits.parking.rows.end = full  # type: ignore[method-assign]
    waits.back(engine.endpoint)
    assert (await waits.answered(ticket)).status == 200
    assert tries == 4 and len(engine.calls) == 1


async def test_who_asks_for_an_end_and_leaves_undoes_no_writing(waits: Waiting) -> None:
    tickets = [await waits.park() for _ in range(5)]
    for ticket in tickets:
        waits.parking.cancel(ticket)
    asking = asyncio.create_task(waits.parking.endings.settled())
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.sleep(0.05)
    await waits.parking.endings.settled()
    assert [state_of(waits, ticket) for ticket in tickets] == ["cancelled"] * 5


TEXT_IN_NUMBERS = pytest.mark.sqlite("a column of numbers that takes a text")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("dialect", "latin"), ("boundary", 9), ("urgency", 7), pytest.param("parked_s", "soon", marks=TEXT_IN_NUMBERS),
        pytest.param("deadline_s", "late", marks=TEXT_IN_NUMBERS),
        ("boundary", int(Boundary.CLOUD)), ("body", b"x"), ("body", b""), ("model", "quick"), ("stream", True),
        ("key_id", "key_9"),
    ],
)  # fmt: skip
async def test_a_row_that_was_changed_is_not_served_and_keeps_nobody_else(
    waits: Waiting, engine: FakeEngine, quiet: None, column: str, value: Any
) -> None:
    changed, other = await waits.park(POISON), await waits.park()
    await waits.parking.close()
    table = parked.update().where(parked.c.id == changed)
    if isinstance(value, str) and column.endswith("_s"):
        waits.db.call(lambda c: c.exec_driver_sql(f"UPDATE parked SET {column} = ? WHERE id = ?", (value, changed)))
    else:
        waits.db.call(lambda c: c.execute(table.values(**{column: value})))
    await waits.begin().restore()
    waits.back(engine.endpoint)
    assert (await waits.answered(other)).status == 200
    await turns(waits, 3)
    assert "poison" not in json.dumps([one.body for one in engine.requests])
    assert state_of(waits, changed) in ("unreadable", "cancelled")
