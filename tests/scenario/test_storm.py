"""An engine is killed every two seconds under load: who asked is told, nothing stays behind, the account is right."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from kept_rows import is_intact, rows
from storm import Account, Callers
from whole import Reply, chat, children, control, gateway_pid, gone, is_alive, kill, until

from ringfence.testing.tiny_model import tiny_model as make_tiny_model
from share import share_of

MODELS = ("one", "two", "three")
EVERY_S = 2.0


def _supervised(up) -> dict[str, dict[str, Any]]:
    return {one["model"]: one for one in control(up, "/status")["instances"] if one["kind"] == "supervised"}


def _all_ready(up) -> dict[str, dict[str, Any]] | None:
    found = _supervised(up)
    return found if all(one["state"] == "ready" for one in found.values()) else None


def _users_of(folder: Path) -> set[int]:
    """Every process of this machine that has a model of `folder` in its memory."""
    found: set[int] = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            if str(folder) in maps.read_text(errors="replace"):
                found.add(int(maps.parent.name))
    return found


def _written(folder: Path) -> dict[str, tuple[int, int, int, int]]:
    """(requests, errors, prompt tokens, completion tokens) by model."""
    file = folder / "ringfence.db"
    assert is_intact(file)
    found = rows(
        file,
        "SELECT model, sum(requests), sum(errors), sum(prompt_tokens), sum(completion_tokens) FROM usage"
        " GROUP BY model",
    )
    return {model: (requests, errors, prompt, out) for model, requests, errors, prompt, out in found}


def _account(model: Account) -> tuple[int, int, int, int]:
    """As the ledger has it: one that was refused, for its engine was killed at each try, is an error without tokens."""
    errors = model.cut + model.refused.total()
    return model.whole + errors, errors, model.prompt_tokens, model.completion_tokens


@pytest.mark.slow
@pytest.mark.timeout(360)
@pytest.mark.parametrize("storm_s", [share_of(120, least=30)])
def test_an_engine_is_killed_every_two_seconds(start_up, tmp_path_factory, storm_s: float, record_property) -> None:
    weights = tmp_path_factory.mktemp("weights")
    file = weights / "storm.yaml"
    listed = [
        f"  {model}: {{source: {make_tiny_model(weights, seed)}, parallel: 4, threads: 1}}"
        for seed, model in enumerate(MODELS)
    ]
    file.write_text("\n".join(("models:", *listed)) + "\n")
    up = start_up("--config", str(file))
    until(lambda: _all_ready(up), 30, "all engines")
    chance, killed = random.Random(11), list[int]()
    began = time.monotonic()
    with Callers(up, list(MODELS), 4) as callers:
        number = 0
        while (left_s := began + storm_s - time.monotonic()) > 0:
            number += 1
            time.sleep(max(0.0, min(left_s, began + number * EVERY_S - time.monotonic())))
            running = [one["pid"] for one in _supervised(up).values() if one["pid"]]
            if running:
                killed.append(chance.choice(running))
                with suppress(ProcessLookupError):
                    kill(killed[-1])
        ended = time.monotonic()
    accounts = callers.accounts
    told = {
        model: f"{one.asked} asked, {one.whole} whole, {one.cut} cut, {dict(one.refused)} refused, longest gap "
        f"{one.longest_gap_s(began, ended):.1f} s"
        for model, one in accounts.items()
    }
    record_property("storm", told)
    print(f"{len(set(killed))} engines killed; {told}")

    assert {model: one.broken for model, one in accounts.items()} == {model: [] for model in MODELS}
    assert len(set(killed)) > storm_s / EVERY_S * 0.8
    for one in accounts.values():
        assert one.whole > storm_s * 0.8
        assert one.longest_gap_s(began, ended) < 10

    # Every engine is there again, and nobody is on it.
    engines = until(lambda: _all_ready(up), 30, "all engines again")
    assert [one["in_use"] for one in engines.values()] == [0] * len(MODELS)
    requests = control(up, "/status")["requests"]
    assert (requests["running"], requests["waiting"]) == (0, 0)
    # No process but those that serve.
    gone(killed, 10)
    serving = {one["pid"] for one in engines.values()}
    assert set(children(up.process.pid)) == serving | {gateway_pid(up)}
    assert _users_of(weights) == serving
    # The ledger is what callers got.
    expected = {model: _account(one) for model, one in accounts.items()}
    until(lambda: _written(up.folder) == expected or None, 25, f"{expected}, not {_written(up.folder)}")
    answers: list[Reply] = [chat(up, model=model) for model in MODELS]
    assert [reply.status for reply in answers] == [200] * len(MODELS)
    assert up.stop() == 0
    assert not any(map(is_alive, serving))
