"""How parked requests ended, on its way to the disk: many in one transaction, and again where that failed."""

from __future__ import annotations

import asyncio
import logging

from ringfence.store.failure import StoreFailed
from ringfence.store.parked import Ending, ParkedRows

log = logging.getLogger("ringfence.parking")


class Endings:
    """Nobody waits for them, unless by `settled`."""

    def __init__(self, rows: ParkedRows) -> None:
        self._rows = rows
        self._due: list[Ending] = []
        self._writing: asyncio.Task[None] | None = None
        self._is_failing = False

    @property
    def is_busy(self) -> bool:
        """Something is being written down."""
        return self._writing is not None

    def add(self, ending: Ending) -> None:
        self._due.append(ending)
        if not self._is_failing:
            self.write()

    def write(self) -> None:
        """What is due, unless that is being done."""
        if self._due and self._writing is None:
            batch, self._due = self._due, []
            self._writing = asyncio.get_running_loop().create_task(self._write(batch))
            self._writing.add_done_callback(self._written)

    async def settled(self) -> None:
        """What ended until now is written down, or could not be."""
        for _ in range(2):  # what is being written, and what ended meanwhile
            if self._writing is not None:
                await asyncio.wait((self._writing,))

    async def _write(self, batch: list[Ending]) -> None:
        try:
            await self._rows.end_all(batch)
        except StoreFailed as failed:
            if not self._is_failing:
                log.error("how parked requests ended cannot be written down, and is tried again: %s", failed)
            self._is_failing = True
            self._due = batch + self._due
        else:
            self._is_failing = False

    def _written(self, task: asyncio.Task[None]) -> None:
        self._writing = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("how parked requests ended cannot be written down", exc_info=error)
        if not self._is_failing:
            self.write()
