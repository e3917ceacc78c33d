"""`ringfence service` and `ringfence firewall`: the kernel's fence around Ringfence, written for this machine."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ringfence.config.schema import Config
    from ringfence.config.secret import SecretRef
    from ringfence.fence.units import House

service = typer.Typer(no_args_is_help=True, help="systemd units that let no process reach more than it must.")
firewall = typer.Typer(no_args_is_help=True, help="Rules for nftables, where there is no systemd, or besides it.")

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="The configuration.")]
CallersOption = Annotated[
    list[str] | None, typer.Option("--callers", help="A network from which the gateway is asked, such as 10.1.0.0/16.")
]
RESOLV_CONF = Path("/etc/resolv.conf")
HIDDEN = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))  # noqa: S108


class Which(StrEnum):
    """What can be shown by itself."""

    GATEWAY = "gateway"
    EGRESS = "egress"
    ENGINE = "engine"


@service.command("print")
def print_unit(
    which: Annotated[Which, typer.Argument(help="The unit; engine: a drop-in for the units of your engines.")],
    callers: CallersOption = None,
    config: ConfigOption = None,
) -> None:
    """Show a unit as it would be installed."""
    from ringfence.fence import units

    names = {Which.GATEWAY: units.GATEWAY, Which.EGRESS: units.EGRESS, Which.ENGINE: units.ENGINE}
    typer.echo(units.unit(names[which], _house(config, callers or [])), nl=False)


@service.command()
def install(
    engine: Annotated[
        list[str] | None, typer.Option("--engine", help="Keep this engine's unit in as well, such as ollama.")
    ] = None,
    callers: CallersOption = None,
    root: Annotated[Path, typer.Option("--root", help="Write below this folder, to look at it first.")] = Path("/"),
    config: ConfigOption = None,
) -> None:
    """Write the units, and say what to do with them. Nothing is started."""
    from ringfence.fence import units

    house = _house(config, callers or [])
    is_update = (root / "etc/systemd/system" / units.GATEWAY).exists()
    try:
        for place, text in units.installed(house, engine or []).items():
            path = root / str(place).lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            typer.echo(f"Wrote {path}")
    except OSError as error:
        typer.secho(f"{error.filename}: {error.strerror}", err=True, fg="red")
        typer.echo("Run it as root, or look at the files first: --root FOLDER writes them below a folder.", err=True)
        raise typer.Exit(1) from None
    started = "ringfence-gateway ringfence-egress" if house.has_providers else "ringfence-gateway"
    steps = ["systemd-sysusers", "systemd-tmpfiles --create", "systemctl daemon-reload"]
    steps += [f"systemctl enable --now {started}"] + [f"systemctl restart {started}"] * is_update
    steps += [f"systemctl restart {name}" for name in engine or []]
    if root.resolve() != Path("/"):
        typer.echo(f"systemd does not look below {root}: without --root they are put in their places.")
    typer.echo("\n  ".join(["Then, as root:", *steps]))
    for line in _out_of_sight(house, config):
        typer.secho(line, err=True, fg="yellow")
    for name in sorted({*house.inside_credentials, *house.outside_credentials}):
        typer.echo(f"The credential '{name}' is read from /etc/ringfence/credentials/{name} (root, mode 0600).")


@firewall.command("print")
def print_rules(
    user: Annotated[
        str | None, typer.Option("--user", help="Name or number of the user that Ringfence runs as: ringfence.")
    ] = None,
    egress_group: Annotated[
        str | None, typer.Option("--egress-group", help="Group of the egress process alone: ringfence-egress.")
    ] = None,
    bridge: Annotated[
        list[str] | None, typer.Option("--bridge", help="A bridge of containers in which engines run, such as br-1a2b.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Show the rules, for `nft -f`."""
    from ringfence.fence import units

    house = _house(config, [])
    rules = units.firewall(house, user or units.USER, egress_group or units.EGRESS_GROUP, bridge or [])
    typer.echo(rules, nl=False)


def _house(path: Path | None, callers: list[str]) -> House:
    """What the configuration says of who is to be reached. Ends with status 2 for one that cannot be used."""
    from ringfence.config.load import load
    from ringfence.config.places import find
    from ringfence.config.problems import ConfigError
    from ringfence.fence.units import House, is_network, nameservers

    found = find(path, Path.cwd())
    for network in callers:
        if not is_network(network):
            typer.secho(f"--callers takes a network such as 10.1.0.0/16, not {network}", err=True, fg="red")
            raise typer.Exit(2)
    try:
        config = load(found, check_secrets=False)
    except ConfigError as error:
        typer.secho(f"{error}; `ringfence config check` says more.", err=True, fg="red")
        raise typer.Exit(2) from None
    try:
        resolvers = nameservers(RESOLV_CONF.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        resolvers = ()
    inside = [model.api_key for model in config.models.values() if model.api_key is not None]
    outside = [key for provider in config.providers.values() for key in provider.keys]
    return House(
        _program(), str(found.resolve()) if found is not None else "", config.mesh, tuple(callers), _here(config),
        resolvers, _credentials(inside), _credentials(outside), bool(config.providers),
    )  # fmt: skip


def _out_of_sight(house: House, path: Path | None) -> list[str]:
    """What the gateway is to read and its own unit hides from it: it would not start, or not serve."""
    from ringfence.config.load import load
    from ringfence.config.places import find

    config = load(find(path, Path.cwd()), check_secrets=False)
    named = [("Ringfence", house.program.split(" ")[0])]
    named += [("Its Python", sys.executable)] * (sys.executable != named[0][1])
    named += [("The configuration", house.config)]
    named += [(f"The model '{name}'", str(model.source)) for name, model in config.models.items() if model.source]
    return [
        f"{what} lies at {place}: the units hide {folder}. Put it elsewhere, such as below /opt, and install again."
        for what, place in named
        for folder in [folder for folder in HIDDEN if _lies_below(Path(place), folder)][:1]
    ]


def _lies_below(place: Path, folder: Path) -> bool:
    """As it is named, or where its links lead; `demo` and a model of a hub are no places."""
    return place.is_absolute() and (place.is_relative_to(folder) or place.resolve().is_relative_to(folder))


def _here(config: Config) -> tuple[str, ...]:
    """Addresses of loopback at which we listen or engines do."""
    from ringfence.config.values import is_loopback

    named = [config.server.host, *(at.host for model in config.models.values() for at in model.addresses)]
    return tuple(dict.fromkeys(host for host in named if is_loopback(host)))


def _credentials(secrets: Iterable[SecretRef]) -> tuple[str, ...]:
    """Names of systemd's credentials among them."""
    kind = "credential:"
    references = {secret.reference for secret in secrets}
    return tuple(sorted(one.removeprefix(kind) for one in references if one.startswith(kind)))


def _program() -> str:
    """How this very installation is started."""
    beside = Path(sys.executable).with_name("ringfence")
    return str(beside) if os.access(beside, os.X_OK) else f"{sys.executable} -m ringfence"
