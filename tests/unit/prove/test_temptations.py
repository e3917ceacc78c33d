"""The configuration that is proven: what decides stays, what serves is played, and temptations are there."""

from __future__ import annotations

import json
from pathlib import Path

from ringfence.config.load import load
from ringfence.prove.temptations import CLOUD_HOST, CLOUD_MODEL, MESH_MODEL, OPEN_PROFILE, Scene, tempt

HOUSE = """
mesh: [100.64.0.0/10]
providers:
  one: {dialect: openai, url: "https://api.one.example:8443/v1", api_key: "env:ONE", calls_per_day: 7, max_tokens: 9}
models:
  own: {source: demo, window: 2048, aliases: [a]}
  near: {url: "http://localhost:9000", engine: vllm, api_key: "env:NEAR"}
  far: {url: "http://100.64.0.9:8000", engine: vllm}
  named: {url: "http://gpu.lan:8001/prefix", engine: vllm}
  lost: {url: "http://gone.lan:8002", engine: vllm}
  rented: {provider: one, provider_model: large}
profiles:
  quiet: {tier: T1, chain: [own]}
  free: {tier: T2, chain: [own, rented]}
agents: {writer: {profile: free}}
sensitivity: {labels: [secret]}
"""


def scene(tmp_path: Path, text: str = HOUSE) -> Scene:
    path = tmp_path / "ringfence.yaml"
    path.write_text(text)
    config = load(path, check_secrets=False)
    return tempt(config, "/key", {"gpu.lan": "100.64.0.8"}.get)


def test_what_decides_stays_as_it_is(tmp_path: Path) -> None:
    made = scene(tmp_path)
    assert made.profiles == {"default": "host", "quiet": "host", "free": "cloud"}
    assert made.config["profiles"]["free"]["chain"] == ["own", "rented"]
    assert made.config["agents"]["writer"] == {"profile": "free"}
    assert "secret" in made.config["sensitivity"]["labels"]
    assert made.config["models"]["own"]["aliases"] == ["a"] and made.config["models"]["own"]["window"] == 2048


def test_engines_are_played_where_they_are(tmp_path: Path) -> None:
    made = scene(tmp_path)
    urls = {name: told.get("url") for name, told in made.config["models"].items()}
    assert urls["own"] == urls["near"] == urls["lost"]
    assert urls["far"] == "http://100.64.0.9:8000" and urls["named"] == "http://gpu.lan:8001"
    assert made.names["gpu.lan"] == "100.64.0.8" and "gpu.lan" in made.own_names
    assert {8000, 8001} <= set(made.engine_ports)
    assert [note for note in made.notes if "gone.lan" in note]
    assert not any("api_key" in told for told in made.config["models"].values())


def test_clouds_are_played_by_the_sink_with_a_key_that_is_made_up(tmp_path: Path) -> None:
    made = scene(tmp_path)
    assert set(made.rented) == {"api.one.example", CLOUD_HOST}
    assert len(set(made.rented.values())) == 2
    assert {443, 8443} <= set(made.tls_ports)
    assert {told["api_key"] for told in made.config["providers"].values()} == {"file:/key"}
    assert made.config["models"]["rented"]["provider_model"] == "large"


def test_temptations_load_with_the_configuration(tmp_path: Path) -> None:
    made = scene(tmp_path)
    path = tmp_path / "tempted.yaml"
    path.write_text(json.dumps(made.config))
    config = load(path, check_secrets=False)
    assert {CLOUD_MODEL, MESH_MODEL} <= set(config.models) and OPEN_PROFILE in config.profiles


def test_a_house_without_a_mesh_has_no_temptation_there(tmp_path: Path) -> None:
    made = scene(tmp_path, "models: {own: {source: demo}}")
    assert MESH_MODEL not in made.config["models"] and CLOUD_MODEL in made.config["models"]


def test_of_an_exact_target_the_model_stays_and_it_is_said(tmp_path: Path) -> None:
    made = scene(
        tmp_path, "models: {own: {source: demo}}\nprofiles: {one: {exact: {model: own, window: 8, device: cpu}}}"
    )
    assert made.config["profiles"]["one"]["exact"] == {"model": "own"}
    assert [note for note in made.notes if "profiles.one" in note and "device, window" in note]
