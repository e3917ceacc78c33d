"""What `ringfence up` makes of its options and of the environment, before anything is started."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from ringfence.cli.clouds import cloud_keys_in, clouds_in_words
from ringfence.cli.settings import model_overrides, serves_only_demo, variables, writes_demo
from ringfence.cli.up import scrubbed
from ringfence.config.cloud_keys import handed_to_egress, not_used
from ringfence.config.load import load
from ringfence.config.problems import ConfigInvalid


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("Night Watch (v2).gguf", "Night-Watch--v2"),
        ("ünï.gguf", "n"),
        ("夜.gguf", "model"),
        ("...a.gguf", "a"),
        ("a" * 200 + ".gguf", "a" * 64),
        ("hf:owner/Some-Model-GGUF:Q4_K_M", "Some-Model-GGUF"),
        ("hf:owner/Some-Model-GGUF", "Some-Model-GGUF"),
    ],
)
def test_a_model_is_named_after_where_it_comes_from(tmp_path: Path, source: str, name: str) -> None:
    given = source if source.startswith("hf:") else str(tmp_path / source)
    config = load(None, {}, model_overrides(given, replaces_demo=True))
    assert list(config.models) == [name]
    assert config.models[name].source == given
    assert config.models[name].aliases == ("local/fast", "auto")


@pytest.mark.parametrize("file", ["a: b.gguf", "a #1.gguf", "'a'.gguf", '"a.gguf', "[a].gguf", "{a}.gguf", "- a.gguf"])
def test_a_path_is_taken_as_it_is(tmp_path: Path, file: str) -> None:
    config = load(None, {}, model_overrides(str(tmp_path / file), replaces_demo=False))
    [model] = config.models.values()
    assert model.source == str(tmp_path / file)
    assert model.aliases == ()


def test_the_environment_is_scrubbed() -> None:
    source = {
        "PATH": "/bin", "HOME": "/root", "LC_ALL": "C", "RINGFENCE_STATE_DIR": "/x", "CUDA_VISIBLE_DEVICES": "0",
        "OPENAI_API_KEY": "s", "AWS_SECRET_ACCESS_KEY": "s", "https_proxy": "s", "LD_PRELOAD": "s", "ENGINE_KEY": "s",
    }  # fmt: skip
    kept = {"PATH", "HOME", "LC_ALL", "RINGFENCE_STATE_DIR", "CUDA_VISIBLE_DEVICES"}
    assert set(scrubbed(source)) == kept
    assert set(scrubbed(source, frozenset({"ENGINE_KEY"}))) == kept | {"ENGINE_KEY"}
    more = source | {"HF_TOKEN": "s", "RINGFENCE_CLOUD_KEY": "s"}
    out = frozenset({"HF_TOKEN", "RINGFENCE_CLOUD_KEY", "ENGINE_KEY"})
    assert set(scrubbed(more, frozenset({"ENGINE_KEY"}), out)) == kept
    assert set(scrubbed(more, frozenset({"OPENAI_API_KEY"}))) == kept | {
        "OPENAI_API_KEY",
        "HF_TOKEN",
        "RINGFENCE_CLOUD_KEY",
    }


def test_cloud_keys_are_named_and_empty_ones_are_none() -> None:
    assert cloud_keys_in({"OPENAI_API_KEY": "s", "GROQ_API_KEY": "", "OTHER_API_KEY": "s"}) == ["OPENAI_API_KEY"]


def test_keys_that_providers_use_are_told_apart_from_those_that_nothing_uses(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    caps = "calls_per_day: 9, max_tokens: 9"
    file.write_text(f"""
providers:
  claude: {{dialect: anthropic, url: "https://api.a.example", api_key: "env:ANTHROPIC_API_KEY", {caps}}}
  spare: {{dialect: anthropic, url: "https://api.b.example", api_key: "env:ANTHROPIC_API_KEY", {caps}}}
  groq: {{url: "https://api.c.example", api_key: "file:/keys/groq", {caps}}}
models: {{far: {{url: "http://127.0.0.1:9", api_key: "env:OPENAI_API_KEY"}}}}
""")
    config = load(file, {}, check_secrets=False)
    handed = handed_to_egress(config)
    assert handed == {"ANTHROPIC_API_KEY": ["claude", "spare"], "file:/keys/groq": ["groq"]}
    unused = not_used(["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "DEEPSEEK_API_KEY"], config)
    assert unused == ["DEEPSEEK_API_KEY"]
    told = {"providers": list(config.providers), "handed_to_egress": handed, "cloud_keys": unused,
            "house_cap": asdict(config.money.house.budget)}  # fmt: skip
    assert clouds_in_words(told) == [
        ("Clouds", "claude, spare, groq through the egress process"),
        ("Budget", "$100.00 a month in all"),
        ("Keys", "handed to egress: ANTHROPIC_API_KEY (claude, spare), file:/keys/groq (groq)"),
        ("", "found, not used: DEEPSEEK_API_KEY"),
    ]
    nothing = {"providers": [], "handed_to_egress": {}, "cloud_keys": []}
    assert clouds_in_words(nothing) == []


def test_variables_that_settings_refer_to(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("models: {a: {url: 'http://127.0.0.1:9', api_key: env:ONE_KEY}}")
    laid_over = {"models.b.url": "http://127.0.0.1:8", "models.b.api_key": "env:TWO_KEY", "server.port": "0"}
    assert variables(file, laid_over) == ({"ONE_KEY", "TWO_KEY"}, set())
    assert variables(None, {}) == variables(tmp_path / "nowhere.yaml", {}) == (frozenset(), frozenset())


def test_keys_of_providers_are_kept_out_whatever_else_is_said_of_them(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    provider = "{url: 'https://a.example', api_key: env:HF_TOKEN, calls_per_day: 1, max_tokens: 1}"
    file.write_text(f"# env:OPENAI_API_KEY\nproviders: {{a: {provider}}}\nmodels: {{m: {{provider: a}}}}\n")
    assert variables(file, {}) == (frozenset(), {"HF_TOKEN"})
    file.write_text(f"providers: {{a: {provider}}}\nmodels: {{m: {{provider: nobody}}}}\n")
    assert variables(file, {}) == (frozenset(), {"HF_TOKEN"}), "of what cannot be read, nothing is handed on"


def test_a_key_is_an_engines_or_a_providers(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    provider = "{url: 'https://a.example', api_key: env:ONE, calls_per_day: 1, max_tokens: 1}"
    engine = "{url: 'http://127.0.0.1:9', api_key: env:ONE}"
    file.write_text(f"providers: {{a: {provider}}}\nmodels: {{m: {engine}}}\n")
    with pytest.raises(ConfigInvalid, match=r"models\.m\.api_key: is also the key of provider 'a'"):
        load(file, check_secrets=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("models: {demo: {source: demo}}", True),
        ("models: {a: {source: a.gguf}}", False),
        ("models: {demo: {source: demo}, a: {source: a.gguf}}", False),
        ("models: [", False),
    ],
)
def test_whether_the_demo_may_be_replaced(tmp_path: Path, text: str, expected: bool) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)
    assert serves_only_demo(file) is expected
    assert serves_only_demo(None)


@pytest.mark.parametrize("aliases", ["[auto]", "[local/fast, auto]", "[]"])
def test_a_demo_that_is_written_down_gives_way_too(tmp_path: Path, aliases: str) -> None:
    """`ringfence config init` writes the demo down; `up --model` must still start."""
    file = tmp_path / "a.yaml"
    file.write_text(f"models: {{demo: {{source: demo, aliases: {aliases}}}}}")
    assert serves_only_demo(file)
    assert writes_demo(file)
    config = load(file, {}, model_overrides(str(tmp_path / "b.gguf"), replaces_demo=True, demo_is_written=True))
    assert config.models["b"].aliases == ("local/fast", "auto")
    assert config.models["demo"].aliases == ()


def test_a_file_without_models_does_not_bring_the_demo_along(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("server: {port: 0}\nmodels:\n")
    assert serves_only_demo(file)
    assert not writes_demo(file)
    config = load(file, {}, model_overrides(str(tmp_path / "b.gguf"), replaces_demo=True))
    assert list(config.models) == ["b"]


def test_overrides_survive_the_way_to_the_gateway(tmp_path: Path) -> None:
    """They travel as JSON."""
    overrides = model_overrides(str(tmp_path / "ü 夜.gguf"), replaces_demo=True)
    config = load(None, {}, json.loads(json.dumps(overrides)))
    assert next(iter(config.models.values())).source == str(tmp_path / "ü 夜.gguf")
