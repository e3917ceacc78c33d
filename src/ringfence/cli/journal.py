"""`ringfence journal`: what left this machine. Reads the files themselves, so that it works while nothing runs."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal, NoReturn, TypeVar

import typer

from ringfence.cli.words import length_s

if TYPE_CHECKING:
    from ringfence.egress.journal_chain import Call, Head, Verdict

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, help="Show, verify and export what left this machine.")

MOST_ROWS = 200
"""In the table; JSON and the export have all."""
CALL_COLUMNS = (
    "seq", "time", "call", "key", "profile", "provider", "model", "allowed", "address", "max_tokens", "bytes_out",
    "sha256_out", "ended", "status", "bytes_in", "sha256_in", "outcome",
)  # fmt: skip
ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="The configuration.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


@app.command()
def show(
    since: Annotated[str | None, typer.Option("--since", help="2026-11-01 (UTC), or 45m, 24h, 7d, 8w.")] = None,
    profile: Annotated[str | None, typer.Option("--profile", help="Calls of this profile only.")] = None,
    provider: Annotated[str | None, typer.Option("--provider", help="Calls to this provider only.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What left, for whom and where to; the newest last."""
    from ringfence.egress.journal_chain import calls, read, verify

    since_s = _since(since)
    folder = _folder(config)
    delegates = _checked(config, folder, profile, provider)
    verdict = _reading(folder, lambda: verify(folder))
    found = _reading(folder, lambda: calls(folder, since_s=since_s, profile=profile, provider=provider))
    if not verdict.is_whole:
        typer.secho(f"{_place(folder, verdict)}. See: ringfence journal verify", err=True, fg="red")
    if as_json:
        typer.echo(json.dumps([_row(call) for call in found]))
        raise typer.Exit(0 if verdict.is_whole else 1)
    left = [call for call in found if call.has_left]
    if not left:
        about = "".join(f" {word} {name}" for word, name in (("for profile", profile), ("to", provider)) if name)
        first = next(_reading(folder, lambda: read(folder)), None) if since_s is None else None
        when = f" since {_utc(since_s)} UTC" if since_s is not None else ""
        when += f" since {_utc(first.at_s)} UTC, when the journal begins" if first else ""
        if not verdict.is_whole:
            typer.echo(f"The journal has no call{about}{when}, but it is broken: this proves nothing.")
        elif not folder.is_dir():
            typer.echo(f"There is no journal in {folder.parent}: no call has been made to a rented cloud from here.")
        else:
            typer.echo(f"Nothing has left this machine{about}{when}.")
    if found:
        _print_table(found, len(left), is_whole=verdict.is_whole)
    if delegates:
        typer.echo(f"Keys of {profile} may also call as {', '.join(delegates)}; those calls stand under these names.")
    if not verdict.is_whole:
        raise typer.Exit(1)


@app.command("verify")
def verify_command(
    noted: Annotated[
        str | None, typer.Option("--head", help="A head noted earlier, NUMBER:HASH; it must be in the chain.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find out whether a line was changed, removed, inserted or moved. Exit status 0 when whole, 1 when broken."""
    from ringfence.egress.journal_chain import MEND

    verdict, folder = _verified(config, noted)
    if as_json:
        typer.echo(json.dumps({**asdict(verdict), "head": str(verdict.head), "folder": str(folder)}))
    elif not verdict.is_whole:
        typer.secho(f"{_place(folder, verdict)}.", err=True, fg="red")
        typer.echo(f"The {verdict.lines} lines before it are whole.", err=True)
        typer.echo(MEND.format(folder=folder), err=True)
    elif not verdict.lines:
        typer.echo(f"There is no line in {folder}: nothing has been sent, or the whole folder was removed.")
    else:
        files = f"{verdict.files} file" if verdict.files == 1 else f"{verdict.files} files"
        typer.echo(f"The journal is whole: {verdict.lines} lines in {files}, up to {verdict.head}.")
        if verdict.recovered:
            typer.echo(f"It tells of {verdict.recovered} lines that a crash or a full disk left unfinished.")
        if verdict.unfinished_bytes:
            typer.echo(
                f"{verdict.unfinished_bytes} bytes of an unfinished line follow: it is being written, or was cut short "
                "by a crash; the next start of Ringfence accounts for it."
            )
    raise typer.Exit(0 if verdict.is_whole else 1)


@app.command()
def export(
    file: Annotated[Path | None, typer.Argument(help="Where to; default: here. Never overwritten.")] = None,
    form: Annotated[
        Literal["csv", "jsonl"],
        typer.Option("--format", help="csv: a row for each call; jsonl: the lines as they are."),
    ] = "csv",
    config: ConfigOption = None,
) -> None:
    """Write all of it to a file: for a spreadsheet, or to keep elsewhere."""
    folder = _folder(config)
    write = _write_rows if form == "csv" else _write_lines
    if file is None:
        _reading(folder, lambda: write(folder, sys.stdout.buffer))
        return
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            count = write(folder, out)
    except FileExistsError:
        _end(f"{file} exists and is not overwritten.")
    except OSError as error:
        _end(f"{error.filename or file} cannot be used ({error.strerror}).")
    typer.secho(f"{count} {'calls' if form == 'csv' else 'lines'} written to {file}.", err=True)


@app.command()
def head(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """The last line's number and hash, to be noted where nobody with access to this machine can change it."""
    verdict, folder = _verified(config, None)
    if not verdict.is_whole:
        typer.secho(f"{_place(folder, verdict)}. See: ringfence journal verify", err=True, fg="red")
        raise typer.Exit(1)
    if as_json:
        typer.echo(json.dumps({"head": str(verdict.head), "seq": verdict.head.seq, "hash": verdict.head.hash}))
        return
    typer.echo(str(verdict.head))
    typer.secho(f"Note it elsewhere. Later: ringfence journal verify --head {verdict.head}", err=True, dim=True)


def _folder(config: Path | None) -> Path:
    from ringfence.cli.client import folder_of
    from ringfence.config.problems import ConfigError

    try:
        return folder_of(config) / "journal"
    except ConfigError as error:
        _end(str(error))


def _checked(config: Path | None, folder: Path, profile: str | None, provider: str | None) -> tuple[str, ...]:
    """Ends with a message where nothing can be known, or where there is no such profile or provider; the profiles under
    which keys of `profile` may make calls as well."""
    from ringfence.config.load import load
    from ringfence.config.places import find
    from ringfence.config.problems import ConfigError
    from ringfence.egress.journal_chain import read

    if not folder.parent.is_dir():
        _end(
            f"There is no state folder {folder.parent}: it is not known what has left. "
            "Name the right one with RINGFENCE_STATE_DIR."
        )
    if profile is None and provider is None:
        return ()
    try:
        known = load(find(config, Path.cwd()), check_secrets=False)
    except ConfigError:
        return ()
    for what, name, there in (("profile", profile, known.profiles), ("provider", provider, known.providers)):
        if (
            name is None
            or name in there
            or any(getattr(one, what) == name for one in _reading(folder, lambda: read(folder)))
        ):
            continue
        neither = "neither in the configuration nor in the journal"
        _end(f"There is no {what} '{name}', {neither}. There are: {', '.join(there)}.")
    return known.profiles[profile].delegates if profile in known.profiles else ()


def _verified(config: Path | None, noted: str | None) -> tuple[Verdict, Path]:
    from ringfence.egress.journal_chain import Head, verify

    known: Head | None = None
    if noted is not None:
        try:
            known = Head.parse(noted)
        except ValueError as error:
            typer.secho(f"--head: {error}", err=True, fg="red")
            raise typer.Exit(2) from None
    folder = _folder(config)
    return _reading(folder, lambda: verify(folder, known)), folder


def _reading(folder: Path, read: Callable[[], T]) -> T:
    from ringfence.store.failure import StoreFailed

    try:
        return read()
    except OSError as error:
        _end(str(StoreFailed.of(error.filename or folder, error)))


def _end(what: str) -> NoReturn:
    typer.secho(what, err=True, fg="red")
    raise typer.Exit(1)


def _since(text: str | None) -> float | None:
    """UTC seconds of a day, of a time, or of so long ago."""
    if text is None:
        return None
    if (ago_s := length_s(text)) is not None:
        return time.time() - ago_s
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        typer.secho(
            "--since takes a day such as 2026-11-01, or a number and a unit: 45m, 24h, 7d, 8w", err=True, fg="red"
        )
        raise typer.Exit(2) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _utc(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M}"


def _place(folder: Path, verdict: Verdict) -> str:
    return f"The journal is broken. {_plain(verdict.place(folder))}"


def _row(call: Call) -> dict[str, Any]:
    """A call as one flat row; what it has not got, because it has not ended, is None."""
    sent, ended = asdict(call.sent), asdict(call.ended) if call.ended else {}
    ended["ended"] = ended.get("time")
    names = ("ended", "status", "bytes_in", "sha256_in", "outcome")
    return {name: ended.get(name) if name in names else sent[name] for name in CALL_COLUMNS}


def _write_lines(folder: Path, out: BinaryIO) -> int:
    from ringfence.egress.journal_chain import files_of

    count = 0
    for path in files_of(folder):
        with path.open("rb") as lines:
            for line in lines:
                out.write(line)
                count += 1
    return count


def _write_rows(folder: Path, out: BinaryIO) -> int:
    from ringfence.egress.journal_chain import calls

    found = calls(folder)
    text = io.TextIOWrapper(out, encoding="utf-8", newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(CALL_COLUMNS)
    table.writerows([_cell(value) for value in _row(call).values()] for call in found)
    text.detach()  # flushes, and leaves `out` open
    return len(found)


def _cell(value: Any) -> Any:
    """A spreadsheet would take a name that begins like a formula for one."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value


def _plain(text: str) -> str:
    """A file that somebody changed must not talk to the terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _print_table(found: list[Call], left: int, *, is_whole: bool) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        "Time (UTC)", "Profile", "Key", "Provider", "Model", "Out", "In", "Outcome",
        box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold",
    )  # fmt: skip
    for sent, ended in found[-MOST_ROWS:]:
        outcome = f"{ended.outcome} {ended.status or ''}" if ended else "no end yet"
        cells = (
            _utc(sent.at_s), sent.profile, sent.key, sent.provider, sent.model,
            f"{sent.bytes_out:,}", f"{ended.bytes_in:,}" if ended else "-", outcome,
        )  # fmt: skip
        table.add_row(*(Text(_plain(cell)) for cell in cells))
    console = Console()
    console.print(table)
    earlier = len(found) - MOST_ROWS
    if earlier > 0:
        console.print(f"and {earlier:,} earlier: ringfence journal export", style="dim", highlight=False)
    calls = [call for call in found if call.has_left]
    out, back = sum(c.sent.bytes_out for c in calls), sum(c.ended.bytes_in for c in calls if c.ended)
    least = "" if is_whole else "At least "
    console.print(f"{least}{left:,} calls left this machine: {out:,} bytes out, {back:,} bytes in.", highlight=False)
