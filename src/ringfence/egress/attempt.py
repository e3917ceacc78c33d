"""An attempt to get out of the kernel's fence: a connection to what must not be reached. Nothing is sent on it."""

from __future__ import annotations

import asyncio
import errno
import socket
from dataclasses import dataclass

REFUSED_BY_KERNEL = {
    errno.EPERM, errno.EACCES, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL
}  # fmt: skip
"""This machine says no, at once: a rule drops it, there is no route, or (EINVAL) it leads into a black hole."""
NOT_THERE = {errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETDOWN, errno.ETIMEDOUT}


@dataclass(frozen=True, slots=True)
class Attempt:
    """`got_out`: something there answered. `reason` in words."""

    got_out: bool
    reason: str


async def attempt(address: str, port: int, timeout_s: float) -> Attempt:
    """Connect by TCP, and hang up. A refusal is an answer too: the packet got there, and another came back. OSError
    where it could not be tried, as without a free file descriptor: that says nothing of what can be reached."""
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.setblocking(False)
            async with asyncio.timeout(timeout_s):
                await loop.sock_connect(tried, (address, port))
    except TimeoutError:
        return Attempt(False, f"nothing came back within {timeout_s:g} s")
    except (ConnectionRefusedError, ConnectionResetError):
        return Attempt(True, "it was reached, and refused the connection")
    except OSError as error:
        if error.errno in REFUSED_BY_KERNEL:
            return Attempt(False, f"the kernel refused it ({errno.errorcode[error.errno or 0]})")
        if error.errno in NOT_THERE:
            return Attempt(False, f"it cannot be reached ({error.strerror})")
        raise
    return Attempt(True, "it was reached")
