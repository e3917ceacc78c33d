"""`ringfence prices`: what rented models cost, as the money fence takes it, and what they have cost."""

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="The configuration.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
HISTORY = "history"


def prices(
    which: Annotated[
        str, typer.Argument(help="PROVIDER/MODEL, or a model's name here; 'history' shows what changed, and when.")
    ] = "",
    of: Annotated[str, typer.Argument(help="With history: PROVIDER/MODEL.")] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What each rented model costs, and who says so; status 1 where the one that was asked for is not known."""
    from ringfence.config.problems import ConfigError
    from ringfence.store.failure import StoreFailed

    if of and which != HISTORY:
        raise typer.BadParameter("only `ringfence prices history` takes a second word")
    try:
        if which == HISTORY:
            _show_history(config, of, as_json)
        else:
            _show(config, which, as_json)
    except (ConfigError, StoreFailed, LookupError) as error:
        typer.secho(str(error.args[0] if isinstance(error, LookupError) else error), err=True, fg="red")
        raise typer.Exit(1) from None


def _show(config: Path | None, which: str, as_json: bool) -> None:
    from ringfence.cli.running import in_force
    from ringfence.config.load import load
    from ringfence.prices.table import table
    from ringfence.runtime.prices import price_row, price_rows

    now_s = time.time()
    rows = price_rows(load(in_force(config), check_secrets=False), now_s)
    if which:
        rows = [row for row in rows if which in (row["name"], f"{row['provider']}/{row['model']}")]
        provider, _, model = which.partition("/")
        if not rows and provider in table().providers:
            rows = [{"name": None, "provider": provider, "model": model}
                    | price_row(table().price_at(provider, model), now_s)]  # fmt: skip
        if not rows:
            raise LookupError(f"No rented model is named '{which}'; `ringfence prices` shows them.")
    if as_json:
        typer.echo(json.dumps({"table": {"source": table().source, "date": table().date}, "models": rows}))
    else:
        from ringfence.cli.show import put
        from ringfence.cli.show_prices import one_price_page, prices_page

        put(one_price_page(rows[0]) if which else prices_page(rows, table().named))
    if which and not rows[0]["known"]:
        raise typer.Exit(1)


def _show_history(config: Path | None, of: str, as_json: bool) -> None:
    rows = [row for row in _recorded(config) if of in ("", f"{row['provider']}/{row['model']}")]
    if as_json:
        typer.echo(json.dumps({"prices": rows}))
        return
    from ringfence.cli.show import put
    from ringfence.cli.show_prices import history_page

    put(history_page(rows))


def _recorded(config: Path | None) -> list[dict[str, Any]]:
    """From the database itself: it is only read."""
    from ringfence.cli.stored import stored
    from ringfence.store.prices import history

    database = stored(config)
    if database is None:
        return []
    with closing(database):
        rows = database.call(history)
    return [row._asdict() | {"rates": json.loads(row.rates) if row.rates else None} for row in rows]
