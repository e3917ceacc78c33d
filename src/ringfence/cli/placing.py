"""`ringfence plan`, `ringfence modes` and `ringfence mode`: what is done with the devices, and why."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from ringfence.cli.asking import asked, told

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="The configuration.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]

NO_MODE = "off"
ASK_EVERY_S = 0.5
INTERRUPTED = 130
"""The exit status of a program that Ctrl-C ended."""


def plan(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """What would be done with the devices now, and why; who waits; where each model is. Nothing is done."""
    from ringfence.cli.client import connect
    from ringfence.cli.show_plan import plan_page

    told(asked(connect(config), "GET", "/plan"), as_json, plan_page)


def modes(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Every mode, which one is on, and how the last switch went."""
    from ringfence.cli.client import connect
    from ringfence.cli.show_plan import modes_page

    told(asked(connect(config), "GET", "/modes"), as_json, modes_page)


def mode(
    name: Annotated[str, typer.Argument(help="A mode that `ringfence modes` shows, or off. Without it: those.")] = "",
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Begin the switch, and end at once.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Switch to a mode, or to none, and tell each step; exit status 1 when it was rolled back."""
    if not name:
        modes(config, as_json)
        return
    from ringfence.cli.client import connect
    from ringfence.cli.show_plan import begun_page

    gateway = connect(config)
    wanted = None if name == NO_MODE else name
    found = asked(gateway, "POST", "/mode", {"mode": wanted})
    if no_wait:
        told(found, as_json, begun_page)
        return
    try:
        found = _followed(gateway, found, as_json)
    except KeyboardInterrupt:
        typer.secho("The switch goes on; `ringfence modes` tells how.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    raise typer.Exit(_ended(found, wanted, as_json))


def _followed(gateway: Any, found: dict[str, Any], as_json: bool) -> dict[str, Any]:
    """What the gateway tells at the end of the switch; each step is printed as it comes."""
    begun, shown = found["switch"], 0
    while True:
        switch = found["switch"]
        if switch is None or (switch["to"], switch["since_s"]) != (begun["to"], begun["since_s"]):
            return found
        if not as_json:
            for step in switch["steps"][shown:]:
                typer.echo(f"{time.strftime('%H:%M:%S', time.localtime(step['at_s']))}  {step['text']}")
        shown = len(switch["steps"])
        if switch["outcome"] is not None:
            return found
        time.sleep(ASK_EVERY_S)
        found = asked(gateway, "GET", "/modes")


def _ended(found: dict[str, Any], wanted: str | None, as_json: bool) -> int:
    """Says how it ended; the exit status."""
    from ringfence.cli.show_plan import on_line

    switch = found["switch"]
    is_on = found["now"] == wanted and (switch is None or switch["outcome"] == "done")
    if as_json:
        told(found, as_json, None)
    elif is_on:
        typer.secho(on_line(found["now"]), fg="green")
    elif switch is None or switch["to"] != wanted or switch["outcome"] == "done":
        typer.secho(f"Another switch was asked for meanwhile. {on_line(found['now'])}", err=True, fg="yellow")
    else:
        outcome = switch["outcome"][:1].upper() + switch["outcome"][1:]
        typer.secho(f"{outcome.rstrip('.')}. {on_line(found['now'])}", err=True, fg="red")
    return 0 if is_on else 1
