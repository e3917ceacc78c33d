"""`ringfence parked`: the requests that wait until a target within their boundary is free."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from ringfence.cli.asking import asked, told

app = typer.Typer(no_args_is_help=True, help="Show and cancel parked requests.")

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="The configuration.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Which = Annotated[str, typer.Argument(help="Its id, as `ringfence parked list` shows it.")]


@app.command("list")
def list_command(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show what is parked, in the order in which it is served."""
    from ringfence.cli.client import connect
    from ringfence.cli.show_parked import parked_page

    told(asked(connect(config), "GET", "/parked"), as_json, parked_page)


@app.command()
def show(which: Which, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show one parked request. Its text stays sealed."""
    from ringfence.cli.show_parked import parked_one_page

    told(_one(config, "GET", which), as_json, parked_one_page)


@app.command()
def cancel(which: Which, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """End a parked request at once; whoever waits for it gets an error. Exit status 1 when it had ended otherwise."""
    from ringfence.cli.show_parked import cancelled_page

    row = _one(config, "DELETE", which)
    told(row, as_json, cancelled_page)
    raise typer.Exit(0 if row["state"] == "cancelled" else 1)


def _one(config: Path | None, method: str, which: str) -> Any:
    from ringfence.cli.client import connect

    return asked(connect(config), method, f"/parked/{quote(which, safe='')}")
