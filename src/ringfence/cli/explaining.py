"""`ringfence explain`: the request that is asked about, and the page that tells what would become of it."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from textwrap import wrap
from typing import Any, NoReturn

import typer
from rich.console import RenderableType
from rich.markup import escape
from rich.text import Text

from ringfence.cli.show import again_in_words, server
from ringfence.cli.words import plural

MOST_BYTES = 64 * 1024 * 1024
STATES = {
    "fit": "fits: nothing is left out",
    "clamped": "fits, with less output than is asked for",
    "compressed": "compressed: texts are shortened",
    "truncated": "truncated: messages are left out",
    "refused": "refused",
    "unknown": "goes on as it is: this engine does not say how large its window is",
}
ONLY_TRIMMED = "truncated: the system prompt is trimmed"
OF_A_ROLE = {"system": "system prompt", "user": "user message", "assistant": "assistant message"}
CALLED = {"now_s": "time"}
ROOM = 80 - len("Signal    ")
COLOURS = {"fit": "green", "clamped": "cyan", "compressed": "yellow", "truncated": "yellow", "refused": "red"}


def request_from(file: str) -> dict[str, Any]:
    """The body of a request, from a file or standard input. Ends the program with words, status 2."""
    try:
        raw = sys.stdin.buffer.read(MOST_BYTES + 1) if file == "-" else _read(Path(file).expanduser())
    except OSError as error:
        _refuse(f"{file} cannot be read: {(error.strerror or str(error)).lower()}.")
    if len(raw) > MOST_BYTES:
        _refuse(f"{file} is longer than {MOST_BYTES >> 20} MiB.")
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        where = f", line {error.lineno}: {error.msg.lower()}" if isinstance(error, json.JSONDecodeError) else ""
        _refuse(f"{file} is no JSON{where}. It is to hold the body of a request, as a client would send it.")
    if not isinstance(body, dict):
        _refuse(f"{file} holds no JSON object. It is to hold the body of a request, as a client would send it.")
    return body


def _read(path: Path) -> bytes:
    with path.open("rb") as opened:
        return opened.read(MOST_BYTES + 1)


def _refuse(words: str) -> NoReturn:
    typer.secho(words, err=True, fg="red")
    raise typer.Exit(2)


def explain_page(found: dict[str, Any]) -> RenderableType:
    lines = [
        f"[bold]{found['model']}[/]: {found['reason']}",
        *([] if found.get("rules") else [f"Rule      {found['rule']}"]),
        f"Boundary  text may travel as far as {found['allowed']} (profile '{found['profile']}'"
        + (f", agent '{found['agent']}')" if found["agent"] else ")"),
    ]
    lines += rules_lines(found)
    for place, target in enumerate(found["chain"], 1):
        mark = "[green]ready[/]" if target["usable"] else "[yellow]not ready[/]"
        window = f", window {target['window']:,}" if target["window"] and len(found["chain"]) > 1 else ""
        note = f"  [dim]last failure: {target['note']}[/]" if target["note"] else ""
        if target.get("set_aside_s") is not None:
            note = f"  [yellow]set aside[/]: {again_in_words({'reason': target['note'], **target})}"
        where = f"{target['target']} on {server(target)} at {target['boundary']}"
        lines.append(f"Target {place}  {where}{window}, {mark}{note}")
    if found.get("is_past_soft_limit") and len(found["chain"]) > 1:
        lines.append("[yellow]Money     a budget is past its soft limit: what costs nothing goes first[/]")
    lines += [f"[dim]Not       {one['target']}: {one['reason']}[/]" for one in found["excluded"]]
    lines += _thinking_lines(found.get("thinking"))
    lines += [f"Else      {found['ending']}", *_window_lines(found["window"], len(found["chain"]) > 1)]
    return Text.from_markup("\n".join(lines))


def _thinking_lines(thinking: dict[str, Any] | None) -> list[str]:
    """What would think, where the name that was called means that."""
    if thinking is None:
        return []
    if not thinking["thinks"]:
        return [f"Thinking  no: {thinking['why']}"]
    bounds = f"{plural(thinking['thoughts'], 'thought')} at most, {thinking['tokens']:,} tokens in all"
    lines = [f"Thinking  {escape(thinking['model'])} may ask {escape(thinking['reasoning'])}: {bounds}"]
    lines += [f"          on {escape(name)}" for name in thinking["targets"]]
    lines += [f"[dim]          not {escape(one['target'])}: {escape(one['reason'])}[/]" for one in thinking["excluded"]]
    return lines


def rules_lines(found: dict[str, Any]) -> list[str]:
    """What was read of the request, and every rule with why it was taken or not; none where the caller names the model.

    They may hold words of the configuration, so that nothing in them is markup."""
    rules = found.get("rules") or []
    if not rules:
        return []
    signals = [f"Signal    {escape(line)}" for line in _signals(found["signals"])]
    taken = next((place for place, rule in enumerate(rules) if rule["taken"]), len(rules))
    return signals + [line for place, rule in enumerate(rules) for line in _rule(rule, is_later=place > taken)]


def _signals(signals: dict[str, Any]) -> list[str]:
    """Those with a ground first, a line each; the others on lines as long as a terminal is wide."""
    told: list[str] = []
    plain: list[str] = []
    for name, read in signals.items():
        if name == "why":
            told += [str(why) for why in read]
            continue
        value, why = (read["value"], read["why"]) if isinstance(read, dict) and "value" in read else (read, "")
        if isinstance(value, dict):
            value = " ".join(f"{of} {one}" for of, one in value.items() if one)
        if name == "budget_left_usd" and value is None:
            value = "unlimited"
        if name == "now_s":
            value = f"{datetime.fromtimestamp(float(value)):%H:%M}"
        said = "no" if value is False else "yes" if value is True else "none" if value in (None, "") else str(value)
        (told if why else plain).append(f"{CALLED.get(name, name)} {said}" + (f": {why}" if why else ""))
    lines = wrap(", ".join(one.replace(" ", "\N{NO-BREAK SPACE}") for one in plain), ROOM)
    return [*told, *(line.replace("\N{NO-BREAK SPACE}", " ") for line in lines)]


def _rule(rule: dict[str, Any], *, is_later: bool) -> list[str]:
    """One rule, and the targets that it could not use where it matched."""
    name, text, why = (escape(str(rule[part])) for part in ("name", "text", "why"))
    if rule["taken"]:
        mark, colour = "taken", "green"
    elif rule["matched"]:
        mark, colour = ("would match too", "dim") if is_later else ("matches, cannot serve", "yellow")
    else:
        mark, colour = "no match", "dim"
    lines = [f"[{colour}]Rule      {name}{f' ({text})' if text else ''}: {mark}{f'; {why}' if why else ''}[/]"]
    if rule["matched"] and not rule["taken"]:
        lines += [f"[dim]          not {escape(one['target'])}: {escape(one['reason'])}[/]" for one in rule["excluded"]]
    return lines


def _window_lines(window: dict[str, Any], is_one_of_several: bool) -> list[str]:
    """What the first usable target's window makes of the request."""
    size, shares = window["window"], window["shares"]
    place = f" of {window['target']}" if is_one_of_several else ""
    if shares is None:
        return [f"Window    unknown{place}", f"Request   {STATES[window['state']]}"]
    asked = f" ({window['asked']:,} asked for)" if window["asked"] not in (None, window["max_tokens"]) else ""
    output = f", output {window['max_tokens']:,}{asked}" if window["max_tokens"] else ""
    state = window["state"]
    done = ONLY_TRIMMED if state == "truncated" and not window["dropped"] else STATES[state]
    lines = [
        f"Window    {size:,} tokens{place}: input at most {shares['input']:,}{output}, reserve {shares['reserve']:,}",
        f"Request   {_size(window)}; [{COLOURS[state]}]{done}[/]",
    ]
    if window["error"]:
        lines.append(f"          {escape(window['error'])}")
    elif window["before"] != window["after"]:
        lines.append(f"          {window['before']:,} → {window['after']:,} tokens: {_given_up(window)}")
    if window["by"] == "estimate":
        lines.append("          [dim]by an estimate: the engine itself has the last word when it is sent[/]")
    return lines


def _size(window: dict[str, Any]) -> str:
    most = f"at most {window['bound']:,} tokens" if window["bound"] is not None else "no bound is known"
    return f"about {window['estimate']:,} tokens, {most}"


def _given_up(window: dict[str, Any]) -> str:
    """Which parts of it."""
    shortened = window["shortened"].items()
    kinds = [plural(count, OF_A_ROLE.get(kind) or kind.replace("_", " ")) for kind, count in shortened]
    told = [f"shortened {', '.join(kinds)}"] if kinds else []
    return "; ".join([*told, *([f"{plural(window['dropped'], 'message')} left out"] if window["dropped"] else [])])
