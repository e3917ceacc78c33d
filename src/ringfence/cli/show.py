"""Pages for people: what the commands print when nobody asked for JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from math import ceil
from typing import Any

import typer
from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from ringfence.cli.clouds import keys_in_words
from ringfence.cli.show_money import NOT_WRITTEN
from ringfence.core.money import dollars

COLOURS = {
    "ready": "green",
    "starting": "cyan",
    "draining": "cyan",
    "stopping": "cyan",
    "sleeping": "dim",
    "backing_off": "yellow",
    "failed": "red",
    "stopped": "dim",
}
MARKS = {"ok": "[green]✓[/]", "note": "[cyan]i[/]", "missing": "[yellow]![/]", "wrong": "[red]✗[/]"}
WALLS = {"held": "green", "way out": "cyan", "checking": "cyan", "unchecked": "yellow", "open": "bold red"}
WATCH_EVERY_S = 1.0
WITHOUT_EDGE = 10_000


def put(page: RenderableType) -> None:
    """Print it. Who reads it through a pipe gets all of it: there is no edge of a screen to keep to."""
    width = None if sys.stdout.isatty() else WITHOUT_EDGE
    Console(width=width).print(page, crop=False)


def status_page(found: dict[str, Any]) -> RenderableType:
    """Everything at a glance."""
    state = "[bold green]ready[/]" if found["ready"] else "[bold yellow]no model is ready[/]"
    requests = found["requests"]
    lines = [
        f"Ringfence {found['version']} on {found['base_url']}: {state}  "
        f"[dim]pid {found['pid']}, up {span(found['uptime_s'])}[/]",
        f"Requests  {requests['running']} running, {waiting_in_words(requests)}, {requests['total']} answered, "
        f"{requests['errors']} failed; {requests['prompt_tokens'] + requests['completion_tokens']:,} tokens",
    ]
    if found["parking"]["waiting"]:
        lines.append(f"[yellow]{parked_line(found['parking']['waiting'])}[/]: see `ringfence parked list`")
    lines += money_lines(found["money"], is_paid=any(one["kind"] == "egress" for one in found["instances"]))
    parts: list[RenderableType] = [
        Text.from_markup("\n".join(lines)),
        _instances(found["instances"]),
        *_egress(found["instances"]),
        models_page(found),
        _devices(found["devices"]),
        isolation_page(found["isolation"]),
    ]
    parts += [Text(f"Cloud keys {line}", style="dim") for line in keys_in_words(found)]
    return Group(*parts)


def money_lines(money: dict[str, Any], *, is_paid: bool) -> list[str]:
    """How the house's caps stand where anything is paid for, and those of others that are near their end."""
    lines: list[str] = []
    if not money["can_write"] and is_paid:
        lines.append(f"Money     [red]{NOT_WRITTEN}[/]: see `ringfence doctor`")
    for cap in money["caps"]:
        if not (cap["is_soft"] or cap["is_ahead"] or (is_paid and cap["scope"] == "house")):
            continue
        whose = "the house" if cap["scope"] == "house" else f"{cap['scope']} {escape(cap['name'])}"
        held = f", {dollars(cap['held'])} held" if cap["held"] else ""
        line = f"Money     {whose}: {dollars(cap['spent'])} of {dollars(cap['limit'])} a {cap['period']} spent{held}"
        left = cap["limit"] - cap["spent"] - cap["held"]
        if left <= 0:
            lines.append(f"{line}; [red]used up[/]")
            continue
        line += f", {dollars(left)} left"
        if cap["is_soft"]:
            line += f"; [yellow]past its soft limit ({cap['soft_percent']} %): what costs nothing goes first[/]"
        if cap["is_ahead"]:
            above = round(100 * cap["projected"] / cap["limit"]) - 100
            line += f"; [yellow]{dollars(cap['projected'])} at this pace, {above} % above it[/]"
        lines.append(line)
    return lines + [
        f"[yellow]Money     a call at {escape(one['target'])} cost {dollars(one['cost'])}, and {dollars(one['held'])} "
        "was held: its price is another[/]"
        for one in money["above_held"]
    ]


def waiting_in_words(requests: dict[str, Any]) -> str:
    """How many wait for a place, and of which classes where that is not the usual one alone."""
    counts: dict[str, int] = requests["waiting_by_class"]
    classes = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    return f"{requests['waiting']:,} waiting" + (f" ({classes})" if requests["waiting"] > counts["user"] else "")


def parked_line(count: int) -> str:
    """How many are parked."""
    return f"{count:,} request is parked" if count == 1 else f"{count:,} requests are parked"


def models_page(found: dict[str, Any]) -> RenderableType:
    """Names, engines, windows; and what is not offered."""
    rows = table("Model", "Other names", "Can", "Engine", "Window", "Reach")
    for model in found["models"]:
        targets = model["targets"]
        rows.add_row(
            model["name"], ", ".join(model["aliases"]) or "-", ", ".join(model["abilities"]) or "-",
            ", ".join(sorted({server(target) for target in targets})) or "[red]none[/]",
            f"{model['window']:,}" if model["window"] else "?",
            ", ".join(sorted({target["boundary"] for target in targets})),
        )  # fmt: skip
    aside = [
        Text.from_markup(f"[yellow]set aside[/]: {target['name']}, {again_in_words(target)}")
        for model in found["models"] for target in model["targets"] if target["set_aside_s"] is not None
    ]  # fmt: skip
    left = [
        Text.from_markup(f"[dim]left out: {one['name']} of {one['engine']}: {one['reason']}[/]")
        for one in found["left_out"]
    ]
    also = [Text(f"also: {', '.join(found['offered'])}")] if found.get("offered") else []
    return Group(rows, *also, *aside, *left)


FAILED = {
    "connect": "cannot be reached", "lost": "broke off", "status": "answered with an error",
    "first_byte_timeout": "sent nothing in time", "stalled": "stopped sending", "malformed": "cannot be read",
}  # fmt: skip
"""Why a target failed, in words."""


def again_in_words(target: dict[str, Any]) -> str:
    """Why a target was set aside, and when it is tried again."""
    when = f"in {ceil(target['set_aside_s'])} s" if target["set_aside_s"] else "by the next call"
    reason = str(target["reason"] or "failures")
    return f"{FAILED.get(reason) or reason.replace('_', ' ')}; it is tried again {when}"


def keys_page(keys: list[dict[str, Any]]) -> RenderableType:
    rows = table(
        "Id",
        "Name",
        "Ends in",
        "Profile",
        "Agent",
        "Per minute",
        "Budget",
        "Made",
        "Ends",
        "Requests",
        "Tokens",
        "Spent",
    )
    rows.columns[0].no_wrap, rows.columns[0].min_width = True, max((len(key["id"]) for key in keys), default=0)
    for key in keys:
        limits = [
            f"{key[name]:,} {name.split('_')[0]}" for name in ("requests_per_minute", "tokens_per_minute") if key[name]
        ]
        ended = "[red]revoked[/]" if key["revoked_s"] else _day(key["expires_s"]) if key["expires_s"] else "-"
        tokens = key["prompt_tokens"] + key["completion_tokens"]
        rows.add_row(
            key["id"], key["name"], f"…{key['hint']}", key["profile"] or "its agent's", key["agent"] or "-",
            ", ".join(limits) or "-", _budget(key), _day(key["created_s"]), ended,
            f"{key['requests']:,}", f"{tokens:,}", dollars(key["cost_usd_micros"]),
        )  # fmt: skip
    return rows


def _budget(key: dict[str, Any]) -> str:
    """Each cap, and what is spent of it in the period under way."""
    caps, spent = key["budget"], key["spent"]
    found = [f"{dollars(spent[name])} of {dollars(caps[name])} a {name}" for name in spent if caps[name] is not None]
    return "\n".join([*found, *([f"{dollars(caps['call'])} a call"] if caps["call"] is not None else [])]) or "-"


def profiles_page(found: dict[str, Any]) -> RenderableType:
    lines: list[str] = []
    reach = {profile["name"]: profile["boundary"] for profile in found["profiles"]}
    for profile in found["profiles"]:
        if lines:
            lines.append("")
        lines.append(f"[bold]{profile['name']}[/]  {profile['tier']}: text may travel as far as {profile['boundary']}")
        if profile["exact"]:
            wanted = ", ".join(f"{name} {value}" for name, value in profile["exact"].items())
            lines.append(f"  only      {wanted}; else an error")
        if profile["chain"]:
            otherwise = "wait" if profile["ending"] == "park" else "an error"
            lines.append(f"  auto      {' → '.join(profile['chain'])}, else {otherwise}")
        if profile["delegates"]:
            lines.append(f"  calls as  {', '.join(f'{name} ({reach[name]})' for name in profile['delegates'])}")
        if profile["keys"]:
            more = [f"and {len(profile['keys']) - 3} more"] if len(profile["keys"]) > 3 else []
            lines.append(f"  keys      {len(profile['keys'])}: {escape(', '.join([*profile['keys'][:3], *more]))}")
        for title, names in (("agents", "agents"), ("tools", "tools")):
            if profile[names]:
                lines.append(f"  {title:<9} {', '.join(profile[names])}")
        for target in profile["targets"]:
            mark = "[green]✓[/]" if target["may"] else "[red]✗[/]"
            reason = f"  [dim]{target['reason']}[/]" if target["reason"] else ""
            place = "" if target["reason"].startswith("lies at ") else f" at {target['boundary']}"  # said there too
            lines.append(f"  {mark} {target['model']} on {target['target']}{place}{reason}")
        lines += [f"  [dim]– {model}: no engine serves it at the moment[/]" for model in profile["idle"]]
    return Text.from_markup("\n".join(lines))


def doctor_page(findings: list[dict[str, Any]]) -> RenderableType:
    lines: list[str] = []
    for finding in findings:
        lines.append(f"{MARKS[finding['state']]} {finding['what']}")
        if finding["mend"]:
            lines.append(f"    [dim]{finding['mend']}[/]")
    return Text.from_markup("\n".join(lines))


def follow(
    read: Callable[[], dict[str, Any]],
    page: Callable[[dict[str, Any]], RenderableType],
    every_s: float = WATCH_EVERY_S,
    *,
    as_json: bool,
) -> None:
    """Show what is read as this page, again and again until Ctrl-C."""
    try:
        if as_json:
            while True:
                typer.echo(json.dumps(read()))
                time.sleep(every_s)
        with Live(page(read()), console=Console(), auto_refresh=False, screen=False) as live:
            while True:
                time.sleep(every_s)
                live.update(page(read()), refresh=True)
    except KeyboardInterrupt:
        return


def server(target: dict[str, Any]) -> str:
    """Who computes: the kind of the engine, or the provider and its host."""
    return f"{target['provider']} ({target['host']})" if target["provider"] else target["engine"]


def _egress(instances: list[dict[str, Any]]) -> list[RenderableType]:
    """The way out is no engine: a line of its own."""
    lines: list[RenderableType] = []
    for one in instances:
        if one["kind"] == "egress":
            state = f"[{COLOURS.get(one['state'], 'white')}]{one['state']}[/] {span(one['since_s'])}"
            reason = f"  [red]{escape(one['reason'])}[/]" if one["reason"] else ""
            lines.append(Text.from_markup(f"Egress    {state}: the process through which calls leave{reason}"))
    return lines


def _instances(instances: list[dict[str, Any]]) -> RenderableType:
    rows = table("Instance", "Engine", "State", "Busy", "Memory", "CPU", "Restarts", "Port")
    for one in instances:
        if one["kind"] == "egress":
            continue
        state = f"[{COLOURS.get(one['state'], 'white')}]{one['state']}[/]"
        rows.add_row(
            one["name"], f"{one['engine']}{' (adopted)' if one['kind'] == 'adopted' else ''}",
            f"{state} {span(one['since_s'])}" + (f"\n[red]{one['reason']}[/]" if one["reason"] else ""),
            f"{one['in_use']}/{one['slots'] or '?'}", size(one["rss_bytes"]),
            "-" if one["cpu_percent"] is None else f"{one['cpu_percent']:.0f} %",
            str(one["restarts"]), str(one["port"] or "-"),
        )  # fmt: skip
    return rows


def isolation_page(rows: list[dict[str, Any]]) -> RenderableType:
    """A line for each process; below, once for all that have it in common, why it is so and how it is mended."""
    shown, told = table("Process", "May reach", "Wall"), Table.grid(padding=(0, 3, 0, 0))
    alike: dict[tuple[str, str], list[str]] = {}
    mended: set[str] = {""}
    for row in rows:
        wall = Text(row["wall"], WALLS.get(row["wall"], ""))
        shown.add_row(Text(row["process"]), Text(row["may_reach"]), wall)
        alike.setdefault((row["reason"], row["mend"]), []).append(row["process"])
    for (reason, mend), names in alike.items():
        words = Text(reason)
        if mend not in mended:
            words.append(f"\n{mend}", "dim")
        mended.add(mend)
        told.add_row(Text("\n".join(names), overflow="fold"), words)
    return Group(shown, Padding(told, (0, 0, 1, 1), expand=False))


def _devices(devices: list[dict[str, Any]]) -> RenderableType:
    lines: list[str] = []
    for one in devices:
        used = one["total_bytes"] - one["free_bytes"]
        filled = round(20 * used / max(1, one["total_bytes"]))
        load = "" if one["load_percent"] is None else f", load {one['load_percent']} %"
        if one["out_of_service"]:
            lines.append(f"{one['name']}  [red]out of service: {escape(one['out_of_service'])}[/]")
            continue
        lines.append(
            f"{one['name']}  [cyan]{'█' * filled}[/][dim]{'░' * (20 - filled)}[/] "
            f"{size(used)} of {size(one['total_bytes'])}{load}"
        )
    return Text.from_markup("\n".join(lines))


def table(*columns: str) -> Table:
    """An empty one, as all of them look: what does not fit goes on in the next line, nothing is cut."""
    folded = [Column(name, overflow="fold") for name in columns]
    return Table(*folded, box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")


def size(count: int | None) -> str:
    """In the unit in which it is read at a glance."""
    if count is None:
        return "-"
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def span(seconds: float) -> str:
    """A length of time, as the console writes it: 45 s, 12 min, 3 h 20 min, 2 d 5 h."""
    for size, unit, part, of in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} {seconds % size // part:.0f} {of}"
    return f"{seconds // 60:.0f} min" if seconds >= 60 else f"{seconds // 1:.0f} s"


def _day(at_s: int | None) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(at_s)) if at_s else "-"
