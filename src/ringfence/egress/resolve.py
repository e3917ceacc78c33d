"""From a host name to one pinned address that was judged. What is judged here is what is dialled.

A name says nothing about where it leads, and may lead elsewhere a moment later (DNS rebinding). So it is looked up
once, every answer is judged, and from then on only literal addresses are used: there is no second look-up between
judging and dialling. One answer that lies too far, or too near for a cloud, refuses the name with all its answers:
a name that means two different places is misconfigured or hostile, and picking the harmless answer would hide it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from ringfence.core.boundary import Boundary, Network, boundary_of, is_public
from ringfence.core.errors import BoundaryRefused

LookUp = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host name and port -> literal addresses, the best first. May raise OSError, or ValueError for an impossible name."""

LOOK_UP_S = 5.0
MAX_ANSWERS = 256
"""More addresses than any service has: such an answer is made to keep us busy."""


class NameNotResolved(OSError):
    """The name leads nowhere now: unknown, no answer in time, or an answer that holds no address."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """Where a name led when it was judged. Dial `address`; for TLS and the `host` header, `host` is still the name.

    `others` were judged with it and lie within the same boundary: where a dial fails, they may be tried in turn,
    without another look-up. `boundary` is the widest of all of them.
    """

    host: str
    port: int
    address: str
    boundary: Boundary
    others: tuple[str, ...] = ()


async def system_look_up(host: str, port: int) -> Sequence[str]:
    """What the system's resolver answers. It works in a thread that a time-out leaves behind until it gives up."""
    rows = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(row[4][0]) for row in rows]


async def resolve(
    host: str,
    port: int,
    allowed: Boundary,
    mesh: tuple[Network, ...] = (),
    *,
    look_up: LookUp = system_look_up,
    timeout_s: float = LOOK_UP_S,
) -> Pinned:
    """Pin a name of one's own: every address it has must lie within `allowed`.

    Raises BoundaryRefused when one does not, NameNotResolved when there is none.
    """
    addresses = await _answers(host, port, look_up, timeout_s)
    boundaries = [boundary_of(address, mesh) for address in addresses]
    for address, reached in zip(addresses, boundaries, strict=True):
        if not allowed.permits(reached):
            raise BoundaryRefused(
                f"{_named(host, address)} lies at {reached.name}, beyond {allowed.name}. Nothing was sent."
            )
    return Pinned(host, port, addresses[0], max(boundaries), addresses[1:])


async def resolve_cloud(
    host: str, port: int, *, look_up: LookUp = system_look_up, timeout_s: float = LOOK_UP_S
) -> Pinned:
    """Pin the name of a cloud: every address it has must be public.

    One that is not would make us knock at this machine, its network, or the credentials service of the cloud that it
    runs in (169.254.169.254), with a key in the hand. Raises BoundaryRefused for it, NameNotResolved when there is
    no address.
    """
    addresses = await _answers(host, port, look_up, timeout_s)
    for address in addresses:
        if not is_public(address):
            raise BoundaryRefused(f"{_named(host, address)} is not a public address. Nothing was sent.")
    return Pinned(host, port, addresses[0], Boundary.CLOUD, addresses[1:])


async def _answers(host: str, port: int, look_up: LookUp, timeout_s: float) -> tuple[str, ...]:
    """At least one literal address, each once, in the resolver's order. A literal is its own answer."""
    if _is_literal(host):
        return (host,)
    try:
        async with asyncio.timeout(timeout_s):
            found = tuple(dict.fromkeys(await look_up(host, port)))
    except TimeoutError:
        raise NameNotResolved(f"'{host}' cannot be resolved: no answer within {timeout_s:g} s") from None
    except (OSError, ValueError) as error:  # UnicodeError, of a label that no name can have, is a ValueError
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise NameNotResolved(f"'{host}' cannot be resolved: {reason}") from None
    if not found:
        raise NameNotResolved(f"'{host}' cannot be resolved: it has no address")
    if len(found) > MAX_ANSWERS:
        raise NameNotResolved(f"'{host}' cannot be resolved: it has {len(found)} addresses")
    if not all(_is_literal(address) for address in found):
        raise NameNotResolved(f"'{host}' cannot be resolved: the answer holds something that is not an address")
    return found


def _is_literal(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _named(host: str, address: str) -> str:
    return address if host == address else f"'{host}' resolves to {address}, which"
