"""`ringfence lease` and `ringfence leases`: memory of a device for a program that Ringfence does not start."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ringfence.cli.asking import asked, told

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="The configuration.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


def lease(
    command: Annotated[list[str], typer.Argument(help="What is run once the memory is there; put -- before it.")],
    memory: Annotated[str, typer.Option("--memory", "-m", help="What it will take, such as 16GiB.")],
    priority: Annotated[
        int | None, typer.Option("--priority", min=0, help="Its place in the device's order; 0 comes first.")
    ] = None,
    device: Annotated[str | None, typer.Option("--device", help="Such as gpu0; default: one with room.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Whose it is; default: the command's name.")] = None,
    wait: Annotated[str, typer.Option("--wait", help="How long it may have to wait: 30s, 10m, 2h.")] = "10m",
    grace: Annotated[str, typer.Option("--grace", help="From being asked to end until it is ended.")] = "30s",
    config: ConfigOption = None,
) -> None:
    """Run a command in memory of a device that is kept for it. Ends with its exit status."""
    from ringfence.cli.leasing import Wish, run, seconds
    from ringfence.cli.sizes import refused, size_of

    asked_bytes = size_of(memory, "--memory")
    if not asked_bytes:
        refused("--memory takes at least one byte")
    wish = Wish(
        tenant or Path(command[0]).name, asked_bytes, priority, device, seconds(wait, "--wait"),
        seconds(grace, "--grace"),
    )  # fmt: skip
    raise typer.Exit(run(config, wish, command))


def leases(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Who else has memory of the devices, or waits for it."""
    from ringfence.cli.client import connect
    from ringfence.cli.show_leases import leases_page

    told(asked(connect(config), "GET", "/leases"), as_json, leases_page)
