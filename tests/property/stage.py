"""The players on real sockets: engines and clouds, whatever address they are asked at, and what each was asked."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from house import Engine
from players import answer, is_look, listing, whole_request, wronged

MARK = re.compile(rb"\(ask (\d+)\)")
ELSEWHERE = "11.77.0.1"
"""Where an engine sends what it does not keep: nobody has any business there."""
Place = tuple[str, int]
Flow = tuple[str, int, int]
"""Address, source port and port of a connection, as packets show it."""


class Stage:
    """`heard` has an entry for each connection: whether it was looked at last, and the number of each ask that came,
    with whether its text would be sent on to a cloud from here."""

    def __init__(self, *, has_way_out: bool) -> None:
        self.engines: dict[Place, Engine] = {}
        self.troubles: list[str] = []
        self.heard: dict[Flow, dict[str, Any]] = {}
        self._has_way_out = has_way_out
        self._servers: list[asyncio.Server] = []

    async def listen(self, places: list[Place]) -> None:
        """Anew, at these and nowhere else."""
        await self.close()
        for address, port in places:
            self._servers.append(await asyncio.start_server(self.serve, address, port))

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()

    def told(self, order: Mapping[str, Any]) -> None:
        """What is played from now on."""
        if "engines" in order:
            self.engines = {(row[0], row[1]): Engine(row[2], tuple(row[3]), frozenset(row[4]), row[5])
                            for row in order["engines"]}  # fmt: skip
        if "troubles" in order:
            self.troubles = list(order["troubles"])

    def reports(self) -> list[Any]:
        """What was heard since it was asked last."""
        rows = [
            [*flow, heard["looks"], heard["asks"]] for flow, heard in self.heard.items() if heard.pop("is_new", False)
        ]
        for heard in self.heard.values():
            heard["asks"] = []
        return rows

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address, port = _plain(writer.get_extra_info("sockname"))
        _, source = _plain(writer.get_extra_info("peername"))
        is_cloud = writer.get_extra_info("ssl_object") is not None
        engine = self.engines.get((address, port))
        heard = self.heard.setdefault((address, source, port), {"looks": False, "asks": []})
        heard["is_new"] = True
        with suppress(OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while engine is not None or is_cloud:
                request = await _read(reader)
                heard["is_new"] = True
                heard["looks"] = is_look(engine, request[0], request[1], request[3])
                if not heard["looks"]:
                    await self._note(request[3], engine, heard)
                if not await self._say(writer, request, engine):
                    break
        writer.transport.abort() if engine is None and not is_cloud else writer.close()

    async def _note(self, raw: bytes, engine: Engine | None, heard: dict[str, Any]) -> None:
        is_away = engine is not None and engine.sends_away(str(json.loads(raw).get("model")))
        heard["asks"] += [[int(mark), is_away] for mark in set(MARK.findall(raw))]
        if is_away and self._has_way_out:
            with suppress(OSError):
                _, writer = await asyncio.open_connection(ELSEWHERE, 80)
                writer.write(raw)
                writer.close()

    async def _say(self, writer: asyncio.StreamWriter, request: tuple[str, str, bytes, bytes], engine: Any) -> bool:
        """One answer, or what goes wrong with it; False where the connection ends with it."""
        method, path, _, raw = request
        looks = is_look(engine, method, path, raw)
        trouble = self.troubles.pop(0) if self.troubles and not looks else "works"
        if looks:
            data, is_over = listing(engine, path), False
        elif trouble in ("refuse", "no_answer_to_dial"):
            writer.transport.abort()
            return False
        else:
            body = json.loads(raw)
            data, is_over = wronged(trouble, path, body) if trouble != "works" else (answer(path, body), False)
        writer.write(data)
        await writer.drain()
        return not is_over


async def _read(reader: asyncio.StreamReader) -> tuple[str, str, bytes, bytes]:
    data = await reader.readuntil(b"\r\n\r\n")
    while (request := whole_request(data)) is None:
        more = await reader.read(65536)
        if not more:
            raise ValueError("it broke off")
        data += more
    return request


def _plain(name: tuple[Any, ...]) -> Place:
    return str(name[0]).removeprefix("::ffff:"), int(name[1])


def engine_rows(engines: Mapping[Place, Engine]) -> list[Any]:
    """As `told` takes them."""
    return [[*place, one.kind, list(one.models), sorted(one.away), one.cloud] for place, one in engines.items()]
