"""`ringfence secrets`: whether every secret is where the configuration says, kept so that nobody else has it."""

from __future__ import annotations

import json
import os
import pwd
import stat
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ringfence.config.references import Reference
    from ringfence.config.schema import Config

app = typer.Typer(no_args_is_help=True, help="Whether secrets can be read, and by nobody else.")

OWN = {
    "pepper": "what digests of keys are keyed with",
    "credentials.json": "the first key",
    "admin.token": "the token of the control API",
    "parking.key": "what parked requests are sealed with",
}
"""Secrets that Ringfence makes itself, in the state folder."""
Row = dict[str, Any]


class Process(StrEnum):
    """Who reads a secret."""

    GATEWAY = "gateway"
    EGRESS = "egress"


@app.callback()
def secrets_group() -> None:
    """Keeps `check` a command of its own."""


@app.command("check")
def check_command(
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="The file; default: $RINGFENCE_CONFIG, ./ringfence.yaml, XDG, /etc."),
    ] = None,
    process: Annotated[Process | None, typer.Option("--process", help="Only those that this process reads.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Look at every secret that the configuration refers to, and at those of the state folder. No value is shown."""
    from ringfence.config.load import load, peek_state_dir
    from ringfence.config.places import find
    from ringfence.config.problems import ConfigInvalid
    from ringfence.config.schema import state_dir

    path, problems, rows = find(config, Path()), list[str](), list[Row]()
    try:
        loaded = load(path, check_secrets=False)
    except ConfigInvalid as invalid:
        problems = [str(problem) for problem in invalid.problems]
        folder = peek_state_dir(path)
    else:
        rows = referred_to(loaded, process)
        folder = state_dir(loaded)
    kept = in_state_folder(folder)
    is_ok = not problems and not any(row["problem"] for row in rows + kept)
    if as_json:
        file = str(path) if path else None
        typer.echo(json.dumps({"ok": is_ok, "file": file, "problems": problems, "secrets": rows, "state": kept}))
    else:
        _print_page(problems, rows, kept)
    raise typer.Exit(0 if is_ok else 1)


def referred_to(config: Config, process: Process | None = None) -> list[Row]:
    """How each secret of the configuration is kept, as this process and its environment see it."""
    from ringfence.config.references import references

    return [_row(config, one) for one in references(config) if process is None or one.needed_by == process.value]


def in_state_folder(folder: Path) -> list[Row]:
    """How the secrets that Ringfence made itself are kept; those that are not there yet are left out."""
    rows: list[Row] = []
    for name, what in OWN.items():
        path = folder / name
        try:
            found, owner = path.stat(), folder.stat().st_uid
        except FileNotFoundError:
            continue
        except OSError as error:
            rows.append({"file": str(path), "what": what, "mode": None, "owner": None, "problem": f"{error.strerror}"})
            continue
        problem = _fault(path, found, owner)
        mode, kept_by = _mode(stat.S_IMODE(found.st_mode)), _user(found.st_uid)
        rows.append({"file": str(path), "what": what, "mode": mode, "owner": kept_by, "problem": problem})
    return rows


def _row(config: Config, one: Reference) -> Row:
    from ringfence.config.problems import dotted

    look = one.secret.look()
    note = ""
    if not os.geteuid() and look.owner:
        note = f"only a process of {_user(look.owner)}, or of root, can read it"
    return {
        "setting": dotted(one.path),
        "where": str(config.origin(one.path) or ""),
        "reference": one.secret.reference,
        "needed_by": one.needed_by,
        "file": str(look.file) if look.file is not None else None,
        "mode": _mode(look.mode),
        "owner": _user(look.owner),
        "length": look.length or None,
        "problem": look.problem,
        "note": note,
    }


def _fault(path: Path, found: os.stat_result, owner: int) -> str:
    from ringfence.config.secret_file import open_to_others
    from ringfence.store.private_file import badly_kept

    if (fault := badly_kept(path, found, owner)) is not None:
        return str(fault)
    folder = open_to_others(path)
    return f"others may put another file in its place: run: chmod go-w {folder}" if folder is not None else ""


def _mode(mode: int | None) -> str | None:
    return None if mode is None else f"{mode:04o}"


def _user(number: int | None) -> str | None:
    """The name of a user, or the number of one who has none."""
    if number is None:
        return None
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _print_page(problems: list[str], rows: list[Row], kept: list[Row]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True, highlight=False)
    for problem in problems:
        console.print(Text(f"✗ {problem}", style="red"))
    for row in rows:
        console.print(Text(f"{_mark(row)} {row['setting']}  {row['reference']}  ({row['needed_by']})"))
        facts = [row["where"], _file_facts(row), f"{row['length']} characters" if row["length"] else ""]
        console.print(Text(f"  {', '.join(fact for fact in facts if fact)}", style="dim"))
        if row["note"]:
            console.print(Text(f"  {row['note']}", style="yellow"))
        _print_problem(console, row)
    for row in kept:
        console.print(Text(f"{_mark(row)} {row['file']}  {row['what']}"))
        console.print(Text(f"  {_file_facts(row)}", style="dim"))
        _print_problem(console, row)
    if not rows and not problems:
        console.print(Text("The configuration refers to no secret.", style="dim"))


def _print_problem(console: Any, row: Row) -> None:
    from rich.text import Text

    if row["problem"]:
        console.print(Text(f"  {row['problem']}", style="red"))


def _mark(row: Row) -> str:
    return "✗" if row["problem"] else "✓"


def _file_facts(row: Row) -> str:
    return f"mode {row['mode']} of {row['owner']}" if row["mode"] else ""
