"""Calls of the ledger for people: a table."""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType
from rich.markup import escape
from rich.text import Text

from ringfence.cli.show import table
from ringfence.core.money import dollars

WELL = frozenset(("ok", "cached", "joined"))


def ledger_page(rows: list[dict[str, Any]]) -> RenderableType:
    """One line for each."""
    if not rows:
        return Text("No calls yet.")
    page = table("At (UTC)", "Key", "Profile", "Agent", "Model", "Answered by", "In", "Out", "Cost", "Seconds", "Ended")
    for row in rows:
        about = "~" if row["is_estimated"] else ""
        ended = escape(row["outcome"])
        page.add_row(
            row["at"][:19].replace("T", " "), escape(row["key"] or row["key_id"]), escape(row["profile"]),
            escape(row["agent"]) or "-", escape(row["model"]), escape(row["target"]) or "-",
            f"{about}{row['input_tokens']:,}", f"{about}{row['output_tokens']:,}", _cost(row["cost_usd_micros"]),
            f"{row['total_s']:.2f}", ended if row["outcome"] in WELL else f"[yellow]{ended}[/]",
        )  # fmt: skip
    return page


def _cost(usd_micros: int | None) -> str:
    if usd_micros is None:
        return "unknown"
    return dollars(usd_micros) if usd_micros else "-"
