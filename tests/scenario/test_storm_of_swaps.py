"""Engines are killed while models swap on one device: who asked is told, and nothing stays behind."""

from __future__ import annotations

import random
import time
from contextlib import suppress

import pytest
from storm import Callers
from test_storm import EVERY_S, _account, _supervised, _users_of, _written
from whole import chat, children, control, gateway_pid, gone, is_alive, kill, until

from ringfence.testing.tiny_model import tiny_model as make_tiny_model
from share import share_of

MODELS = ("one", "two", "kept")
GIB = 1024**3


def _held(up) -> dict[str, int]:
    """What our engines are reckoned to hold of the device, by the plan."""
    plan = control(up, "/plan")
    return {
        one["name"]: one["devices"]["gpu0"]
        for one in plan["models"]
        if one["phase"] in ("ready", "starting", "draining")
    }


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("storm_s", [share_of(60, least=30)])
def test_engines_are_killed_while_models_swap(start_up, tmp_path_factory, storm_s: float) -> None:
    weights = tmp_path_factory.mktemp("swapped")
    file = weights / "storm.yaml"
    where = "memory: 6GiB, devices: [gpu0], parallel: 4, threads: 1"
    one, two, kept = (make_tiny_model(weights, seed) for seed in range(3))
    file.write_text(
        "devices: {gpu0: {simulated: 14GiB, headroom: 1GiB, threshold: 0}}\n"
        "placement: {dwell_s: 1, quiet_s: 0.5, patience_s: 3, return_s: 1, wait_s: 40, drain_s: 10}\n"
        f"models:\n  one: {{source: {one}, residency: swap, {where}}}\n"
        f"  two: {{source: {two}, residency: swap, {where}}}\n"
        f"  kept: {{source: {kept}, priority: P0, {where}}}\n"
    )
    up = start_up("--config", str(file))
    until(lambda: _supervised(up)["kept"]["state"] == "ready", 30, "the model that stays")
    chance, killed, most = random.Random(7), list[int](), 0
    began = time.monotonic()
    with Callers(up, list(MODELS), 3) as callers:
        number = 0
        while (left_s := began + storm_s - time.monotonic()) > 0:
            number += 1
            time.sleep(max(0.0, min(left_s, began + number * EVERY_S - time.monotonic())))
            most = max(most, sum(_held(up).values()))
            running = [one["pid"] for one in _supervised(up).values() if one["pid"]]
            if running:
                killed.append(chance.choice(running))
                with suppress(ProcessLookupError):
                    kill(killed[-1])
    accounts = callers.accounts
    loads = [one for one in control(up, "/plan")["recent"] if one["what"] == "load"]
    print(len(set(killed)), "engines killed;", len(loads), "of the last 50 moves were loads;", {
        name: (one.asked, one.whole, one.cut, dict(one.refused)) for name, one in accounts.items()
    })  # fmt: skip

    assert {model: one.broken for model, one in accounts.items()} == {model: [] for model in MODELS}
    assert len(set(killed)) > storm_s / EVERY_S * 0.6
    assert {one["name"] for one in loads} >= {"one", "two"}
    assert all(one.whole > 10 for one in accounts.values())
    assert most <= 13 * GIB
    # Nobody is on anything, and what is reckoned is what is there.
    replies = [chat(up, model=model, timeout_s=60) for model in MODELS]
    assert [reply.status for reply in replies] == [200] * len(MODELS)
    gone([pid for pid in killed if not any(one["pid"] == pid for one in _supervised(up).values())], 10)
    engines = until(lambda: _settled(up), 30, "engines that stand still")
    assert [one["in_use"] for one in engines.values()] == [0] * len(MODELS)
    serving = {one["pid"] for one in engines.values() if one["pid"]}
    assert set(children(up.process.pid)) == serving | {gateway_pid(up)}
    assert _users_of(weights) == serving
    assert _held(up) == {name: 6 * GIB for name, one in engines.items() if one["pid"]}
    assert [one["waiting"] for one in control(up, "/plan")["models"]] == [0] * len(MODELS)
    [device] = [one for one in control(up, "/devices")["devices"] if one["id"] == "gpu0"]
    assert device["free_bytes"] == 14 * GIB - 6 * GIB * len(serving)
    assert control(up, "/leases")["leases"] == []
    # The ledger is what callers got.
    expected = {model: _account(one) for model, one in accounts.items()}
    for model, reply in zip(MODELS, replies, strict=True):
        requests, errors, prompt, out = expected[model]
        usage = reply.json["usage"]
        expected[model] = (
            requests + 1, errors, prompt + usage["prompt_tokens"], out + usage["completion_tokens"]
        )  # fmt: skip
    until(lambda: _written(up.folder) == expected or None, 25, f"{expected}, not {_written(up.folder)}")
    assert up.stop() == 0
    assert not any(map(is_alive, serving))


def _settled(up):
    found = _supervised(up)
    return found if all(one["state"] in ("ready", "stopped") for one in found.values()) else None
