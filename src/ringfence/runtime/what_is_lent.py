"""Leases for whoever asks over the control API, and kept over a restart."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from time import monotonic
from typing import Any

from ringfence.core.errors import NotFound
from ringfence.core.ports import Clock
from ringfence.placement.planning import LeasePhase
from ringfence.placement.tenants import Lease, Opens, Tenants
from ringfence.store.db import Database
from ringfence.store.failure import StoreFailed
from ringfence.store.leases import KeptLease, LeaseRows

log = logging.getLogger("ringfence.tenants")


class WhatIsLent:
    """The book of leases as JSON-able values. `opens` tells when a tenant may have memory, None for always."""

    def __init__(
        self, tenants: Tenants, clock: Clock = monotonic, opens: Callable[[str], Opens | None] = lambda _tenant: None
    ) -> None:
        self._tenants = tenants
        self._clock = clock
        self._opens = opens
        self._news = asyncio.Event()
        tenants.listeners.append(self._wake)

    def all(self) -> dict[str, Any]:
        """Every lease, oldest first."""
        leases = self._tenants.all()
        used = self._tenants.used()
        return {"leases": [self._row(one, used.get(one.id, 0)) for one in leases]}

    async def ask(self, fields: dict[str, Any]) -> dict[str, Any]:
        """A new one, once it is held or `wait_s` are over; while it is waited for, its tenant lives."""
        asked = self._tenants.ask(
            fields["tenant"], fields["device"], fields["memory"], fields["priority"], fields["ttl_s"], fields["pid"],
            self._opens(fields["tenant"]),
        )  # fmt: skip
        until_s = self._clock() + fields["wait_s"]
        while (lease := self._tenants.beat(asked.id)) is not None and lease.phase is LeasePhase.ASKED:
            left_s = min(until_s - self._clock(), lease.ttl_s / 2)
            if left_s <= 0:
                break
            news = self._news
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), left_s)
        return self._known(asked.id, lease)

    def keep(self, lease_id: str) -> dict[str, Any]:
        """As it is. Raises NotFound."""
        return self._known(lease_id, self._tenants.beat(lease_id))

    def end(self, lease_id: str) -> dict[str, Any]:
        """As it was last. Raises NotFound."""
        used = self._tenants.used().get(lease_id, 0)
        lease = self._tenants.end(lease_id)
        if lease is None:
            raise _unknown(lease_id)
        return self._row(lease, used)

    def _known(self, lease_id: str, lease: Lease | None) -> dict[str, Any]:
        if lease is None:
            raise _unknown(lease_id)
        return self._row(lease, self._tenants.used().get(lease_id, 0))

    def _row(self, lease: Lease, used_bytes: int) -> dict[str, Any]:
        now_s = self._clock()
        expected_s = lease.expected_s
        return {
            "id": lease.id, "tenant": lease.tenant, "device": lease.device, "bytes": lease.leased_bytes,
            "used_bytes": used_bytes, "priority": lease.priority, "phase": lease.phase.value,
            "age_s": round(max(0.0, now_s - lease.asked_s), 1), "expires_s": round(max(0.0, lease.until_s - now_s), 1),
            "pid": lease.owner.pid if lease.owner is not None else None, "reason": lease.reason,
            "estimate_s": None if expected_s is None else round(max(0.0, expected_s - now_s), 1),
        }  # fmt: skip

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


class KeptLeases:
    """Writes what is held whenever that changes, and reads it once at the start."""

    def __init__(self, tenants: Tenants, db: Database) -> None:
        self._tenants = tenants
        self._rows = LeaseRows(db)
        self._written: list[KeptLease] = []
        self._writing: asyncio.Task[None] | None = None

    async def restore(self) -> None:
        """What was held when the gateway ended is held. Before anything is planned. Raises StoreFailed."""
        self._written = await self._rows.all()
        self._tenants.restore(self._written)
        self._tenants.listeners.append(self._note)
        self._note()

    async def close(self) -> None:
        """Once all of it is written."""
        if self._writing is not None:
            await self._writing

    def _note(self) -> None:
        if (self._writing is None or self._writing.done()) and self._tenants.kept() != self._written:
            self._writing = asyncio.get_running_loop().create_task(self._write(), name="write leases")

    async def _write(self) -> None:
        while (kept := self._tenants.kept()) != self._written:
            try:
                await self._rows.replace(kept)
            except StoreFailed as failed:
                log.warning("leases would not outlive a restart: %s", failed)
                return
            self._written = kept


def _unknown(lease_id: str) -> NotFound:
    return NotFound(f"There is no lease '{lease_id[:64]}': it ended, or never was. Ask for another.")
