"""`ringfence keys`: made, listed, budgeted and revoked by the running gateway, else straight in the database."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ringfence.cli.words import length_s

app = typer.Typer(no_args_is_help=True, help="Create, list, budget and revoke API keys.")

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="The configuration.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
DayOption = Annotated[str | None, typer.Option("--budget-day", help="US dollars a day, or none.")]
WeekOption = Annotated[str | None, typer.Option("--budget-week", help="US dollars a week, from Monday on, or none.")]
MonthOption = Annotated[str | None, typer.Option("--budget-month", help="US dollars a month, or none.")]
CallOption = Annotated[str | None, typer.Option("--budget-call", help="US dollars that one call may cost, or none.")]
SoftOption = Annotated[
    int | None, typer.Option("--soft-percent", min=1, max=100, help="From there on, what is free goes first.")
]
NO_CAP = "none"
NOT_CAPPED = "whatever the house and its profile allow"


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is, such as 'laptop' or 'agent-7'.")],
    profile: Annotated[
        str | None,
        typer.Option("--profile", help="What it is bound to, as configured; default: its agent's, else default."),
    ] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Whose calls it makes, as configured.")] = None,
    rpm: Annotated[int | None, typer.Option("--rpm", min=1, help="Requests per minute.")] = None,
    tpm: Annotated[int | None, typer.Option("--tpm", min=1, help="Tokens per minute.")] = None,
    expires: Annotated[str | None, typer.Option("--expires", help="How long it is good for: 12h, 30d, 8w.")] = None,
    day: DayOption = None,
    week: WeekOption = None,
    month: MonthOption = None,
    call: CallOption = None,
    soft: SoftOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key. It is shown once."""
    body = {
        "name": name, "profile": profile, "agent": agent, "requests_per_minute": rpm, "tokens_per_minute": tpm,
        "expires_s": _until(expires), "budget": _caps(day, week, month, call, soft),
    }  # fmt: skip
    made = _ask(config, "POST", "/keys", body)
    if as_json:
        typer.echo(json.dumps(made))
        return
    typer.echo(f"{made['secret']}\n")
    typer.secho(
        f"This is {made['id']} ({name}). It is shown once and cannot be read again: copy it now.", err=True, fg="yellow"
    )
    bound = " and ".join(f"{what} '{made[what]}'" for what in ("profile", "agent") if made[what])
    typer.secho(f"Text of its calls may travel as far as {made['boundary']} ({bound}).", err=True)


@app.command("list")
def list_command(
    everything: Annotated[bool, typer.Option("--all", help="Revoked and expired ones too.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the keys, and what each has used."""
    now = time.time()
    found = _ask(config, "GET", "/keys")["keys"]
    rows = [key for key in found if everything or (not key["revoked_s"] and (key["expires_s"] or now + 1) > now)]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    from ringfence.cli.show import keys_page, put

    put(keys_page(rows))


@app.command()
def budget(
    which: Annotated[str, typer.Argument(help="Its id, name, or last four characters.")],
    day: DayOption = None,
    week: WeekOption = None,
    month: MonthOption = None,
    call: CallOption = None,
    soft: SoftOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change what may be spent with a key, from its next call on; what is not named stays."""
    from ringfence.core.money import caps_in_words

    caps = _caps(day, week, month, call, soft)
    if not caps:
        options = "--budget-day, --budget-week, --budget-month, --budget-call, --soft-percent"
        typer.secho(f"Say which: {options}.", err=True, fg="red")
        raise typer.Exit(2)
    changed = _ask(config, "PATCH", f"/keys/{which}/budget", caps)
    caps_now = caps_in_words(changed["budget"])
    words = f"{caps_now}; its soft limit is {changed['budget']['soft_percent']} %" if caps_now else NOT_CAPPED
    typer.echo(json.dumps(changed) if as_json else f"{changed['id']} ({changed['name']}) may spend {words}.")


@app.command()
def revoke(
    which: Annotated[str, typer.Argument(help="Its id, name, or last four characters.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a key at once."""
    ended = _ask(config, "DELETE", f"/keys/{which}")
    typer.echo(json.dumps(ended) if as_json else f"{ended['id']} ({ended['name']}) is revoked.")


def _caps(
    day: str | None, week: str | None, month: str | None, call: str | None, soft: int | None
) -> dict[str, int | None]:
    """Those that are named, in micro-dollars."""
    from ringfence.core.money import micros

    caps: dict[str, int | None] = {}
    for name, text in (("day", day), ("week", week), ("month", month), ("call", call)):
        if text is None:
            continue
        try:
            caps[name] = None if text == NO_CAP else micros(text)
        except ValueError as error:
            typer.secho(f"--budget-{name}: {error}", err=True, fg="red")
            raise typer.Exit(2) from None
    return caps if soft is None else {**caps, "soft_percent": soft}


def _until(text: str | None) -> int | None:
    if text is None:
        return None
    length = length_s(text)
    if length is None:
        typer.secho("--expires takes a number and a unit: 45m, 12h, 30d, 8w", err=True, fg="red")
        raise typer.Exit(2)
    return int(time.time()) + length


def _ask(config: Path | None, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Through the gateway where one runs; else directly, which only a process without one may do."""
    from ringfence.cli.client import Gateway, NotRunning, Refused, folder_of
    from ringfence.config.problems import ConfigError
    from ringfence.store.failure import StoreFailed

    folder = folder_of(config)
    try:
        try:
            return Gateway(folder).ask(method, path, body)
        except NotRunning:
            if body is None or method == "PATCH":
                return _directly(config, method, path, body or {})
            bound, boundary = _bound(config, body["profile"], body["agent"])
            return _directly(config, method, path, body | bound) | {"boundary": boundary}
    except (ConfigError, Refused, StoreFailed, ValueError) as error:
        typer.secho(str(error), err=True, fg="red")
        raise typer.Exit(1) from None


def _bound(config: Path | None, profile: str | None, agent: str | None) -> tuple[dict[str, str], str]:
    """What a key made without a gateway is bound to, and how far it reaches; ValueError for what is not configured."""
    from ringfence.config.bound_keys import reach_of_key
    from ringfence.config.load import load
    from ringfence.config.places import find
    from ringfence.config.problems import not_configured

    found = load(find(config, Path.cwd()), check_secrets=False)
    bound = {"profile": profile or ("" if agent else "default"), "agent": agent or ""}
    for what, known in (("profile", found.profiles), ("agent", found.agents)):
        if bound[what] and bound[what] not in known:
            raise ValueError(not_configured(what, bound[what], known))
    return bound, reach_of_key(found, **bound).name


def _directly(config: Path | None, method: str, path: str, body: dict[str, Any]) -> Any:
    from ringfence.config.load import load
    from ringfence.config.places import find
    from ringfence.config.schema import state_dir
    from ringfence.core.money import NO_BUDGET, starts
    from ringfence.runtime.database import database as named
    from ringfence.store import keys as keystore
    from ringfence.store import ledger
    from ringfence.store.private_file import make_private_folder

    found_config = load(find(config, Path.cwd()), check_secrets=False)
    folder = state_dir(found_config)
    make_private_folder(folder)
    database = named(found_config)
    now = int(time.time())
    try:
        database.migrate()
        if method == "POST":
            body = body | {"budget": replace(NO_BUDGET, **body["budget"])}
            key, secret = database.call(
                lambda c: keystore.create(c, keystore.find_pepper(c, folder), created_s=now, **body)
            )
            return {**asdict(key), "secret": secret}
        if method == "PATCH":
            which = path.split("/")[2]
            return asdict(database.call(lambda c: keystore.rebudget(c, which, body)))
        if method == "DELETE":
            which = path.rpartition("/")[2]
            return asdict(database.call(lambda c: keystore.revoke(c, which, now)))
        began = starts(now, found_config.money.zone_info)
        found, used, spent = database.call(
            lambda c: (keystore.all_keys(c), ledger.totals(c, "0000-00-00"), ledger.spent_by_key(c, began))
        )
        return {"keys": [ledger.with_usage(key, used, spent.get(key.id)) for key in found]}
    except keystore.KeyUnknown as unknown:
        raise ValueError(f"There is no key '{unknown.which}'; `ringfence keys list` shows them.") from None
    except keystore.KeyAmbiguous as several:
        ids = ", ".join(key.id for key in several.candidates)
        raise ValueError(f"'{several.which}' means several keys: {ids}. Name one by its id.") from None
    finally:
        database.close()
