"""What single calls cost, of what the ledger has."""

from __future__ import annotations

from sqlalchemy import Connection, select

from ringfence.store.tables import calls


def costs_of(connection: Connection, prefix: str) -> dict[str, int]:
    """Micro-dollars by the id of the call, for ids that begin so; what was asked within a call is part of it."""
    found: dict[str, int] = {}
    wanted = select(calls.c.id, calls.c.cost_usd_micros).where(calls.c.id.startswith(prefix, autoescape=True))
    for call_id, cost in connection.execute(wanted):
        whole = str(call_id).partition(".")[0]
        found[whole] = found.get(whole, 0) + int(cost or 0)
    return found
