"""`ringfence prove`: tries to get text out of every profile, in a network that counts packets, and shows what came."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

if TYPE_CHECKING:
    from ringfence.config.schema import Config
    from ringfence.prove.proof import Proof

COLOURS = {"held": "green", "allowed": "cyan", "LEAK": "bold red", "blind": "yellow", "not tried": "yellow"}
COLUMNS = 4
"""Profiles side by side in a table; more go into another."""


def run(config: Path | None, profiles: Sequence[str], ways: Sequence[str], html: Path | None, *, as_json: bool) -> int:
    """Prove, print, and write the report; the exit status: 0 proven, 1 not, 2 when nothing could be tried."""
    from ringfence.config.load import load
    from ringfence.config.places import find
    from ringfence.config.problems import ConfigError
    from ringfence.prove.network import NoNamespace
    from ringfence.prove.way import all_ways

    path = find(config, Path.cwd())
    try:
        loaded = load(path, check_secrets=False)
    except ConfigError as error:
        _end(str(error))
    _check(profiles, loaded.profiles, "profile")
    _check(ways, [way.name for way in all_ways()], "way")
    if html is not None and not html.parent.is_dir():
        _end(f"There is no folder {html.parent} for the report.")
    for asked in (signal.SIGTERM, signal.SIGINT):
        signal.signal(asked, _interrupt)
    try:
        proof = _watched(loaded, path, profiles, ways, quiet=as_json)
    except NoNamespace as error:
        _end(str(error))
    except _Interrupted as asked:
        raise typer.Exit(128 + asked.signal) from None
    if as_json:
        typer.echo(json.dumps(proof.as_row()))
    else:
        _print(proof)
    if html is not None:
        from ringfence.prove.report import write_report

        try:
            write_report(proof, html)
        except OSError as error:
            _end(f"{html} cannot be written ({error.strerror}).")
        typer.secho(f"The report is in {html}.", err=True)
    return 0 if proof.is_proven else 1


class _Interrupted(BaseException):
    """Somebody asks us to end; what was started must end, and what was written must go."""

    def __init__(self, signal: int) -> None:
        self.signal = signal


def _interrupt(number: int, _frame: object) -> NoReturn:
    for asked in (signal.SIGTERM, signal.SIGINT):  # once: a second one would leave the first one's work half done
        signal.signal(asked, signal.SIG_IGN)
    raise _Interrupted(number)


def list_ways(*, as_json: bool) -> None:
    """The ways that are tried, and what each is."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from ringfence.prove.way import all_ways

    if as_json:
        typer.echo(json.dumps([{"way": way.name, "text": way.text, "covers": way.covers} for way in all_ways()]))
        return
    table = Table("Way", "The caller or the engine …", box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for way in all_ways():
        table.add_row(way.name, way.text)
    Console().print(table)


def _watched(config: Config, path: Path | None, profiles: Sequence[str], ways: Sequence[str], *, quiet: bool) -> Proof:
    """With a bar for each profile, where people look."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from ringfence.prove.proof import prove
    from ringfence.prove.way import all_ways

    named = path.name if path is not None else "no configuration: the defaults"
    content = path.read_bytes() if path is not None else b""
    if quiet:
        return prove(config, named, content, profiles, ways)
    names = list(profiles or config.profiles)
    total = len(ways or all_ways()) + 3
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bars = {name: progress.add_task(name, total=total) for name in names}
        lock = threading.Lock()

        def watch(profile: str, way: str) -> None:
            with lock:
                progress.update(bars[profile], advance=1, description=f"{profile}: {way}")

        return prove(config, named, content, profiles, ways, watch)


def _print(proof: Proof) -> None:
    from rich.console import Console

    console = Console()
    for start in range(0, len(proof.profiles), COLUMNS):
        console.print(_table(proof, start))
    for one in proof.profiles:
        colour = "green" if one.is_proven else "red" if one.has_leak else "yellow"
        console.print(one.in_words, style=colour, highlight=False, soft_wrap=True)
        for row in one.open_ways:
            console.print(f"  {row['way']}: {row['text']}; the answer was: {row['answer'] or 'none'}", highlight=False)
            for place in row["to"]:
                console.print(f"    {place}", highlight=False, soft_wrap=True)
    for note in proof.notes:
        console.print(note, style="dim", highlight=False)
    said = "Proven." if proof.is_proven else "NOT proven."
    console.print(f"{said} {_counted(proof)}", style="bold", highlight=False)


def _table(proof: Proof, start: int) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("Way", no_wrap=True)
    shown = proof.profiles[start : start + COLUMNS]
    for one in shown:
        table.add_column(f"{one.profile}\n{one.boundary}", no_wrap=True)
    for way, _text, rows in proof.matrix:
        cells = [Text("–", style="dim") if row is None else _cell(row) for row in rows[start : start + COLUMNS]]
        table.add_row(way, *cells)
    return table


def _cell(row: dict[str, Any]) -> Any:
    from rich.text import Text

    counted = f" {row['packets']:,} p {row['bytes']:,} B" if row["packets"] else " 0"
    return Text.assemble((row["verdict"], COLOURS[row["verdict"]]), (counted, "dim"))


def _counted(proof: Proof) -> str:
    tried = sum(len(one.rows) for one in proof.profiles)
    beyond = sum(row["beyond_packets"] for one in proof.profiles for row in one.rows)
    under = _several(len(proof.profiles), "profile")
    return f"{tried} attempts under {under}; {_several(beyond, 'packet')} went further than they may."


def _several(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _check(named: Sequence[str], known: Any, what: str) -> None:
    for name in named:
        if name not in known:
            _end(f"There is no {what} '{name}'. There are: {', '.join(known)}.")


def _end(message: str) -> NoReturn:
    typer.secho(message, err=True, fg="red")
    raise typer.Exit(2)
