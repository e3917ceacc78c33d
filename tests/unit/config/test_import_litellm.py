"""A configuration of LiteLLM becomes one of ours: it loads, says the same, and whatever it does not say is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

import ringfence.engines
from ringfence.config.importing import litellm_reasons
from ringfence.config.importing.litellm import Imported, read_litellm
from ringfence.config.importing.litellm_places import CLOUDS
from ringfence.config.load import load
from ringfence.config.problems import ConfigInvalid, KeyPath
from ringfence.config.schema import Config
from ringfence.core.boundary import Boundary
from ringfence.core.registry import adapters

FIXTURES = Path(__file__).parent / "litellm"
NAMES = ("balanced_engines", "clouds", "home", "whole")


@cache
def imported(name: str) -> Imported:
    return read_litellm((FIXTURES / f"{name}.yaml").read_bytes(), f"{name}.yaml", {})


def loaded(found: Imported, folder: Path) -> Config:
    file = folder / "ringfence.yaml"
    file.write_text(found.text, encoding="utf-8")
    return load(file, {}, kinds=adapters(ringfence.engines), check_secrets=False)


def said(found: Imported) -> dict[str, str]:
    """The state of what was remarked on, by its path."""
    return {remark.path: remark.state for remark in found.remarks}


def written(data: dict[str, Any]) -> bytes:
    """As JSON, which is YAML too."""
    return json.dumps(data).encode()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_can_be_used(name: str, tmp_path: Path) -> None:
    config = loaded(imported(name), tmp_path)
    assert config.models and config.profiles["default"].reaches is Boundary.HOST


def test_engines_under_one_name_are_one_model_and_a_cloud_follows_in_a_chain(tmp_path: Path) -> None:
    config = loaded(imported("balanced_engines"), tmp_path)
    assert config.models["zephyr-1"].urls == ("http://127.0.0.1:8001", "http://127.0.0.1:8002")
    assert (config.models["zephyr-1"].engine, config.models["zephyr-1"].engine_model) == ("vllm", "zephyr-7b")
    assert config.chains["zephyr"].models == ("zephyr-1", "gpt")
    assert (config.timeouts.retries, config.timeouts.answer_s) == (3, 10)
    provider = config.providers["openai"]
    assert (provider.api_key.reference, provider.max_tokens) == ("env:OPENAI_API_KEY", 16384)
    assert (config.models["gpt"].provider_model, config.models["gpt"].window) == ("gpt-4o-mini", 128000)


def test_clouds_are_written_and_only_their_own_profile_reaches_them(tmp_path: Path) -> None:
    found = imported("clouds")
    config = loaded(found, tmp_path)
    assert {name: provider.dialect for name, provider in config.providers.items()} == {
        "groq": "openai", "anthropic": "anthropic", "example": "openai",
    }  # fmt: skip
    assert config.profiles["cloud"].reaches is Boundary.CLOUD
    times = config.models[config.chains["smart"].models[0]].timeouts
    assert times is not None and (times.answer_s, times.first_byte_s) == (120, 20)
    assert config.chains["smart"].models == ("smart-1", "fast")  # the default fallback
    assert config.timeouts.retries == 10 and said(found)["router_settings.num_retries"] == "changed"
    assert config.providers["example"].api_key.reference == "env:LLM_EXAMPLE_COM_API_KEY"
    for path in (
        "model_list[2]", "model_list[3]", "model_list[5]", "model_list[6]", "litellm_settings.max_budget",
        "litellm_settings.budget_duration", "litellm_settings.cache", "litellm_settings.cache_params",
        "litellm_settings.content_policy_fallbacks", "general_settings.master_key", "general_settings.database_url",
        "environment_variables", "callback_settings", "model_list[0].litellm_params.rpm",
    ):  # fmt: skip
        assert said(found)[path] == "left_out", path


def test_no_secret_of_the_file_is_repeated() -> None:
    found = imported("clouds")
    told = found.text + repr(found) + str([remark.as_dict() for remark in found.remarks])
    for secret in (
        "sk-live-0123456789abcdefABCDEF",
        "hush-hush",
        "sk-1234-master",
        "pw-of-database",
        "lf-secret-value",
    ):
        assert secret in (FIXTURES / "clouds.yaml").read_text() and secret not in told


def test_machines_beside_this_one_lie_in_the_mesh(tmp_path: Path) -> None:
    found = imported("home")
    config = loaded(found, tmp_path)
    assert set(config.mesh) == {"10.9.8.7/32", "192.168.1.20/32"}
    assert config.profiles["mesh"].reaches is Boundary.MESH
    assert config.models["My-Coder"].url == "http://127.0.0.1:11434"
    assert said(found)["model_list[1].model_name"] == "changed"
    big = config.models["big"]
    assert (big.parallel, big.window, big.aliases, big.api_key) == (6, 32768, ("gpt-4",), None)
    assert config.models["chat-1"].parallel == 3
    assert config.models["embed"].embeddings is True and config.models["embed"].url == "http://127.0.0.1:11434"
    assert "far" not in config.models and said(found)["model_list[6]"] == "left_out"
    assert config.server.max_body_bytes == 64 * 1024 * 1024


def test_order_aliases_and_prompts_that_are_too_long(tmp_path: Path) -> None:
    found = imported("home")
    config = loaded(found, tmp_path)
    first, second = config.chains["long"].models
    assert config.models[first].url == "http://10.9.8.7:9000/prefix"
    assert config.models[first].api_key is not None and config.models[first].api_key.reference == "env:LONG_KEY"
    assert config.models[second].url == "http://127.0.0.1:1234" and config.models[second].engine == "lmstudio"
    assert config.chains["gpt-4-long"].models == ("long",)
    assert config.chains["chat"].models == ("chat-1", first, second)
    assert config.profiles["default"].overlong == "route"
    assert config.timeouts.first_byte_s == 45.5
    assert said(found)["router_settings.model_group_alias.lost"] == "left_out"


def test_a_whole_one_has_nothing_to_remark() -> None:
    found = imported("whole")
    assert found.is_whole and found.remarks == ()
    assert all(not imported(name).is_whole for name in NAMES if name != "whole")


def test_remarks_name_lines_of_the_file_in_order() -> None:
    lines = [remark.line for remark in imported("clouds").remarks]
    assert None not in lines and lines == sorted(lines, key=lambda line: line or 0)
    source = (FIXTURES / "clouds.yaml").read_text().splitlines()
    budget = next(remark for remark in imported("clouds").remarks if remark.path == "litellm_settings.max_budget")
    assert "max_budget" in source[(budget.line or 0) - 1] and "budgets are set for the house" in budget.why


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"model_list: {}", "model_list"),
        (b"- a list", "model_list"),
        (b"model_list: []", "no model that can be served"),
        (b"model_list: [{model_name: a, litellm_params: {model: bedrock/x}}]", "no model that can be served"),
        (b"model_list: [\n", "YAML"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_what_is_no_configuration_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        read_litellm(content, "x.yaml", {})
    assert message in " ".join(str(problem) for problem in refused.value.problems)


def test_addresses_come_from_the_environment_and_keys_do_not() -> None:
    entry = {"model": "openai/x", "api_base": "os.environ/BASE", "api_key": "os.environ/KEY"}
    content = written({"model_list": [{"model_name": "a", "litellm_params": entry}]})
    found = read_litellm(content, "x", {"BASE": "http://127.0.0.1:8000", "KEY": "sk-value-of-it"})
    assert "http://127.0.0.1:8000" in found.text and "env:KEY" in found.text and "sk-value-of-it" not in found.text
    with pytest.raises(ConfigInvalid, match="BASE is not set"):
        read_litellm(content, "x", {})


def test_a_key_of_a_cloud_is_not_given_to_an_engine(tmp_path: Path) -> None:
    shared = {"api_key": "os.environ/OPENAI_API_KEY"}
    models = [
        {"model_name": "far", "litellm_params": {"model": "openai/gpt-4o", **shared}},
        {"model_name": "near", "litellm_params": {"model": "openai/x", "api_base": "http://127.0.0.1:8000", **shared}},
    ]
    found = read_litellm(written({"model_list": models}), "x", {})
    assert loaded(found, tmp_path).models["near"].api_key is None
    assert said(found)["model_list[1].litellm_params.api_key"] == "changed"


def test_every_known_cloud_loads(tmp_path: Path) -> None:
    models = [{"model_name": prefix, "litellm_params": {"model": f"{prefix}/some/model"}} for prefix in CLOUDS]
    config = loaded(read_litellm(written({"model_list": models}), "x", {}), tmp_path)
    for prefix, cloud in CLOUDS.items():
        model = config.models[prefix]
        provider = config.providers[model.provider or ""]
        assert model.provider_model == "some/model"
        assert (provider.dialect, provider.url, provider.api_key.reference) == (
            cloud.dialect, cloud.url, f"env:{cloud.key}",
        )  # fmt: skip


# -- nothing is dropped in silence ------------------------------------------------------------------------------------

TAKEN = {
    "model_name", "model", "api_base", "api_key", "mode", "timeout", "stream_timeout", "request_timeout", "num_retries",
    "fallbacks", "order", "max_input_tokens", "max_output_tokens", "max_parallel_requests", "max_request_size_mb",
    "model_group_alias", "default_fallbacks", "context_window_fallbacks", "max_tokens",
    "default_max_parallel_requests",
}  # fmt: skip
"""Keys whose value is in what is written, or in a remark of its own."""


def leaves(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from leaves(inner, (*path, name))
    elif isinstance(value, list) and value:
        for place, inner in enumerate(value):
            yield from leaves(inner, (*path, place))
    elif value not in (None, {}, []):
        yield path


def unsaid(data: Any, found: Imported) -> list[KeyPath]:
    """What is neither taken nor remarked on."""
    told = [remark.at for remark in found.remarks]
    return [
        path for path in leaves(data)
        if not TAKEN.intersection(part for part in path if isinstance(part, str))
        and not any(path[: len(at)] == at for at in told)
    ]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_everything_is_taken_or_told(name: str) -> None:
    data = YAML(typ="safe", pure=True).load((FIXTURES / f"{name}.yaml").read_text())
    assert unsaid(data, imported(name)) == []


NAME = st.sampled_from(("alpha", "num_retries", "cache", "tags", "cooldown_time", "x.y", "metadata", "callbacks"))
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**6) | st.text("ab: #'\"\n{[é", max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAME, inner, max_size=2),
    max_leaves=4,
)
MORE = st.dictionaries(NAME, VALUE, max_size=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("made")


@settings(max_examples=20, deadline=None)
@given(MORE, MORE, MORE, MORE, st.text("ab/-: ", max_size=6))
def test_whatever_else_stands_there_is_told_and_the_rest_still_loads(
    folder: Path, top: dict[str, Any], inner: dict[str, Any], router: dict[str, Any],
    library: dict[str, Any], model_name: str,
) -> None:  # fmt: skip
    params = {**inner, "model": "ollama/llama3.1"}
    data = {
        **top, "model_list": [{"model_name": f"m{model_name}", "litellm_params": params, "model_info": inner}],
        "router_settings": router, "litellm_settings": library,
    }  # fmt: skip
    found = read_litellm(written(data), "x.yaml", {})
    assert unsaid(data, found) == []
    assert len(loaded(found, folder).models) == 1


def test_each_reason_says_what_to_do_instead() -> None:
    told = [*litellm_reasons.REASONS.values(), *litellm_reasons.BY_LAST.values(), litellm_reasons.UNKNOWN]
    assert [why for why, do in told if not do.endswith((".", "`")) or "eave it out" in do] == []
