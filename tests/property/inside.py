"""One story in process: a house, requests to it, the house changed under way, more requests. All parts are real but
the wires, the egress process, the clock and, but for what is parked, the database."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import oracle
from asks import Ask, draw_ask, key_of
from callers import NOTHING, Caller, look, request
from composed import Notes
from house import PROFILES, House, draw_house, mended, turned
from wires import Loop, World, clocks, looking

from ringfence import engines
from ringfence.config.load import load
from ringfence.config.problems import ConfigInvalid
from ringfence.core.identity import Key
from ringfence.core.registry import adapters
from ringfence.egress import pool
from ringfence.egress.pool import Pool
from ringfence.gateway.http import Connection
from ringfence.gateway.parked_endings import Endings
from ringfence.gateway.parking import Parking
from ringfence.placement import examine
from ringfence.placement.adopted import Adopted
from ringfence.runtime.instances import NotServable
from ringfence.runtime.parts import PARKING_EVERY_S, Origin, Runtime
from ringfence.store.db import Database
from ringfence.store.parked import ParkedRows
from ringfence.store.tables import metadata

HOUSES = 3
ASKS = 10
PATIENCE_S = 1000.0
LATE_S = 10.0
PARKED_S = 30
"""The deadline of what is parked: a house may be changed meanwhile."""
NOBODY = ("status 503",) * 20
ASYNC = {"prefer": "respond-async"}
LOOKED_AGAIN_S = 70.0
"""An engine is asked for its models every 60 s."""
ADAPTERS = adapters(engines)


@dataclass
class Tally:
    """What was seen. `leaks` is what must stay empty."""

    leaks: list[str] = field(default_factory=list[str])
    count: Counter[str] = field(default_factory=Counter[str])
    """loaded, refused, unserved: houses; asks, and how far they might and did go; statuses of answers."""

    def add(self, other: Tally) -> None:
        self.leaks += other.leaks
        self.count += other.count


class Keys:
    """One key for each profile that there could be, and one whose profile is gone."""

    version = 1

    def __init__(self) -> None:
        self._known = {key_of(name).encode(): Key(f"key_{name}", name, name) for name in (*PROFILES, "gone")}

    def find(self, secret: bytes) -> Key | None:
        return self._known.get(secret)

    def valid(self) -> tuple[Key, ...]:
        return tuple(self._known.values())

    def by_id(self, key_id: str) -> Key | None:
        return next((key for key in self._known.values() if key.id == key_id), None)


@contextlib.contextmanager
def virtual(loop: Loop) -> Iterator[None]:
    """The product sees this loop's clock, and its looks at engines are told from calls."""
    patched = list(clocks(sys.modules, "monotonic", time.monotonic))
    told, parks = Adopted.__init__.__kwdefaults__, Parking.__init__.__kwdefaults__
    fetch, peer_uid, listeners = Pool.fetch, pool.peer_uid, examine.listeners
    for module in patched:
        module.monotonic = loop.time
    told["clock"] = parks["now"] = loop.time
    Pool.fetch = looking(fetch)  # type: ignore[method-assign]
    pool.peer_uid = lambda _transport: os.geteuid()  # a connection here has no socket to ask
    examine.listeners = lambda _port: []  # nor has an engine a process: this machine's tables would only take time
    try:
        yield
    finally:
        for module in patched:
            module.monotonic = time.monotonic
        told["clock"] = parks["now"] = time.monotonic
        Pool.fetch = fetch  # type: ignore[method-assign]
        pool.peer_uid = peer_uid
        examine.listeners = listeners


def story(seed: int, folder: Path, *, houses: int = HOUSES, asks: int = ASKS) -> Tally:
    """Live through one story; `folder` is for the configuration and the state."""
    world = World()
    loop = Loop(world)
    with virtual(loop), contextlib.closing(loop):
        asyncio.set_event_loop(loop)
        try:
            tally = loop.run_until_complete(_Story(seed, folder, world).live(houses, asks))
        finally:
            asyncio.set_event_loop(None)
    tally.leaks = [f"seed {seed}: {leak}" for leak in world.leaks] + tally.leaks
    return tally


class _Story:
    def __init__(self, seed: int, folder: Path, world: World) -> None:
        self._rng = Random(seed)
        self._patience = Random(f"{seed}, who waits")  # of its own: the same seed tells the same story, parked or not
        self._folder = folder
        self._world = world
        self._tally = Tally()
        self._runtime: Runtime | None = None
        self._kept: tuple[Connection, Caller] | None = None
        self._last: Ask | None = None
        self._number = 0
        self._tickets: list[tuple[Ask, str]] = []

    async def live(self, houses: int, asks: int) -> Tally:
        house: House | None = None
        for _ in range(houses):
            house = await self._changed(house) or house
            if house is None:
                continue
            if self._rng.random() < 0.2:
                house = await self._turned(house)
            left = asks
            while left > 0:
                several = self._rng.choice((1,) * 8 + (3,))
                drawn = [self._drawn(house) for _ in range(several)]
                await (self._asked(drawn[0]) if several == 1 else self._at_once(drawn))
                left -= several
        if self._runtime is not None:
            await self._tickets_end()
            await self._runtime.parking.close()
            self._ticking.cancel()
            await self._runtime.placement.close(0)
            self._runtime.pool.close()
            self._runtime.events.flush()
        assert not self._world.under_way
        return self._tally

    def _drawn(self, house: House) -> Ask:
        """The next request; now and then it says of itself just what the one before it said."""
        self._number += 1
        ask, last = draw_ask(self._rng, house, self._number), self._last
        if last is not None and self._rng.random() < 0.3:
            ask = replace(ask, key=last.key, agent=last.agent, named=last.named, labels=last.labels)
        self._last = ask
        if self._patience.random() < 0.1:
            ask = replace(ask, troubles=NOBODY)
        return ask

    # -- houses ---------------------------------------------------------------------------------------------------

    async def _changed(self, before: House | None) -> House | None:
        """Bring up the next house, over the one before where there is one. None when it did not come up."""
        house = mended(before, self._rng) if before is not None else draw_house(self._rng)
        house = self._waiting(house)
        path = self._folder / "ringfence.yaml"
        path.write_text(json.dumps(house.written))
        must_not = [*oracle.faults(house)] or [*oracle.strays(house, is_first=self._runtime is None)]
        self._world.into_force(house, may_serve=not must_not)
        self._world.are_late_there = self._world.is_later = False
        asyncio.get_running_loop().call_later(LATE_S, setattr, self._world, "are_late_there", True)
        is_up = await (self._started(path, house) if self._runtime is None else self._reloaded(house))
        if house.late:
            await asyncio.sleep(LATE_S + LOOKED_AGAIN_S)
        self._world.settled(house if is_up or before is None else before)
        self._world.is_later = True
        self._tally.count["houses up" if is_up else "houses refused" if must_not else "houses not served"] += 1
        if is_up and must_not:
            self._tally.leaks.append(f"came up although {must_not[0]}")
        return house if is_up else None

    def _waiting(self, house: House) -> House:
        """The house, where more profiles wait than were drawn to, and mostly may."""
        chance = self._patience
        profiles = {
            name: profile | ({"ending": "park"} if chance.random() < 0.4 else {})
            for name, profile in house.written["profiles"].items()
        }
        parking = {"most": 20 if chance.random() < 0.8 else 0, "deadline_s": PARKED_S}
        return replace(house, written=house.written | {"parking": parking, "profiles": profiles})

    async def _started(self, path: Path, house: House) -> bool:
        try:
            config = load(path, {}, kinds=ADAPTERS)
        except ConfigInvalid as invalid:
            if not list(oracle.faults(house)):
                raise AssertionError(f"refused without need: {invalid.problems}") from None
            return False
        config = config.model_copy(update={"state_dir": str(self._folder)})
        runtime = Runtime(config, Origin(path, {"state_dir": str(self._folder)}, self._folder / "log"))
        runtime.keyring = Keys()  # type: ignore[assignment]
        runtime.apply(config)
        rows = runtime.parking.rows = ParkedRows(await _database(), self._folder)
        runtime.pipeline.money.rows = Notes()
        runtime.parking.endings = Endings(rows)
        try:
            await runtime.instances.bring_up(config)
        except NotServable:
            return False
        await runtime.instances.look_around(config)
        self._runtime = runtime
        self._ticking = asyncio.ensure_future(runtime._every(PARKING_EVERY_S, runtime.parking.tick))
        return True

    async def _reloaded(self, house: House) -> bool:
        """While a call is under way."""
        assert self._runtime is not None
        ask = self._drawn(self._world.houses[0])
        asking = asyncio.ensure_future(self._asked(ask, "slow"))
        await asyncio.sleep(0.01)
        outcome = await self._runtime.reload()
        await asking
        await self._runtime.instances.look_around(self._runtime.config)
        return outcome.ok

    async def _turned(self, house: House) -> House:
        """Every Ollama's cloud is switched on. Until they are looked at again nobody can know: what is parked may be
        served as before meanwhile. From then on nothing may."""
        house = turned(house)
        self._world.into_force(house, may_serve=True)
        await asyncio.sleep(LOOKED_AGAIN_S)
        assert self._runtime is not None
        await self._runtime.instances.look_around(self._runtime.config)
        self._world.settled(house)
        return house

    # -- requests -------------------------------------------------------------------------------------------------

    async def _asked(self, ask: Ask, *first: str) -> None:
        """One call by itself, on the connection of before where the caller keeps it. `first` goes wrong first."""
        self._world.begin(ask)
        self._world.troubles[:0] = first
        connection, caller = self._kept or self._line()
        self._kept = None
        caller.await_answers(1)
        connection.data_received(request(ask, self._manner()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ask.leaves_after_s if ask.leaves_after_s is not None else PATIENCE_S):
                await caller.is_answered.wait()
        if not caller.is_answered.is_set():
            assert ask.leaves_after_s is not None, "an answer never came"
            connection.connection_lost(None)
        elif not caller.is_closing() and self._rng.random() < 0.7:
            self._kept = (connection, caller)
        await self._over(ask, caller.statuses, caller.tickets)

    def _manner(self) -> Mapping[str, str]:
        return ASYNC if self._patience.random() < 0.5 else NOTHING

    async def _at_once(self, asks: list[Ask]) -> None:
        """Several calls at a time: one behind the other on one connection, or each on its own."""
        asks = [replace(ask, leaves_after_s=None) for ask in asks]
        if self._rng.random() < 0.5:
            await asyncio.gather(*map(self._asked, asks))
            return
        for ask in asks:
            self._world.begin(ask)
        connection, caller = self._line()
        caller.await_answers(len(asks))
        connection.data_received(b"".join(request(ask, self._manner()) for ask in asks))
        async with asyncio.timeout(PATIENCE_S):
            await caller.is_answered.wait()
        for place, ask in enumerate(asks):
            await self._over(ask, caller.statuses[place:], caller.tickets[place:])

    async def _over(self, ask: Ask, statuses: list[str], tickets: list[str]) -> None:
        """Answered, refused, or given a ticket: then it is under way until that has ended."""
        world, count = self._world, self._tally.count
        if tickets and tickets[0]:
            world.is_parked(ask.number)
            self._tickets.append((ask, tickets[0]))
            count["asks"] += 1
            return
        await asyncio.sleep(0)
        world.under_way.discard(ask.number)
        may = max(oracle.widest(house, ask) for house in world.asks[ask.number][1])
        went = world.reached.get(ask.number, oracle.NOWHERE)
        count["asks"] += 1
        count[f"status {statuses[0] if statuses else 'none'}"] += 1
        count[f"might reach {oracle.WORDS[may]}"] += 1
        count[f"went to {oracle.WORDS[went]}"] += 1

    async def _tickets_end(self) -> None:
        """Each in its time, by its answer or at its deadline."""
        assert self._runtime is not None
        async with asyncio.timeout(PARKED_S + LATE_S):
            while self._runtime.parking.kept:
                await asyncio.sleep(1)
        await self._runtime.parking.endings.settled()
        for ask, ticket in self._tickets:
            connection, caller = self._line()
            caller.await_answers(1)
            connection.data_received(look(ask.key, ticket))
            async with asyncio.timeout(PATIENCE_S):
                await caller.is_answered.wait()
            self._world.under_way.discard(ask.number)
            went = self._world.reached.get(ask.number, oracle.NOWHERE)
            self._tally.count[f"ticket {caller.statuses[0]}"] += 1
            self._tally.count[f"ticket went to {oracle.WORDS[went]}"] += 1

    def _line(self) -> tuple[Connection, Caller]:
        assert self._runtime is not None
        caller, connection = Caller(), Connection(self._runtime.server)
        connection.connection_made(caller)
        return connection, caller


async def _database() -> Database:
    """In memory, and of today's shape: the steps to it take longer than a story."""
    database = Database("sqlite://")
    await database.run(metadata.create_all)
    return database


def stories(seeds: Iterable[int], folder: Path, *, enough: int = 0) -> Tally:
    """Many of them, one after another; no further than to `enough` requests, or to the first leak."""
    tally = Tally()
    for seed in seeds:
        tally.add(story(seed, folder))
        if tally.leaks or (enough and tally.count["asks"] >= enough):
            break
    return tally
