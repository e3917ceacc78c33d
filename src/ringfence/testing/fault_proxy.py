"""A TCP proxy on loopback that breaks what passes through it, when told to: reset, cut, stall, slow.

async with FaultProxy(engine.port) as proxy:
    proxy.make(Trouble.STALL, after_bytes=1000)
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from enum import StrEnum
from types import TracebackType

from ringfence.testing.ports import listen

PIECE_BYTES = 16 * 1024


class Trouble(StrEnum):
    """What happens to the answer once `after_bytes` of it have passed. REFUSE breaks a connection at its start."""

    NONE = "none"
    REFUSE = "refuse"
    RESET = "reset"
    CUT = "cut"
    STALL = "stall"


class FaultProxy:
    """Passes bytes both ways. A change holds for open connections too; `delay_s` is put before each piece of answer."""

    def __init__(self, port: int, address: str = "127.0.0.1") -> None:
        self._to = (address, port)
        self.trouble = Trouble.NONE
        self.after_bytes = 0
        self.delay_s = 0.0
        self.connections = 0
        self.passed_bytes = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> FaultProxy:
        self._server = await listen(self._connected)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    @property
    def port(self) -> int:
        if self._server is None:
            raise RuntimeError("the proxy is not running")
        return self._server.sockets[0].getsockname()[1]

    def make(self, trouble: Trouble, after_bytes: int = 0) -> None:
        """From now on, until told otherwise."""
        self.trouble, self.after_bytes = trouble, after_bytes

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        if task is not None:
            self._open.add(task)
            task.add_done_callback(self._open.discard)
        if self.trouble is Trouble.REFUSE:
            return _reset(writer)
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection(*self._to)
        except OSError:
            return _reset(writer)
        asking = asyncio.create_task(_pass_on(reader, upstream_writer))
        try:
            await self._answer(upstream_reader, writer)
        except asyncio.CancelledError:
            pass  # the proxy ends; asyncio's own streams take a cancelled connection for a fault
        finally:
            asking.cancel()
            upstream_writer.close()
            writer.close()
        return None

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE_BYTES):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if self.trouble is not Trouble.NONE:
                    piece = piece[: max(0, self.after_bytes - passed)]
                writer.write(piece)
                await writer.drain()
                passed += len(piece)
                self.passed_bytes += len(piece)
                if self.trouble is not Trouble.NONE and passed >= self.after_bytes:
                    return await self._break(writer)
        return None

    async def _break(self, writer: asyncio.StreamWriter) -> None:
        if self.trouble is Trouble.RESET:
            _reset(writer)
        elif self.trouble is Trouble.STALL:
            await asyncio.Event().wait()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What is asked, and the end of it: a client that leaves is seen upstream."""
    with contextlib.suppress(OSError):
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
    writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    raw: socket.socket | None = writer.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
