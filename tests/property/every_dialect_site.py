"""One gateway for all examples, with batches and kept responses, in front of engines whose tokens are bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from any_dialect import Asked
from batched import Desk, batched
from byte_engine import SEATS, Seat, byte_engine, sized
from composed import Gateway, Reply, target

from ringfence.config.routing import THINKS
from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Catalog, Model, Target
from ringfence.core.route import House, Overlong, Profile
from ringfence.gateway.deciding import Settings
from ringfence.gateway.dialects.responses import Responses
from ringfence.gateway.responses_kept import KeptResponses
from ringfence.gateway.thinking.bounds import Bounds
from ringfence.routing.ruleset import NamedChain, Ruleset
from ringfence.store.responses import ResponseRows
from ringfence.testing.fake_engine import FakeEngine

T = TypeVar("T")
WITHIN_S = 30.0


class Site:
    """The loop stands still between examples."""

    def __init__(self, folder: Path) -> None:
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._engines: dict[tuple[str, str], FakeEngine] = {}
        self._gateway: Gateway
        self._desk: Desk
        self._kept: KeptResponses
        self._run(self._open(folder))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(asyncio.wait_for(work, WITHIN_S))

    async def _open(self, folder: Path) -> None:
        self._gateway = gateway = await self._stack.enter_async_context(Gateway(None))
        for seat in SEATS:
            for role in ("fast", "deep"):
                engine = await self._stack.enter_async_context(byte_engine(seat))
                self._engines[seat.name, role] = engine
                gateway.seats.elsewhere[_name(seat, role)] = engine.endpoint
        self._desk = await self._stack.enter_async_context(batched(gateway, folder))
        self._desk.running.settings = replace(self._desk.running.settings, quiet_s=0.0)
        self._kept = KeptResponses(gateway.pipeline, ResponseRows(self._desk.db, folder))
        gateway.front.routes |= dict.fromkeys(Responses.paths, Responses(self._kept))

    def close(self) -> None:
        self._run(self._kept.settled())
        self._run(self._stack.aclose())
        self._runner.close()

    # -- what is asked, and of whom -----------------------------------------------------------------------------------

    def seated(self, seat: Seat, window: int, overlong: Overlong) -> FakeEngine:
        """One target, of this engine, with this window."""
        engine, at = self._take(seat, "fast", window)
        catalog = Catalog.of([Model("fast", (at,))])
        self._gateway.pipeline.settings = Settings(catalog, _house(overlong), lease_wait_s=2.0)
        return engine

    def thinking(
        self, small: Seat, deep: Seat, windows: tuple[int, int], overlong: Overlong
    ) -> tuple[FakeEngine, FakeEngine]:
        """A model that answers, and one that thinks."""
        answers, fast = self._take(small, "fast", windows[0])
        thinks, far = self._take(deep, "deep", windows[1])
        catalog = Catalog.of([Model("fast", (fast,)), Model("deep", (far,))])
        rules = Ruleset((), {THINKS: NamedChain(("fast",))})
        self._gateway.pipeline.settings = Settings(
            catalog, _house(overlong), lease_wait_s=2.0, rules=rules, thinking=Bounds("fast", "deep")
        )
        return answers, thinks

    def _take(self, seat: Seat, role: str, window: int) -> tuple[FakeEngine, Target]:
        engine = self._engines[seat.name, role]
        sized(engine, window)
        engine.requests.clear()
        at = target(_name(seat, role), model=role, engine=seat.engine, window=window, may_cut=seat.cuts)
        return engine, at

    def ask(self, asked: Asked) -> Reply:
        return self._run(self._desk.client.ask(asked.path, asked.body))

    def batch(self, lines: list[Asked]) -> tuple[dict[int, Any], dict[int, Any]]:
        """The responses of lines that were answered and of those that were refused, by the number of the line."""
        return self._run(self._batch(lines))

    async def _batch(self, lines: list[Asked]) -> tuple[dict[int, Any], dict[int, Any]]:
        path = lines[0].path
        said = [
            {"custom_id": str(number), "method": "POST", "url": path, "body": asked.body}
            for number, asked in enumerate(lines)
        ]
        desk = self._desk
        batch = await desk.ended(await desk.begin(said, endpoint=path))
        assert (batch["status"], batch["request_counts"]["total"]) == ("completed", len(lines)), batch
        files = [await desk.content(batch[name]) for name in ("output_file_id", "error_file_id")]
        answered, refused = ({int(row["custom_id"]): row["response"] for row in rows} for rows in files)
        assert len(answered) + len(refused) == sum(map(len, files)), "a line is told of twice"
        return answered, refused


def _name(seat: Seat, role: str) -> str:
    return f"seat/{seat.name}/{role}"


def _house(overlong: Overlong) -> House:
    profile = Profile("default", Boundary.CLOUD, stores=True, overlong=overlong)
    return House({"default": profile}, {}, {})
