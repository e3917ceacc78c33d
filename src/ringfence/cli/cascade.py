"""`ringfence cascade`: what a chain that escalates saves and loses, measured on tasks of one's own."""

from __future__ import annotations

import json
import secrets
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

SETTLES_S = 10.0
"""Rows of the ledger are written within a moment; so long they are waited for."""


def cascade(
    chain: Annotated[str, typer.Argument(help="A chain that escalates.")],
    tasks: Annotated[
        Path, typer.Option("--tasks", "-t", help='JSON lines: {"prompt": "…", "answer": "…", "match": "contains"}.')
    ],
    against: Annotated[str, typer.Option("--against", help="The model it is held against; else its last one.")] = "",
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Of each answer.")] = 512,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="The configuration.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Measure a chain that escalates: each task is asked of its last model alone and of the chain, and what both get
    right and cost is compared. This makes paid calls."""
    from ringfence.cli.cascade_report import NotATask, read_tasks, report
    from ringfence.cli.client import NotRunning, Refused, connect

    try:
        found = read_tasks(tasks.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, NotATask) as error:
        typer.secho(f"{tasks}: {error}", err=True, fg="red")
        raise typer.Exit(2) from None
    gateway = connect(config)
    try:
        models = _models(gateway, chain)
        tried = _Trial(gateway, config, chain, against or models[-1], max_tokens).all(found, is_quiet=as_json)
    except (Refused, NotRunning) as error:
        typer.secho(str(error), err=True, fg="red")
        raise typer.Exit(1) from None
    made = report(chain, against or models[-1], tried)
    typer.echo(json.dumps(made.as_json()) if as_json else made.page())


def _models(gateway: Any, chain: str) -> list[str]:
    from ringfence.cli.client import Refused
    from ringfence.config.document import read_document
    from ringfence.store.credentials import admin_token

    text = gateway.fetch("GET", "/control/v1/config", None, admin_token(gateway.folder))
    chains: dict[str, Any] = read_document(text, "the configuration").data.get("chains") or {}
    if chain not in chains or chains[chain].get("escalate") is None:
        escalating = [name for name, one in chains.items() if one.get("escalate") is not None]
        known = f"Those that do: {', '.join(escalating)}." if escalating else "None does: docs/cascade.md tells how."
        raise Refused(f"There is no chain '{chain}' that escalates. {known}")
    return list(chains[chain]["models"])


class _Trial:
    """Asks, and reads from the ledger what that cost."""

    def __init__(self, gateway: Any, config: Path | None, chain: str, against: str, max_tokens: int) -> None:
        self._config = config
        self._gateway = gateway
        self._chain = chain
        self._against = against
        self._max_tokens = max_tokens
        self._run = f"cascade-{secrets.token_hex(4)}"
        self._key = gateway.api_key() or ""

    def all(self, tasks: list[Any], *, is_quiet: bool) -> list[Any]:
        from ringfence.cli.cascade_report import Tried

        answers: list[tuple[bool, bool, str]] = []
        progress = Console(file=sys.stderr, quiet=is_quiet)
        for number, task in enumerate(track(tasks, "Asking", console=progress)):
            alone, _ = self._ask(task.prompt, self._against, f"{self._run}-a{number}")
            said, told = self._ask(task.prompt, self._chain, f"{self._run}-c{number}")
            answers.append((task.is_right(alone), task.is_right(said), told or self._against))
        costs = self._costs(2 * len(tasks))
        return [
            Tried(
                alone, right, costs.get(f"{self._run}-a{number}", 0), costs.get(f"{self._run}-c{number}", 0), told
            )
            for number, (alone, right, told) in enumerate(answers)
        ]  # fmt: skip

    def _ask(self, prompt: str, model: str, call_id: str) -> tuple[str, str]:
        body = {
            "model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": self._max_tokens,
            "temperature": 0,
        }  # fmt: skip
        answer, headers = self._gateway.complete(body, self._key, call_id)
        return answer["choices"][0]["message"].get("content") or "", headers.get("x-ringfence-cascade", "")

    def _costs(self, calls: int) -> dict[str, int]:
        from ringfence.cli.stored import stored
        from ringfence.store.call_costs import costs_of

        database = stored(self._config)
        assert database is not None, "the gateway that answered keeps a ledger"
        until_s = time.monotonic() + SETTLES_S
        try:
            while True:
                costs = database.call(lambda connection: costs_of(connection, self._run))
                if len(costs) >= calls or time.monotonic() >= until_s:
                    return costs
                time.sleep(0.05)
        finally:
            database.close()
