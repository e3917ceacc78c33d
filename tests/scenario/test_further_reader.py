"""A further reader on the path: asked where text could leave, and only there; what it says tightens the call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from composed import CHAT, STREAM, Gateway, request, target, until

from ringfence.core.boundary import Boundary
from ringfence.core.route import Profile, Tier
from ringfence.testing.fake_engine import FakeEngine

Serve = Callable[..., Any]
WIDE = Profile("default", Boundary.CLOUD, Tier.SPEED_OPTIONAL)


class Reads:
    """Says what it is told to say, when it is told to."""

    def __init__(self, reach: Boundary) -> None:
        self.reach = reach
        self.asked: list[Any] = []
        self.let_go = asyncio.Event()
        self.let_go.set()
        self.ended = 0

    async def read(self, body: dict[str, Any]) -> Boundary:
        self.asked.append(body)
        try:
            async with asyncio.timeout(5):  # needs a task of its own, as the real one does
                await self.let_go.wait()
            return self.reach
        finally:
            self.ended += 1


async def reading(serve: Serve, reach: Boundary, **told: Any) -> tuple[Gateway, Reads]:
    gateway = await serve(**{"profile": WIDE, "targets": (target(boundary=Boundary.MESH),)} | told)
    reader = gateway.pipeline.settings.reader = Reads(reach)
    return gateway, reader


@pytest.mark.parametrize("body", [CHAT, STREAM], ids=["whole", "stream"])
async def test_what_it_finds_keeps_the_call_here(serve: Serve, engine: FakeEngine, body: dict[str, Any]) -> None:
    gateway, reader = await reading(serve, Boundary.HOST)
    client = await gateway.client()
    reply = await client.ask(body=body)
    assert (reply.status, reply.error["code"]) == (403, "boundary_refused")
    assert "stops at HOST for this request (CLOUD otherwise)" in reply.error["message"]
    assert (engine.calls, len(reader.asked)) == ([], 1)
    reader.reach = Boundary.MESH
    assert (await client.ask(body=body)).status == 200
    assert (await client.ask(body=body)).status == 200  # read each time: a decision is kept, a reading is not
    assert len(reader.asked) == 3


async def test_it_goes_to_what_is_near_enough(serve: Serve) -> None:
    targets = (target("seat/far", boundary=Boundary.MESH), target("seat/near"))
    gateway, reader = await reading(serve, Boundary.HOST, targets=targets)
    client = await gateway.client()
    for text in range(20):
        told = CHAT | {"messages": [{"role": "user", "content": f"question {text}"}]}
        assert (await client.ask(body=told)).head["x-ringfence-target"] == "seat/near"
    reader.reach = Boundary.CLOUD
    served = set[str]()
    for text in range(20):  # of one model, so that each conversation has a target of its own
        told = CHAT | {"messages": [{"role": "user", "content": f"question {text}"}]}
        served.add((await client.ask(body=told)).head["x-ringfence-target"])
    assert served == {"seat/far", "seat/near"}


async def test_what_may_not_leave_anyway_is_not_read(serve: Serve) -> None:
    gateway, reader = await reading(serve, Boundary.HOST, profile=Profile("default"), targets=(target(),))
    client = await gateway.client()
    assert (await client.ask(body=CHAT)).status == 200
    secret = CHAT | {"messages": [{"role": "user", "content": "card 4111 1111 1111 1111"}]}
    gateway.pipeline.settings.house.profiles["default"] = WIDE
    gateway.pipeline.settings.decisions.clear()
    assert (await client.ask(body=secret)).status == 200  # the first reader has kept it here already
    assert reader.asked == []


async def test_a_client_that_leaves_meanwhile_ends_the_wait(serve: Serve, engine: FakeEngine) -> None:
    gateway, reader = await reading(serve, Boundary.CLOUD)
    reader.let_go.clear()
    client = await gateway.client()
    await client.send(request(body=CHAT))
    await until(lambda: reader.asked)
    client.leave()
    await until(lambda: reader.ended)
    await gateway.assert_at_rest()
    assert engine.calls == []
    assert [answered.kind.outcome for answered in gateway.answered] == ["client_gone"]
