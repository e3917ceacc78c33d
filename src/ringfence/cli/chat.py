"""`ringfence chat`: a conversation in the terminal, streamed."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import typer
from rich.console import Console

from ringfence.cli.client import Gateway, NotRunning, Refused

SHORTEST_S = 0.1  # below it, an answer came at once and its pace says nothing
HELP = "Enter sends; /new starts over, /model NAME changes the model, /bye or Ctrl-D ends."


class Conversation:
    """What was said so far; kept here and nowhere else."""

    def __init__(self, gateway: Gateway, key: str, model: str, system: str | None) -> None:
        self.model = model
        self._gateway = gateway
        self._key = key
        self._start: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
        self._said: list[dict[str, Any]] = list(self._start)

    def forget(self) -> None:
        self._said = list(self._start)

    def ask(self, text: str, show: Callable[[str], None]) -> dict[str, Any]:
        """Send, show each piece as it comes; what is known about the answer. Raises Refused and NotRunning."""
        body = {
            "model": self.model, "messages": [*self._said, {"role": "user", "content": text}],
            "stream": True, "stream_options": {"include_usage": True},
        }  # fmt: skip
        began, first_s, pieces, usage, target = time.monotonic(), None, list[str](), {}, ""
        for kind, value in self._gateway.stream("/v1/chat/completions", body, self._key):
            if kind == "head":
                target = value.get("x-ringfence-target", "")
                continue
            if value.get("error"):
                raise Refused(value["error"]["message"])
            usage = value.get("usage") or usage
            for choice in value.get("choices") or ():
                piece = choice.get("delta", {}).get("content") or ""
                if piece and first_s is None:
                    first_s = time.monotonic() - began
                pieces.append(piece)
                show(piece)
        answer = "".join(pieces)
        self._said = [*body["messages"], {"role": "assistant", "content": answer}]
        return {
            "model": self.model, "target": target, "answer": answer, "usage": usage,
            "first_token_s": round(first_s or 0, 3), "total_s": round(time.monotonic() - began, 3),
        }  # fmt: skip


def _show(piece: str) -> None:
    sys.stdout.write(piece)
    sys.stdout.flush()


def converse(gateway: Gateway, prompt: str, model: str, system: str | None, *, as_json: bool) -> int:
    """One question, or a conversation; the exit status."""
    key = gateway.api_key()
    if key is None:
        typer.secho(
            f"There is no local key in {gateway.folder}. Start the gateway once with `ringfence up`.",
            err=True,
            fg="red",
        )
        return 1
    if not prompt and not sys.stdin.isatty():
        prompt = sys.stdin.read().strip()
    talk = Conversation(gateway, key, model, system)
    try:
        if prompt:
            return _once(talk, prompt, as_json=as_json)
        return _many(talk)
    except NotRunning as error:
        typer.secho(str(error), err=True, fg="yellow")
        return 3


def _once(talk: Conversation, prompt: str, *, as_json: bool) -> int:
    try:
        if as_json:
            typer.echo(json.dumps(talk.ask(prompt, lambda _piece: None)))
        else:
            talk.ask(prompt, _show)
            typer.echo()
    except Refused as error:
        typer.secho(str(error), err=True, fg="red")
        return 1
    return 0


def _many(talk: Conversation) -> int:
    console = Console()
    with suppress(ImportError):
        __import__("readline")  # history and line editing, where the system has it
    console.print(f"[bold]{talk.model}[/]  [dim]{HELP}[/]", highlight=False)
    while True:
        try:
            text = console.input("[bold cyan]> [/]").strip()
        except (EOFError, KeyboardInterrupt):
            console.print()
            return 0
        if text in ("/bye", "/exit", "/quit"):
            return 0
        if text == "/new":
            talk.forget()
        elif text.startswith("/model "):
            talk.model = text.removeprefix("/model ").strip()
        elif text.startswith("/"):
            console.print(f"[dim]{HELP}[/]")
        elif text:
            _turn(talk, text, console)


def _turn(talk: Conversation, text: str, console: Console) -> None:
    try:
        found = talk.ask(text, _show)
    except Refused as error:
        console.print(f"[red]{error}[/]", highlight=False)
        return
    except KeyboardInterrupt:
        console.print(" [dim](stopped)[/]")
        return
    tokens = found["usage"].get("completion_tokens", 0)
    wrote_s = found["total_s"] - found["first_token_s"]
    pace = f" · {tokens / wrote_s:.0f}/s" if wrote_s > SHORTEST_S else ""
    console.print(
        f"\n[dim]{found['target']} · first token {found['first_token_s'] * 1000:.0f} ms · {tokens} tokens{pace}[/]",
        highlight=False,
    )
