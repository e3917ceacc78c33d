"""What the house has spent and holds, in a line."""

from __future__ import annotations

from typing import Any

from ringfence.core.money import dollars

NOT_WRITTEN = "the ledger cannot be written, so nothing is paid for"


def house_in_words(caps: list[dict[str, Any]]) -> str:
    """Of its caps, as the status tells them."""
    return "; ".join(
        f"{dollars(one['spent'])} spent and {dollars(one['held'])} held of {dollars(one['limit'])} a {one['period']}"
        for one in caps
        if one["scope"] == "house"
    )


def is_nearly_used_up(caps: list[dict[str, Any]]) -> bool:
    """Whether a cap of the house has come to its soft limit."""
    return any(one["is_soft"] for one in caps if one["scope"] == "house")
