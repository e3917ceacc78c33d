"""A provider's key is in the environment of whoever starts Ringfence, and after that with the egress process alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from whole import chat, command

KEY = "sk-rented-7f3a91c5e2d84b60"
CONFIG = """
discovery: {adopt: false}
providers:
  rented: {url: "https://api.cloud.invalid/v1", api_key: "env:RENTED_KEY", calls_per_day: 10, max_tokens: 100}
models:
  fast: {source: TINY, aliases: [auto]}
  smart: {provider: rented, price: {input: 3, output: 15}}
profiles:
  personal: {tier: T2, chain: [fast, smart]}
"""
PAGES = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) rw")


def below(pid: int) -> list[int]:
    """Every process that descends from `pid`."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
        except OSError:
            continue
        parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(folder.name))
    found = parents.get(pid, [])
    return found + [one for child in found for one in below(child)]


def holds(pid: int, secret: bytes) -> bool:
    """Whether it stands in the environment, the arguments or the memory of a process."""
    folder = Path(f"/proc/{pid}")
    if any(secret in (folder / name).read_bytes() for name in ("environ", "cmdline")):
        return True
    with (folder / "mem").open("rb", 0) as memory:
        for line in (folder / "maps").read_text().splitlines():
            if pages := PAGES.match(line):
                begin, end = (int(text, 16) for text in pages.groups())
                try:
                    memory.seek(begin)
                    if secret in memory.read(end - begin):
                        return True
                except (OSError, OverflowError, ValueError):
                    continue  # such as [vvar]
    return False


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


@pytest.fixture(scope="module")
def up(start_up: Any, tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Any:
    file = tmp_path_factory.mktemp("outside") / "ringfence.yaml"
    file.write_text(CONFIG.replace("TINY", str(tiny_model)))
    return start_up("--config", str(file), env={"RENTED_KEY": KEY})


def test_only_egress_holds_the_key(up: Any) -> None:
    assert chat(up).status == 200
    processes = {pid: command_of(pid) for pid in below(up.process.pid)}
    kinds = [
        kind
        for kind in ("runtime.process", "egress.process", "llamacpp_process")
        for text in processes.values()
        if kind in text
    ]
    assert kinds == ["runtime.process", "egress.process", "llamacpp_process"], processes
    holders = [text for pid, text in processes.items() if holds(pid, KEY.encode())]
    assert all("egress.process" in text for text in holders), holders
    assert holds(up.process.pid, KEY.encode())  # the check can see it: whoever was given it in the environment has it


def test_no_file_has_it(up: Any) -> None:
    assert (up.folder / "egress" / "egress.sock").is_socket()
    for path in up.folder.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path


def test_it_is_among_the_models_and_only_for_who_may(up: Any) -> None:
    assert "smart" in command("models", folder=up.folder, env={"COLUMNS": "200"}).stdout
    refused = chat(up, model="smart")
    assert (refused.status, refused.code) == (403, "boundary_refused")


def test_a_key_that_is_missing_is_said_at_the_start(tmp_path: Path, tiny_model: Path) -> None:
    file = tmp_path / "ringfence.yaml"
    file.write_text(CONFIG.replace("TINY", str(tiny_model)))
    folder = tmp_path / "state"
    folder.mkdir()
    told = command("up", "--config", str(file), "--port", "0", folder=folder)
    assert told.returncode == 2
    assert "RENTED_KEY" in told.stderr
