"""A profile that is tightened while a call waits: the call goes no further than the profile lets it then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from composed import CHAT, Gateway, Reply, target, until

from ringfence.core.boundary import Boundary
from ringfence.core.route import House, Profile, Tier
from ringfence.signals.sensitivity import Sensitivity, Settings
from ringfence.testing.fake_engine import FakeEngine

WIDE = Profile("default", Boundary.CLOUD, Tier.SPEED_OPTIONAL)


async def waiting(serve: Callable[..., Any], engine: FakeEngine) -> tuple[Gateway, asyncio.Task[Reply]]:
    """A call that waits for an engine in the mesh."""
    far = replace(engine.endpoint, boundary=Boundary.MESH)
    gateway = await serve(engine=far, profile=WIDE, targets=(target(boundary=Boundary.MESH),))
    gateway.seats.ready = asyncio.Event()
    client = await gateway.client()
    asked = asyncio.create_task(client.ask(body=CHAT))
    await until(lambda: gateway.pipeline.running)
    return gateway, asked


@pytest.mark.parametrize(
    ("profiles", "status", "code"),
    [
        ({"default": Profile("default")}, 403, "boundary_refused"),
        ({}, 403, "profile_unknown"),
        ({"default": replace(WIDE, boundary=Boundary.MESH)}, 200, None),
    ],
)
async def test_a_call_under_way_is_tightened(
    serve: Callable[..., Any], engine: FakeEngine, profiles: dict[str, Profile], status: int, code: str | None
) -> None:
    gateway, asked = await waiting(serve, engine)
    gateway.pipeline.settings = replace(gateway.pipeline.settings, house=House(profiles, {}, {}), decisions={})
    gateway.seats.ready.set()
    reply = await asked
    assert (reply.status, reply.error["code"] if status != 200 else None) == (status, code)
    assert len(engine.calls) == (status == 200)


async def test_a_call_under_way_is_never_widened(serve: Callable[..., Any], engine: FakeEngine) -> None:
    far = replace(engine.endpoint, boundary=Boundary.MESH)  # it has moved since it was chosen
    gateway = await serve(engine=far, targets=(target(),))
    gateway.seats.ready = asyncio.Event()
    client = await gateway.client()
    asked = asyncio.create_task(client.ask(body=CHAT))
    await until(lambda: gateway.pipeline.running)
    gateway.pipeline.settings = replace(gateway.pipeline.settings, house=House({"default": WIDE}, {}, {}), decisions={})
    gateway.seats.ready.set()
    assert (await asked).error["code"] == "boundary_refused"
    assert engine.calls == []


@pytest.mark.parametrize("kind", ["card", "iban"])
async def test_what_is_private_now_is_not_sent_by_what_was_decided_before(
    serve: Callable[..., Any], engine: FakeEngine, kind: str
) -> None:
    far = replace(engine.endpoint, boundary=Boundary.MESH)
    gateway = await serve(engine=far, profile=WIDE, targets=(target(boundary=Boundary.MESH),))
    pipeline = gateway.pipeline
    pipeline.settings = replace(pipeline.settings, sensitivity=Sensitivity(Settings(frozenset())), decisions={})
    gateway.seats.ready = asyncio.Event()
    client = await gateway.client()
    paying = CHAT | {"messages": [{"role": "user", "content": "pay with 4111 1111 1111 1111"}]}
    asked = asyncio.create_task(client.ask(body=paying))
    await until(lambda: pipeline.running)
    reads = Sensitivity(Settings(frozenset((kind,))))
    pipeline.settings = replace(pipeline.settings, sensitivity=reads, decisions={})
    gateway.seats.ready.set()
    reply = await asked
    assert (reply.status, len(engine.calls)) == ((403, 0) if kind == "card" else (200, 1))
