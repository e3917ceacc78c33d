"""Starting a file, and adding to one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ringfence.config import write
from ringfence.config.changes import settings
from ringfence.config.load import load
from ringfence.config.problems import ConfigError, ConfigInvalid
from ringfence.config.schema import Config, schema_json
from ringfence.config.write import FoundModel, init, merge, template


def test_init_writes_a_file_that_loads_as_the_defaults_and_its_schema(tmp_path):
    file = tmp_path / "new" / "ringfence.yaml"
    schema = init(file)
    assert load(file, {}).model_dump() == Config().model_dump()
    assert file.read_text().splitlines()[0] == f"# yaml-language-server: $schema={schema.as_uri()}"
    assert json.loads(schema.read_text()) == schema_json()
    assert schema.stat().st_mode & 0o777 == 0o644


def test_the_template_holds_every_setting_with_its_default(tmp_path):
    file = tmp_path / "ringfence.yaml"
    bare = re.sub(r"^( *)#(?=[a-z_]+:)", r"\1", template(), flags=re.MULTILINE)
    file.write_text(bare)
    config = load(file, {})
    assert config.model_dump() == Config().model_dump()
    missing = [setting.path for setting in settings(config) if config.origin(setting.path) is None]
    assert missing == []


def test_init_never_overwrites_even_a_dangling_link(tmp_path):
    file = tmp_path / "ringfence.yaml"
    file.write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for path in (file, tmp_path / "link"):
        with pytest.raises(ConfigError, match="exists and is not overwritten"):
            init(path)
    assert file.read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


def test_found_models_are_written_with_names_that_are_allowed(tmp_path):
    names = ["llama3:8b", "/srv/my models/x.gguf", "demo", "日本", "true", "a" * 200, "llama3:8b", 'q"uo\n: te']
    file = tmp_path / "ringfence.yaml"
    init(file, [FoundModel("ollama", "http://127.0.0.1:11434", name) for name in names])
    models = load(file, {}).models
    served = [model.engine_model or name for name, model in models.items() if model.url]
    assert served == names
    assert "demo-2" in models


MINE = """\
# my file
models:   # what I serve
    mine:  {source: demo}   # odd   spacing is kept
server:
  port: 1
  # port 2 was taken
"""


def test_merge_adds_what_is_missing_and_keeps_every_byte(tmp_path):
    file = tmp_path / "real.yaml"
    file.write_text(MINE)
    file.chmod(0o640)
    link = tmp_path / "ringfence.yaml"
    link.symlink_to(file)
    before = load(file, {}).model_dump()
    assert merge(link) == [
        "state_dir", "database", "discovery", "mesh", "timeouts", "admission", "parking", "batches", "responses",
        "profiles", "agents", "tools", "rules", "chains", "thinking", "sensitivity", "isolation", "providers", "money",
        "slots", "devices", "tenants", "modes", "placement", "logging",
    ]  # fmt: skip
    assert file.read_text().startswith(MINE)
    assert "# How long an engine may take.\ntimeouts:\n" in file.read_text()
    assert load(file, {}).model_dump() == before
    assert link.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["real.yaml", "ringfence.yaml"]
    assert merge(link) == []


@pytest.mark.parametrize(
    "content", [b"", b"server:\n  port: 1", b"server:\r\n  port: 1\r\n", b"\xef\xbb\xbfmesh: []\n"]
)
def test_merge_copes_with_how_files_end_and_begin(tmp_path, content):
    file = tmp_path / "ringfence.yaml"
    file.write_bytes(content)
    assert "logging" in merge(file)
    assert file.read_bytes().startswith(content)
    assert file.read_bytes().count(b"\r\n") in {0, file.read_bytes().count(b"\n")}
    load(file, {})


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("servr: {}\n", ConfigInvalid),
        ("server: [\n", ConfigInvalid),
        ("{server: {port: 1}}\n", ConfigError),
        ("server: {port: 1}\n...\n", ConfigError),
    ],
)
def test_merge_leaves_a_file_alone_that_it_cannot_add_to(tmp_path, content, error):
    file = tmp_path / "ringfence.yaml"
    file.write_text(content)
    with pytest.raises(error):
        merge(file)
    assert file.read_text() == content
    assert [path.name for path in tmp_path.iterdir()] == ["ringfence.yaml"]


def test_merge_refuses_to_change_what_the_file_means(tmp_path, monkeypatch):
    file = tmp_path / "ringfence.yaml"
    file.write_text(MINE)
    other = tmp_path / "template.yaml"
    other.write_text("admission:\n  queue: 1\n")
    monkeypatch.setattr(write, "_TEMPLATE", other)
    with pytest.raises(ConfigError, match="would change its meaning"):
        merge(file)
    assert file.read_text() == MINE


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    file = tmp_path / "ringfence.yaml"
    file.write_text(MINE)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        merge(file)
    assert file.read_text() == MINE
    assert [path.name for path in Path(tmp_path).iterdir()] == ["ringfence.yaml"]
