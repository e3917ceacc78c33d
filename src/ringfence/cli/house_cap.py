"""What may be spent in a month in all: asked of whoever switches on the first provider, $100 where nobody answers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from ringfence.config.schema import Config

PROPOSED = "100"
NOT_NAMED = "No house cap is named, so $100.00 a month holds for all that is rented: money.house.month says otherwise."


def ask_house_cap() -> float:
    """US dollars a month; `PROPOSED` for whoever just goes on. Where nobody can answer, this is not called."""
    from ringfence.core.money import USD_MICROS, micros

    def read(text: str) -> float:
        try:
            return micros(text) / USD_MICROS
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

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
    from ringfence.config.problems import ConfigError
    from ringfence.config.write import append

    path = Path(spec["config"]) if spec["config"] else None
    if not names_providers(path, spec["overrides"]):
        return
    try:
        config = load(path, overrides=spec["overrides"], check_secrets=False)
        if not config.providers or is_named(config):
            return
        if may_ask and path is not None and "\nmoney:" not in f"\n{path.read_text(encoding='utf-8')}":
            append(path, settings(ask_house_cap()), "money")
            return
    except ConfigError as error:
        warn(str(error))
        return
    warn(NOT_NAMED)


def is_named(config: Config) -> bool:
    """Whether its owner has said what the house may spend."""
    return "house" in config.money.model_fields_set
