"""What lines were answered, on its way to the disk: all that comes while one transaction is written is in the next."""

from __future__ import annotations

import asyncio
import logging

from ringfence.store.batches import Batch, BatchRows, Written
from ringfence.store.failure import StoreFailed

log = logging.getLogger("ringfence.batches")
RETRY_S = 1.0


class Writing:
    """One transaction at a time."""

    def __init__(self, rows: BatchRows) -> None:
        self._rows = rows
        self._due: list[tuple[Batch, Written, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def write(self, batch: Batch, written: Written) -> None:
        """On the disk when this returns: an answer is not made again for want of one, and waits here."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._due.append((batch, written, done))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._write(), name="write lines of batches")
        await done

    async def close(self) -> None:
        """What can be written is, and nothing is waited for."""
        task = self._task
        if task is not None and not task.done():
            await asyncio.wait([task], timeout=RETRY_S)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _write(self) -> None:
        while self._due:
            due, self._due = self._due, []
            for batch in {batch.id: batch for batch, _, _ in due}.values():
                theirs = [one for one in due if one[0].id == batch.id]
                try:
                    await self._rows.write(batch, [written for _, written, _ in theirs])
                except StoreFailed as failed:
                    log.error("answers to lines of batches cannot be written down, and are tried again: %s", failed)
                    self._due += theirs
                    await asyncio.sleep(RETRY_S)
                    continue
                for _, _, done in theirs:
                    if not done.done():
                        done.set_result(None)
