"""An engine whose answers come when the test lets them, and a gateway in front of it that keeps answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from composed import CHAT, PATH, Gateway, Reply

from ringfence.core.route import Caching, House, Profile
from ringfence.gateway.deciding import Settings
from ringfence.testing.fake_engine import Behaviour, FakeEngine

LOOK_S = 0.005


class Gate:
    """A twist: whole answers, and what follows the first events of a stream, wait for `open`."""

    def __init__(self, *, after_events: int = 0, breaks: bool = False) -> None:
        """One that `breaks` sends nothing more once it is open: the connection ends."""
        self._after_events = after_events
        self._breaks = breaks
        self._is_open = False

    def open(self) -> None:
        self._is_open = True

    async def __call__(self, wire: Any, parts: list[bytes], is_stream: bool) -> bool:
        if not is_stream:
            await self._wait(wire)
            await wire.send(wire.head(200, "application/json", len(parts[0])) + parts[0])
            return True
        for number, event in enumerate(parts):
            if number == self._after_events:
                await self._wait(wire)
                if self._breaks:
                    return False
            if number == 0:
                await wire.send(wire.head(200, "text/event-stream", None))
            await wire.chunk(event)
        await wire.send(b"0\r\n\r\n")
        return True

    async def _wait(self, wire: Any) -> None:
        while not self._is_open:
            await wire.pause(LOOK_S)


@asynccontextmanager
async def caching(
    settings: Caching | None = None, gate: Gate | None = None, profile: Profile | None = None, **more: Any
) -> AsyncIterator[tuple[Gateway, FakeEngine]]:
    profile = profile or Profile("default", caching=settings or Caching())
    async with FakeEngine("vllm") as engine:
        if gate is not None:
            engine.always = Behaviour(twist=gate)
        async with Gateway(engine.endpoint, profile=profile, **more) as gateway:
            yield gateway, engine


async def ask(gateway: Gateway, body: Any = CHAT, path: str = PATH, **more: Any) -> Reply:
    client = await gateway.client()
    try:
        return await client.ask(path, body, **more)
    finally:
        client.leave()


def settle(gateway: Gateway, *profiles: Profile, **more: Any) -> None:
    """Other profiles, and whatever else settings have."""
    house = House({profile.name: profile for profile in profiles}, more.pop("agents", {}), {})
    gateway.pipeline.settings = Settings(gateway.pipeline.settings.catalog, house, lease_wait_s=2.0, **more)


def became(reply: Reply) -> str:
    """hit, miss or joined."""
    return reply.head.get("x-ringfence-cache", "")


async def until(claim: Any, timeout_s: float = 25.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not claim():
            await asyncio.sleep(LOOK_S)


def aboard(gateway: Gateway) -> int:
    """How many wait for, or are told, an answer that is on its way."""
    return sum(len(flight.recording.shares) for flight in gateway.pipeline.answers.flights.values())
