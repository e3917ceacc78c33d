"""A gateway whose batches may go to a rented cloud, as a batch of its own; it can be left as a kill leaves it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from batched import Desk
from composed import Gateway, target, until
from outgoing import KEY, Away, away, provider
from sqlalchemy import select

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.identity import Key
from ringfence.core.money import Budget, Period, Price, Rates
from ringfence.core.route import Profile
from ringfence.egress.client import egress_endpoint
from ringfence.gateway.batches.outside import Outside
from ringfence.gateway.batches.rented import Rented
from ringfence.gateway.batches.rented_ends import Ends
from ringfence.gateway.cloud import Cloud
from ringfence.gateway.line_money import LineMoney
from ringfence.gateway.money import MoneyRules
from ringfence.providers import openai
from ringfence.runtime.money import never_left, row_of
from ringfence.store.ledger import Ledger
from ringfence.store.provider_batches import ProviderBatchRows
from ringfence.store.tables import calls
from ringfence.telemetry.events import Answered
from ringfence.testing.fake_cloud import FakeCloud

MOST_TOKENS = 100
PRICE = Price(Rates.of(3_000_000, 15_000_000), batch_percent=50)
RENTED = Target(
    "rented/smart", "fast", "", "fake-large", Boundary.CLOUD, 100_000, 100, provider="rented"
)  # fmt: skip


class Yard(Desk):
    """The batches of one gateway, its purse and its ledger."""

    def __init__(self, gateway: Gateway, folder: Path) -> None:
        super().__init__(gateway, folder)
        pipeline = gateway.pipeline
        self.ledger = Ledger(self.db)
        pipeline.money.rows = self.ledger
        pipeline.emit = self._emit
        self.money = LineMoney(pipeline.money, self.ledger.flush)
        endpoint = egress_endpoint(folder / "egress.sock")
        self.outside = Outside(gateway.pool, endpoint, lambda: gateway.relay.timeouts)
        ends = Ends(pipeline, self.running.rows, self.money, self.outside, gateway.front.routes, self._key_of)
        self.rows = ProviderBatchRows(self.db)
        left = partial(never_left, folder / "journal")
        self.rented = self.running.rented = Rented(
            pipeline, self.rows, self.money, self.outside, ends, left, self.wall
        )  # fmt: skip
        self.rented.look_every_s = 0.02

    def _emit(self, event: object) -> None:
        self.gateway.events.emit(event)
        if isinstance(event, Answered):
            self.ledger.record(row_of(event))

    async def restore(self) -> None:
        """As a start does."""
        open_ = await self.rented.read()
        purse = self.gateway.pipeline.money
        await purse.restore(lambda _holds: set(), self._key_of, open_)
        prices = purse.rules.prices
        await self.rented.restore(self._key_of, lambda provider, model, _at_s: prices.get((provider, model)))
        await self.running.restore()

    def house(self) -> tuple[int, int]:
        """Spent and held of the month."""
        found = [one for one in self.gateway.pipeline.money.standings({}) if one.scope.kind == "house"]
        return next(((one.spent, one.held) for one in found if one.period is Period.MONTH), (0, 0))

    async def settled(self) -> list[tuple[str, int]]:
        """Outcome and cost of each paid row, once nothing is held, in memory or on the disk."""
        await until(lambda: not self.rented.open and not self.money.held)
        await self.ledger.flush()
        assert await self.ledger.holds() == [] and await self.rows.open() == []
        query = select(calls.c.outcome, calls.c.cost_usd_micros).where(calls.c.provider == "rented")
        rows = [(row[0], row[1]) for row in self.db.call(lambda connection: connection.execute(query).all())]
        assert self.house() == (sum(cost for _, cost in rows), 0)
        return rows

    async def estimated(self) -> list[bool]:
        """Of each paid row, whether nobody reported its tokens."""
        query = select(calls.c.is_estimated).where(calls.c.provider == "rented")
        return [bool(row[0]) for row in self.db.call(lambda connection: connection.execute(query).all())]


class Place:
    """What outlives a gateway: the cloud, the egress process and the folder."""

    def __init__(self, folder: Path, cloud: FakeCloud, outside: Away) -> None:
        self.folder, self.cloud, self.outside = folder, cloud, outside

    @asynccontextmanager
    async def gateway(self, *targets: Target, budget: Budget | None = None, engine: Any = None) -> AsyncIterator[Yard]:
        """Left as by a kill: nothing is written down on the way out."""
        key = Key("key_1", "tests", budget=budget) if budget is not None else Key("key_1", "tests")
        endpoint = egress_endpoint(self.folder / "egress.sock")
        profile = Profile("default", Boundary.CLOUD)
        async with Gateway(endpoint, targets=targets or (RENTED,), key=key, profile=profile) as gateway:
            if engine is not None:
                gateway.seats.elsewhere["seat/fast"] = engine
            gateway.relay.clouds["rented"] = Cloud(openai.ADAPTER, self.cloud.url, MOST_TOKENS, has_batches=True)
            gateway.pipeline.money.rules = MoneyRules(prices={("rented", "fake-large"): PRICE})
            yard = Yard(gateway, self.folder)
            yard.client = await gateway.client()
            yard.running.settings = yard.running.settings.__class__(quiet_s=0)
            await yard.restore()
            ticking = asyncio.create_task(yard._tick())
            try:
                yield yard
            finally:
                ticking.cancel()
                await yard.running.close()
                yard.client.leave()
                yard.db.close()

    @property
    def batches(self) -> list[dict[str, Any]]:
        """As the cloud has them."""
        return list(self.cloud.batches.batches.values())

    def asked(self) -> Counter[str]:
        """How often each path of the cloud was asked for what costs money."""
        paths = Counter(one.path for one in self.cloud.requests)
        return Counter({path: count for path, count in paths.items() if path.endswith(("/completions", "/batches"))})


@asynccontextmanager
async def place(folder: Path, **told: Any) -> AsyncIterator[Place]:
    async with (
        FakeCloud(api_key=KEY, models=("fake-large",), window=100_000) as cloud,
        away(folder, provider(cloud.url, **({"batch": True, "max_tokens": MOST_TOKENS} | told))) as outside,
    ):
        yield Place(folder, cloud, outside)


def cost(usage: dict[str, int], percent: int = 50) -> int:
    """By hand, in micro-dollars."""
    whole = -(-(usage["prompt_tokens"] * 3 * 10**6 + usage["completion_tokens"] * 15 * 10**6) // 10**6)
    return -(-whole * percent // 100)


def local(**changes: Any) -> Target:
    return target(**changes)


def said(rows: list[dict[str, Any]]) -> list[str]:
    return [json.dumps(row["response"]["body"]["choices"]) for row in rows]
