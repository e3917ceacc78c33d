"""The command line. Each command loads what it needs when it runs, so that `ringfence --help` is quick."""

from __future__ import annotations

import errno
import json
import os
import sys
from copy import copy
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.main import get_command_name

from ringfence import __version__
from ringfence.cli import (
    batches,
    cache,
    cascade,
    config,
    connecting,
    cost,
    importing,
    journal,
    keys,
    lease,
    ledger,
    parked,
    placing,
    prices,
    secrets,
    units,
)
from ringfence.cli.asking import asked, told
from ringfence.interrupts import raise_again
from ringfence.tether import keep_memory_private

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The configuration; default: $RINGFENCE_CONFIG, ./ringfence.yaml, XDG, /etc."),
]
TAKE_SIGNALS = ("up", "serve", "egress", "prove")
"""Commands that hold nothing before they take an interrupt themselves: until then it may end them at once."""
JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="One OpenAI-compatible endpoint in front of the models you own, with fences around data, memory and money.",
)
app.add_typer(config.app, name="config")
app.add_typer(keys.app, name="keys")
app.add_typer(ledger.app, name="ledger")
app.command(context_settings={"allow_interspersed_args": False})(lease.lease)
app.command()(lease.leases)
app.add_typer(parked.app, name="parked")
app.add_typer(cache.app, name="cache")
app.add_typer(batches.app, name="batches")
app.add_typer(cost.app, name="cost")
app.add_typer(journal.app, name="journal")
app.add_typer(importing.app, name="import")
app.command()(connecting.connect)
app.command()(prices.prices)
app.command()(cascade.cascade)
app.add_typer(secrets.app, name="secrets")
app.add_typer(units.service, name="service")
app.add_typer(units.firewall, name="firewall")
for command in (placing.plan, placing.modes, placing.mode):
    app.command()(command)


@app.callback(invoke_without_command=True)
def version_option(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and end.")] = False,
) -> None:
    if context.invoked_subcommand not in TAKE_SIGNALS:
        raise_again()
    if version:
        typer.echo(f"ringfence {__version__}")
        raise typer.Exit


@app.command()
def up(
    config: ConfigOption = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="FILE.gguf or hf:owner/repo[:quant]; default: as configured."),
    ] = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option("--port", "-p", min=0, max=65535, help="0 picks a free one.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="Over the file: admission.queue=10.")] = None,
    log: Annotated[str | None, typer.Option("--log", help="A file, or - for here.")] = None,
    open_console: Annotated[bool, typer.Option("--open", help="Open the console in a browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON when ready.")] = False,
) -> None:  # fmt: skip
    """Start everything: gateway, engines, a first key. Ctrl-C ends it."""
    keep_memory_private()  # its environment may hold keys of providers
    from rich.console import Console

    from ringfence.cli.clouds import cloud_keys_in
    from ringfence.cli.house_cap import at_first_sight, is_answered
    from ringfence.cli.up import IN_STATE_FOLDER, Parent

    spec = _spec(config, model, host, port, overrides)
    spec["log_file"] = None if log == "-" else log or IN_STATE_FOLDER
    spec["cloud_keys"] = cloud_keys_in(os.environ)
    parent = Parent(spec, as_json=as_json, open_console=open_console, console=Console())
    at_first_sight(spec, parent.warn, may_ask=is_answered() and not as_json)
    raise typer.Exit(parent.run(_outside(spec, parent)))


@app.command()
def serve(
    config: ConfigOption = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="As for `up`.")] = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option("--port", "-p", min=0, max=65535, help="0 picks a free one.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="Over the file: admission.queue=10.")] = None,
) -> None:
    """Run the gateway alone in the foreground, as a service manager wants it: logs on stderr, no banner."""
    from ringfence.cli.house_cap import at_first_sight
    from ringfence.runtime.process import Spec, run

    spec = _spec(config, model, host, port, overrides)
    at_first_sight(spec, lambda line: print(json.dumps({"warning": line}), flush=True), may_ask=False)  # noqa: T201
    raise typer.Exit(run(Spec(**spec), lambda row: print(json.dumps(_without_secrets(row)), flush=True)))  # noqa: T201


@app.command()
def egress(
    config: ConfigOption = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="Over the file: logging.level=debug.")] = None,
) -> None:
    """Run the egress process alone in the foreground, beside `serve`: it alone needs the providers' keys."""
    from ringfence.cli.outside import run_alone
    from ringfence.config.places import find

    code = run_alone(find(config, Path.cwd()), _laid_over(overrides), lambda row: print(json.dumps(row), flush=True))  # noqa: T201
    sys.stderr.flush()
    os._exit(code)  # the resolver's threads must not hold up the end


@app.command()
def status(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Stay, and show what changes.")] = False,
    console: Annotated[bool, typer.Option("--console", help="Print a fresh link that signs a browser in.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What runs: models, instances, devices, requests."""
    from ringfence.cli.client import connect
    from ringfence.cli.show import follow, status_page

    gateway = connect(config)
    if console:
        link = asked(gateway, "POST", "/console-link")["url"]
        typer.echo(json.dumps({"console_url": link}) if as_json else link)
    elif watch:
        follow(lambda: asked(gateway, "GET", "/status"), status_page, as_json=as_json)
    else:
        found = asked(gateway, "GET", "/status")
        told(found, as_json, status_page)
        raise typer.Exit(0 if found["ready"] else 1)


@app.command()
def devices(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Stay, and draw them anew every two seconds.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """The memory of each device: who holds what of it, what that was predicted to be, what is kept and what is free."""
    from ringfence.cli.client import connect
    from ringfence.cli.show import follow
    from ringfence.cli.show_devices import WATCH_EVERY_S, devices_page

    gateway = connect(config)
    if watch:
        follow(lambda: asked(gateway, "GET", "/devices"), devices_page, WATCH_EVERY_S, as_json=as_json)
    else:
        told(asked(gateway, "GET", "/devices"), as_json, devices_page)


@app.command()
def models(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """What can be asked for, and what was left out and why."""
    from ringfence.cli.client import connect
    from ringfence.cli.show import models_page

    found = asked(connect(config), "GET", "/status")
    shown = {name: found[name] for name in ("models", "offered", "left_out")}
    told(shown, as_json, models_page)


@app.command()
def chat(
    prompt: Annotated[list[str] | None, typer.Argument(help="Ask this and end; without it, a conversation.")] = None,
    model: Annotated[str, typer.Option("--model", "-m", help="Any name that `ringfence models` shows.")] = "auto",
    system: Annotated[str | None, typer.Option("--system", "-s", help="A system prompt.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Talk to a model in the terminal."""
    from ringfence.cli.chat import converse
    from ringfence.cli.client import connect

    raise typer.Exit(converse(connect(config), " ".join(prompt or []), model, system, as_json=as_json))


@app.command()
def explain(
    model: Annotated[str, typer.Argument(help="The name a caller would use; auto, or what --body names.")] = "",
    prompt: Annotated[str, typer.Option("--prompt", help="A prompt, to see what it does to the decision.")] = "",
    body: Annotated[
        str | None, typer.Option("--body", help="A whole request: a file of JSON; - reads standard input.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", help="Output tokens asked for.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="As the caller with this API key.")] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", help="As a caller whose key has this profile; with --key, that names it.")
    ] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="As a caller that names itself so.")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", help="With this label; may be given again.")] = None,
    tool: Annotated[list[str] | None, typer.Option("--tool", help="Offering this tool; may be given again.")] = None,
    priority: Annotated[
        str | None, typer.Option("--priority", help="As user, agent or background says how soon it is wanted.")
    ] = None,
    dialect: Annotated[
        str | None, typer.Option("--dialect", help="What --body is written in; default: what it looks like.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Which target would serve a request, and why. Nothing is sent."""
    from ringfence.cli.client import connect
    from ringfence.cli.explaining import explain_page, request_from

    if body is not None and prompt:
        raise typer.BadParameter("--body is the whole request: give one of --prompt and --body.")
    request: dict[str, Any] = (
        request_from(body) if body is not None else {"messages": [{"role": "user", "content": prompt}]}
    )
    if max_tokens is not None:
        request["max_tokens"] = max_tokens
    if tool:
        request["tools"] = [{"type": "function", "function": {"name": name}} for name in tool]
    model = model or str(request.get("model") or "auto")
    question: dict[str, Any] = {"model": model, "body": request, "labels": label or []}
    asker = (("key", key), ("profile", profile), ("agent", agent), ("priority", priority), ("dialect", dialect))
    question |= {name: given for name, given in asker if given}
    told(asked(connect(config), "POST", "/explain", question), as_json, explain_page)


@app.command()
def compress(
    file: Annotated[str, typer.Argument(help="A text file; - reads standard input.")],
    tokens: Annotated[int, typer.Option("--tokens", "-n", min=1, help="At most so many are kept.")],
    query: Annotated[str, typer.Option("--query", "-q", help="What the text is needed for.")] = "",
    exact: Annotated[
        bool, typer.Option("--bytes", help="Count every byte as a token: fits whatever the model.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """What would be kept of a text that is too long: kept lines plain, the others dim. Nothing is sent."""
    from ringfence.cli.compress import run

    run(file, tokens, query, exact=exact, as_json=as_json)


@app.command()
def profiles(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """What each profile may reach, and why."""
    from ringfence.cli.client import connect
    from ringfence.cli.show import profiles_page

    told(asked(connect(config), "GET", "/profiles"), as_json, profiles_page)


@app.command()
def window(
    model: Annotated[str, typer.Argument(help="FILE.gguf, a config.json, the folder of one, or demo.")],
    device: Annotated[str, typer.Option("--device", help="Memory of the device, such as 24GiB.")],
    parallel: Annotated[int, typer.Option("--parallel", min=1, max=100_000, help="Requests at a time.")] = 1,
    weights: Annotated[
        str | None, typer.Option("--weights", help="Bytes of the weights; default: those of the model's files.")
    ] = None,
    reserve: Annotated[
        str | None, typer.Option("--reserve", help="Kept free; default: 1 GiB, or 8 % of a device of more.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Which window of a model fits a device with each KV type, and what that costs. Nothing is started."""
    from ringfence.cli import window as sizing

    sizing.run(model, device, parallel, weights, reserve, as_json=as_json)


@app.command()
def size(
    model: Annotated[str, typer.Argument(help="FILE.gguf, config.json, a folder, demo, or owner/repo of a hub.")],
    window: Annotated[str, typer.Option("--window", help="Tokens of one request, such as 32k.")] = "8k",
    kv: Annotated[str, typer.Option("--kv", help="Type of keys and values, such as q8_0.")] = "f16",
    parallel: Annotated[int, typer.Option("--parallel", min=1, max=100_000, help="Requests at a time.")] = 1,
    lora_slots: Annotated[int, typer.Option("--lora-slots", min=0, max=10_000, help="LoRA adapters at a time.")] = 0,
    lora_rank: Annotated[int, typer.Option("--lora-rank", min=1, max=4096, help="Their largest rank.")] = 16,
    device: Annotated[str | None, typer.Option("--device", help="Memory of the device, such as 24GiB.")] = None,
    weights: Annotated[str | None, typer.Option("--weights", help="Bytes of the weights, where not told.")] = None,
    overhead: Annotated[str | None, typer.Option("--overhead", help="Kept free; default: 1 GiB.")] = None,
    as_json: JsonOption = False,
) -> None:
    """All that a model takes on a device, term by term, and which quantisations and windows fit; reads headers only."""
    from ringfence.cli import size as sizing

    lora = (lora_slots, lora_rank)
    sizing.run(model, window, kv, parallel, lora, device, weights, overhead, as_json=as_json)


@app.command()
def prove(
    profile: Annotated[list[str] | None, typer.Argument(help="Profiles to prove; default: all.")] = None,
    way: Annotated[list[str] | None, typer.Option("--way", help="Try this way only; may be given again.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a report that can be handed on.")] = None,
    list_ways: Annotated[bool, typer.Option("--list", help="Show the ways, and end.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try to get text out of every profile, in a network that counts each packet. Exit status 0 when it held."""
    from ringfence.cli import prove as proving

    if list_ways:
        proving.list_ways(as_json=as_json)
        return
    raise typer.Exit(proving.run(config, profile or [], way or [], html, as_json=as_json))


@app.command()
def doctor(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """What is missing or wrong on this machine, and how to mend it."""
    from ringfence.cli.doctor import examine
    from ringfence.cli.show import doctor_page

    findings = examine(config)
    told(findings, as_json, doctor_page)
    raise typer.Exit(1 if any(finding["state"] == "wrong" for finding in findings) else 0)


@app.command()
def version() -> None:
    """Show the version."""
    typer.echo(f"ringfence {__version__}")


def _outside(spec: dict[str, Any], parent: Any) -> Any:
    """The egress process, when the configuration names providers; without any, there is no way out at all."""
    from ringfence.cli.outside import Outside
    from ringfence.config.problems import ConfigError, ConfigInvalid
    from ringfence.store.failure import StoreFailed

    outside = Outside(Path(spec["config"]) if spec["config"] else None, spec["overrides"], parent.warn)
    try:
        outside.prepare()
    except ConfigInvalid as invalid:
        problems = [str(problem) for problem in invalid.problems]
        parent.failed({"failed": "keys of providers cannot be read", "problems": problems})
        raise typer.Exit(2) from None
    except (ConfigError, StoreFailed) as error:
        parent.failed({"failed": str(error), "problems": []})
        raise typer.Exit(2) from None
    return outside


def _spec(
    config: Path | None, model: str | None, host: str | None, port: int | None, overrides: list[str] | None
) -> dict[str, Any]:
    """What the gateway process is told."""
    from ringfence.cli.settings import model_overrides, serves_only_demo, writes_demo
    from ringfence.config.places import find

    path = find(config, Path.cwd())
    laid_over = _laid_over(overrides)
    if host is not None:
        laid_over["server.host"] = json.dumps(host)  # an override is YAML, where :: is none
    if port is not None:
        laid_over["server.port"] = str(port)
    if model is not None:
        if not model.startswith("hf:") and not Path(model).expanduser().is_file():
            typer.secho(f"There is no file {model}. Give a .gguf file, or hf:owner/repo[:quant].", err=True, fg="red")
            raise typer.Exit(2)
        replaces = serves_only_demo(path)
        made = model_overrides(model, replaces_demo=replaces, demo_is_written=replaces and writes_demo(path))
        laid_over = made | laid_over  # what was set by hand counts
    return {"config": str(path) if path else None, "overrides": laid_over}


def _laid_over(overrides: list[str] | None) -> dict[str, str]:
    """What `--set` says."""
    found = {name: value for name, _, value in (item.partition("=") for item in overrides or [])}
    if "" in found or any("=" not in item for item in overrides or []):
        typer.secho("--set takes NAME=VALUE, such as --set admission.queue=10", err=True, fg="red")
        raise typer.Exit(2)
    return found


def _without_secrets(row: dict[str, Any]) -> dict[str, Any]:
    """A service manager keeps what it is told: the first key stays in the state folder."""
    ready = row.get("ready")
    return {"ready": {**ready, "api_key": None, "console_url": None}} if ready else row


def reduced(words: list[str]) -> typer.Typer:
    """The command line with the command alone that `words` name: what Typer makes of all of them takes longer than
    many of them run. With all, where they name none that there is."""
    named = next((word for word in words if not word.startswith("-")), None)
    alone = copy(app)
    alone.registered_commands = [
        one for one in app.registered_commands
        if one.callback is not None and named == (one.name or get_command_name(one.callback.__name__))
    ]  # fmt: skip
    alone.registered_groups = [one for one in app.registered_groups if one.name == named]
    return alone if alone.registered_commands or alone.registered_groups else app


def main() -> None:
    """The program `ringfence`."""
    try:
        reduced(sys.argv[1:])(prog_name="ringfence")
    except BrokenPipeError:  # `ringfence status | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left would fail again at the end
        typer.secho("The output could not be written: no space left where it goes.", err=True, fg="red")
        sys.exit(1)
