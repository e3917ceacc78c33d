"""`ringfence connect`: the settings with which a program asks this gateway, as that program wants them."""

from __future__ import annotations

import json
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ringfence.cli.asking import asked

if TYPE_CHECKING:
    from ringfence.cli.connected import Gateway, Program, Settings

ROOT = "http://127.0.0.1:7464"


def connect(
    program: Annotated[str | None, typer.Argument(help="Which program; without one, those that are known.")] = None,
    model: Annotated[str, typer.Option("--model", "-m", help="Any name that `ringfence models` shows.")] = "auto",
    key: Annotated[str | None, typer.Option("--key", help="Make a key of this name for it; else yours.")] = None,
    profile: Annotated[str | None, typer.Option("--profile", help="Of the key that --key makes.")] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="The configuration.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """The exact settings for a program: variables, its own file, or what to click. No file of it is changed."""
    known = _programs()
    if program is None:
        listed = [{"name": one.name, "title": one.title} for one in known.values()]
        text = "\n".join(f"ringfence connect {one.name:<12} {one.title}" for one in known.values())
        typer.echo(json.dumps(listed) if as_json else text)
        return
    if program not in known:
        typer.secho(f"'{program}' is not known; one of {', '.join(known)}.", err=True, fg="red")
        raise typer.Exit(2)
    if profile is not None and key is None:
        raise typer.BadParameter("--profile is for the key that --key makes.")
    gateway, is_running = _gateway(config, model, key, profile)
    settings = known[program].settings(gateway)
    if as_json:
        told: dict[str, Any] = {
            "program": program, "base_url": gateway.v1, "model": gateway.model, "api_key": gateway.key,
            "running": is_running, **settings.as_dict(),
        }  # fmt: skip
        typer.echo(json.dumps(told))
        return
    typer.echo("\n".join(_lines(known[program], gateway, settings)))
    _warn(gateway, is_running)


def _programs() -> dict[str, Program]:
    from ringfence.cli import connect as package
    from ringfence.core.registry import adapters

    found: dict[str, Program] = adapters(package, "PROGRAM", "name")
    return dict(sorted(found.items()))


def _gateway(config: Path | None, model: str, key: str | None, profile: str | None) -> tuple[Gateway, bool]:
    """The running one; where none runs, as it would be. Ends the program where a key is wanted and cannot be made."""
    from ringfence.cli.client import Gateway as Running
    from ringfence.cli.client import NotRunning, connect, folder_of
    from ringfence.cli.connected import PLACEHOLDER, Gateway
    from ringfence.store.credentials import load_credentials

    if key is not None:
        running = connect(config)
        window = _window(running, model)  # first: a key whose secret nobody sees would be of no use
        made = asked(running, "POST", "/keys", {"name": key, **({"profile": profile} if profile else {})})
        return Gateway(_root(running.base_url), made["secret"], model, window), True
    folder = folder_of(config)
    saved = load_credentials(folder)
    secret = saved.api_key if saved is not None else PLACEHOLDER
    try:
        running = Running(folder)
    except NotRunning:
        return Gateway(_configured_root(config), secret, model), False
    return Gateway(_root(running.base_url), secret, model, _window(running, model)), True


def _configured_root(config: Path | None) -> str:
    """Where it would listen, as far as the configuration can be read."""
    from ringfence.config.load import load
    from ringfence.config.places import find
    from ringfence.config.problems import ConfigError

    try:
        server = load(find(config, Path.cwd()), check_secrets=False).server
    except ConfigError:
        return ROOT
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(server.host, server.host)  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{server.port or 7464}"


def _root(base_url: str) -> str:
    return base_url.rstrip("/").removesuffix("/v1")


def _window(running: Any, model: str) -> int | None:
    """Of the model, where the gateway knows one; ends the program where it has no such name."""
    status = asked(running, "GET", "/status")
    for row in status["models"]:
        if model in (row["name"], *row["aliases"]):
            return row["window"]
    if model != "auto" and model not in status["offered"] and status["models"]:
        known = ", ".join(row["name"] for row in status["models"])
        typer.secho(f"There is no model '{model}'; `ringfence models` shows {known}.", err=True, fg="red")
        raise typer.Exit(2)
    return None


def _lines(program: Program, gateway: Gateway, settings: Settings) -> list[str]:
    """What is not for a shell stands behind a '#'."""
    lines = [f"# {program.title}: {gateway.v1}, model {gateway.model}"]
    lines += [f"export {name}={quote(value)}" for name, value in settings.variables.items()]
    for step in settings.steps:
        lines.append(f"#   {step}")
    for file in settings.files:
        lines += ["", f"# {file.path}", *file.text.rstrip("\n").split("\n")]
    lines += ["", settings.run] if settings.run else []
    return lines + [f"# {note}" for note in settings.notes]


def _warn(gateway: Gateway, is_running: bool) -> None:
    from ringfence.cli.connected import PLACEHOLDER

    if gateway.key == PLACEHOLDER:
        typer.secho("No key is known here: `ringfence keys create NAME` makes one.", err=True, fg="yellow")
    if not is_running:
        typer.secho("No gateway runs with this state; `ringfence up` starts one.", err=True, fg="yellow")
