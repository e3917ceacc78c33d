"""Ports on loopback for what tests start: below those that the system gives to whoever asks for any.

A port of the system's own choice is given again once its server has gone, also to a server of the test beside; and a
caller that tries such a port while nobody listens may start out from it and meet itself. These here come round again
only after all the others have had their turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import random
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

FIRST, COUNT = 20_000, 12_000
"""Linux begins at 32768 (net.ipv4.ip_local_port_range), macOS and Windows at 49152 (RFC 6335, section 6)."""
LOOPBACK = "127.0.0.1"


def _in_turn() -> Iterator[int]:
    """All of them, again and again, from one where this process alone is likely to begin."""
    began = random.SystemRandom().randrange(COUNT)
    return (FIRST + (began + step) % COUNT for step in itertools.count())


_ports = _in_turn()


def free_port(address: str = LOOPBACK) -> int:
    """One where nobody listens. Raises OSError when there is none."""
    for port in itertools.islice(_ports, COUNT):
        with _unless_taken(), socket.create_server((address, port)):
            return port
    raise OSError(errno.EADDRINUSE, f"no free port at {address} from {FIRST} to {FIRST + COUNT - 1}")


async def listen(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    address: str = LOOPBACK,
    **more: Any,
) -> asyncio.Server:
    """A server at the next free one; `more` goes to asyncio.start_server. Raises OSError when there is none."""
    while True:
        port = free_port(address)
        with _unless_taken():  # by the test beside, in between
            return await asyncio.start_server(serve, address, port, **more)


@contextlib.contextmanager
def _unless_taken() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
