"""Who is at the other end of a Unix socket: the kernel says, so that nobody can claim to be another."""

from __future__ import annotations

import asyncio
import socket
import struct

PEER = struct.Struct("3i")  # pid, uid, gid: struct ucred of unix(7)
PEER_CREDENTIALS: int = getattr(socket, "SO_PEERCRED", 17)


def peer_uid(transport: asyncio.BaseTransport) -> int:
    """The user who connected, or who listens."""
    raw: socket.socket = transport.get_extra_info("socket")
    _, uid, _ = PEER.unpack(raw.getsockopt(socket.SOL_SOCKET, PEER_CREDENTIALS, PEER.size))
    return uid
