"""What is told of parked requests to whoever runs the gateway: names and times, never any text of them."""

from __future__ import annotations

from time import time
from typing import Any

from ringfence.core.errors import NotFound
from ringfence.gateway.parking import Parking
from ringfence.routing.waiting import class_of
from ringfence.store import keys as keystore
from ringfence.store.db import Database
from ringfence.store.parked import Parked

ENDED_SHOWN = 20


class WhatWaits:
    """The queue, and what became of the last that left it."""

    def __init__(self, parking: Parking, db: Database) -> None:
        self._parking = parking
        self._db = db

    def count(self) -> dict[str, Any]:
        """How many wait, how many may, and what is wrong with those on disk."""
        parking = self._parking
        return {"waiting": len(parking.waiting), "most": parking.settings.most, "problem": parking.rows.problem}

    async def all(self) -> dict[str, Any]:
        """Those that are being served first, then in order, then the last that ended."""
        parking, names = self._parking, await self._key_names()
        waiting = [parking.kept[place.id].row for place in parking.waiting.places()]
        ended = await parking.rows.ended(ENDED_SHOWN)
        problem = parking.rows.problem
        return {
            "parked": [self._row(row, names) for row in (*waiting, *ended)],
            "most": parking.settings.most,
            "sealed": f"unreadable: {problem}" if problem else "ok",
        }

    async def one(self, parked_id: str) -> dict[str, Any]:
        """One that is parked, or was. Raises NotFound."""
        kept = self._parking.kept.get(parked_id)
        row = kept.row if kept is not None else await self._parking.rows.find(parked_id[:64])
        if row is None:
            raise NotFound(f"There is no parked request '{parked_id[:64]}'; `ringfence parked list` shows them.")
        return self._row(row, await self._key_names())

    async def cancel(self, parked_id: str) -> dict[str, Any]:
        """As it is afterwards; one that has ended already stays as it is."""
        self._parking.cancel(parked_id)
        await self._parking.endings.settled()
        return await self.one(parked_id)

    def _row(self, row: Parked, names: dict[str, str]) -> dict[str, Any]:
        shown = self._parking.outlook.shown(row)
        return {
            "id": row.id, "model": row.model, "profile": row.profile, "key": names.get(row.key_id, row.key_id),
            "class": class_of(row.urgency), "ticketed": row.ticketed, "state": shown["status"],
            "age_s": round(max(0.0, (row.ended_s or time()) - row.parked_s), 1), "position": shown["position"],
            "deadline_s": self._parking.outlook.left_s(row.id), "estimate_s": shown["estimate_s"],
        }  # fmt: skip

    async def _key_names(self) -> dict[str, str]:
        return {key.id: key.name for key in await self._db.run(keystore.all_keys)}
