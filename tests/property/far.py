"""All that is not this machine, as a program in a namespace of its own: counts every packet that comes, and answers.

Driven over standard input and output, a line of JSON each.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
from typing import Any

from stage import Stage

from ringfence.prove.network import open_sink
from ringfence.prove.sink import Sink
from ringfence.tether import die_with_parent

SAYS_BYTES = 160
"""A frame of this size holds some of a request. An acknowledgement, an end, and the farewell of TLS are smaller."""


class Far(Sink):
    """The sink, with the players of the drawn house."""

    def __init__(self, names: dict[str, str]) -> None:
        super().__init__(names)
        self.stage = Stage(has_way_out=False)
        self._known: set[tuple[Any, ...]] = set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.stage.serve(reader, writer)

    def since(self) -> dict[str, Any]:
        """Since it was asked last: the connections that are new, or on which more was said than an end; what was heard;
        and how many packets that were."""
        self._count()
        used: dict[tuple[Any, ...], None] = {}
        for packet in self.packets:
            flow = (packet.address, packet.protocol, packet.source, packet.port, packet.name)
            if flow not in self._known or packet.size_bytes >= SAYS_BYTES:
                used[flow] = None
        self._known.update(used)
        count = sum(self.packets.values())
        self.packets.clear()
        return {"flows": list(used), "packets": count, "missed": self._missed, "heard": self.stage.reports()}


async def _drive(spec: dict[str, Any]) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(spec["certificate"], spec["key"])
    far = Far(spec["names"])
    await far.open(tls, {443, *spec["ports"]})
    _say({"ready": True})
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        far.names.update(order.get("names", {}))
        far.stage.told(order)
        _say(far.since())


def main() -> None:
    die_with_parent(os.getppid())
    _say({"pid": os.getpid()})
    spec = json.loads(sys.stdin.readline())
    open_sink()
    asyncio.run(_drive(spec))
    os._exit(0)  # a thread may still wait for input


def _say(row: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
