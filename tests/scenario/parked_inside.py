"""A gateway in this process that parks, and the clocks that the test turns. The fixture is `waits` (conftest.py)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from composed import CHAT, SECRET, Gateway, Reply

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Catalog, Endpoint, Model
from ringfence.core.identity import Key
from ringfence.core.route import Ending, House, Profile
from ringfence.gateway.deciding import Settings
from ringfence.gateway.listing import Models
from ringfence.gateway.parking import Parking
from ringfence.gateway.tickets import Tickets
from ringfence.store.db import Database
from ringfence.store.parked import ParkedRows

PRIVATE = Profile("default", Boundary.HOST, ending=Ending.PARK)
ASYNC = b"prefer: respond-async\r\n"


@dataclass
class Waiting:
    """A gateway that parks, and its clocks."""

    gateway: Gateway
    db: Database
    folder: Path
    now_s: float = 1000.0
    wall_s: float = 1_790_000_000.0

    def begin(self) -> Parking:
        """As after a start: nothing in memory."""
        gateway = self.gateway
        self.parking = Parking(
            gateway.pipeline, ParkedRows(self.db, self.folder), dict(self.dialects()),
            self.key_of, now=lambda: self.now_s, wall=lambda: self.wall_s,
        )  # fmt: skip
        gateway.pipeline.parking = self.parking
        gateway.front.desks = [Models(gateway.pipeline), Tickets(self.parking)]
        return self.parking

    def dialects(self) -> list[tuple[str, Any]]:
        return [(each.name, each) for each in self.gateway.front.routes.values()]

    def key_of(self, key_id: str) -> Key | None:
        key = self.gateway.keys.known.get(SECRET) if self.gateway.keys else None
        return key if key is not None and key.id == key_id else None

    def profile(self, profile: Profile, *targets: Any) -> None:
        catalog = Catalog.of([Model("fast", targets or self.gateway.targets, aliases=("quick",))])
        self.gateway.pipeline.settings = Settings(catalog, House({"default": profile}, {}, {}), lease_wait_s=2.0)

    def away(self) -> None:
        self.gateway.seats.endpoint = None

    def back(self, endpoint: Endpoint) -> None:
        self.gateway.seats.endpoint = endpoint

    async def ask(self, *words: Any, **more: Any) -> Reply:
        client = await self.gateway.client()
        reply = await client.ask(*words, **more)
        client.leave()
        return reply

    async def park(self, body: Any = CHAT, head: bytes = b"") -> str:
        reply = await self.ask(body=body, head=ASYNC + head)
        assert reply.status == 202, reply.body
        return str(reply.json["id"])

    async def look(self, ticket: str) -> Reply:
        return await self.ask(f"/v1/parked/{ticket}", method="GET")

    async def answered(self, ticket: str) -> Reply:
        """The time that passes for the gateway is far from any deadline, however long this machine takes."""
        until_s, rounds = monotonic() + 25.0, 0
        while monotonic() < until_s:
            await self.parking.tick()
            reply = await self.look(ticket)
            if reply.status != 202:
                return reply
            rounds += 1
            self.now_s += 1 if rounds <= 100 else 0
            await asyncio.sleep(0.01)
        raise AssertionError("not answered")
