"""The property can fail: with a hole in one part of the product, and in those behind it, it finds what gets through."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import plants
import pytest
from inside import stories
from pytest import MonkeyPatch

from share import some_of

pytestmark = pytest.mark.slow
STORIES = 150
Plant = Callable[[MonkeyPatch], None]


@pytest.mark.parametrize(
    "plant",
    some_of([
        plants.all_three, plants.wide_agents, plants.wide_names, plants.free_delegates, plants.unread_text,
        plants.unread_labels, plants.free_tools, plants.mixed_decisions, plants.trusted_ollama, plants.trusted_kinds,
        plants.trusted_names, plants.free_choice, plants.followed_redirects, plants.taken_steering,
        plants.forgotten_parking,
    ]),
    ids=lambda plant: plant.__name__,
)  # fmt: skip
def test_a_leak_is_found(plant: Plant, monkeypatch: MonkeyPatch, tmp_path: Path) -> None:
    plant(monkeypatch)
    assert stories(range(STORIES), tmp_path).leaks


@pytest.mark.parametrize(
    "plant", [plants.open_walk, plants.open_choice, plants.open_permit], ids=lambda plant: plant.__name__
)
def test_one_fence_that_is_open_is_held_by_the_others(plant: Plant, monkeypatch: MonkeyPatch, tmp_path: Path) -> None:
    plant(monkeypatch)
    assert stories(itertools.count(), tmp_path, enough=300).leaks == []
