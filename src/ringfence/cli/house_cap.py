"""What may be spent in a month in all: asked of whoever switches on the first provider, $100 where nobody answers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

PROPOSED = "100"
ABOUT = (
    "Providers are configured, and nothing says yet what may be spent on them in all. Calls beyond the house cap are "
    "answered by your own engines, or refused."
)


def ask_house_cap() -> float:
    """US dollars a month; `PROPOSED` for whoever just goes on. Where nobody can answer, this is not called."""
    from ringfence.core.money import USD_MICROS, micros

    def read(text: str) -> float:
        try:
            return micros(text) / USD_MICROS
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    typer.echo(ABOUT, err=True)
    usd: float = typer.prompt("House cap per month in USD, for all that is rented", PROPOSED, value_proc=read, err=True)
    return usd


def is_answered() -> bool:
    """Whether somebody sits before it."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def settings(usd: float) -> str:
    """As lines of a configuration."""
    return f"\nmoney:\n  house: {{month: {usd:g}}}\n" if usd < 100_000 else f"\nmoney:\n  house: {{month: {usd:.2f}}}\n"


def at_first_sight(spec: dict[str, Any], warn: Callable[[str], None], *, may_ask: bool) -> None:
    """Before a gateway starts that may spend: a house cap is asked for and written into the file, once, where none is
    named. What is wrong with the file is said by whoever starts."""
    from ringfence.cli.settings import names_providers
    from ringfence.config.load import load
    from ringfence.config.money import HOUSE_NOT_NAMED
    from ringfence.config.problems import ConfigError

    path = Path(spec["config"]) if spec["config"] else None
    if not names_providers(path, spec["overrides"]):
        return
    try:
        config = load(path, overrides=spec["overrides"], check_secrets=False)
        if not config.providers or config.money.is_house_named:
            return
        if may_ask and path is not None:
            write_into(path, ask_house_cap())
            return
    except ConfigError as error:
        warn(str(error))
        return
    warn(HOUSE_NOT_NAMED)


def write_into(path: Path, usd: float) -> None:
    """As a section of its own, or as a line of the one that is there. Raises ConfigError."""
    from ringfence.config.write import append, append_within

    if "\nmoney:" in f"\n{path.read_text(encoding='utf-8')}":
        append_within(path, settings(usd).strip().partition("\n")[2].strip(), "money")
    else:
        append(path, settings(usd), "money")
    typer.echo(f"{path} says so now, at money.house: change it there at any time.", err=True)
