"""The sites that are given as examples are taken as they are, and are those that the planner is tried with."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

import pytest

import ringfence.engines
from ringfence.config.load import load
from ringfence.config.schema import Config
from ringfence.core.registry import adapters

ROOT = Path(__file__).resolve().parents[2]
SITES = ROOT / "examples" / "sites"
FILES = sorted(SITES.rglob("*.yaml"))
KEYS = {"LARGE_KEY": "made-up", "SMALL_KEY": "made-up", "ARM_KEY": "made-up"}
GIB = 1024**3


def site(name: str) -> Config:
    return load(SITES / name, KEYS, kinds=adapters(ringfence.engines))


def loaded_here(name: str) -> Iterator[tuple[str, str, str, float]]:
    """Of each model: residency, priority, slot and GiB."""
    for model in site(name).models.values():
        if model.source is not None:
            yield model.residency, model.priority, model.slot or "", (model.memory or 0) / GIB


def test_they_are_the_four() -> None:
    assert {path.parent.name for path in FILES} == {"desktop-and-dgx", "card-24", "card-32-modes", "three-nodes"}
    assert all((folder / "ringfence.yaml").is_file() and (folder / "README.md").is_file() for folder in SITES.iterdir())


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SITES)))
def test_what_is_always_loaded_fits_beside_the_largest_of_each_slot(path: Path) -> None:
    config = site(str(path.relative_to(SITES)))
    for name, device in config.devices.items():
        assert device.simulated is not None
        here = [model for model in config.models.values() if model.devices[:1] == (name,)]
        assert all(model.memory for model in here)
        kept = sum(model.memory or 0 for model in here if model.residency == "always")
        slots = {model.slot for model in here if model.residency == "swap"}
        largest = sum(max(model.memory or 0 for model in here if model.slot == slot) for slot in slots)
        assert kept + largest <= device.simulated - device.headroom_bytes(device.simulated)


@pytest.mark.parametrize("mode", site("card-32-modes/ringfence.yaml").modes)
def test_each_mode_fits_its_card(mode: str) -> None:
    config = site("card-32-modes/ringfence.yaml")
    settings = config.modes[mode]
    models = [config.models[name] for name in settings.models]
    models = [settings.settings[name].laid_over(model) if name in settings.settings else model
              for name, model in zip(settings.models, models, strict=True)]  # fmt: skip
    taken = sum(model.memory or 0 for model in models)
    taken += sum(config.tenants[name].memory or 0 for name in settings.tenants)
    card = config.devices["gpu0"]
    assert 0 <= taken <= (card.simulated or 0) - card.headroom_bytes(card.simulated or 0)
    assert taken or settings.run


def test_the_head_names_what_the_nodes_have() -> None:
    nodes = {"192.168.7.10": "large", "192.168.7.11": "small", "192.168.7.12": "arm"}
    head = site("three-nodes/ringfence.yaml")
    for model in head.models.values():
        assert model.address is not None
        assert model.engine_model in site(f"three-nodes/{nodes[model.address.host]}.yaml").models
    assert {name for profile in head.profiles.values() for name in profile.chain} == set(head.models)


@pytest.mark.parametrize(
    ("make", "files"),
    [
        ("small_card", ["card-24/ringfence.yaml"]),
        ("desktop_and_spark", ["desktop-and-dgx/ringfence.yaml"]),
        ("three_nodes", ["three-nodes/large.yaml", "three-nodes/small.yaml", "three-nodes/arm.yaml"]),
    ],
)
def test_the_planner_is_tried_with_them(make: str, files: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "property"))
    virtual = getattr(import_module("test_known_sites"), make)()
    slots = {virtual_slot.name for virtual_slot in virtual.slots}
    planned = sorted(
        (str(model.residency), f"P{int(model.priority)}", bool(model.slot), share.likely_bytes / GIB)
        for model in virtual.models.values() for one in model.sites for share in one.shares
    )  # fmt: skip
    configured = sorted(
        (residency, priority, bool(slot), gib)
        for file in files for residency, priority, slot, gib in loaded_here(file)
    )  # fmt: skip
    assert configured == planned
    assert len({slot for file in files for slot in site(file).slots}) == len(slots)


@pytest.mark.slow
def test_the_command_says_so_too(environment: Mapping[str, str]) -> None:
    for path in FILES:
        done = subprocess.run(
            [sys.executable, "-m", "ringfence", "config", "check", "-c", str(path)],
            env={**environment, **KEYS}, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert done.stdout.endswith("ok\n"), done.stdout + done.stderr
