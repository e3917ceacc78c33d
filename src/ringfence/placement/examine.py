"""Asking an adapter what answers, so that a fault of the adapter ends nobody's watch."""

from __future__ import annotations

from ringfence.core.ports import Engine, Fetch, Offer


async def examine(adapter: Engine, fetch: Fetch) -> tuple[Offer, ...] | None:
    """What the engine offers; None when it is not of this kind, or when its answers confuse the adapter."""
    try:
        offers = await adapter.examine(fetch)
    except Exception:  # adapters come from outside packages too, and engines answer anything
        return None
    return None if offers is None else tuple(offers)
