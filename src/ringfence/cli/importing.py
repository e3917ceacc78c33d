"""`ringfence import`: what another gateway is configured with, read into a configuration of ours."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from ringfence.config.importing.litellm import Imported

app = typer.Typer(no_args_is_help=True, help="Read what another gateway is configured with.")
WITH_REMARKS, REFUSED = 1, 2
"""Exit statuses: written, but something was changed or left out; nothing was written."""
COLOURS = {"left_out": "yellow", "changed": "cyan", "note": "dim"}
WORDS = {"left_out": "left out", "changed": "changed", "note": "note"}


@app.command()
def litellm(
    file: Annotated[str, typer.Argument(help="A configuration of LiteLLM; - reads standard input.")],
    out: Annotated[
        str, typer.Option("--out", "-o", help="The file to write; - for standard output.")
    ] = "ringfence.yaml",
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Write a ringfence.yaml from the configuration of a LiteLLM proxy, and tell what was not taken over, and why.

    Exit status 0 when everything was taken, 1 when something was changed or left out, 2 when nothing was written."""
    from ringfence.cli.house_cap import PROPOSED, ask_house_cap, is_answered, settings
    from ringfence.config.importing.litellm import read_litellm
    from ringfence.config.problems import ConfigInvalid

    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).expanduser().read_bytes()
    except OSError as error:
        _refuse([f"{file} cannot be read: {(error.strerror or str(error)).lower()}"], as_json)
    try:
        found = read_litellm(content, "standard input" if file == "-" else Path(file).name, os.environ)
        _verify(found)
    except ConfigInvalid as invalid:
        _refuse([str(problem) for problem in invalid.problems], as_json)
    cap = 0.0
    if found.sections.get("providers") and "money" not in found.sections:  # the first ones that it switches on
        cap = ask_house_cap() if file != "-" and not as_json and is_answered() else float(PROPOSED)
        found = replace(found, text=found.text.rstrip("\n") + "\n" + settings(cap))
    if out == "-":
        if not as_json:
            typer.echo(found.text, nl=False)
    else:
        _write(Path(out).expanduser(), found.text, as_json)
    _tell(found, out, as_json)
    if cap and out != "-" and not as_json:
        typer.echo(f"All of them together may cost ${cap:,.2f} a month: money.house.month says otherwise.")
    raise typer.Exit(0 if found.is_whole else WITH_REMARKS)


def _verify(found: Imported) -> None:
    """What is written can be used: ConfigInvalid where it could not."""
    import ringfence.engines
    from ringfence.config.load import load
    from ringfence.core.registry import adapters

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ringfence.yaml"
        path.write_text(found.text, encoding="utf-8")
        load(path, kinds=adapters(ringfence.engines), check_secrets=False)


def _write(path: Path, text: str, as_json: bool) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        _refuse([f"{path} exists and is not overwritten; --out names another file"], as_json)
    except OSError as error:
        _refuse([f"{path} cannot be written: {(error.strerror or str(error)).lower()}"], as_json)


def _tell(found: Imported, out: str, as_json: bool) -> None:
    names = {name: list(found.sections.get(name, ())) for name in ("models", "chains", "providers", "profiles")}
    if as_json:
        answer: dict[str, Any] = {
            "ok": True, "file": None if out == "-" else out, "whole": found.is_whole, **names,
            "remarks": [remark.as_dict() for remark in found.remarks],
        }  # fmt: skip
        if out == "-":
            answer["text"] = found.text
        typer.echo(json.dumps(answer))
        return
    from rich.console import Console
    from rich.text import Text

    from ringfence.cli.words import plural

    console = Console(stderr=True, soft_wrap=True)
    for remark in found.remarks:
        line = Text(f"{WORDS[remark.state]:<9} ", style=COLOURS[remark.state])
        console.print(line.append(f"{remark.path}: {remark.why} {remark.do}".rstrip(), style="default"))
    if out == "-":
        return
    said = ", ".join(plural(len(listed), kind.removesuffix("s")) for kind, listed in names.items() if listed)
    typer.echo(f"wrote {out}: {said}")
    if names["providers"]:
        typer.echo(
            "Clouds are written, and not used: only keys of profile 'cloud' reach them. That is yours to decide."
        )


def _refuse(problems: list[str], as_json: bool) -> NoReturn:
    if as_json:
        typer.echo(json.dumps({"ok": False, "problems": problems}))
    else:
        from rich.console import Console
        from rich.text import Text

        console = Console(stderr=True, soft_wrap=True)
        for line in problems:
            console.print(Text(line, style="red"))
    raise typer.Exit(REFUSED)
