"""Parking in one process, by clocks that the test turns, and by boundaries that change while a request waits."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from composed import CHAT, STREAM, Client, request, target
from parked_inside import PRIVATE, Waiting

from ringfence.core.boundary import Boundary
from ringfence.core.route import Ending
from ringfence.gateway.parked_wishes import ParkingSettings
from ringfence.telemetry.events import CallParked, ParkedEnded
from ringfence.testing.fake_engine import Behaviour, FakeEngine, Fault


async def test_the_clock_on_the_wall_does_not_move_a_deadline(waits: Waiting) -> None:
    ticket = await waits.park(head=b"x-ringfence-deadline-s: 100\r\n")
    for jump_s in (1e6, -3e6):
        waits.wall_s += jump_s
        waits.now_s += 40
        await waits.parking.tick()
        assert (await waits.look(ticket)).status == 202
    waits.now_s += 21
    await waits.parking.tick()
    await waits.parking.endings.settled()
    assert (await waits.look(ticket)).error["code"] == "deadline_passed"


@pytest.mark.parametrize(("jump_s", "left_s"), [(30, 70), (-1e6, 100)])
async def test_after_a_start_the_rest_of_the_time_is_left(waits: Waiting, jump_s: float, left_s: float) -> None:
    ticket = await waits.park(head=b"x-ringfence-deadline-s: 100\r\n")
    await waits.parking.close()
    waits.wall_s += jump_s
    waits.now_s = 5.0
    await waits.begin().restore()
    assert waits.parking.outlook.left_s(ticket) == pytest.approx(left_s)


async def test_one_that_was_due_while_nothing_ran_ends_at_the_start(waits: Waiting) -> None:
    ticket = await waits.park(head=b"x-ringfence-deadline-s: 100\r\n")
    await waits.parking.close()
    waits.wall_s += 101
    await waits.begin().restore()
    await waits.parking.tick()
    await waits.parking.endings.settled()
    assert (await waits.look(ticket)).error["code"] == "deadline_passed"


async def test_a_deadline_is_no_later_than_the_most(waits: Waiting) -> None:
    waits.parking.settings = ParkingSettings(most_deadline_s=50)
    ticket = await waits.park(head=b"x-ringfence-deadline-s: 99999\r\n")
    assert waits.parking.outlook.left_s(ticket) == 50


async def test_it_goes_no_further_than_when_it_was_parked(waits: Waiting, engine: FakeEngine) -> None:
    """The profile is widened, and then a target further away is all there is."""
    early = await waits.park()
    far = target("seat/far", boundary=Boundary.MESH)
    waits.gateway.seats.elsewhere["seat/far"] = replace(engine.endpoint, boundary=Boundary.MESH)
    waits.profile(replace(PRIVATE, boundary=Boundary.MESH), target(), far)
    for _ in range(10):
        waits.now_s += 5
        await waits.parking.tick()
        await asyncio.sleep(0.01)
    assert (await waits.look(early)).status == 202 and engine.calls == []
    assert (await waits.ask(body=CHAT)).head["x-ringfence-boundary"] == "MESH"
    waits.back(engine.endpoint)
    assert (await waits.answered(early)).head["x-ringfence-boundary"] == "HOST"


async def test_it_goes_no_further_than_is_allowed_now(waits: Waiting, engine: FakeEngine) -> None:
    waits.profile(replace(PRIVATE, boundary=Boundary.MESH))
    ticket = await waits.park()
    far = target("seat/far", boundary=Boundary.MESH)
    waits.gateway.seats.elsewhere["seat/far"] = replace(engine.endpoint, boundary=Boundary.MESH)
    waits.profile(PRIVATE, far)
    for _ in range(5):
        waits.now_s += 5
        await waits.parking.tick()
        await asyncio.sleep(0.01)
    assert (await waits.look(ticket)).status == 202 and engine.calls == []
    waits.profile(replace(PRIVATE, boundary=Boundary.MESH), far)
    assert (await waits.answered(ticket)).head["x-ringfence-boundary"] == "MESH"


async def test_what_the_text_says_holds_after_the_wait(waits: Waiting, engine: FakeEngine) -> None:
    """A text with a secret is parked as HOST, and stays it, whatever is looked for later."""
    waits.profile(replace(PRIVATE, boundary=Boundary.MESH))
    secret = {"model": "fast", "messages": [{"role": "user", "content": "-----BEGIN RSA PRIVATE KEY-----\nMIIEow"}]}
    ticket = await waits.park(secret)
    assert waits.parking.kept[ticket].row.boundary == Boundary.HOST


async def test_who_waits_is_told_every_ten_seconds(waits: Waiting, engine: FakeEngine) -> None:
    client: Client = await waits.gateway.client()
    await client.send(request(body=STREAM))
    head = await client.head()
    assert head.status == 200 and head.head["content-type"].startswith("text/event-stream")
    assert await client.chunk() == b": parked position=1 estimate_s=unknown\n\n"
    for _ in range(25):
        waits.now_s += 1
        await waits.parking.tick()
    assert [await client.chunk() for _ in range(2)] == [b": parked position=1 estimate_s=unknown\n\n"] * 2
    waits.back(engine.endpoint)
    waits.now_s += 5
    await waits.parking.tick()
    assert b"chat.completion.chunk" in await client.chunk()
    client.leave()


async def test_an_answer_that_breaks_off_is_made_again(waits: Waiting, engine: FakeEngine) -> None:
    ticket = await waits.park(STREAM)
    engine.once(Behaviour(Fault.CUT, after_events=2))
    waits.back(engine.endpoint)
    reply = await waits.answered(ticket)
    assert reply.status == 200 and reply.body.endswith(b"data: [DONE]\n\n") and len(engine.calls) == 2


async def test_what_an_engine_refuses_is_the_answer(waits: Waiting, engine: FakeEngine) -> None:
    ticket = await waits.park()
    engine.once(Behaviour(Fault.STATUS, status=400, body={"error": {"message": "no", "type": "x", "code": "bad"}}))
    waits.back(engine.endpoint)
    assert (await waits.answered(ticket)).status == 400
    row = await waits.parking.rows.find(ticket)
    assert row is not None and row.state == "failed"


async def test_what_happened_is_counted(waits: Waiting, engine: FakeEngine) -> None:
    ticket = await waits.park(head=b"x-ringfence-priority: agent\r\n")
    waits.back(engine.endpoint)
    await waits.answered(ticket)
    waits.gateway.events.flush()
    happened = waits.gateway.happened
    assert [one for one in happened if type(one) is CallParked] == [CallParked("agent", True)]
    assert [one.state for one in happened if type(one) is ParkedEnded] == ["done"]
    assert [(one.kind.status, one.kind.outcome) for one in waits.gateway.answered] == [(202, "parked"), (200, "ok")]


async def test_what_lies_beyond_the_boundary_is_not_waited_for(waits: Waiting) -> None:
    waits.profile(PRIVATE, target("seat/far", boundary=Boundary.MESH))
    reply = await waits.ask(body=CHAT)
    assert (reply.status, reply.error["code"]) == (403, "boundary_refused")


async def test_who_says_to_be_a_client_of_anthropic_is_told_in_its_shape(waits: Waiting) -> None:
    """In the stream that was begun, and for a ticket."""
    head = b"anthropic-version: 2023-06-01\r\nx-ringfence-deadline-s: 30\r\n"
    ticket = await waits.park(head=head)
    client: Client = await waits.gateway.client()
    await client.send(request(body=STREAM, head=head))
    await client.head()
    await client.chunk()
    waits.now_s += 31
    await waits.parking.tick()
    name, data = (await client.chunk()).decode().strip().split("\n")
    error = json.loads(data.removeprefix("data: "))["error"]
    assert (name, error["type"], error["details"]) == (
        "event: error", "overloaded_error", {"error_code": "deadline_passed"}
    )  # fmt: skip
    client.leave()
    await waits.parking.endings.settled()
    reply = await waits.ask(f"/v1/parked/{ticket}", method="GET", head=b"anthropic-version: 2023-06-01\r\n")
    assert (reply.status, reply.json["error"]["type"]) == (529, "overloaded_error")


async def test_what_is_in_the_background_does_not_begin_on_a_device_that_is_hot(
    waits: Waiting, engine: FakeEngine
) -> None:
    waits.away()
    later = await waits.park(head=b"x-ringfence-priority: background\r\n")
    sooner = await waits.park(head=b"x-ringfence-priority: user\r\n")
    admission = waits.gateway.pipeline.admission
    admission.slow({target.name: 0.5 for target in waits.gateway.targets})
    waits.back(engine.endpoint)
    assert (await waits.answered(sooner)).status == 200
    for _ in range(5):
        await waits.parking.tick()
        await asyncio.sleep(0.01)
    assert (await waits.look(later)).status == 202
    admission.slow({})
    assert (await waits.answered(later)).status == 200


async def test_what_is_put_off_is_not_begun_before(waits: Waiting, engine: FakeEngine) -> None:
    waits.gateway.pipeline.wall = lambda: waits.wall_s
    waits.back(engine.endpoint)
    put_off = b"x-ringfence-not-before: %d\r\n" % (waits.wall_s + 600)
    ticket = await waits.park(head=put_off)
    now = await waits.ask(body=CHAT)
    assert now.status == 200 and len(engine.calls) == 1
    looked = await waits.look(ticket)
    assert (looked.status, looked.json["not_before"]) == (202, int(waits.wall_s + 600))
    assert waits.parking.outlook.left_s(ticket) == 600 + ParkingSettings().deadline_s
    await waits.parking.tick()
    await waits.parking.close()
    waits.wall_s += 200
    waits.now_s = 7.0
    await waits.begin().restore()
    for now_s, calls in ((7.0, 1), (406.9, 1)):
        waits.now_s = now_s
        await waits.parking.tick()
        assert len(engine.calls) == calls and (await waits.look(ticket)).status == 202
    waits.now_s = 407.1
    assert (await waits.answered(ticket)).status == 200 and len(engine.calls) == 2


async def test_what_cannot_be_put_off_is_refused(waits: Waiting, engine: FakeEngine) -> None:
    waits.gateway.pipeline.wall = lambda: waits.wall_s
    waits.back(engine.endpoint)
    later = b"x-ringfence-not-before: %d\r\n" % (waits.wall_s + 600)
    past = b"x-ringfence-not-before: %d\r\n" % (waits.wall_s - 1)
    assert (await waits.ask(body=CHAT, head=b"x-ringfence-not-before: soon\r\n")).error["code"] == "invalid_value"
    assert (await waits.ask(body=CHAT, head=past)).status == 200
    waits.profile(replace(PRIVATE, ending=Ending.ERROR))
    refused = await waits.ask(body=CHAT, head=later)
    assert (refused.status, refused.error["code"]) == (400, "not_parkable") and len(engine.calls) == 1
