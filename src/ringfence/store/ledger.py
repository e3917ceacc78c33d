"""What was used, by key, model and UTC day: counted in memory, written in batches. Numbers and names only, no text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, select, text

from ringfence.core.identity import Key
from ringfence.core.usage import Usage
from ringfence.store.db import Database
from ringfence.store.failure import StoreFailed
from ringfence.store.tables import usage as usage_table

DAY_S = 86400
MOST_PENDING = 10_000
MOST_TOKENS = 10**9
"""Per request. Engines are believed up to here; beyond, a broken one could overflow the columns."""
NO_ERRORS = frozenset(("ok", "client_gone", "parked", "cached", "joined"))
ANYONE = "*"

COUNTS = ("requests", "errors", "prompt_tokens", "completion_tokens", "cached_tokens")
ADD = text(
    f"INSERT INTO usage (key_id, model, day, {', '.join(COUNTS)})"  # noqa: S608 - constants of this file
    f" VALUES (:key_id, :model, :day, {', '.join(f':{count}' for count in COUNTS)})"
    " ON CONFLICT (key_id, model, day) DO UPDATE SET "
    + ", ".join(f"{count} = usage.{count} + excluded.{count}" for count in COUNTS)
)
"""The same words for SQLite and PostgreSQL: the dialects' own constructs would each load their dialect."""

Slot = tuple[str, str, int]
"""Key id, model, and days since the epoch."""


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What one key used of one model on one UTC day (YYYY-MM-DD). Key and model '*': all that was not told apart."""

    key_id: str
    model: str
    day: str
    requests: int
    errors: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int


class UsageLedger:
    """Adds up usage. `clock` is UTC seconds since the epoch; `on_failure` is told once when writing begins to fail.

    To be used from one event loop; call `flush` every few seconds and once at the end.
    """

    def __init__(
        self,
        db: Database,
        clock: Callable[[], float],
        on_failure: Callable[[StoreFailed], None] | None = None,
    ) -> None:
        self._db = db
        self._clock = clock
        self._on_failure = on_failure
        self._pending: dict[Slot, list[int]] = {}
        self._turn = asyncio.Lock()
        self._is_failing = False

    def __repr__(self) -> str:
        return f"<UsageLedger with {len(self._pending)} rows pending>"

    @property
    def pending(self) -> int:
        """Rows that are not written yet."""
        return len(self._pending)

    def record(self, key_id: str, model: str, target: str, outcome: str, usage: Usage) -> None:
        """Counts one answered call, in memory. `model` is a configured name, never what a caller sent.

        An outcome that is not in NO_ERRORS counts as an error. `target` is not kept yet.
        """
        slot = (key_id, model, int(self._clock() // DAY_S))
        counts = self._pending.get(slot) or self._slot(slot)
        counts[0] += 1
        if outcome not in NO_ERRORS:
            counts[1] += 1
        prompt, completion, cached, _ = usage
        counts[2] += prompt if 0 <= prompt <= MOST_TOKENS else _believed(prompt)
        counts[3] += completion if 0 <= completion <= MOST_TOKENS else _believed(completion)
        if cached:
            counts[4] += _believed(cached)

    async def flush(self) -> None:
        """Writes what is pending, in one transaction. What could not be written stays pending; never raises for it."""
        # Shielded: if the caller gives up, the batch is still either written or taken back, and not both.
        await asyncio.shield(asyncio.ensure_future(self._flush()))

    async def _flush(self) -> None:
        async with self._turn:
            batch, self._pending = self._pending, {}
            if not batch:
                return
            try:
                await self._db.run(lambda connection: _add(connection, batch))
            except StoreFailed as failure:
                self._take_back(batch)
                if not self._is_failing and self._on_failure is not None:
                    self._on_failure(failure)
                self._is_failing = True
            except BaseException:
                self._take_back(batch)
                raise
            else:
                self._is_failing = False

    def _take_back(self, batch: dict[Slot, list[int]]) -> None:
        for slot, amounts in batch.items():
            counts = self._slot(slot)
            for index, amount in enumerate(amounts):
                counts[index] += amount

    def _slot(self, slot: Slot) -> list[int]:
        """Where to count for `slot`. When memory is full: a row for anyone, so that the totals stay right."""
        counts = self._pending.get(slot)
        if counts is None:
            if len(self._pending) >= MOST_PENDING:
                slot = (ANYONE, ANYONE, slot[2])
            counts = self._pending.setdefault(slot, [0] * len(COUNTS))
        return counts


def totals(connection: Connection, since_day: str) -> list[UsageRow]:
    """What was written for `since_day` (YYYY-MM-DD, UTC) and later days: by day, then key, then model."""
    columns = usage_table.c
    wanted = select(usage_table).where(columns.day >= since_day).order_by(columns.day, columns.key_id, columns.model)
    return [UsageRow(**row._mapping) for row in connection.execute(wanted)]


def _add(connection: Connection, batch: dict[Slot, list[int]]) -> None:
    connection.execute(ADD, [_parameters(slot, counts) for slot, counts in batch.items()])


def _parameters(slot: Slot, counts: list[int]) -> dict[str, Any]:
    key_id, model, day = slot
    iso_day = datetime.fromtimestamp(day * DAY_S, UTC).date().isoformat()
    return {"key_id": key_id, "model": model, "day": iso_day, **dict(zip(COUNTS, counts, strict=True))}


def _believed(tokens: int) -> int:
    return max(0, min(tokens, MOST_TOKENS))


def with_usage(key: Key, rows: Iterable[UsageRow]) -> dict[str, Any]:
    """A key as people see it: its fields, and what it has used in all."""
    mine = [row for row in rows if row.key_id == key.id]
    return {
        **asdict(key),
        "requests": sum(row.requests for row in mine),
        "prompt_tokens": sum(row.prompt_tokens for row in mine),
        "completion_tokens": sum(row.completion_tokens for row in mine),
    }
