"""Facts in made documents survive compression, more often than by other means."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SEED = 0x4CF082B9
"""That of the table in docs/compress.md: the beginning of the hash of the commit with which the code was finished."""
BENCH = Path(__file__).resolve().parents[2] / "bench"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCH / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def needles() -> ModuleType:
    return loaded("needles")


def test_the_documents_are_as_they_claim(needles: ModuleType) -> None:
    made = needles.documents(11, 60)
    assert needles.documents(11, 60) == made
    assert sum(one.paraphrase for one in made) == 30
    assert {one.kind for one in made} == set(needles.KINDS)
    for one in made:
        assert one.survives(one.text)
        shared = sys.modules["made_documents"].words(one.question) & sys.modules["made_documents"].words(one.needle)
        assert one.language == "other" or (len(shared) <= 1) == one.paraphrase


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_more_facts_survive_than_by_other_means(needles: ModuleType) -> None:
    rows: list[dict[str, Any]] = needles.judged(needles.documents(SEED, 240))
    print(needles.table(rows))
    for ratio in needles.RATIOS:
        mine = needles.share(rows, ratio=ratio, method="ours")
        for other in needles.METHODS:
            if other != "ours":
                theirs = needles.share(rows, ratio=ratio, method=other)
                assert mine > theirs or min(mine, theirs) >= 99.0, (ratio, other)
    assert needles.share(rows, ratio=10.0, method="ours", paraphrase=False) >= 95.0
