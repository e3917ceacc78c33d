"""Ten thousand parked in the real parts (queue, rows, seals) by clocks that the test turns, and a target that flaps."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
from composed import CHAT, Gateway, target

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Endpoint
from ringfence.core.errors import NothingNow, Overloaded
from ringfence.core.identity import Key
from ringfence.core.route import Ending, Profile, Urgency
from ringfence.core.usage import Usage
from ringfence.gateway import parking
from ringfence.gateway.call import Call
from ringfence.gateway.dialects import chat
from ringfence.gateway.parked_wishes import ParkingSettings
from ringfence.gateway.parking import Parking
from ringfence.gateway.reply import Answer
from ringfence.routing.health import Health
from ringfence.routing.waiting import MOST_BACK_OFF_S
from ringfence.store.db import Database
from ringfence.store.parked import ParkedRows

MANY, SLOTS, FLAP_S = 10_000, 64, 5
BODY_BYTES = 100
HASTY_S = 120
"""The deadline of each tenth: the target gets to some of them in time, and to some not."""
JUMPS_S = (40_000.0, -40_000.0, 0.0)
PRIVATE = Profile("default", Boundary.HOST, ending=Ending.PARK)
KEY = Key("key_1", "tests")


class Asked:
    """A request as far as parking looks at it."""

    def __init__(self, deadline_s: int) -> None:
        self.head = self
        self.headers = [(b"prefer", b"respond-async")]
        self.not_before = b""
        self._lines = {b"x-ringfence-deadline-s": b"%d" % deadline_s}
        self.status = 0

    def header(self, name: bytes) -> bytes | None:
        return self._lines.get(name)

    def answer(self, status: int, _head: bytes, _body: bytes) -> None:
        self.status = status


class Held:
    """What a call holds while the flapping target works on it."""

    def __init__(self, running: dict[str, Any], call: Call) -> None:
        self._running, self._call = running, call

    def finish(self, *_: object) -> None:
        self._running.pop(self._call.id, None)


class World:
    """A gateway with everything but sockets, and one target that is there for five seconds and away for five."""

    def __init__(self, folder: Path) -> None:
        self.now_s, self.wall_s = 1000.0, 1_790_000_000.0
        self.gateway = Gateway(None, targets=(target(slots=SLOTS),), profile=PRIVATE)
        self.db = Database("sqlite://")
        self.db.migrate()
        pipeline = self.gateway.pipeline
        pipeline.health = Health(lambda: self.now_s)
        pipeline.complete = self._complete  # type: ignore[method-assign]
        self.parking = Parking(
            pipeline, ParkedRows(self.db, folder), {"chat": chat.DIALECT}, lambda _id: KEY,
            now=lambda: self.now_s, wall=lambda: self.wall_s,
        )  # fmt: skip
        self.parking.settings = ParkingSettings(most=MANY)
        self.working: list[tuple[Call, asyncio.Future[bool]]] = []
        self.served: list[str] = []

    async def park(self, urgency: str, deadline_s: int = 80_000) -> str:
        asked = Asked(deadline_s)
        known = len(self.parking.kept)
        call = Call(
            f"call-{known}", KEY, chat.DIALECT, "fast", dict(CHAT), BODY_BYTES, False, self.now_s, spoken="chat"
        )
        call.urgency = Urgency[urgency.upper()]
        assert await self.parking.wait(asked, call) is None  # type: ignore[arg-type]
        assert asked.status == 202
        return next(reversed(self.parking.kept))

    async def _complete(self, call: Call) -> tuple[Answer, bytes]:
        works: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.working.append((call, works))
        if not await works:
            raise NothingNow("it went away")
        self.served.append(call.id)
        reply = Answer(b"{}", Usage(1, 1), 0.0)
        reply.held = Held(self.gateway.pipeline.running, call)  # type: ignore[assignment]
        return reply, b""

    def flap(self, is_up: bool) -> None:
        """What it worked on is done, or is thrown back."""
        self.gateway.seats.endpoint = Endpoint("127.0.0.1", 1, Boundary.HOST) if is_up else None
        working, self.working = self.working, []
        for _, works in working:
            works.set_result(is_up)

    async def second(self, is_up: bool) -> None:
        self.now_s += 1
        self.flap(is_up)
        await self.at_rest()
        await self.parking.tick()
        await self.at_rest()

    async def at_rest(self) -> None:
        """Whoever is being served is with the target; what ended is written down."""
        while self.parking.endings.is_busy or self.parking._in_flight.total() != len(self.working):
            await asyncio.sleep(0.0002)  # the database has a thread of its own
        for _ in range(3):
            await asyncio.sleep(0)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    yield world
    await world.parking.close()
    world.db.close()


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_ten_thousand_and_a_target_that_flaps_every_five_seconds(world: World) -> None:
    """Clocks jump meanwhile, and users come all the time: served by class, then by age, but for what was thrown back;
    and nobody ends late, or before its deadline."""
    chance, numbers = random.Random(5), count()
    rank: dict[str, tuple[int, int]] = {}
    due_s: dict[str, float] = {}
    came_after: dict[tuple[int, int], int] = {}

    async def park(urgency: Urgency, is_hasty: bool) -> None:
        ticket = await world.park(urgency.name.lower(), HASTY_S if is_hasty else 80_000)
        rank[ticket] = (urgency, next(numbers))
        came_after[rank[ticket]] = len(world.served)
        if is_hasty:
            due_s[ticket] = world.now_s + HASTY_S

    for number in range(MANY):
        await park(chance.choice(list(Urgency)), number % 10 == 0)
    with pytest.raises(Overloaded) as full:
        await world.park("user")
    assert (full.value.status, full.value.code, full.value.retry_after_s) == (503, "queue_full", 15)
    world.parking.settings = ParkingSettings(most=2 * MANY)

    ended_s: dict[str, float] = {}
    now_s = world.now_s
    for tick in range(4000):
        before = set(world.parking.kept)
        now_s += 1
        world.now_s = now_s - 1 - (5000 if tick % 97 == 0 else 0)  # it should not go back, and does
        world.wall_s = 1_790_000_000.0 + tick + JUMPS_S[tick // 50 % len(JUMPS_S)]
        await world.second(is_up=tick // FLAP_S % 2 == 0)
        world.now_s = now_s
        for ticket in before - set(world.parking.kept):
            ended_s[ticket] = now_s
        if tick % 5 == 0 and tick < 200:
            await park(Urgency.USER, is_hasty=False)
        if not world.parking.kept:
            break
    assert len(rank) == MANY + 40 == len(ended_s)
    served = [rank[ticket] for ticket in world.served]
    late = set(rank) - set(world.served)
    assert late and late < set(due_s)
    for ticket, due in due_s.items():
        assert ended_s[ticket] <= due + FLAP_S + 1
        assert ticket not in late or ended_s[ticket] >= due
    assert len(served) == len(set(served)) == len(rank) - len(late)
    assert served[0] == min(rank.values())
    overtaken = sum(later < earlier for earlier, later in pairwise(served))
    assert overtaken <= len(served) / 10
    for place, one in enumerate(served):  # nobody waits for many that came after it
        ahead = sum(other > one for other in served[max(came_after[one], place - 1500) : place])
        assert ahead <= SLOTS * (FLAP_S + MOST_BACK_OFF_S), one
    first_background = next(place for place, one in enumerate(served) if one[0] is Urgency.BACKGROUND)
    last_user = max(place for place, one in enumerate(served) if one[0] is Urgency.USER and one[1] < MANY)
    assert last_user < first_background
    states = world.db.call(lambda c: c.exec_driver_sql("SELECT state, count(*) FROM parked GROUP BY state").fetchall())
    assert Counter(dict(states)) == Counter(done=len(served), expired=len(late))  # type: ignore[arg-type]


async def test_more_at_once_than_may_wait(world: World) -> None:
    """While the first are still being written down."""
    world.parking.settings = ParkingSettings(most=5)
    found = await asyncio.gather(*(world.park("user") for _ in range(20)), return_exceptions=True)
    refused = [one for one in found if isinstance(one, Overloaded)]
    assert len(refused) == 15 and len(world.parking.kept) == 5
    assert {(one.status, one.code, one.retry_after_s) for one in refused} == {(503, "queue_full", 15)}


async def test_more_text_than_may_lie_on_disk(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has ended counts no more."""
    monkeypatch.setattr(parking, "MOST_BYTES", 3 * BODY_BYTES)
    first, *_ = [await world.park("user") for _ in range(3)]
    with pytest.raises(Overloaded):
        await world.park("user")
    world.parking.cancel(first)
    await world.park("user")
    with pytest.raises(Overloaded):
        await world.park("user")


async def test_an_estimate_comes_with_what_was_served(world: World) -> None:
    for _ in range(3 * SLOTS):
        await world.park("user")
    last = next(reversed(world.parking.kept))
    assert world.parking.outlook.of(last) == (3 * SLOTS, None)
    await world.second(is_up=True)  # the first are begun
    for _ in range(10):
        world.now_s += 1
        await world.parking.tick()
    world.flap(is_up=True)
    await world.at_rest()
    position, estimate_s = world.parking.outlook.of(last)
    assert position == SLOTS and estimate_s == pytest.approx(10.0)
    await world.second(is_up=False)
    assert world.parking.outlook.of(last)[1] == 0.0  # as others have waited longer


@pytest.mark.parametrize("jump_s", [1e6, -1e6])
async def test_a_jump_of_either_clock_ends_no_more_than_what_is_due(world: World, jump_s: float) -> None:
    soon, later = await world.park("user", 100), await world.park("user", 80_000)
    world.wall_s += jump_s
    await world.second(is_up=False)
    assert set(world.parking.kept) == {soon, later}
    world.now_s += min(jump_s, 60_000)  # asleep for most of a day, or a clock that cannot be trusted
    await world.second(is_up=False)
    assert set(world.parking.kept) == ({later} if jump_s > 0 else {soon, later})
    await world.second(is_up=True)
    await world.second(is_up=True)
    assert later in world.served
