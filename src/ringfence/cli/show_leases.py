"""Leases for people: a table, and the line that says why one waits."""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType
from rich.markup import escape
from rich.text import Text

from ringfence.cli.show import size, span, table

NOTHING = "Nobody else has a lease."
COLOURS = {"held": "green", "asked": "cyan", "recalled": "yellow"}


def leases_page(found: dict[str, Any]) -> RenderableType:
    """Every lease, some lines for each: so names stand in one piece in a terminal of 80 columns."""
    if not found["leases"]:
        return Text(NOTHING)
    shown = table("Lease\nwhose, of what", "Memory\nseen", "State\nage", "Ends")
    shown.columns[0].min_width = max(len(row[name]) for row in found["leases"] for name in ("id", "device"))
    for row in found["leases"]:
        pid = f", pid {row['pid']}" if row["pid"] is not None else ""
        whose = f"{row['tenant']}{pid}, place {row['priority']}"
        reason = f"\n{escape(why(row))}" if why(row) else ""
        shown.add_row(
            f"{row['id']}\n[dim]{escape(whose)}\n{escape(row['device'])}[/]{reason}",
            f"{size(row['bytes'])}\n{size(row['used_bytes'])}",
            f"[{COLOURS[row['phase']]}]{row['phase']}[/]\n{span(row['age_s'])}",
            "with pid" if row["pid"] is not None else f"in {span(row['expires_s'])}",
        )
    return shown


def why(row: dict[str, Any]) -> str:
    """What was last said of it, and when its turn is likely to come."""
    about = f", in about {span(row['estimate_s'])}" if row["estimate_s"] is not None else ""
    return f"{row['reason']}{about}".removeprefix(", ")
