"""Parked requests for people: a table, one of them, what became of one."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from ringfence.cli.show import parked_line, span, table

NOTHING = "Nothing is parked."
NOTHING_MORE = "Nothing is parked any more."
STATES = {"serving": "cyan", "done": "green", "failed": "red", "unreadable": "red"}


def parked_page(found: dict[str, Any]) -> RenderableType:
    """The whole queue."""
    rows = found["parked"]
    parts: list[RenderableType] = []
    if rows:
        parts.append(_table(rows))
    queued = sum(row["position"] is not None for row in rows)
    nothing = NOTHING_MORE if rows else NOTHING
    parts.append(Text(f"{parked_line(queued)}, of at most {found['most']:,}." if queued else nothing))
    if found["sealed"] != "ok":
        parts.append(Text(f"What was parked before cannot be read: {_reason(found['sealed'])}", style="red"))
    return Group(*parts)


def parked_one_page(row: dict[str, Any]) -> RenderableType:
    """All that is known of one."""
    lines = [
        f"Parked request {row['id']} is {_words(row['state'])}",
        f"Model     {row['model']}",
        f"Profile   {row['profile']}",
        f"Key       {row['key']}",
        f"Class     {row['class']}",
        f"Ticket    {'yes: it goes on when its caller leaves' if row['ticketed'] else 'no: its caller waits'}",
        f"Waited    {span(row['age_s'])}" if row["deadline_s"] is None else f"Parked    {span(row['age_s'])} ago",
        f"Position  {row['position'] or 'not in the queue'}",
        f"Served    {_estimate(row)}",
        f"Deadline  {_left(row)}",
    ]
    return Text("\n".join(lines))


def cancelled_page(row: dict[str, Any]) -> RenderableType:
    """What became of one that was to be cancelled."""
    if row["state"] == "cancelled":
        return Text(f"Parked request {row['id']} is cancelled.")
    return Text(f"Parked request {row['id']} could not be cancelled: it is {_words(row['state'])}.")


def _table(rows: list[dict[str, Any]]) -> RenderableType:
    """Two lines for each: so an id stands in one piece in a terminal of 80 columns."""
    shown = table("#", "Request\nfor whom", "State\nage", "Deadline\nserved")
    shown.columns[2].no_wrap = True
    shown.columns[1].min_width = max(len(row["id"]) for row in rows)  # one that is cut off names nothing
    for row in rows:
        colour = STATES.get(row["state"])
        state = f"[{colour}]{_words(row['state'])}[/]" if colour else _words(row["state"])
        whose = f"{row['model']} for {row['key']}, {row['profile']}, {row['class']}" + ", ticket" * row["ticketed"]
        served = f"~ {span(row['estimate_s'])}" if row["estimate_s"] is not None else ""
        shown.add_row(
            str(row["position"] or "-"), f"{row['id']}\n[dim]{escape(whose)}[/]", f"{state}\n{span(row['age_s'])}",
            f"{_left(row)}\n{served}",
        )  # fmt: skip
    return shown


def _left(row: dict[str, Any]) -> str:
    return "-" if row["deadline_s"] is None else f"in {span(row['deadline_s'])}"


def _estimate(row: dict[str, Any]) -> str:
    return "-" if row["estimate_s"] is None else f"in about {span(row['estimate_s'])}"


def _words(state: str) -> str:
    return state.replace("_", " ")


def _reason(sealed: str) -> str:
    return sealed.removeprefix("unreadable: ")
