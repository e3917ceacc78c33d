"""`ringfence config`: start a configuration, check it, show what is in force, and have it put to work."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from ringfence.cli.running import read_json, running

app = typer.Typer(no_args_is_help=True, help="Start, check, show and reload the configuration.")

WAIT_FOR_RELOAD_S = 90.0  # changed models are loaded before the old ones are let go
_POLL_S = 0.05

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The file; default: $RINGFENCE_CONFIG, ./ringfence.yaml, XDG, /etc."),
]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="Lay a setting over the file: server.port=0.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


@app.command("init")
def init_command(
    path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("ringfence.yaml"),
    merge: Annotated[bool, typer.Option("--merge", help="Add the sections that an existing file lacks.")] = False,
    schema: Annotated[Path | None, typer.Option(help="Where to write the JSON Schema; default: beside it.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a commented file to start from; never overwrites one."""
    from ringfence.config import write
    from ringfence.config.problems import ConfigError

    try:
        if merge and path.exists():
            added = write.merge(path)
            text = f"{path}: added {', '.join(added)}" if added else f"{path}: nothing is missing"
            _answer({"ok": True, "file": str(path), "added": added}, text, as_json)
            return
        written = write.init(path, schema_path=schema)
    except ConfigError as error:
        _refuse(error, path, as_json)
    except OSError as error:
        _refuse_for(f"{error.filename or path}: {error.strerror}", path, as_json)
    else:
        _answer({"ok": True, "file": str(path), "schema": str(written)}, f"wrote {path} and {written}", as_json)


@app.command("check")
def check_command(
    config: ConfigOption = None,
    overrides: SetOption = None,
    skip_secrets: Annotated[bool, typer.Option("--skip-secrets", help="Do not look whether secrets exist.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say everything that is wrong with the configuration, with line numbers."""
    from ringfence.config.load import load
    from ringfence.config.problems import ConfigError
    from ringfence.runtime.sensitive import sensitivity

    path = _find(config)
    laid_over = _overrides(overrides)
    try:
        sensitivity(
            load(
                path, os.environ, laid_over, kinds=_kinds() or None, check_secrets=not skip_secrets,
                check_provider_keys=not skip_secrets,
            )
        )  # fmt: skip
    except ConfigError as error:
        _refuse(error, path, as_json)
    name = str(path) if path else None
    _answer({"ok": True, "file": name, "problems": []}, f"{name or 'no file; all defaults'}: ok", as_json)


@app.command("schema")
def schema_command(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to a file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """The JSON Schema of the file, for editors."""
    from ringfence.config.schema import schema_json
    from ringfence.config.write import write_schema

    if output is None:
        typer.echo(json.dumps(schema_json(), indent=2))
        return
    try:
        write_schema(output)
    except OSError as error:
        _refuse_for(f"{output}: {error.strerror}", output, as_json)
    _answer({"ok": True, "file": str(output)}, f"wrote {output}", as_json)


@app.command("show")
def show_command(config: ConfigOption = None, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """The configuration in force, each setting with where it was set; secrets as references only."""
    from ringfence.config.changes import settings, show
    from ringfence.config.load import load
    from ringfence.config.problems import ConfigError, dotted

    path = _find(config)
    laid_over = _overrides(overrides)
    try:
        loaded = load(path, os.environ, laid_over, check_secrets=False)
    except ConfigError as error:
        _refuse(error, path, as_json)
    if not as_json:
        typer.echo(show(loaded), nl=False)
        return
    origins = {
        dotted(setting.path): {"origin": str(loaded.origin(setting.path) or "default"), "reload": setting.reload}
        for setting in settings(loaded)
    }
    name = str(path) if path else None
    _answer({"ok": True, "file": name, "config": loaded.model_dump(mode="json"), "settings": origins}, "", as_json)


@app.command("reload")
def reload_command(
    config: ConfigOption = None,
    state_dir: Annotated[Path | None, typer.Option("--state-dir", help="The running gateway's state folder.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Have the running gateway read its configuration again, and tell what it made of it."""
    from ringfence.config.load import peek_state_dir

    # The file may well be wrong: to hear that from the gateway, only the folder must be known.
    path = _find(config)
    folder = state_dir or peek_state_dir(path)
    pid = running(folder)
    if pid is None:
        _refuse_for(f"Ringfence is not running (no live process in {folder / 'run.json'})", path, as_json)
    called_s = time.time()
    try:
        os.kill(pid, signal.SIGHUP)
    except OSError as error:
        _refuse_for(f"cannot signal process {pid}: {error.strerror}", path, as_json)
    outcome = _outcome(folder / "reload.json", called_s)
    if outcome is None:
        _refuse_for(f"no answer from process {pid} within {WAIT_FOR_RELOAD_S:.0f} s; see its log", path, as_json)
    if as_json:
        typer.echo(json.dumps(outcome))
    else:
        _print_outcome(outcome)
    if not outcome.get("ok"):
        raise typer.Exit(1)


def _find(explicit: Path | None) -> Path | None:
    from ringfence.config.places import find

    return find(explicit, Path())


def _overrides(given: list[str] | None) -> dict[str, str]:
    pairs = [one.partition("=") for one in given or ()]
    if any(not name or not equals for name, equals, _ in pairs):
        raise typer.BadParameter("expected SETTING=VALUE, such as server.port=0", param_hint="--set")
    return {name: value for name, _, value in pairs}


def _kinds() -> set[str]:
    import ringfence.engines
    from ringfence.core.registry import adapters

    return set(adapters(ringfence.engines))


def _outcome(path: Path, called_s: float) -> dict[str, Any] | None:
    """The outcome file, once it is newer than the call; None when none comes in time."""
    deadline = time.monotonic() + WAIT_FOR_RELOAD_S
    while time.monotonic() < deadline:
        found = read_json(path)
        at_s = found.get("at_s") if found else None
        if isinstance(at_s, int | float) and at_s >= called_s:
            return found
        time.sleep(_POLL_S)
    return None


def _print_outcome(outcome: dict[str, Any]) -> None:
    if not outcome.get("ok"):
        _print_problems([_line(problem) for problem in outcome.get("problems") or ["refused, without a reason"]])
        return
    changes = [change for change in outcome.get("changes") or () if isinstance(change, dict)]
    if changes:
        _print_changes(changes)
    else:
        typer.echo("reloaded; nothing changed")
    for line in outcome.get("dead_keys") or ():
        typer.secho(f"dead now: key {line}; every call with it is refused", err=True, fg="yellow")
    for line in outcome.get("notes") or ():
        typer.secho(str(line), err=True, fg="yellow")


def _print_changes(changes: list[dict[str, Any]]) -> None:
    from rich.text import Text

    from ringfence.cli.show import put, table

    rows = table("Changed", "In force")
    words = {"hot": "now", "drain": "now; requests under way finish as they began", "restart": "after a restart"}
    for change in changes:
        reload = str(change.get("reload"))
        rows.add_row(Text(str(change.get("path"))), words.get(reload, reload))
    typer.echo("reloaded")
    put(rows)


def _line(problem: Any) -> str:
    """A problem from the outcome file: as text already, or as the fields of a Problem."""
    from ringfence.config.problems import Problem

    try:
        return str(Problem(**problem)) if isinstance(problem, dict) else str(problem)
    except TypeError:
        return str(problem.get("message", "refused"))


def _answer(answer: dict[str, Any], text: str, as_json: bool) -> None:
    typer.echo(json.dumps(answer) if as_json else text)


def _refuse(error: Exception, path: Path | None, as_json: bool) -> NoReturn:
    from ringfence.config.problems import ConfigInvalid

    if not isinstance(error, ConfigInvalid):
        _refuse_for(str(error), path, as_json)
    if as_json:
        problems = [problem.as_dict() for problem in error.problems]
        typer.echo(json.dumps({"ok": False, "file": str(path) if path else None, "problems": problems}))
    else:
        _print_problems([str(problem) for problem in error.problems])
    raise typer.Exit(1)


def _refuse_for(message: str, path: Path | None, as_json: bool) -> NoReturn:
    if as_json:
        typer.echo(json.dumps({"ok": False, "file": str(path) if path else None, "problems": [{"message": message}]}))
    else:
        _print_problems([message])
    raise typer.Exit(1)


def _print_problems(lines: list[str]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(file=sys.stderr, soft_wrap=True)
    for line in lines:
        console.print(Text(line, style="red"))
