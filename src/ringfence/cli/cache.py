"""`ringfence cache`: answers that profiles keep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from ringfence.cli.asking import asked, told

app = typer.Typer(no_args_is_help=True, help="Show and forget kept answers.")

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="The configuration.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
ProfileOption = Annotated[str, typer.Option("--profile", help="Those of one profile alone.")]


@app.command()
def show(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show how many answers each profile keeps, and how often one was given again."""
    from ringfence.cli.client import connect

    told(asked(connect(config), "GET", "/cache"), as_json, _page)


@app.command()
def clear(profile: ProfileOption = "", config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Forget kept answers."""
    from ringfence.cli.client import connect

    path = f"/cache?profile={quote(profile, safe='')}" if profile else "/cache"
    told(asked(connect(config), "DELETE", path), as_json, lambda found: f"Forgot {found['forgotten']:,} answers.")


def _page(found: dict[str, Any]) -> str:
    lines = [
        f"{row['profile']}: {row['answers']:,} answers, {row['bytes']:,} bytes; "
        f"{row['hit']:,} given again, {row['joined']:,} joined, {row['miss']:,} made"
        for row in found["profiles"]
    ]
    return "\n".join(lines) or "No answers are kept. A profile that says `cache: true` keeps them: docs/caching.md."
