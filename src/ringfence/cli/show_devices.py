"""Devices for people: a map of each memory pool, and below it who holds what."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from ringfence.cli.show import size

BAR_CHARS = 40
OURS, OTHERS, LEASED, FREE, KEPT = "█", "▒", "░", "·", "╌"
"""Told apart without colours as well."""
COLOURS = ("cyan", "green", "magenta", "blue")
OF_OTHERS = "yellow"
KINDS = {"ram": "memory", "gpu": "GPU memory", "unified": "unified memory"}
HOT_C = 80
WATCH_EVERY_S = 2.0
NOTHING = "No device could be read on this machine."


def devices_page(found: dict[str, Any]) -> RenderableType:
    """Every device, and what cannot be read."""
    parts: list[RenderableType] = []
    for device in found["devices"]:
        drawn = [] if device["out_of_service"] else [_map(device)]
        parts += [Text("")] * bool(parts) + [_title(device), *drawn, _holders(device)]
    if not found["devices"]:
        parts.append(Text(NOTHING))
    parts += [Text(f"{one['title']} cannot be read: {one['reason']}", style="red") for one in found["unread"]]
    return Group(*parts)


def _title(device: dict[str, Any]) -> Text:
    title = Text(device["name"], style="bold").append(
        f"  {size(device['total_bytes'])} {KINDS[device['kind']]}", "not bold"
    )
    if device["out_of_service"]:
        return title.append(f"\nout of service: {device['out_of_service']}", "not bold red")
    if device["temperature_c"] is not None:
        style = "not bold red" if device["temperature_c"] > HOT_C else "not bold"
        title.append(f", {device['temperature_c']:.0f} °C", style)
    if device["load_percent"] is not None:
        title.append(f", {device['load_percent']:.0f} % busy", "not bold")
    return title.append(f"  {device['id']}", "not bold dim")


def _map(device: dict[str, Any]) -> Text:
    """One character for each fortieth; whoever holds anything has at least one, while there is room. What stays free
    after every load is the end of what is free."""
    total = max(1, device["total_bytes"])
    segments = [(row["held_bytes"] or 0, *_look(row, place)) for place, row in enumerate(device["holders"])]
    segments.append((_leased(device), LEASED, OF_OTHERS))
    drawn = Text()
    left = BAR_CHARS - (_free(device) > 0)
    for held, mark, style in segments:
        width = min(left, max(bool(held), round(BAR_CHARS * held / total)))
        drawn.append(mark * width, style)
        left -= width
    free = BAR_CHARS - len(drawn)
    kept = min(free, round(BAR_CHARS * device["headroom_bytes"] / total))
    return drawn.append(FREE * (free - kept) + KEPT * kept, "dim")


def _holders(device: dict[str, Any]) -> RenderableType:
    columns = (Column(no_wrap=True), Column(justify="right", no_wrap=True), Column(overflow="fold"))
    rows = Table(*columns, box=box.SIMPLE, show_header=False, pad_edge=False, show_edge=False)
    for place, row in enumerate(device["holders"]):
        mark, style = _look(row, place)
        rows.add_row(Text(f"{mark} ", style).append(_name(row), "not dim"), size(row["held_bytes"]), Text(_about(row)))
    if not device["out_of_service"]:
        if _leased(device):
            rows.add_row(
                Text(f"{LEASED} ", OF_OTHERS).append("leased", "not dim"), size(_leased(device)),
                Text("tenants may still take it"),
            )  # fmt: skip
        rows.add_row(Text(f"{FREE} free", "bold"), Text(size(_free(device)), "bold"), Text(_headroom(device)))
    return rows


def _leased(device: dict[str, Any]) -> int:
    """What tenants may still take; of a device that others have filled meanwhile there is less."""
    return min(device["leased_bytes"], device["free_bytes"])


def _free(device: dict[str, Any]) -> int:
    return device["free_bytes"] - _leased(device)


def _headroom(device: dict[str, Any]) -> str:
    told: list[str] = []
    kept, left, free = device["headroom_bytes"], device["expected_free_bytes"], device["free_bytes"]
    if kept:
        told.append(f"{size(kept)} stay free after every load ({KEPT})")
    if size(left) != size(free):
        told.append(f"{size(left)} once each model holds what it took before")
    return ", ".join(told)


def _look(row: dict[str, Any], place: int) -> tuple[str, str]:
    """Mark and colour."""
    return (OURS, COLOURS[place % len(COLOURS)]) if row["kind"] == "instance" else (OTHERS, OF_OTHERS)


def _name(row: dict[str, Any]) -> str:
    if row["kind"] == "unnamed":
        return "others"
    return row["name"] if row["kind"] == "instance" else f"{row['name']} (pid {row['pid']})"


def _about(row: dict[str, Any]) -> str:
    """What it was predicted to take, and what it took at most."""
    known = row["footprint"]
    if known is None:
        return ""
    told: list[str] = []
    if known["predicted_bytes"] is not None:
        told.append(f"predicted {size(known['predicted_bytes'])}")
    if known["observed_bytes"] is None:
        told.append(f"between {size(known['low_bytes'])} and {size(known['high_bytes'])}")
    else:
        loads = "1 load" if known["loads"] == 1 else f"{known['loads']:,} loads"
        told.append(f"at most {size(known['observed_bytes'])} in {loads}")
    return ", ".join(told)
