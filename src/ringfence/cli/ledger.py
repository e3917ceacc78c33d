"""`ringfence ledger`: the rows of calls, read from the database a page at a time, whether a gateway runs or not."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from ringfence.cli.words import length_s

if TYPE_CHECKING:
    from ringfence.store.db import Database

app = typer.Typer(no_args_is_help=True, help="Show and export the rows of calls.")

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="The configuration.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
PAGE = 1000
TELL_EVERY_S = 0.5


class Format(StrEnum):
    """How rows are written."""

    CSV = "csv"
    JSONL = "jsonl"


@app.command()
def export(
    since: Annotated[
        str | None, typer.Option("--since", help="From then on: 2026-11-01, or with a time (UTC), or 45m, 24h, 7d, 8w.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="Before then.")] = None,
    form: Annotated[Format, typer.Option("--format", help="csv or jsonl.")] = Format.CSV,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file; default: standard output.")] = None,
    config: ConfigOption = None,
) -> None:
    """Write the rows of calls, the oldest first."""
    since_s, until_s = _moment("--since", since), _moment("--until", until)
    with closing(_database(config)) as database:
        texts = _texts(database, since_s or 0.0, until_s, form)
        try:
            if output is None:
                _write(sys.stdout, texts)
            else:
                _write_file(output, texts)
        except BrokenPipeError:  # whoever read it has enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError as error:
            raise _failed(f"{output or 'standard output'} cannot be written: {error.strerror}") from None


@app.command()
def show(
    rows: Annotated[int, typer.Option("--rows", "-n", min=1, max=1000, help="How many.")] = 20,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the last calls, the latest first."""
    from ringfence.store.failure import StoreFailed
    from ringfence.store.ledger_lines import shown
    from ringfence.store.ledger_reads import key_names, last

    with closing(_database(config)) as database:
        try:
            found, names = database.call(lambda connection: (last(connection, rows), key_names(connection)))
        except StoreFailed as error:
            raise _failed(str(error)) from None
    told = [shown(row, names) for row in found]
    if as_json:
        typer.echo(json.dumps(told))
        return
    from ringfence.cli.show import put
    from ringfence.cli.show_ledger import ledger_page

    put(ledger_page(told))


def _moment(option: str, text: str | None) -> float | None:
    """In Unix seconds; a time without a zone is in UTC, and 7d is so long ago."""
    if text is None:
        return None
    if (ago_s := length_s(text)) is not None:
        return time.time() - ago_s
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        known = "2026-11-01, 2026-11-01T08:00+01:00, 7d"
        typer.secho(f"{option} takes a day, a time or how long ago: {known}", err=True, fg="red")
        raise typer.Exit(2) from None


def _database(config: Path | None) -> Database:
    from ringfence.cli.stored import stored
    from ringfence.config.problems import ConfigError
    from ringfence.store.failure import StoreFailed

    try:
        found = stored(config)
    except (ConfigError, StoreFailed) as error:
        raise _failed(str(error)) from None
    if found is None:
        raise _failed("There is no ledger yet: nothing was ever started with this configuration.")
    return found


def _texts(database: Database, since_s: float, until_s: float | None, form: Format) -> Iterator[tuple[int, str]]:
    """Rows in each, and the text of them; only one page is in memory."""
    from ringfence.store.failure import StoreFailed
    from ringfence.store.ledger_lines import csv_head, csv_lines, json_lines
    from ringfence.store.ledger_reads import START, Mark, key_names, page

    try:
        names = database.call(key_names)
        if form is Format.CSV:
            yield 0, csv_head()
        mark: Mark | None = START._replace(at_s=since_s)
        while mark is not None:
            after = mark
            found, mark = database.call(lambda connection: page(connection, after, until_s, PAGE))  # noqa: B023
            yield len(found), (csv_lines if form is Format.CSV else json_lines)(found, names)
    except StoreFailed as error:
        raise _failed(str(error)) from None


def _write(file: IO[str], texts: Iterator[tuple[int, str]]) -> None:
    """And say how far it is."""
    tells = sys.stderr.isatty()
    start, written, told_s = "\r" if tells else "", 0, time.monotonic()
    for count, text in texts:
        file.write(text)
        written += count
        if tells and time.monotonic() - told_s > TELL_EVERY_S:
            told_s = time.monotonic()
            typer.echo(f"\r{written:,} rows", nl=False, err=True)
    file.flush()
    typer.echo(f"{start}{written:,} rows", err=True)


def _write_file(path: Path, texts: Iterator[tuple[int, str]]) -> None:
    """Whole or not at all, and for its owner alone: it says who asked what of whom."""
    part = path.with_name(f"{path.name}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            _write(file, texts)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _failed(text: str) -> typer.Exit:
    typer.secho(text, err=True, fg="red")
    return typer.Exit(1)
