"""Who answers at which address, and the way there: in the place of the connections that a gateway opens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Endpoint, Target
from ringfence.core.errors import EngineFailed, EngineTimedOut, Failure, TargetFailed
from ringfence.core.ports import Ask, Fetch, Fetched
from ringfence.egress.client import HEALTH_PATH
from ringfence.egress.permit import Permit
from ringfence.gateway.call import Call
from ringfence.gateway.cloud import Cloud
from ringfence.simulation.checks import Checks
from ringfence.simulation.process import SimulatedProcess
from ringfence.simulation.server import Answering, Mood, Server

FETCH_S = 2.0
"""How long a control request is waited for."""
ASK_S = 30.0
SLEEPS = ("/sleep", "/wake_up")
FIRST_PORT = 20_000
NOTHING: frozenset[str] = frozenset()
WINDOW = 131_072
MISSING = Fetched(404)


class Network:
    """By address. An engine that is not there any more cannot be reached; a port is never used again."""

    def __init__(self, checks: Checks) -> None:
        self._servers: dict[str, Server] = {}
        self._checks = checks
        self._port = FIRST_PORT

    def port(self) -> int:
        self._port += 1
        return self._port

    def open(self, process: SimulatedProcess) -> None:
        self._servers[process.endpoint.authority] = process

    def shut(self, process: SimulatedProcess) -> None:
        self._servers.pop(process.endpoint.authority, None)

    def lies(self, endpoint: Endpoint, server: Server) -> None:
        """One that is not ours has this address."""
        self._servers[endpoint.authority] = server

    def at(self, endpoint: Endpoint) -> Server | None:
        """None where nobody answers."""
        server = self._servers.get(endpoint.authority)
        return server if server is not None and server.is_there else None

    # -- control requests ---------------------------------------------------------------------------------------------

    def fetch_at(self, endpoint: Endpoint) -> Fetch:
        async def fetch(path: str, *, about: dict[str, str] | None = None) -> Fetched:
            server = self.at(endpoint)
            if server is None:
                return Fetched(0)
            if server.mood is Mood.HUNG:
                await asyncio.sleep(FETCH_S)
                return Fetched(0)
            return _described(server, path)

        return fetch

    def ask_at(self, endpoint: Endpoint) -> Ask:
        async def ask(path: str, body: dict[str, Any]) -> Fetched:
            server = self.at(endpoint)
            if server is None:
                return Fetched(0)
            if server.mood is Mood.HUNG:
                await asyncio.sleep(ASK_S)
                return Fetched(0)
            if isinstance(server, SimulatedProcess) and path in SLEEPS:
                await (server.fall_asleep() if path == SLEEPS[0] else server.wake_up())
                return Fetched(200)
            return Fetched(0) if server.mood is Mood.GARBAGE else Fetched(200, {"choices": [{"text": "a"}]})

        return ask


class Sleeping:
    """How the simulated engines are told to sleep."""

    async def sleep(self, ask: Ask, level: int = 1) -> bool:
        return (await ask(SLEEPS[0], {"level": level})).status == 200

    async def wake(self, ask: Ask) -> bool:
        return (await ask(SLEEPS[1], {})).status == 200

    async def is_asleep(self, fetch: Fetch) -> bool | None:
        told = await fetch("/is_sleeping")
        return bool(told.body["is_sleeping"]) if told.status == 200 else None


def _described(server: Server, path: str) -> Fetched:
    """As llama.cpp, vLLM and the egress process describe themselves."""
    body: Any = None
    if server.at is Boundary.CLOUD:
        return Fetched(200, {"providers": [server.name]}) if path == HEALTH_PATH else MISSING
    match path:
        case "/health":
            pass
        case "/props":
            body = {"default_generation_settings": {"n_ctx": WINDOW}, "total_slots": 4, "model_alias": server.model}
        case "/v1/models":
            body = {"data": [{"id": server.model, "max_model_len": WINDOW}]}
        case "/is_sleeping" if isinstance(server, SimulatedProcess):
            body = {"is_sleeping": server.is_asleep}
        case _:
            return MISSING
    return Fetched(200, body)


class Reply:
    """An answer that has begun; `held` is what its call holds until it has ended."""

    __slots__ = ("answering", "held")

    def __init__(self, answering: Answering) -> None:
        self.answering = answering
        self.held: Any = None


class SimulatedRelay:
    """In the place of `gateway/relay.py`: takes a call to where its target answers."""

    def __init__(self, network: Network, checks: Checks, clouds: dict[str, Cloud]) -> None:
        self.crowded: Any = None
        self.clouds = clouds
        self.leaves: Callable[[Call, Target], None]
        self._network = network
        self._checks = checks

    def forbidden(self, _target: Target) -> frozenset[str]:
        return NOTHING

    def cuts(self, _target: Target) -> bool:
        return False

    def cloud_of(self, target: Target) -> Cloud:
        return self.clouds[target.provider]

    async def open(self, call: Call, target: Target, endpoint: Endpoint, body: dict[str, Any], permit: Permit) -> Reply:
        """Returns with the first byte. Raises TargetFailed."""
        server = self._network.at(endpoint)
        if server is None:
            raise TargetFailed(target.name, "connect", _told("connect"))
        self._checks.handed_over(call, target, endpoint, permit, server)
        self.leaves(call, target)
        answering = server.ask()
        try:
            reason = await answering.first
        except BaseException:  # the caller went away
            answering.cancel()
            raise
        if reason:
            raise TargetFailed(target.name, reason, _told(reason))
        return Reply(answering)


def _told(reason: str) -> Failure:
    if reason in ("first_byte_timeout", "stalled"):
        return EngineTimedOut("It did not answer in time.", retry_after_s=5)
    return EngineFailed(f"The engine of this model failed ({reason}).", retry_after_s=2)
