"""[pure] A price as JSON, as the table and the record of prices hold it, and back.

Rates are a list: input, output, read from a cache, written to it, written to it for an hour; what is left out at its
end is null, and null is as for `Rates.of`. What a price does not have is left out.
"""

from __future__ import annotations

from typing import Any

from ringfence.core.money import Hours, Price, Rates


def price_of(told: dict[str, Any], source: str = "") -> Price:
    """Raises KeyError, TypeError or ValueError where it is none."""
    return Price(
        Rates.of(*told["rates"]),
        tuple((above, Rates.of(*rates)) for above, rates in told.get("tiers", ())),
        told.get("batch_percent", 100),
        source,
        told.get("per_call", 0),
        price_of(told["batch"], source) if "batch" in told else None,
        price_of(told["media"], source) if "media" in told else None,
        tuple(Hours(start_s, end_s, price_of(one, source)) for start_s, end_s, one in told.get("hours", ())),
        tuple((since_s, price_of(one, source)) for since_s, one in told.get("later", ())),
    )


def told_of(price: Price) -> dict[str, Any]:
    """Without its source, and so that two that cost the same are the same."""
    told: dict[str, Any] = {"rates": list(price.rates)}
    if price.tiers:
        told["tiers"] = [[above, list(rates)] for above, rates in price.tiers]
    if price.batch_percent != 100:
        told["batch_percent"] = price.batch_percent
    if price.per_call:
        told["per_call"] = price.per_call
    if price.batch is not None:
        told["batch"] = told_of(price.batch)
    if price.media is not None:
        told["media"] = told_of(price.media)
    if price.hours:
        told["hours"] = [[one.start_s, one.end_s, told_of(one.price)] for one in price.hours]
    if price.later:
        told["later"] = [[since_s, told_of(one)] for since_s, one in price.later]
    return told
