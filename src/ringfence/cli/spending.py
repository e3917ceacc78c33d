"""What the commands about money read: the ledger, straight from the database, so that they work while nothing runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from zoneinfo import ZoneInfo

import typer
from sqlalchemy import Connection

from ringfence.cli.client import Gateway, NotRunning, Refused, folder_of
from ringfence.cli.running import in_force
from ringfence.cli.stored import stored
from ringfence.cli.words import length_s
from ringfence.config.load import load
from ringfence.config.problems import ConfigError
from ringfence.core.money import Period
from ringfence.costs.assumptions import REFERENCE, Assumptions, read_assumptions, reference
from ringfence.store import keys as keystore
from ringfence.store.failure import StoreFailed

T = TypeVar("T")

PERIODS = {"today": Period.DAY, "week": Period.WEEK, "month": Period.MONTH}


class Books:
    """The ledger of one state folder, and the configuration around it. Ends the program with words where it cannot be
    read."""

    def __init__(self, config: Path | None) -> None:
        self.now_s = time.time()
        self._config = config
        try:
            said = load(in_force(config), check_secrets=False).money
            self.zone: ZoneInfo = said.zone_info
            self.usd_per_kwh = said.usd_per_kwh
            self.folder = folder_of(config)
        except ConfigError as error:
            end(str(error))

    def read(self, fn: Callable[[Connection], T], nothing: T) -> T:
        """`nothing`, where there is no database yet."""
        try:
            database = stored(self._config)
            if database is None:
                return nothing
            with closing(database):
                return database.call(fn)
        except (ConfigError, StoreFailed) as error:
            end(str(error))

    def key_names(self) -> dict[str, str]:
        """By their ids."""
        return {key.id: key.name for key in self.read(keystore.all_keys, [])}

    def caps(self) -> dict[str, Any] | None:
        """As the gateway knows them now: of periods (`caps`), and of single calls (`call_caps`); None where none runs,
        or none that tells."""
        with suppress(NotRunning, Refused, StoreFailed):
            told = Gateway(self.folder).ask("GET", "/money")
            return {"caps": told["standings"], "call_caps": told["call_caps"]}
        return None

    def start_s(self, period: str) -> float:
        """When today, this week or this month began."""
        return PERIODS[period].start_s(self.now_s, self.zone)

    def since_s(self, text: str) -> float:
        """Of 2026-11-01, by the clocks of the zone, or of 45m, 24h, 7d, 8w."""
        if (ago_s := length_s(text)) is not None:
            return self.now_s - ago_s
        with suppress(ValueError):
            return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=self.zone).timestamp()
        raise typer.BadParameter("--since takes a day or a length of time: 2026-11-01, 45m, 24h, 7d, 8w.")

    @property
    def made(self) -> str:
        return f"{datetime.fromtimestamp(self.now_s, UTC).astimezone(self.zone):%Y-%m-%d %H:%M} ({self.zone.key})"


def assumptions_text(file: Path | None, usd_per_kwh: float | None) -> tuple[bytes, str]:
    """The content of the file, or of the one that comes with the program, with the price of electricity that the
    configuration says; and its name."""
    if file is None:
        return reference(usd_per_kwh), REFERENCE
    try:
        return file.read_bytes(), str(file)
    except OSError as error:
        end(f"{file} cannot be read ({error.strerror}).")


def assumed(file: Path | None, usd_per_kwh: float | None) -> Assumptions:
    """What it says. Where it does not say what electricity costs, that is as the configuration says."""
    try:
        found = read_assumptions(*assumptions_text(file, usd_per_kwh))
    except ConfigError as error:
        end(str(error))
    if usd_per_kwh is None or "usd_per_kwh" in found.model_fields_set:
        return found
    return found.model_copy(update={"usd_per_kwh": usd_per_kwh})


def write(file: Path, text: str) -> None:
    """A report; one that stands there is written over."""
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        end(f"{file} cannot be written ({error.strerror}).")


def end(message: str) -> NoReturn:
    typer.secho(message, err=True, fg="red")
    raise typer.Exit(1)
