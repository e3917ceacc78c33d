"""What the house has spent and holds, in a line."""

from __future__ import annotations

from typing import Any

from ringfence.core.money import dollars


def house_in_words(standings: list[dict[str, Any]]) -> str:
    """Of its caps; where there are none, of the longest period. Empty where nothing is rented."""
    told = [one for one in standings if one["limit_usd_micros"] is not None] or standings[-1:]
    return "; ".join(map(_in_words, told))


def is_nearly_used_up(standings: list[dict[str, Any]]) -> bool:
    """Whether any cap has come to its soft limit."""
    return any(
        100 * (one["spent_usd_micros"] + one["held_usd_micros"]) >= one["limit_usd_micros"] * one["soft_percent"]
        for one in standings
        if one["limit_usd_micros"] is not None
    )


def _in_words(one: dict[str, Any]) -> str:
    limit = one["limit_usd_micros"]
    spent = f"{dollars(one['spent_usd_micros'])} spent and {dollars(one['held_usd_micros'])} held"
    period = one["period"]
    return f"{spent} this {period}, no cap" if limit is None else f"{spent} of {dollars(limit)} a {period}"
