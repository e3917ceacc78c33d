"""Batches for people: a table, and one of them."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from ringfence.cli.show import span, table

COLOURS = {"in_progress": "cyan", "completed": "green", "failed": "red", "expired": "red"}


def batches_page(found: dict[str, Any]) -> RenderableType:
    """All of them."""
    rows = found["batches"]
    if not rows:
        return Text("There are no batches.")
    shown = table("Batch\nfor whom", "State\nage", "Lines\nleft")
    shown.columns[0].min_width = max(len(row["id"]) for row in rows)  # one that is cut off names nothing
    for row in rows:
        state = row["status"].replace("_", " ")
        colour = COLOURS.get(row["status"])
        shown.add_row(
            f"{row['id']}\n[dim]{escape(row['key'])}, {escape(row['profile'])}[/]",
            f"[{colour}]{state}[/]\n{span(row['age_s'])}" if colour else f"{state}\n{span(row['age_s'])}",
            f"{_lines(row)}\n{_left(row)}",
        )
    return Group(shown, Text(f"{found['running']} lines are under way."))


def batch_page(row: dict[str, Any]) -> RenderableType:
    """All that is known of one."""
    lines = [
        f"Batch {row['id']} is {row['status'].replace('_', ' ')}",
        f"Endpoint  {row['endpoint']}",
        f"Profile   {row['profile']}",
        f"Key       {row['key']}",
        f"Lines     {_lines(row)}",
        f"Age       {span(row['age_s'])}",
        f"Left      {_left(row)}",
    ]
    if row["not_before_s"] is not None:
        lines.append(f"Begins in {span(row['not_before_s'])} at the earliest")
    for each in row["errors"]:
        lines.append(f"Line {each['line']}: {each['message']}" if each["line"] else each["message"])
    return Text("\n".join(lines))


def _lines(row: dict[str, Any]) -> str:
    failed = f", {row['failed']:,} refused" if row["failed"] else ""
    return f"{row['completed']:,} of {row['total']:,} answered{failed}"


def _left(row: dict[str, Any]) -> str:
    return "-" if row["left_s"] is None else span(row["left_s"])
