"""A gateway with real HTTP, a real egress process and a real ledger, before a rented cloud that counts its words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from composed import Gateway
from outgoing import KEY, Away, away, provider

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability, Target
from ringfence.core.identity import Key
from ringfence.core.money import Budget, Price, Rates
from ringfence.core.ports import Provider
from ringfence.core.route import Profile
from ringfence.egress.client import egress_endpoint
from ringfence.gateway.cloud import Cloud
from ringfence.gateway.money import MoneyRules
from ringfence.providers import openai
from ringfence.runtime.money import row_of
from ringfence.store.db import Database
from ringfence.store.ledger import Ledger
from ringfence.telemetry.events import Answered
from ringfence.testing.fake_cloud import Asked, Conduct, FakeCloud
from ringfence.testing.fake_cloud_answers import Saying

MOST_TOKENS = 8
A_CALL, CAP = 120_000, 450_000
"""In micro-dollars: a call says eight words at 1.5 cents each, and three such fit into $0.45."""
PRICE = Price(Rates.of(0, A_CALL // MOST_TOKENS * 1_000_000))
CAPPED = Key("key_1", "tests", budget=Budget(month=CAP))
WORDS = tuple(f" word{number}" for number in range(MOST_TOKENS))


class DearCloud(FakeCloud):
    """Answers when `gate` is open, and counts the words that it wants money for. Also completes and embeds."""

    def __init__(self, **told: Any) -> None:
        super().__init__(api_key=KEY, **told)
        self.gate = asyncio.Event()
        self.gate.set()
        self.says = Saying(WORDS)
        self.words = self.read = 0

    async def _answer(self, asked: Asked, reader: Any, writer: Any) -> bool:
        await self.gate.wait()
        body: Any = asked.body
        is_plain = not self._next and self.always == Conduct()
        if is_plain and asked.path.endswith("/completions") and "prompt" in body:
            self.words += MOST_TOKENS
            choice = {"index": 0, "text": "".join(WORDS), "finish_reason": "stop", "logprobs": None}
            usage = {"prompt_tokens": 3, "completion_tokens": MOST_TOKENS, "total_tokens": MOST_TOKENS + 3}
            self._tell(writer, {"object": "text_completion", "model": "m", "choices": [choice], "usage": usage})
            return True
        if is_plain and asked.path.endswith("/embeddings"):
            self.read += len(body["input"])
            usage = {"prompt_tokens": len(body["input"]), "total_tokens": len(body["input"])}
            data = [{"object": "embedding", "index": 0, "embedding": [0.5]}]
            self._tell(writer, {"object": "list", "model": "m", "data": data, "usage": usage})
            return True
        if is_plain:
            self.words += MOST_TOKENS
        return await super()._answer(asked, reader, writer)

    def _tell(self, writer: Any, body: Any) -> None:
        data = json.dumps(body | {"id": "1", "created": 1}).encode()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(data)
        writer.write(head + data)


@dataclass
class Spending:
    gateway: Gateway
    cloud: DearCloud
    outside: Away
    ledger: Ledger
    db: Database

    async def rows(self) -> list[Any]:
        """(hold, cost, outcome) of each row, once all that is pending is written."""
        await self.ledger.flush()
        return await self.db.run(lambda connection: [
            tuple(row) for row in connection.exec_driver_sql("SELECT hold_id, cost_usd_micros, outcome FROM calls")
        ])  # fmt: skip

    async def holds(self) -> list[int]:
        return [hold.usd_micros for hold in await self.ledger.holds()]

    def house(self) -> tuple[int, int]:
        """Spent and held this month, by the purse."""
        found = [one for one in self.gateway.pipeline.money.standings({}) if one.scope.kind == "house"]
        return next(((one.spent, one.held) for one in found if one.period.value == "month"), (0, 0))

    async def ask(self, path: str, body: Any, head: bytes = b"") -> tuple[int, dict[str, str], bytes]:
        client = await self.gateway.client()
        try:
            reply = await client.ask(path, body, head=head)
            return reply.status, reply.head, reply.body
        finally:
            client.leave()

    async def settled(self) -> tuple[int, list[Any]]:
        """What is spent and the rows, once nothing runs and nothing is held, in memory or on the disk."""
        await self.gateway.assert_at_rest()
        rows = await self.rows()
        await self.ledger.flush()
        spent, held = self.house()
        assert held == 0
        assert await self.holds() == []
        paid = [row for row in rows if row[0] is not None]
        assert spent == sum(row[1] for row in rows)
        assert len({row[0] for row in paid}) == len(paid)
        return spent, paid


def rented(**changes: Any) -> Target:
    told: dict[str, Any] = {
        "name": "rented/smart", "model": "fast", "engine": "", "engine_model": "fake-large",
        "boundary": Boundary.CLOUD, "window": 100_000, "slots": 1000, "abilities": frozenset(Ability),
        "provider": "rented",
    }  # fmt: skip
    return Target(**(told | changes))


@asynccontextmanager
async def spending(
    folder: Path, key: Key = CAPPED, price: Price = PRICE, targets: tuple[Target, ...] = (rented(),),
    max_tokens: int = MOST_TOKENS, adapter: Provider = openai.ADAPTER, **told: Any,
) -> AsyncIterator[Spending]:  # fmt: skip
    """`key` may spend as much as it says, and the house has no cap. What the cloud says by itself is in OpenAI's
    dialect, whatever the `adapter`."""
    database = Database(folder / "ringfence.db")
    database.migrate()
    ledger = Ledger(database)
    profile = Profile("default", Boundary.CLOUD)
    async with (
        DearCloud(window=100_000, models=("fake-large",)) as cloud,
        away(
            folder, provider(cloud.url, dialect=adapter.kind, max_tokens=max_tokens, calls_per_day=100_000)
        ) as outside,
        Gateway(
            egress_endpoint(folder / "egress.sock"), targets=targets, key=key, profile=profile, queue=1000, **told
        ) as gateway,
    ):

        def emit(event: object) -> None:
            gateway.events.emit(event)
            if isinstance(event, Answered):
                ledger.record(row_of(event))

        gateway.pipeline.emit = emit
        gateway.relay.clouds["rented"] = Cloud(adapter, cloud.url, max_tokens)
        purse = gateway.pipeline.money
        purse.rows, purse.rules = ledger, MoneyRules(prices={("rented", "fake-large"): price})
        try:
            yield Spending(gateway, cloud, outside, ledger, database)
        finally:
            cloud.gate.set()
            await ledger.flush()
    database.close()
