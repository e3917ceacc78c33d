"""`ringfence window`: the table, the JSON, and what is wrong with what was given."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CONFIGS = Path(__file__).parents[1] / "placement/sizing/configs"
LLAMA = str(CONFIGS / "llama-3.1-8b.json")


def run(*words: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"COLUMNS": "200"}
    command = [sys.executable, "-m", "ringfence", "window", *words]
    return subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=50, check=False)


def read(*words: str) -> dict[str, Any]:
    done = run(*words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_demo_model_has_its_measured_costs() -> None:
    done = run("demo", "--device", "2GiB")
    assert done.returncode == 0, done.stderr
    assert "4 layers: full attention, 2 KV heads 32 wide" in done.stdout
    assert "measured: mean log-probability of a token" in done.stdout
    assert "a tiny model of 2.2 M parameters" in done.stdout
    assert "more than the 4,096 tokens of its training" in done.stdout


def test_json_has_each_term() -> None:
    found = read(LLAMA, "--device", "24GiB", "--weights", "16GiB", "--reserve", "1", "--parallel", "2")
    types = {row["kv_type"]: row for row in found["kv_types"]}
    assert (found["weights_bytes"], found["reserve_bytes"], found["parallel"]) == (16 << 30, 1, 2)
    assert found["left_bytes"] == (8 << 30) - 1
    assert types["f16"]["window"] == 32_768 - 256
    assert types["q8_0"]["bytes_per_token"] == 69_632
    assert types["q5_0"]["costs"] == []
    assert {cost["measured"] for row in types.values() for cost in row["costs"]} == {False}
    assert found["groups"] == [
        {"kind": "full", "layers": list(range(32)), "heads": 8, "key_width": 128, "value_width": 128, "window": 0,
         "state_bytes": 0}
    ]  # fmt: skip


def test_weights_that_are_not_known_are_not_counted_and_that_is_said() -> None:
    assert "The weights are not counted" in run(LLAMA, "--device", "24GiB").stdout
    assert read(LLAMA, "--device", "24GiB")["weights_bytes"] is None


def test_an_upper_bound_says_so() -> None:
    done = run(str(CONFIGS / "unknown-layers.json"), "--device", "24GiB")
    assert "Upper bound: layers of the unknown kind spiral_attention" in done.stdout


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gemma-3-27b", "52 layers: sliding window of 1,024 tokens"),
        ("mamba-2.8b", "constant state, 380.0 KiB each"),
        ("deepseek-v3", "61 layers: latent attention, 576 wide"),
        ("deepseek-v3", "256 experts of which 8 work"),
    ],
)
def test_what_the_layers_keep(name: str, said: str) -> None:
    assert said in run(str(CONFIGS / f"{name}.json"), "--device", "24GiB").stdout


def test_a_device_too_small(tmp_path: Path) -> None:
    done = run(LLAMA, "--device", "8GiB", "--weights", "16GiB")
    assert (done.returncode, "leave nothing" in done.stdout, "none" in done.stdout) == (0, True, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere.gguf", "--device", "1GiB"), "There is no file or folder nowhere.gguf"),
        ((LLAMA, "--device", "lots"), "--device takes bytes"),
        ((LLAMA, "--device", "1GiB", "--weights", "-5"), "--weights takes bytes"),
        ((__file__, "--device", "1GiB"), "is not JSON"),
    ],
)
def test_what_is_wrong_is_said(words: tuple[str, ...], said: str) -> None:
    done = run(*words)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
