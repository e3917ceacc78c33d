"""`ringfence size`: the terms, the table, the JSON, and what is wrong with what was given."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from many_models import MODELS, Kind

from ringfence.cli.size import is_on_hub

CONFIGS = Path(__file__).parents[1] / "placement/sizing/configs"
LLAMA = str(CONFIGS / "llama-3.1-8b.json")


def run(*words: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"COLUMNS": "220", "HF_ENDPOINT": "http://127.0.0.1:1"}
    command = [sys.executable, "-m", "ringfence", "size", *words]
    return subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=50, check=False)


def read(*words: str) -> dict[str, Any]:
    done = run(*words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_term_is_shown_and_what_fits() -> None:
    done = run("demo", "--window", "4k", "--kv", "q8_0", "--parallel", "4", "--lora-slots", "8", "--device", "2GiB")
    assert done.returncode == 0, done.stderr
    for said in (
        "2.2 M parameters", "feed-forward 1.0 MiB", "4 layers: full attention", "4,096 tokens × 544 bytes in q8_0",
        "compute", "8 slots of rank 16", "overhead", "in all", "On 2.0 GiB it fits", "as it is", "Q4_K_M llama.cpp",
    ):  # fmt: skip
        assert said in done.stdout


def test_what_does_not_fit_says_what_it_lacks() -> None:
    done = run("demo", "--device", "1GiB")
    assert "it lacks" in done.stdout and "✗" in done.stdout
    assert "as it is" in run("demo").stdout


def test_json_adds_up() -> None:
    found = read(LLAMA, "--weights", "16GiB", "--window", "32k", "--kv", "q8_0", "--parallel", "4", "--device", "24GiB")
    terms = found["terms"]
    assert found["bytes_per_token"] == 69_632
    assert terms["kv_bytes"] == 4 * 32_768 * 69_632 == sum(group["bytes"] for group in terms["groups"])
    names = ("weights_bytes", "kv_bytes", "state_bytes", "compute_bytes", "lora_bytes", "overhead_bytes")
    assert found["total_bytes"] == sum(terms[name] for name in names)
    assert terms["compute_bytes"] == sum(terms["compute"][f"{name}_bytes"] for name in ("graph", "mask", "output"))
    assert found["fits"] is False
    (row,) = found["table"]
    assert {one["window"]: one["fits"] for one in row["windows"]}[32_768] is False


def test_a_mixture_tells_what_works_and_what_must_be_there(tmp_path: Path) -> None:
    path = str(MODELS["experts"]().write(tmp_path / "model.gguf", Kind.Q6_K))
    assert "16 experts of which 4 work: a token computes with" in run(path).stdout
    found = read(path)
    assert found["active_parameters"] < found["parameters"]
    assert found["active_weights_bytes"] < found["terms"]["weights_bytes"]


def test_an_upper_bound_says_so() -> None:
    done = run(str(CONFIGS / "unknown-layers.json"))
    assert "Upper bound: layers of the unknown kind spiral_attention are counted as full attention" in done.stdout
    assert read(str(CONFIGS / "unknown-layers.json"))["is_upper_bound"] is True


def test_what_is_not_known_is_said_and_not_counted() -> None:
    done = run(LLAMA, "--lora-slots", "2", "--device", "24GiB")
    assert "Compute is a guess" in done.stdout and "Compute is a guess" not in run("demo").stdout
    assert "The weights are not counted" in done.stdout and "The LoRA slots are not counted" in done.stdout
    assert "it fits" not in done.stdout
    assert read(LLAMA, "--device", "24GiB")["fits"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere.gguf",), "There is no file or folder nowhere.gguf"),
        (("demo", "--window", "long"), "--window takes tokens"),
        (("demo", "--window", "0"), "--window takes tokens"),
        (("demo", "--kv", "q9_9"), "--kv takes f16, fp8"),
        (("demo", "--device", "many"), "--device takes bytes"),
        ((str(CONFIGS / "deepseek-v3.json"), "--kv", "turboquant_4bit_nc"), "has no TurboQuant for latent attention"),
        (("owner/repo",), "cannot reach http://127.0.0.1:1"),
        (("https://elsewhere.example/owner/repo",), "set HF_ENDPOINT"),
    ],
)
def test_what_cannot_be_sized_ends_with_words_and_status_2(words: tuple[str, ...], said: str) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""


def test_a_name_in_a_folder_of_this_machine_is_not_asked_for_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clients").mkdir()
    assert not is_on_hub("clients/secret-model")
    assert not is_on_hub("models/m.gguf") and not is_on_hub("/models/m") and not is_on_hub("../models/m")
    assert is_on_hub("owner/repo") and is_on_hub("owner/repo:Q4_K_M") and is_on_hub("hf:clients/model")
