"""Engines that run on this machine already: looked for at their usual loopback ports, and nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Endpoint
from ringfence.core.ports import Engine, Fetch, Fetched, Offer
from ringfence.placement.examine import examine

WHOLE_TIMEOUT_S = 0.9
FIRST_PATH = "/v1/models"
ADDRESSES = ("127.0.0.1", "::1")

FetchAt = Callable[[Endpoint], Fetch]


@dataclass(frozen=True, slots=True)
class Found:
    """An engine that answers, and what it has."""

    kind: str
    endpoint: Endpoint
    offers: tuple[Offer, ...]


def usual_ports(adapters: Mapping[str, Engine]) -> tuple[int, ...]:
    """Every port where one of the adapters' engines is usually found, each once."""
    return tuple(dict.fromkeys(port for adapter in adapters.values() for port in adapter.usual_ports))


async def discover(
    adapters: Mapping[str, Engine],
    fetch_at: FetchAt,
    ports: Collection[int],
    skip: Collection[tuple[str, int]] = (),
) -> list[Found]:
    """The engines at these loopback ports, in the order of the ports; takes less than a second.

    `skip` holds (address, port) that must not be asked: our own gateway, and what is configured. A port that answers
    as none of the adapters is left alone.
    """
    found = await asyncio.gather(*(_at_port(adapters, fetch_at, port, skip) for port in ports))
    return [one for one in found if one is not None]


async def _at_port(
    adapters: Mapping[str, Engine], fetch_at: FetchAt, port: int, skip: Collection[tuple[str, int]]
) -> Found | None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(WHOLE_TIMEOUT_S):
            for address in ADDRESSES:
                if (address, port) in skip:
                    return None
                fetch = _once_each(fetch_at(Endpoint(address, port, Boundary.HOST)))
                if (await fetch(FIRST_PATH)).status:
                    return await _identify(adapters, fetch, Endpoint(address, port, Boundary.HOST))
    return None


async def _identify(adapters: Mapping[str, Engine], fetch: Fetch, endpoint: Endpoint) -> Found | None:
    """The adapters whose usual port this is go first."""
    candidates = [adapter for adapter in adapters.values() if adapter.usual_ports]
    for adapter in sorted(candidates, key=lambda adapter: endpoint.port not in adapter.usual_ports):
        offers = await examine(adapter, fetch, endpoint)
        if offers is not None:
            return Found(adapter.kind, endpoint, offers)
    return None


def _once_each(fetch: Fetch) -> Fetch:
    """Each path is asked for once, whoever wants it."""
    known: dict[str, Fetched] = {}

    async def remembered(path: str, *, about: dict[str, str] | None = None) -> Fetched:
        if about is not None:
            return await fetch(path, about=about)
        if path not in known:
            known[path] = await fetch(path)
        return known[path]

    return remembered
