"""`ringfence batches`: files of calls that are answered while nobody else is kept waiting by them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from ringfence.cli.asking import asked, told

app = typer.Typer(no_args_is_help=True, help="Run, show and cancel batches.")

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="The configuration.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Which = Annotated[str, typer.Argument(help="Its id, as `ringfence batches list` shows it.")]


@app.command("list")
def list_command(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show the batches of all keys, the latest first."""
    from ringfence.cli.client import connect
    from ringfence.cli.show_batches import batches_page

    told(asked(connect(config), "GET", "/batches"), as_json, batches_page)


@app.command()
def show(which: Which, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show one batch, and what is wrong with its input. Its text stays sealed."""
    from ringfence.cli.show_batches import batch_page

    told(_one(config, "GET", which), as_json, batch_page)


@app.command()
def cancel(which: Which, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Stop a batch; what was answered is kept. Exit status 1 when it had ended otherwise."""
    from ringfence.cli.show_batches import batch_page

    row = _one(config, "DELETE", which)
    told(row, as_json, batch_page)
    raise typer.Exit(0 if row["status"] in ("cancelling", "cancelled") else 1)


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="A file with one call a line, as OpenAI has them.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where answers go; default: stdout.")] = None,
    window: Annotated[str, typer.Option("--window", help="How long it may take, such as 24h.")] = "24h",
    config: ConfigOption = None,
) -> None:
    """Have a file answered, wait for it, and write the answers. Exit status 1 when a line has none.

    An interrupt ends the waiting, and not the batch."""
    from ringfence.cli.batch_run import Run, Stopped
    from ringfence.cli.client import connect

    gateway = connect(config)
    key = gateway.api_key()
    if key is None:
        typer.secho("There is no key of the local user; `ringfence up` makes one.", err=True, fg="red")
        raise typer.Exit(1)
    try:
        batch, answers, errors = Run(gateway, key).through(file, window)
    except Stopped as stopped:
        typer.secho(str(stopped), err=True, fg="red")
        raise typer.Exit(1) from None
    if output is not None:
        output.write_bytes(answers)
    else:
        sys.stdout.buffer.write(answers)
    sys.stderr.buffer.write(errors)
    raise typer.Exit(0 if batch["status"] == "completed" and not errors else 1)


def _one(config: Path | None, method: str, which: str) -> Any:
    from ringfence.cli.client import connect

    return asked(connect(config), method, f"/batches/{quote(which, safe='')}")
