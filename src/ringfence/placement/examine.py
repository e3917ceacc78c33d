"""Asking an adapter what answers, so that a fault of it ends nobody's watch; and finding out what it cannot tell."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Endpoint
from ringfence.core.ports import Engine, Fetch, Offer
from ringfence.engines import ollama
from ringfence.engines.llamacpp import ADAPTER as LLAMA
from ringfence.engines.llamacpp import shares_context, started_with_peers
from ringfence.placement.listener import listeners
from ringfence.placement.way_out import WayOut


async def examine(
    adapter: Engine, fetch: Fetch, at: Endpoint | None = None, others: Sequence[Engine] = ()
) -> tuple[Offer, ...] | None:
    """What the engine offers; None when it is not of this kind, or when its answers confuse the adapter.

    Of whatever kind it is said to be: an Ollama is asked what an Ollama is asked, and where one of `others` knows the
    engine, what that one says of where its models reach counts too. With `at`, where somebody else runs it, a llama.cpp
    of this machine that computes on others, or whose slots share one context, is recognised by how it was started.
    """
    try:
        offers = await adapter.examine(fetch)
        if not offers or isinstance(adapter, WayOut):
            return None if offers is None else tuple(offers)
        if adapter.kind != ollama.ADAPTER.kind:
            offers = await ollama.judged(offers, fetch)
        away = {name for other in others for name in await _away_by(other, fetch)}
        if at is not None and at.boundary is Boundary.HOST:
            started = await asyncio.to_thread(listeners, at.port)
            if any(started_with_peers(one.arguments, one.environment) for one in started):
                away = {offer.engine_model for offer in offers}
            if adapter.kind == LLAMA.kind and any(shares_context(one.arguments, one.environment) for one in started):
                offers = [replace(offer, shares_window=(offer.slots or 1) > 1) for offer in offers]
        offers = [replace(offer, reaches_cloud=True) if offer.engine_model in away else offer for offer in offers]
    except Exception:  # adapters come from outside packages too, and engines answer anything
        return None
    return tuple(offers)


async def _away_by(other: Engine, fetch: Fetch) -> list[str]:
    """Models that this adapter would say reach the cloud; none when it does not know the engine."""
    try:
        return [offer.engine_model for offer in await other.examine(fetch) or () if offer.reaches_cloud]
    except Exception:  # as above
        return []
