"""A model that is not loaded: it is waited for before a place is taken, and calls go where another target is ready."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability, Catalog, Endpoint, Model, Target
from ringfence.core.errors import TargetFailed, TargetUnavailable
from ringfence.core.identity import Key
from ringfence.core.route import Chain, Decision, Ending, House, Profile
from ringfence.gateway.admission import Admission
from ringfence.gateway.call import Call
from ringfence.gateway.deciding import Settings
from ringfence.gateway.dialects.chat import DIALECT
from ringfence.gateway.held import Held
from ringfence.gateway.pipeline import Pipeline
from ringfence.gateway.places import PARKED_LEASE_S
from ringfence.gateway.step import Run
from ringfence.placement.lease import Lease, Users
from ringfence.routing.health import Health


def target(name: str, boundary: Boundary = Boundary.HOST) -> Target:
    return Target(name, "m", "vllm", "m", boundary, 4096, 1, abilities=frozenset(Ability))


FIRST, SECOND, FAR = target("first"), target("second"), target("far", Boundary.CLOUD)


class Seats:
    """Placement: what is here, and what comes when it is waited for."""

    def __init__(self) -> None:
        self.here: set[str] = set()
        self.comes: set[str] = set()
        self.users = Users()
        self.misses: list[str] = []
        self.waited: list[tuple[str, float]] = []
        self.on_wait: Callable[[], None] = lambda: None

    def take(self, target: Target) -> Lease | None:
        if target.name not in self.here:
            return None
        return Lease(self.users, Endpoint("127.0.0.1", 1, Boundary.HOST))

    async def lease(self, target: Target, timeout_s: float, urgency: int = 0) -> Lease:
        self.waited.append((target.name, timeout_s))
        await asyncio.sleep(0)
        self.on_wait()
        self.here |= self.comes
        lease = self.take(target)
        if lease is None:
            raise TargetFailed(target.name, "loading", TargetUnavailable("It does not come."))
        return lease

    def estimate_s(self, target: Target) -> float | None:
        return None

    def is_here(self, target: Target) -> bool:
        return target.name in self.here

    def missed(self, target: Target, urgency: int = 0) -> None:
        self.misses.append(target.name)

    def failed(self, target: Target, reason: str) -> None:
        raise AssertionError("it is not loaded, which is no failure")


class Case:
    def __init__(self, *targets: Target, ending: Ending = Ending.ERROR, allowed: Boundary = Boundary.HOST) -> None:
        self.seats, self.admission = Seats(), Admission(4, 1.0)
        self.health = Health(lambda: 0.0)
        self.path = Pipeline(
            Settings(
                Catalog.of([Model("m", targets)]), House({"default": Profile("default")}, {}, {}), lease_wait_s=30.0
            ),
            placement=self.seats, admission=self.admission, health=self.health, relay=SimpleNamespace(),  # type: ignore[arg-type]
            limits=None, emit=lambda _event: None, ids=None,  # type: ignore[arg-type]
        )  # fmt: skip
        body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
        self.call = Call("call-1", Key("key_1", "tests"), DIALECT, "m", body, 90, False, 0.0)
        decision = self.path._decide(self.call, Boundary.HOST)
        decision.chain, decision.allowed = Chain("m", targets, ending), allowed
        self.call.decision = decision
        self.held = Held(self.path, self.call)

    @property
    def decision(self) -> Decision:
        assert self.call.decision is not None
        return self.call.decision

    def running(self, name: str) -> int:
        return self.admission.lanes[name].running if name in self.admission.lanes else 0


def running(work: Coroutine[Any, Any, Lease]) -> asyncio.Future[Lease]:
    """As the path of a request runs: what waits for a place is no task."""
    done: asyncio.Future[Lease] = asyncio.get_running_loop().create_future()

    async def whole() -> None:
        done.set_result(await work)

    Run(whole()).step()
    return done


class TestPlaced:
    async def test_who_waits_for_a_model_takes_nobodys_place(self) -> None:
        case = Case(FIRST)
        case.seats.comes = {"first"}
        seen: list[int] = []
        case.seats.on_wait = lambda: seen.append(case.running("first"))
        lease = await case.path.places.placed(case.call, FIRST, case.held)
        assert seen == [0] and case.running("first") == 1
        assert case.held.lease is lease and case.seats.users.count == 1
        case.held.let_go()
        assert (case.seats.users.count, case.running("first")) == (0, 0)

    async def test_who_waits_for_a_place_does_not_keep_the_model_from_leaving(self) -> None:
        case = Case(FIRST)
        case.seats.here = {"first"}
        other = await case.admission.place(FIRST)
        waiter = running(case.path.places.placed(case.call, FIRST, case.held))
        await asyncio.sleep(0.01)
        assert not waiter.done() and case.seats.users.count == 0, "no lease is held meanwhile"
        other.leave(0)
        await asyncio.wait_for(waiter, 25)
        assert (case.seats.users.count, case.running("first")) == (1, 1)
        case.held.let_go()

    async def test_a_model_that_left_while_a_place_was_waited_for_is_waited_for_anew(self) -> None:
        case = Case(FIRST)
        case.seats.here = {"first"}
        other = await case.admission.place(FIRST)
        waiter = running(case.path.places.placed(case.call, FIRST, case.held))
        await asyncio.sleep(0.01)
        case.seats.here, case.seats.comes = set(), {"first"}
        seen: list[int] = []
        case.seats.on_wait = lambda: seen.append(case.running("first"))
        other.leave(0)
        await asyncio.wait_for(waiter, 25)
        assert seen == [0], "the place was given back before"
        assert [name for name, _wait_s in case.seats.waited] == ["first"]
        case.held.let_go()
        assert (case.seats.users.count, case.running("first")) == (0, 0)

    async def test_nothing_is_held_when_it_does_not_come(self) -> None:
        case = Case(FIRST)
        with pytest.raises(TargetFailed):
            await case.path.places.placed(case.call, FIRST, case.held)
        assert case.held.lease is None is case.held.place
        assert (case.seats.users.count, case.running("first")) == (0, 0)


class TestLeased:
    async def test_where_another_is_ready_the_call_goes_there_and_the_model_is_wanted(self) -> None:
        case = Case(FIRST, SECOND)
        case.seats.here = {"second"}
        with pytest.raises(TargetFailed) as caught:
            await case.path.places.leased(case.call, FIRST)
        assert caught.value.reason == "elsewhere"
        assert (case.seats.misses, case.seats.waited) == (["first"], [])

    async def test_where_none_is_it_is_waited_for_as_long_as_is_set(self) -> None:
        case = Case(FIRST, SECOND)
        case.seats.comes = {"first"}
        (await case.path.places.leased(case.call, FIRST)).release()
        assert (case.seats.misses, case.seats.waited) == ([], [("first", 30.0)])

    @pytest.mark.parametrize(
        ("ending", "can_park", "wait_s"), [(Ending.PARK, True, PARKED_LEASE_S), (Ending.PARK, False, 30.0)]
    )
    async def test_what_can_be_parked_waits_there(self, ending: Ending, can_park: bool, wait_s: float) -> None:
        case = Case(FIRST, ending=ending)
        case.path.parking = SimpleNamespace() if can_park else None  # type: ignore[assignment]
        case.seats.comes = {"first"}
        (await case.path.places.leased(case.call, FIRST)).release()
        assert case.seats.waited == [("first", wait_s)]


class TestElsewhere:
    def test_only_another_that_is_here(self) -> None:
        case = Case(FIRST, SECOND)
        assert not case.path.places.is_elsewhere(case.call, FIRST)
        case.seats.here = {"first"}
        assert not case.path.places.is_elsewhere(case.call, FIRST), "it is not another"
        case.seats.here = {"second"}
        assert case.path.places.is_elsewhere(case.call, FIRST)

    def test_never_beyond_the_boundary(self) -> None:
        case = Case(FIRST, FAR)
        case.seats.here = {"far"}
        assert not case.path.places.is_elsewhere(case.call, FIRST)
        case.decision.allowed = Boundary.CLOUD
        assert case.path.places.is_elsewhere(case.call, FIRST)

    def test_none_that_is_not_well(self) -> None:
        case = Case(FIRST, SECOND)
        case.seats.here = {"second"}
        for _ in range(20):
            case.health.record(SECOND, "connect")
        assert not case.health.is_usable(SECOND)
        assert not case.path.places.is_elsewhere(case.call, FIRST)
