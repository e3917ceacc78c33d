"""Every command, program and configuration that a page shows does what the page says it does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import ringfence.engines
from ringfence.config.load import load
from ringfence.config.schema import Config
from ringfence.core.registry import adapters

ROOT = Path(__file__).resolve().parents[2]
OWN_TEST = ("docs/clients.md",)
"""Pages whose programs are run elsewhere."""
NOT_RUN = frozenset((
    "it sets up an environment of its own",
    "the wheel is built and installed by a test of its own",
    "needs systemd and root",
    "it downloads from a hub",
    "it would write over a page of this folder",
    "it takes minutes and a quiet machine",
    "it needs the key of a provider",
    "it needs a parked request",
    "it needs a mode",
    "it needs a batch",
    "it needs an engine that speaks",
))  # fmt: skip
LANGUAGES = frozenset(("sh", "python", "yaml", "json", "text", "ini"))
BLOCK = re.compile(r"^(?:<!-- (?P<mark>[^\n]*) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    text: str
    mark: str

    @property
    def is_run(self) -> bool:
        return not self.mark.startswith(("not run:", "quoted from "))


def pages() -> list[str]:
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    return sorted(str(path.relative_to(ROOT)) for path in found)


def blocks(page: str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found["language"], found["text"], found["mark"] or "")
        for found in BLOCK.finditer(text)
    ]


EVERY = [block for page in pages() if page not in OWN_TEST for block in blocks(page)]


MANY_COMMANDS = (
    "docs/cli.md", "docs/costs.md", "docs/journal.md", "docs/leases.md", "docs/ledger.md", "docs/operate.md",
    "docs/prices.md", "docs/prove.md", "docs/simulation.md",
)  # fmt: skip
"""What they show is also tested one by one elsewhere; that the pages show it rightly is tested with the slow ones."""


def runnable(language: str) -> list[Any]:
    pages = sorted({block.page for block in EVERY if block.language == language and block.is_run})
    return [pytest.param(page, marks=pytest.mark.slow) if page in MANY_COMMANDS else page for page in pages]


@pytest.mark.parametrize("page", pages())
def test_each_block_says_what_it_is_and_why_it_is_not_run(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert len(re.findall(r"^```", text, re.M)) == 2 * len(blocks(page)), "a block is not closed"
    for block in blocks(page) if page not in OWN_TEST else ():
        where = f"{page}:{block.line}"
        assert block.language in LANGUAGES, f"{where}: one of {sorted(LANGUAGES)}, not '{block.language}'"
        kind, _, reason = block.mark.partition(": ")
        if kind == "not run":
            assert reason in NOT_RUN, f"{where}: '{reason}' is no reason known here"


@pytest.mark.timeout(150)
@pytest.mark.parametrize("page", runnable("sh"))
def test_commands(page: str, folder: Path, environment: Mapping[str, str], filled_in: Callable[[str], str]) -> None:
    for block in EVERY:
        if (block.page, block.language, block.is_run) == (page, "sh", True):
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", filled_in(block.text)],
                cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=50, check=False,
            )  # fmt: skip
            said = (done.stdout + done.stderr).decode("utf-8", "replace")
            assert done.returncode == 0, f"{page}:{block.line}\n{block.text}\n{said}"


@pytest.mark.parametrize("page", runnable("python"))
def test_programs(page: str, folder: Path, environment: Mapping[str, str], filled_in: Callable[[str], str]) -> None:
    for block in EVERY:
        if (block.page, block.language, block.is_run) == (page, "python", True):
            done = subprocess.run(
                [sys.executable, "-"], input=filled_in(block.text), encoding="utf-8",
                cwd=folder, env=environment, capture_output=True, timeout=50, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{page}:{block.line}\n{done.stderr}"
            assert done.stdout.strip(), f"{page}:{block.line} prints nothing"


@pytest.mark.parametrize("block", [b for b in EVERY if b.language == "yaml"], ids=lambda b: f"{b.page}:{b.line}")
def test_configurations(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "ringfence.yaml"
    path.write_text(block.text, encoding="utf-8")
    assert load(path, kinds=adapters(ringfence.engines), check_secrets=False) != Config()


@pytest.mark.parametrize("block", [b for b in EVERY if b.language == "json"], ids=lambda b: f"{b.page}:{b.line}")
def test_json(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize(
    "block", [b for b in EVERY if b.mark.startswith("quoted from ")], ids=lambda b: f"{b.page}:{b.line}"
)
def test_quotations_are_still_true(block: Block) -> None:
    source = (ROOT / block.mark.removeprefix("quoted from ")).read_text(encoding="utf-8")
    shown = " ".join(block.text.split())
    assert shown in " ".join(source.split()), f"{block.page}:{block.line} quotes what is no longer there"
