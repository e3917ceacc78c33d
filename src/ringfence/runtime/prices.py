"""What each rented model of a configuration costs: what it says itself, else what the table of prices does."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from time import time
from typing import Any

from ringfence.config.schema import Config
from ringfence.core.money import Price, Rates
from ringfence.store.db import Database
from ringfence.store.failure import StoreFailed

log = logging.getLogger("ringfence.runtime")
MOST_NAMED = 5
"""Models in one sentence."""


def prices_of(config: Config) -> dict[tuple[str, str], Price | None]:
    """By provider and the model's name there; None where nobody knows it."""
    found: dict[tuple[str, str], Price | None] = {}
    for name, model in config.models.items():
        if model.provider is None:
            continue
        told = model.provider_model or name
        if model.price is not None:
            found[model.provider, told] = model.price.price
        elif (model.provider, told) not in found:
            from ringfence.prices.table import table

            found[model.provider, told] = table().price(config.providers[model.provider].url, told)
    return found


def unpriced_in_words(config: Config) -> str | None:
    """For whoever starts or reloads: the rented models of whose price nobody knows; None where there is none."""
    prices = prices_of(config)
    names = [
        f"'{name}'" for name, model in config.models.items()
        if model.provider is not None and prices[model.provider, model.provider_model or name] is None
    ]  # fmt: skip
    if not names:
        return None
    more = len(names) - MOST_NAMED
    shown = ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    return (
        f"Nobody knows what {shown} cost{'s' if len(names) == 1 else ''}, so calls under a budget are refused there: "
        "say it at models.NAME.price. `ringfence prices` shows them all."
    )


async def record_prices(db: Database, config: Config) -> None:
    """Writes down what costs another sum than before. That it cannot be written stops nothing: the next start, or the
    next reload, tries again."""
    found = prices_of(config)
    if not found:
        return
    from ringfence.prices.shape import told_of
    from ringfence.store import prices

    now_s = time()
    rows = {
        at: (prices.UNKNOWN, None) if price is None else (price.source, json.dumps(told_of(price)))
        for at, price in found.items()
    }
    try:
        added = await db.run(lambda connection: prices.record(connection, now_s, rows))
    except StoreFailed as failed:
        log.warning("prices are not written down: %s", failed)
        return
    for row in added:
        log.info("the price of %s at %s, from now on: %s", row.model, row.provider, row.source or "unknown")


async def prices_then(
    db: Database, now: Mapping[tuple[str, str], Price]
) -> Callable[[str, str, float], Price | None]:  # fmt: skip
    """What a model of a provider cost at a moment, as it was written down; `now` has what it costs where nothing was.
    Raises StoreFailed."""
    from ringfence.store import prices

    known: dict[tuple[str, str], list[prices.PriceRow]] = {}
    for row in await db.run(prices.history):
        known.setdefault((row.provider, row.model), []).append(row)

    def price_at(provider: str, model: str, at_s: float) -> Price | None:
        row = prices.of_moment(known.get((provider, model), ()), at_s)
        return now.get((provider, model)) if row is None else _written(row.rates, row.source)

    return price_at


def _written(rates: str | None, source: str) -> Price | None:
    from ringfence.prices.shape import price_of

    try:
        return price_of(json.loads(rates), source) if rates is not None else None
    except (KeyError, TypeError, ValueError):  # of another version
        return None


def price_rows(config: Config, now_s: float) -> list[dict[str, Any]]:
    """For people and programs: each rented model, and its price now."""
    found = prices_of(config)
    rows: list[dict[str, Any]] = []
    for name, model in config.models.items():
        if model.provider is not None:
            told = model.provider_model or name
            price = found[model.provider, told]
            rows.append({"name": name, "provider": model.provider, "model": told} | price_row(price, now_s))
    return rows


def price_row(price: Price | None, now_s: float) -> dict[str, Any]:
    """Its source and what it is; amounts in micro-dollars, rates of them per million tokens."""
    if price is None:
        return {"known": False, "source": None, "now": None, "price": None}
    from ringfence.prices.shape import told_of

    now = price.at(now_s)
    return {
        "known": True,
        "source": price.source,
        "now": _rates(now.rates) | {"tiers": [{"above": above} | _rates(rates) for above, rates in now.tiers]},
        "price": told_of(price),
    }


def _rates(rates: Rates) -> dict[str, int]:
    return rates._asdict()
