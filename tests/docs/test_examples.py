"""The examples run as they are."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ringfence.config.compile import reach_of
from ringfence.config.load import load
from ringfence.core.catalog import Ability, Catalog, Model, Target
from ringfence.core.route import Ending, Signals
from ringfence.routing.rules import decide
from ringfence.runtime.settings import ruleset
from ringfence.testing.fake_dialects import KINDS, FakeModel
from ringfence.testing.fake_engine import FakeEngine

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CHAINS = EXAMPLES / "chains"
TESTED = {"chat.py", "stream.py", "embeddings.py", "curl.sh", "ringfence.yaml", "profiles.yaml", "clouds.yaml"}


def run(environment: Mapping[str, str], *command: str) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, timeout=50, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode("utf-8", "replace")
    return done.stdout.decode("utf-8", "replace")


def test_each_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} == TESTED


def test_chat(environment: Mapping[str, str]) -> None:
    assert "Ringfence" in run(environment, sys.executable, str(EXAMPLES / "chat.py"))


def test_stream(environment: Mapping[str, str]) -> None:
    assert run(environment, sys.executable, str(EXAMPLES / "stream.py")).endswith(" out)\n")


def test_embeddings(environment: Mapping[str, str]) -> None:
    lines = run(environment, sys.executable, str(EXAMPLES / "embeddings.py")).splitlines()
    assert len(lines) == 3
    assert all(-1.001 <= float(line.split()[0]) <= 1.001 for line in lines)


def test_curl(environment: Mapping[str, str]) -> None:
    said = run(environment, str(EXAMPLES / "curl.sh"))
    assert '"object":"list"' in said
    assert said.rstrip().endswith("data: [DONE]")


def test_configuration_is_valid(environment: Mapping[str, str]) -> None:
    assert run(environment, "ringfence", "config", "check", "-c", str(EXAMPLES / "ringfence.yaml")).endswith("ok\n")


def test_clouds(environment: Mapping[str, str]) -> None:
    keys = dict.fromkeys(("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GROQ_API_KEY"), "made-up")
    checked = ("ringfence", "config", "check", "-c", str(EXAMPLES / "clouds.yaml"))
    assert run({**environment, **keys}, *checked).endswith("ok\n")


@pytest.mark.parametrize("name", ["reasoning", "general"])
def test_chains(name: str, environment: Mapping[str, str]) -> None:
    keys = dict.fromkeys(("OPENAI_API_KEY", "GROQ_API_KEY"), "made-up")
    checked = ("ringfence", "config", "check", "-c", str(CHAINS / f"{name}.yaml"))
    assert run({**environment, **keys}, *checked).endswith("ok\n")


def test_each_chain_goes_the_way_that_it_says() -> None:
    """With every model there: the cloud only for those who may reach it."""
    ways = {
        "reasoning": ["llama-70b", "qwen-14b", "gpt", "qwen-8b"],
        "general": ["swapped", "rented", "on-gpu", "on-cpu"],
    }
    assert {path.stem for path in CHAINS.iterdir()} == set(ways)
    for name, way in ways.items():
        config = load(CHAINS / f"{name}.yaml", {}, check_secrets=False)
        reach = {name: reach_of(model, ()) for name, model in config.models.items()}
        catalog = Catalog.of(
            [
                Model(
                    name, (Target(name, name, "any", name, reach[name], provider=model.provider or ""),), model.aliases
                )
                for name, model in config.models.items()
            ]
        )
        signals = Signals(Ability.CHAT, 10, model="auto", effort=8)
        for profile, said in config.profiles.items():
            decision = decide(ruleset(config), catalog, "auto", signals, said.profile(profile))
            assert [target.name for target in decision.chain.targets] == [
                one for one in way if reach[one] <= said.reaches
            ]
            assert decision.chain.ending is (Ending.PARK if name == "general" else Ending.ERROR)


@pytest.mark.slow
def test_profiles(start_up: Any) -> None:
    up = start_up("--config", str(EXAMPLES / "profiles.yaml"))
    shown = up.run("profiles", "--json")
    rows = {row["name"]: row for row in json.loads(shown.stdout)["profiles"]}
    assert {"personal", "private", "client", "conductor"} <= set(rows)
    assert [target["may"] for target in rows["client"]["targets"]] == [True, False]
    asked = {name: up.run("explain", "fast", "--profile", name, "--json") for name in rows}
    assert {name: done.returncode for name, done in asked.items()} == dict.fromkeys(rows, 0)


async def test_home_lab(start_up: Any, tiny_model: Path) -> None:
    async with FakeEngine("ollama", (FakeModel("qwen3:30b"), FakeModel("gemma:4b"))) as ollama:
        ports = {kind: [ollama.port] if kind == "ollama" else [] for kind in KINDS}
        up = await asyncio.to_thread(
            start_up, "--config", str(EXAMPLES / "ringfence.yaml"),
            "--set", f"models.small.source={tiny_model}",
            "--set", f"models.big.url=http://127.0.0.1:{ollama.port}",
            "--set", f"discovery.ports={json.dumps(ports)}",
        )  # fmt: skip
        assert set(up.ready["models"]) == {"small", "local/fast", "auto", "big", "local/quality", "orchestrator"}
        for name in ("auto", "local/quality"):
            done = await asyncio.to_thread(up.run, "chat", "--json", "--model", name, "Hello")
            assert done.returncode == 0, done.stderr
        assert ollama.calls[-1].body["model"] == "qwen3:30b"
        created = await asyncio.to_thread(up.run, "keys", "create", "tablet", "--profile", "family", "--json")
        assert json.loads(created.stdout)["profile"] == "family"
        assert await asyncio.to_thread(up.stop) == 0
