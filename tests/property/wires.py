"""A loop whose clock jumps and whose connections lead to players in memory. Every dial and every byte is judged."""

from __future__ import annotations

import asyncio
import contextvars
import json
import re
import socket
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

import oracle
from asks import Ask
from house import PROVIDERS, Engine, House
from players import answer, framed, is_look, listing, whole_request, wronged

EGRESS = "the egress process"
MARK = re.compile(rb"\(ask (\d+)\)")
PERMIT = re.compile(rb"x-permit: (.*)")
NEVER_S = 1e6
probing: contextvars.ContextVar[bool] = contextvars.ContextVar("probing", default=False)
"""Set while the product looks at an engine without any text of a call."""


@dataclass
class World:
    """What is there, which houses are in force, which calls are under way, and what went too far."""

    houses: list[House] = field(default_factory=list[House])
    serving: list[House] = field(default_factory=list[House])
    """Those of `houses` by which calls may be decided: not one that must be refused."""
    asks: dict[int, tuple[Ask, list[House]]] = field(default_factory=dict[int, tuple[Ask, list[House]]])
    """Each ask ever made, with the houses that were in force meanwhile."""
    under_way: set[int] = field(default_factory=set[int])
    parked: dict[int, int] = field(default_factory=dict[int, int])
    """Of those under way that hold a ticket: how far each might go when it was parked."""
    troubles: list[str] = field(default_factory=list[str])
    leaks: list[str] = field(default_factory=list[str])
    reached: dict[int, int] = field(default_factory=dict[int, int])
    """How far the text of each ask went."""
    are_late_there: bool = True
    is_later: bool = False
    """Whether names lead where they lead later."""

    def into_force(self, house: House, *, may_serve: bool) -> None:
        """Its engines may be looked at from now on; where it may serve, calls under way may be decided by it."""
        self.houses.append(house)
        if may_serve:
            self.serving.append(house)
            for number in self.under_way:
                self.asks[number][1].append(house)

    def settled(self, house: House) -> None:
        """This one is in force, and no other; also for what was parked before."""
        self.houses, self.serving = [house], [house]
        for number in self.parked:
            self.asks[number] = (self.asks[number][0], [house])

    def begin(self, ask: Ask) -> None:
        self.asks[ask.number] = (ask, list(self.serving))
        self.under_way.add(ask.number)
        self.troubles = list(ask.troubles)

    def is_parked(self, number: int) -> None:
        """From now on it goes no further than it might go until now, and than it may go when it is served."""
        ask, houses = self.asks[number]
        self.parked[number] = max(oracle.widest(house, ask) for house in houses)

    def widest(self, house: House, ask: Ask) -> int:
        return min(oracle.widest(house, ask), self.parked.get(ask.number, oracle.CLOUD))

    def next_trouble(self, of: tuple[str, ...] = ()) -> str:
        """The next one, if it is among `of` (any, where that is empty)."""
        if self.troubles and (not of or self.troubles[0] in of):
            return self.troubles.pop(0)
        return "works"

    # -- judging --------------------------------------------------------------------------------------------------

    def dialled(self, address: str, port: int) -> None:
        """For a call, it must be within reach of one that is under way; for a look, on the mesh at most."""
        if probing.get():
            if address != EGRESS and all(oracle.lies(address, h.written["mesh"]) == oracle.CLOUD for h in self.houses):
                self.leaks.append(f"looked at {address}:{port}")
            return
        if address != EGRESS and all(oracle.lies(address, h.written["mesh"]) == oracle.CLOUD for h in self.houses):
            self.leaks.append(f"dialled {address}:{port} past {EGRESS}")
            return
        for number in self.under_way:
            ask, houses = self.asks[number]
            if any(_lies(address, house) <= self.widest(house, ask) for house in houses):
                return
        self.leaks.append(f"dialled {address}:{port} for {sorted(self.under_way)}")

    def wrote(self, address: str, port: int, data: bytes) -> None:
        """Whatever carries the mark of an ask must stay within its reach."""
        for mark in set(MARK.findall(data)):
            ask, houses = self.asks[int(mark)]
            verdicts = [self._judged(address, port, data, ask, house) for house in houses]
            self.reached[ask.number] = max(self.reached.get(ask.number, oracle.NOWHERE), verdicts[-1][0])
            if not any(went <= may for went, may in verdicts):
                went, may = verdicts[-1]
                self.leaks.append(
                    f"{ask.mark} may reach {oracle.WORDS[may]}, and went to {address}:{port} ({oracle.WORDS[went]}): "
                    f"{shown(ask, houses[-1])}"
                )

            request = whole_request(data)
            model = str(json.loads(request[3]).get("model")) if request is not None else ""
            if all(oracle.is_bound_elsewhere(house, ask, port, model) for house in houses):
                self.leaks.append(
                    f"{ask.mark} is bound, and went to {address}:{port} {model}: {shown(ask, houses[-1])}"
                )

    def _judged(self, address: str, port: int, data: bytes, ask: Ask, house: House) -> tuple[int, int]:
        went, engine = _lies(address, house), house.engines.get((address, port))
        request = whole_request(data)
        if engine is not None and request is not None and engine.sends_away(str(json.loads(request[3]).get("model"))):
            went = oracle.CLOUD
        return went, self.widest(house, ask)

    def claimed(self, head: bytes, body: bytes) -> None:
        """The permit that a call shows at the way out."""
        found = PERMIT.search(head)
        said = json.loads(found[1]) if found else {}
        if said.get("allowed") != "CLOUD":
            self.leaks.append(f"a call went to {EGRESS} with a permit for {said.get('allowed')}")

    def answers(self, host: str) -> tuple[str, ...]:
        house = self.houses[-1]
        return (house.later if self.is_later else house.answers).get(host, ())

    def is_there(self, address: str, port: int) -> bool:
        is_late = not self.are_late_there and (address, port) in self.houses[-1].late
        return not is_late and any((address, port) in house.engines for house in self.houses)


def _lies(address: str, house: House) -> int:
    return oracle.CLOUD if address == EGRESS else oracle.lies(address, house.written["mesh"])


def shown(ask: Ask, house: House) -> str:
    """As little of both as explains a verdict."""
    written = house.written
    agent = written["agents"].get(ask.agent, {}).get("profile")
    tools = {tool: written["tools"].get(tool, {}).get("profile") for tool in ask.tools}
    names = {ask.key.removeprefix("sk-of-"), agent, ask.named, *tools.values()}
    profiles = {name: profile for name, profile in written["profiles"].items() if name in names}
    said = {"key": ask.key, "agent": {ask.agent: agent}, "profile": ask.named, "tools": tools, "labels": ask.labels,
            "planted": sorted(ask.planted), "troubles": ask.troubles, "path": ask.path, "body": ask.body}  # fmt: skip
    models = {name: model.get("url", "rented") for name, model in written["models"].items()}
    return f"{said}; profiles {profiles}; mesh {written['mesh']}; models {models}; {written['sensitivity']}"


class Wire(asyncio.Transport):
    """A connection to a player."""

    def __init__(self, loop: Loop, protocol: asyncio.Protocol, address: str, port: int) -> None:
        super().__init__()
        self._loop = loop
        self._protocol = protocol
        self._address = address
        self._port = port
        self._received = b""
        self._is_stale = self._is_closing = self._is_paused = False
        self._waiting: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._is_closing:
            return
        self._loop.world.wrote(self._address, self._port, bytes(data))
        self._received += bytes(data)
        request = whole_request(self._received)
        if request is not None:
            self._received = b""
            self._loop.call_soon(self._asked, *request)

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._loop.call_soon(self._protocol.connection_lost, None)

    abort = close

    def pause_reading(self) -> None:
        self._is_paused = True

    def resume_reading(self) -> None:
        self._is_paused = False
        while self._waiting and not self._is_paused and not self._is_closing:
            self._protocol.data_received(self._waiting.pop(0))

    def _say(self, data: bytes) -> None:
        if self._is_paused:
            self._waiting.append(data)
        elif data and not self._is_closing:
            self._protocol.data_received(data)

    def _asked(self, method: str, path: str, head: bytes, raw: bytes) -> None:
        world = self._loop.world
        if is_look(self._engine(), method, path, raw):
            self._say(self._listed(path))
            return
        body = json.loads(raw)
        if self._address == EGRESS:
            world.claimed(head, raw)
            path = _asked_of_cloud(head)
        if self._is_stale:
            self.close()
            return
        trouble = world.next_trouble()
        data, is_closing = wronged(trouble, path, body) if trouble != "works" else (answer(path, body), False)
        self._say(data)
        self._is_stale = trouble == "stale"
        if is_closing and not self._is_stale:
            self.close()

    def _listed(self, path: str) -> bytes:
        if self._address == EGRESS:
            return framed(200, json.dumps({"status": "ok", "providers": sorted(PROVIDERS)}).encode())
        return listing(self._engine(), path)

    def _engine(self) -> Engine | None:
        engines = (house.engines.get((self._address, self._port)) for house in reversed(self._loop.world.houses))
        return next((engine for engine in engines if engine is not None), None)


def _asked_of_cloud(head: bytes) -> str:
    found = PERMIT.search(head)
    said = json.loads(found[1]) if found else {}
    if PROVIDERS[said["provider"]][0] == "anthropic":
        return "/v1/messages"
    return {"chat": "/v1/chat/completions"}.get(said["ability"], f"/v1/{said['ability']}")


class Loop(asyncio.base_events.BaseEventLoop):
    """Nothing is awaited in real time: where nothing is left to do, the clock is put forward."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self._now = 1000.0
        self._clock_resolution = 1e-6
        self._selector = self

    def time(self) -> float:
        return self._now

    def select(self, timeout: float | None) -> list[object]:
        assert timeout is not None, "everything waits, and nothing will ever happen"
        self._now += timeout
        return []

    def _process_events(self, event_list: list[object]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    async def create_connection(self, protocol_factory: Callable[[], Any], host: Any = None, port: Any = None,
                                **_told: Any) -> Any:  # fmt: skip
        """Refused where nothing listens."""
        self.world.dialled(host, port)
        if not self.world.is_there(host, port):
            raise ConnectionRefusedError
        return await self._connected(protocol_factory, host, port)

    async def create_unix_connection(self, protocol_factory: Callable[[], Any], path: Any = None, **_told: Any) -> Any:
        self.world.dialled(EGRESS, 0)
        return await self._connected(protocol_factory, EGRESS, 0)

    async def _connected(self, make: Callable[[], Any], address: str, port: int) -> tuple[Wire, Any]:
        trouble = "works" if probing.get() else self.world.next_trouble(("refuse", "no_answer_to_dial"))
        if trouble == "refuse":
            raise ConnectionRefusedError
        if trouble == "no_answer_to_dial":
            await asyncio.sleep(NEVER_S)
        protocol = make()
        wire = Wire(self, protocol, address, port)
        protocol.connection_made(wire)
        return wire, protocol

    async def getaddrinfo(self, host: Any, port: Any, **_told: Any) -> Any:
        if host == "localhost":
            found: tuple[str, ...] = ("127.0.0.1",)
        else:
            found = self.world.answers(host)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(0, 0, 0, "", (address, port)) for address in found]

    def run_in_executor(self, executor: Executor | None, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """At once: nothing here needs a thread."""
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done


def looking(fetch: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The pool's own way of looking at an engine, so that it can be told from a call."""

    async def fetched(*args: Any, **told: Any) -> Any:
        before = probing.set(True)
        try:
            return await fetch(*args, **told)
        finally:
            probing.reset(before)

    return fetched


def clocks(modules: dict[str, Any], name: str, clock: Callable[[], float]) -> Iterator[Any]:
    """The product's modules that have taken the monotonic clock by this name."""
    for module in list(modules.values()):
        if getattr(module, "__name__", "").startswith("ringfence.") and getattr(module, name, None) is clock:
            yield module
