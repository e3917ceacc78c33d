"""The plan and the modes for people: what would be done and why, who waits, where each model is."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from ringfence.cli.show import size, span, table
from ringfence.cli.words import plural

PHASES = {"ready": "green", "starting": "cyan", "draining": "cyan", "stopping": "cyan", "failed": "red"}
LONG_ID = 20
RECENT_SHOWN = 5
NO_MODE_ON = "No mode is on: devices are for everybody."


def plan_page(found: dict[str, Any]) -> RenderableType:
    """All of it; one sentence where there is nothing to do."""
    parts: list[RenderableType] = []
    if found["mode"]:
        parts.append(Text(on_line(found["mode"]), style="bold"))
    if found["actions"]:
        parts += [Text("To be done now, in this order (asking does nothing):"), _actions(found["actions"])]
    else:
        parts.append(Text(f"Nothing to do: {_calm(found)}"))
    if found["waiting"] or found["refused"]:
        parts.append(_waiting(found))
    if found["models"]:
        parts.append(_models(found["models"]))
    parts += [_recent(found["recent"])] * bool(found["recent"])
    if found["asked_again_in_s"] is not None:
        parts.append(Text(f"Without anything new, looked at again in {span(found['asked_again_in_s'])}.", style="dim"))
    return Group(*parts)


def modes_page(found: dict[str, Any]) -> RenderableType:
    """Those of the configuration; and the switch, unless it is long over and well."""
    parts: list[RenderableType] = [Text(on_line(found["now"]))]
    if not found["modes"]:
        parts.append(Text("The configuration has no modes.", style="dim"))
    else:
        rows = table("Mode", "Devices", "Models", "Tenants")
        for mode in found["modes"]:
            name = Text(mode["name"], "bold green" if mode["name"] == found["now"] else "")
            names = [", ".join(mode[part]) or "-" for part in ("models", "tenants")]
            devices = ", ".join(short_id(one) for one in mode["devices"]) or "-"
            rows.add_row(name, Text(devices), *(Text(one) for one in names))
        parts.append(rows)
    if found["switch"] is not None and found["switch"]["outcome"] != "done":
        parts.append(_switch(found["switch"]))
    return Group(*parts)


def begun_page(found: dict[str, Any]) -> RenderableType:
    """Of a switch that nobody waits for."""
    switch = found["switch"]
    if switch is None or switch["outcome"] is not None:
        return Text(on_line(found["now"]))
    return Text(f"The switch to {_named(switch['to'])} has begun; `ringfence modes` tells how it goes.")


def on_line(now: str | None) -> str:
    """Which mode is on."""
    return NO_MODE_ON if now is None else f"Mode {now} is on."


def short_id(device: str) -> str:
    """Ids of NVIDIA are long; their first part is enough to tell cards of one machine apart."""
    return "-".join(device.split("-")[:2]) if len(device) > LONG_ID else device


def _calm(found: dict[str, Any]) -> str:
    if not found["models"]:
        return "no model of this configuration is placed by Ringfence."
    if found["waiting"]:
        return "those who wait are waiting for their turn, or for room."
    if found["refused"]:
        return "what is asked for cannot come as things are."
    loaded = sum(model["phase"] == "ready" for model in found["models"])
    verb = "is" if loaded == 1 else "are"
    return f"nobody waits, and {loaded:,} of {plural(len(found['models']), 'model')} {verb} ready."


def _actions(actions: list[dict[str, Any]]) -> RenderableType:
    rows = table("What", "Name", "Where", "Why")
    rows.columns[0].no_wrap = True
    for action in actions:
        rows.add_row(
            Text(action["what"], "bold"), Text(action["name"]), _where(action["devices"]), Text(action["reason"])
        )
    return rows


def _waiting(found: dict[str, Any]) -> RenderableType:
    rows = table("Waits", "Comes", "Why")
    for one in found["waiting"]:
        rows.add_row(Text(one["name"]), f"in about {span(one['estimate_s'])}", Text(one["reason"]))
    for one in found["refused"]:
        rows.add_row(Text(one["name"]), Text("not as things are", "red"), Text(one["reason"]))
    return rows


def _models(models: list[dict[str, Any]]) -> RenderableType:
    rows = table("Model", "Class", "Phase", "Where", "Used")
    for model in models:
        phase = Text(model["phase"], PHASES.get(model["phase"], "dim"))
        where = _where(model["devices"])
        if model["devices"] and model["basis"] != "observed":
            where.append(f"\n({model['basis']})", "dim")
        kind = Text(f"{model['priority']} {model['residency'].replace('_', ' ')}")
        rows.add_row(Text(model["name"]), kind, phase, where, Text(_used(model)))
    return rows


def _where(devices: dict[str, int]) -> Text:
    return Text("\n".join(f"{short_id(name)} {size(count)}" for name, count in devices.items()) or "-")


def _used(model: dict[str, Any]) -> str:
    told = [f"{model['running']:,} running"] * bool(model["running"])
    told += [f"{model['waiting']:,} waiting"] * bool(model["waiting"])
    if not told and model["idle_s"] is not None:
        told.append(f"idle {span(model['idle_s'])}")
    return ", ".join(told) or "-"


def _recent(recent: list[dict[str, Any]]) -> RenderableType:
    rows = table("Done", "What", "Name", "Why")
    rows.columns[0].no_wrap = True
    for one in recent[:RECENT_SHOWN]:
        ago = f"{span(max(0.0, time.time() - one['at_s']))} ago"
        rows.add_row(Text(ago, "dim"), Text(one["what"]), Text(one["name"]), Text(one["reason"]))
    return rows


def _switch(switch: dict[str, Any]) -> RenderableType:
    goes_on = switch["outcome"] is None
    lines = Text(
        f"The switch from {_named(switch['from'])} to {_named(switch['to'])} "
        + (
            f"goes on since {span(max(0.0, time.time() - switch['since_s']))}:"
            if goes_on
            else f"was {switch['outcome']}"
        ),
        "" if goes_on else "red",
    )
    for step in switch["steps"]:
        lines.append(f"\n  {time.strftime('%H:%M:%S', time.localtime(step['at_s']))}  {step['text']}", "not red")
    return lines


def _named(mode: str | None) -> str:
    return "no mode" if mode is None else mode
