"""The pages tell of everything that there is, and of nothing else."""

from __future__ import annotations

import importlib.util
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from ringfence.cli.main import app
from ringfence.core import errors
from ringfence.prove.way import all_ways

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SOURCE = ROOT / "src" / "ringfence"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


# -- configuration ----------------------------------------------------------------------------------------------


def test_the_settings_are_those_of_the_schema() -> None:
    spec = importlib.util.spec_from_file_location("generate_configuration", DOCS / "generate_configuration.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.render() == page("configuration.md"), "run: python docs/generate_configuration.py"


# -- command line -----------------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command with its options."""

    def below(command: Any, name: str) -> Iterator[tuple[str, list[str]]]:
        if not hasattr(command, "commands") or (command.invoke_without_command and name != "ringfence"):
            options = [option for one in command.params for option in one.opts if option.startswith("-")]
            yield name, options
        for word, inner in getattr(command, "commands", {}).items():
            yield from below(inner, f"{name} {word}")

    yield from below(typer.main.get_command(app), "ringfence")


def sections() -> dict[str, str]:
    parts = re.split(r"^## `(.+)`$", page("cli.md"), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_command_has_a_section() -> None:
    assert set(sections()) == {name for name, _ in commands()}


@pytest.mark.parametrize(("name", "options"), list(commands()), ids=[name for name, _ in commands()])
def test_each_section_has_the_options_and_an_example(name: str, options: list[str]) -> None:
    section = sections()[name]
    table = re.findall(r"^\| ((?:`[^`]+`(?:, )?)+) \|", section, re.M)
    told = {option for row in table for option in re.findall(r"`(-[^`]+)`", row)}
    assert told == set(options)
    assert f"{name} " in section or f"{name}\n" in section, "no example"


# -- errors -----------------------------------------------------------------------------------------------------


def failures() -> list[type[errors.Failure]]:
    found: list[type[errors.Failure]] = [errors.Failure]
    for kind in found:
        found += kind.__subclasses__()
    return [kind for kind in found if kind.__module__ == errors.__name__ and kind is not errors.EngineRefused]


def told_errors() -> set[tuple[int, str, str]]:
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \| `(\w+)` \|", page("errors.md"), re.M)
    return {(int(status), kind, code) for status, kind, code in rows}


def codes_in_source() -> set[str]:
    """Codes that are given where a failure is raised."""
    files = [path for path in SOURCE.rglob("*.py") if "testing" not in path.parts]
    return {code for path in files for code in re.findall(r"\bcode=\"(\w+)\"", path.read_text(encoding="utf-8"))}


def test_every_kind_of_failure_is_told_with_its_status() -> None:
    assert {(kind.status, kind.type, str(kind.code)) for kind in failures()} <= told_errors()


def test_every_code_is_told_and_no_other() -> None:
    codes = {code for _, _, code in told_errors()}
    assert codes == codes_in_source() | {str(kind.code) for kind in failures()}


def test_no_code_has_a_status_and_type_that_do_not_exist() -> None:
    kinds = {(kind.status, kind.type) for kind in failures()}
    assert {(status, kind) for status, kind, _ in told_errors()} <= kinds


# -- metrics ----------------------------------------------------------------------------------------------------


def test_every_metric_is_told_with_its_kind_and_labels(gateway: Any) -> None:
    gateway.run("chat", "hello")
    with urllib.request.urlopen(f"{gateway.root_url}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    served = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    rows = re.findall(r"^\| `(ringfence_\w+)` \| (\w+) \| ([\w, ]*)\|", page("operate.md"), re.M)
    assert {name: kind for name, kind, _ in rows} == served
    labels = {name: {label for label in told.strip().split(", ") if label} for name, _, told in rows}
    for name, shown in re.findall(r"^(ringfence_\w+)\{([^}]*)\} ", text, re.M):
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        assert set(re.findall(r"(\w+)=", shown)) - {"le"} == labels[base], name


# -- architecture -----------------------------------------------------------------------------------------------


def test_every_package_is_in_the_architecture() -> None:
    packages = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").is_file()}
    assert packages == {name for name in re.findall(r"`(\w+)/`", page("architecture.md")) if (SOURCE / name).is_dir()}


@pytest.mark.parametrize("name", sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")))
def test_every_file_that_is_named_exists(name: str) -> None:
    named = re.findall(r"`((?:[\w.-]+/)+[\w-]+\.(?:py|toml|c|sh|md))`", page(name))
    assert [path for path in named if not (ROOT / path).exists() and not (SOURCE / path).exists()] == []


def test_no_file_of_the_state_folder_is_forgotten(gateway: Any) -> None:
    cells = re.findall(r"^\| (`[^|]+) \|", page("operate.md").partition("## Keys")[0], re.M)
    told = {name for cell in cells for name in re.findall(r"`([\w.]+)/?`", cell)}
    told |= {"ringfence.db-wal", "ringfence.db-shm"}
    assert {path.name for path in gateway.folder.iterdir() if not path.name.startswith(".")} <= told


# -- the proof --------------------------------------------------------------------------------------------------


def test_the_ways_of_the_proof_are_told() -> None:
    told = re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", page("prove.md").split("## The ways")[1], re.M)
    assert told == [(way.name, way.text) for way in all_ways()]
