"""What most commands do: ask the running gateway, say why it refused, print what it told."""

from __future__ import annotations

import json
from typing import Any

import typer


def asked(gateway: Any, method: str, path: str, body: Any = None) -> Any:
    """Its answer. Ends the program with words: status 1 where it refuses or cannot be asked, 3 where none runs."""
    from ringfence.cli.client import NotRunning, Refused
    from ringfence.store.failure import StoreFailed

    try:
        return gateway.ask(method, path, body)
    except NotRunning as error:
        typer.secho(str(error), err=True, fg="yellow")
        raise typer.Exit(3) from None
    except (Refused, StoreFailed) as error:
        typer.secho(str(error), err=True, fg="red")
        raise typer.Exit(1) from None


def told(found: Any, as_json: bool, page: Any) -> None:
    """As JSON, or as the page that `page` makes of it."""
    if as_json:
        typer.echo(json.dumps(found))
        return
    from ringfence.cli.show import put

    put(page(found))
