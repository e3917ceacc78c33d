"""Money for people: what is spent, held and saved, and what it would cost elsewhere."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ringfence.cli.show import table
from ringfence.cli.words import plural
from ringfence.core.money import dollars
from ringfence.costs.assumptions import Assumptions
from ringfence.costs.whatif import WhatIf, bill_rows, volume_rows
from ringfence.costs.words import electricity, kwh, percent, rounded, tokens_in_words

SINCE = {"today": "today", "week": "this week", "month": "this month"}


def cost_page(found: dict[str, Any]) -> RenderableType:
    """All of it at a glance."""
    month, held = found["month"], found["held"]
    lines = [_line("Today", found["today"]), _line("This month", month)]
    if "chosen" in found and found["since"] != "today":
        lines.append(_line(_since(found["since"]).capitalize(), found["chosen"]))
    if held["holds"]:
        lines.append(f"Held        {dollars(held['usd_micros'])} for {plural(held['holds'], 'call')} under way")
    if month["calls"]:
        lines += _saved(month, found["against"])
    lines += _electricity(month, found["usd_per_kwh"])
    if month["unpriced_calls"]:
        calls = plural(month["unpriced_calls"], "call")
        lines.append(f"[yellow]Of {calls} this month nobody knows the price: they are not in these figures.[/]")
    if not any(day["calls"] for day in found["days"]):
        lines.append(f"[dim]There was no call in the last {plural(len(found['days']), 'day')}.[/]")
    else:
        first, last = found["days"][0]["day"], found["days"][-1]["day"]
        most = max(day["cost_usd_micros"] for day in found["days"])
        most_tokens = max(day["local_tokens"] + day["cloud_tokens"] for day in found["days"])
        lines += [
            f"Spent       [cyan]{found['sparkline']}[/]  [dim]at most {rounded(most)} a day, {first} to {last}[/]",
            f"Tokens      [cyan]{found['tokens_sparkline']}[/]  [dim]at most {tokens_in_words(most_tokens)} a day[/]",
        ]
    parts: list[RenderableType] = [Text.from_markup("\n".join(lines)), *_caps(found["caps"], found["call_caps"] or [])]
    if "parts" in found:
        parts += [Text(f"Calls {_since(found['since'])}, by {found['by']}:", style="bold"), _parts(found)]
    return Group(*parts, Text(f"Days and months begin by the clocks of {found['zone']}.", style="dim"))


def whatif_page(found: WhatIf, assumptions: Assumptions) -> RenderableType:
    """Scenarios side by side, what follows, and where it turns."""
    names = found.names
    rows = table("Scenario", "Rented", "Power", "Hire", "Hardware", "Cost", "Saved", "Later", "Saved", "Local")
    _to_the_right(rows)
    for one, cells in zip(found.bills, bill_rows(found), strict=True):
        rows.add_row(escape(one.scenario), *cells)
    volumes = table("Tokens a day", *(escape(name) for name in names))
    _to_the_right(volumes)
    for volume, cells in volume_rows(assumptions, names):
        volumes.add_row(volume, *cells)
    later = "Hardware is what it loses in worth in that time; Later is the cost once it is paid for."
    months = "A month at other volumes; in brackets once the hardware is paid for; × how many machines are cheapest:"
    return Group(
        Text(f"{found.words}.", style="bold"), rows, Text(later, style="dim"), _list(found.findings),
        Text(months, style="bold"), volumes, _list([one.words for one in found.inflections]),
        Text("All of this is as good as what is supposed: ringfence cost whatif --print-assumptions", style="dim"),
    )  # fmt: skip


def _since(since: str) -> str:
    """A day is one since which, and 30d are the last ones."""
    return SINCE.get(since, f"since {since}" if "-" in since else f"in the last {since}")


def _line(words: str, sums: dict[str, Any]) -> str:
    worked = sums["local_tokens"] + sums["cloud_tokens"]
    share = f", {percent(sums['local_tokens'], worked)} of them local" if worked else ""
    kept = f", {tokens_in_words(sums['kept_tokens'])} more from kept answers" if sums["kept_tokens"] else ""
    return (
        f"{words:<11} [bold]{dollars(sums['cost_usd_micros'])}[/]  {plural(sums['calls'], 'call')}, "
        f"{tokens_in_words(worked)} tokens{share}{kept}"
    )


def _saved(month: dict[str, Any], against: dict[str, Any]) -> list[str]:
    saved, elsewhere = month["saved_usd_micros"], month["elsewhere_usd_micros"]
    return [
        f"Saved       {dollars(saved)} this month ({percent(saved, elsewhere)}) against {dollars(elsewhere)} at "
        f"{against['scenario']}",
        f"            [dim]{against['price']}; electricity and hardware not counted[/]",
    ]


def _electricity(month: dict[str, Any], usd_per_kwh: float | None) -> list[str]:
    """Of own engines: what is known of it, and what there is to be said so that more is."""
    energy_j = month["energy_j"]
    if not month["local_tokens"] and not energy_j:
        return []
    if not energy_j:
        return ["Electricity [dim]not known: say what your machines draw at money.watts[/]"]
    if usd_per_kwh is None:
        return [f"Electricity {kwh(energy_j)} this month [dim]at own engines; money.usd_per_kwh says what it costs[/]"]
    return [
        f"Electricity {rounded(month['electricity_usd_micros'])} this month "
        f"[dim]at own engines: {kwh(energy_j)} at ${usd_per_kwh:g}, an estimate; no cap counts it[/]"
    ]


def _caps(caps: list[dict[str, Any]] | None, call_caps: list[dict[str, Any]]) -> list[RenderableType]:
    if caps is None:
        return [Text("Caps are not shown: no gateway runs with this configuration (ringfence up).", style="dim")]
    shown = table("Whose", "Cap", "Spent", "Held", "Left")
    for one in caps:
        limit = one["limit_usd_micros"]
        if limit is None:
            continue
        used = one["spent_usd_micros"] + one["held_usd_micros"]
        colour = "red" if used >= limit else "yellow" if used * 100 >= limit * one["soft_percent"] else "green"
        shown.add_row(
            _whose(one), f"{dollars(limit)} a {one['period']}", dollars(one["spent_usd_micros"]),
            dollars(one["held_usd_micros"]), f"[{colour}]{dollars(max(0, limit - used))}[/]",
        )  # fmt: skip
    for one in call_caps:
        shown.add_row(_whose(one), f"{dollars(one['limit_usd_micros'])} a call", "", "", "")
    _to_the_right(shown)
    return [shown] if shown.row_count else [Text("Nothing is capped.", style="dim")]


def _whose(cap: dict[str, Any]) -> str:
    return escape(" ".join(word for word in (cap["scope"], cap["label"]) if word))


def _parts(found: dict[str, Any]) -> RenderableType:
    if not found["parts"]:
        return Text(f"No calls {_since(found['since'])}.", style="dim")
    is_metered = any(row["energy_j"] for row in found["parts"])
    head = ("Calls", "Local tokens", "Cloud tokens", "Kept", "Paid")
    shown = table(found["by"].capitalize(), *head, *(["Electricity"] if is_metered else []))
    _to_the_right(shown)
    for row in found["parts"]:
        paid = dollars(row["cost_usd_micros"]) + (" + ?" if row["unpriced_calls"] else "")
        shown.add_row(
            escape(row["label"] or "(none)"), f"{row['calls']:,}", f"{row['local_tokens']:,}",
            f"{row['cloud_tokens']:,}", f"{row['kept_tokens']:,}", paid,
            *([electricity(row["energy_j"], found["usd_per_kwh"])] if is_metered else []),
        )  # fmt: skip
    return shown


def _to_the_right(rows: Table) -> None:
    for column in rows.columns[1:]:
        column.justify = "right"


def _list(lines: Any) -> RenderableType:
    return Padding(Text("\n".join(f"- {line}" for line in lines)), (0, 0, 1, 0), expand=False)
