"""Defaults, values, overrides, places, and where the file and the state folder are looked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError

from ringfence.config.load import load, peek_state_dir
from ringfence.config.models import ModelSettings
from ringfence.config.places import find
from ringfence.config.problems import ConfigInvalid
from ringfence.config.schema import Config, ServerSettings, schema_json, state_dir
from ringfence.config.values import EngineUrl
from ringfence.core.boundary import Boundary


@pytest.mark.parametrize("text", ["", "# only a comment\n", "models:\n", "models: {}\n", "server:\nmesh:\n", "\ufeff"])
def test_an_empty_file_means_the_defaults(read, text):
    config = read(text)
    assert config.model_dump() == Config().model_dump()
    assert list(config.models) == ["demo"]
    assert config.models["demo"] == ModelSettings(source="demo", aliases=("local/fast", "auto"))
    assert config.profiles["default"].reaches is Boundary.HOST
    assert (config.server.host, config.server.port) == ("127.0.0.1", 7464)


def test_the_default_profile_exists_beside_others_and_may_be_changed(read):
    config = read("profiles:\n  work: {boundary: mesh}\n")
    assert {name: profile.reaches for name, profile in config.profiles.items()} == {
        "default": Boundary.HOST,
        "work": Boundary.MESH,
    }
    assert read("profiles:\n  default: {boundary: cloud}\n").profiles["default"].reaches is Boundary.CLOUD


@pytest.mark.parametrize(
    ("written", "size_bytes"),
    [
        ("1024", 1024),
        ("32MiB", 32 * 1024**2),
        ("16 MB", 16_000_000),
        ("1.5kib", 1536),
        ("2kB", 2000),
        ("'7'", 7),
        ("5B", 5),
    ],
)
def test_sizes_are_numbers_or_have_a_unit(read, written, size_bytes):
    assert read(f"server:\n  max_body_bytes: {written}\n").server.max_body_bytes == size_bytes


@pytest.mark.parametrize(
    ("url", "normal", "parts"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000", EngineUrl("127.0.0.1", 8000, "")),
        ("http://box:80/v1/", "http://box:80", EngineUrl("box", 80, "")),
        ("http://[::1]:9/engine/v1", "http://[::1]:9/engine", EngineUrl("::1", 9, "/engine")),
    ],
)
def test_urls_lose_what_every_request_adds(read, url, normal, parts):
    model = read(f"models:\n  a: {{url: '{url}'}}\n").models["a"]
    assert (model.url, model.address) == (normal, parts)


def test_mesh_networks_are_private_ones_of_both_versions(read):
    config = read("mesh: [10.1.0.0/16, '100.64.0.0/10', 'fd12::/48', 192.168.0.7]\n")
    assert config.mesh == ("10.1.0.0/16", "100.64.0.0/10", "fd12::/48", "192.168.0.7/32")
    assert [network.prefixlen for network in config.mesh_networks] == [16, 10, 48, 32]


def test_localhost_is_pinned_to_an_address(read):
    assert read("server:\n  host: localhost\n  keys: off\n").server.host == "127.0.0.1"


def test_relative_paths_count_from_the_file(read, tmp_path):
    text = (
        "state_dir: state\nlogging: {file: ~/log}\nmodels:\n  a: {source: m/a.gguf}\n  b: {source: 'hf:o/r:a.gguf'}\n"
    )
    config = read(text, {"HOME": "/home/me"})
    assert config.models["a"].source == str(tmp_path / "m" / "a.gguf")
    assert config.models["b"].source == "hf:o/r:a.gguf"
    assert config.logging.file == "/home/me/log"
    assert config.state_dir == str(tmp_path / "state")


def test_relative_paths_of_overrides_count_from_where_they_were_typed(tmp_path, monkeypatch):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "ringfence.yaml").write_text("state_dir: s\n")
    monkeypatch.chdir(tmp_path)
    config = load(tmp_path / "etc" / "ringfence.yaml", {}, {"models.a.source": "a.gguf"})
    assert config.models["a"].source == str(tmp_path / "a.gguf")
    assert config.state_dir == str(tmp_path / "etc" / "s")


def test_configurations_are_equal_when_their_settings_are(read):
    assert read("# moved\nserver: {port: 7464}\n") == Config()
    assert read("server: {port: 1}\n") != Config()


def test_numeric_names_are_names(read):
    assert list(read("models:\n  3.5: {source: demo}\n  true: {source: demo}\n").models) == ["3.5", "true"]


def test_overrides_win_and_are_told_as_such(read):
    text = "server:\n  port: 1\n  host: 127.0.0.2\nmodels:\n  llama3.1: {source: demo}\n"
    config = read(text, overrides={"server.port": "0", 'models."llama3.1".window': "512", "mesh": "[10.0.0.0/8]"})
    assert (config.server.port, config.models["llama3.1"].window, config.mesh) == (0, 512, ("10.0.0.0/8",))
    assert str(config.origin(("server", "port"))) == "--set"
    assert str(config.origin(("mesh", 0))) == "--set"
    assert str(config.origin(("server", "host"))) == "ringfence.yaml:3"
    assert config.origin(("server", "keys")) is None


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (("server.port", "x"), "--set: server.port: expected a whole number, given the text 'x'"),
        (("server.prot", "1"), "--set: server.prot: unknown key; did you mean 'port'?"),
        (("server..port", "1"), "--set: server..port: expected a setting such as server.port"),
        (("state_dir.x", "1"), "--set: state_dir.x: lies in something that is not a mapping"),
        (("models.demo.api_key", "CANARY"), "--set: models.demo.api_key: a secret is given by reference"),
        (("server", "{port: x}"), "--set: server.port: expected a whole number, given the text 'x'"),
    ],
)
def test_a_wrong_override_is_refused_by_name(refused, override, expected):
    found = refused("state_dir: /x\n", overrides=dict([override]))
    assert [str(problem)[: len(expected)] for problem in found] == [expected]
    assert "CANARY" not in str(found)


def test_a_setting_of_the_demo_may_be_overridden_without_a_file():
    config = load(None, {}, {"models.demo.parallel": "2"})
    assert (config.models["demo"].parallel, config.models["demo"].source) == (2, "demo")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ConfigInvalid, match=r"none\.yaml: No such file"):
        load(tmp_path / "none.yaml", {})


def test_find_takes_the_first_of_its_places(tmp_path):
    here, xdg, home = tmp_path / "here", tmp_path / "xdg", tmp_path / "home"
    env = {"XDG_CONFIG_HOME": str(xdg), "HOME": str(home)}
    for folder in (here, xdg / "ringfence", home / ".config" / "ringfence"):
        folder.mkdir(parents=True)
        (folder / "ringfence.yaml").touch()
    named = tmp_path / "named.yaml"
    assert find(named, here, {**env, "RINGFENCE_CONFIG": "/x"}) == named
    assert find(None, here, {**env, "RINGFENCE_CONFIG": "/x"}) == Path("/x")
    assert find(None, here, env) == here / "ringfence.yaml"
    assert find(None, tmp_path, env) == xdg / "ringfence" / "ringfence.yaml"
    assert find(None, tmp_path, {"HOME": str(home), "XDG_CONFIG_HOME": "relative"}) == (
        home / ".config" / "ringfence" / "ringfence.yaml"
    )
    if not Path("/etc/ringfence/ringfence.yaml").exists():
        assert find(None, tmp_path, {"HOME": str(tmp_path)}) is None


@pytest.mark.parametrize(
    ("named", "env", "expected"),
    [
        ("/s", {"RINGFENCE_STATE_DIR": "/r"}, "/s"),
        (None, {"RINGFENCE_STATE_DIR": "/r", "XDG_STATE_HOME": "/x"}, "/r"),
        (None, {"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/ringfence"),
        (None, {"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/ringfence"),
        (None, {"HOME": "/h"}, "/h/.local/state/ringfence"),
    ],
)
def test_state_dir(named, env, expected):
    assert state_dir(Config(state_dir=named), env) == Path(expected)


def test_the_state_folder_of_a_bad_file_can_be_told(tmp_path):
    file = tmp_path / "ringfence.yaml"
    file.write_text("state_dir: s\nservr: 1\n")
    assert peek_state_dir(file, {"HOME": "/h"}) == tmp_path / "s"
    file.write_text("a: [")
    assert peek_state_dir(file, {"HOME": "/h"}) == Path("/h/.local/state/ringfence")


def test_settings_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        Config().server.port = 1  # type: ignore[misc]


def test_the_keyless_rule_holds_without_a_file_too():
    with pytest.raises(ValidationError, match="without keys"):
        ServerSettings(host="0.0.0.0", keys="off")
    with pytest.raises(ValidationError, match="already the model"):
        Config(models={"a": ModelSettings(source="demo"), "b": ModelSettings(source="demo", aliases=("a",))})


def sections(model: type[BaseModel]) -> list[tuple[str, Any]]:
    """Every leaf below `model`, as (name, field)."""
    found: list[tuple[str, Any]] = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        if get_origin(inner) is dict:
            value = get_args(inner)[1]
            inner = value if isinstance(value, type) else inner
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found += sections(inner)
        else:
            found.append((f"{model.__name__}.{name}", field))
        assert field.description, f"{model.__name__}.{name} has no description"
    return found


def test_every_setting_says_what_it_is_and_how_it_reloads():
    found = sections(Config)
    assert len(found) >= 35
    for name, field in found:
        assert (field.json_schema_extra or {}).get("reload") in {"hot", "drain", "restart"}, name


def test_the_schema_describes_every_section_and_carries_no_id():
    schema = schema_json()
    assert set(schema["properties"]) == set(Config.model_fields)
    assert "$id" not in schema
    assert schema["additionalProperties"] is False
    assert schema["properties"]["state_dir"]["reload"] == "restart"
    assert {"type": "null"} in schema["properties"]["server"]["anyOf"]
    assert os.environ.get("HOME", "/nonexistent") not in str(schema)
