"""Weights, caches and compute buffers are what llama.cpp says that it allocates, for models of many architectures.

The files are of 150 MiB to 1 GiB, have random weights, and are really loaded. `pytest -s` prints the table of the docs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from llamacpp_log import log_of
from many_models import MODELS, Kind

from ringfence.placement.sizing.footprint import Use, footprint
from ringfence.placement.sizing.kv_types import TYPES
from ringfence.placement.sizing.read import read_model
from share import some_of

MIB = 2**20
PAGE = Path(__file__).parents[4] / "docs" / "size.md"
pytestmark = pytest.mark.slow


def is_near(computed_bytes: int, told: float) -> bool:
    """Within 5 % or 8 MiB."""
    return abs(computed_bytes / MIB - told) <= max(8.0, 0.05 * told)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "model.gguf"
    (tmp_path / "model.gguf").unlink(missing_ok=True)


CASES = [
    ("dense, as many KV heads", "F16", (("f16", 1, 4096, True), ("q8_0", 2, 2048, False))),
    ("dense, grouped heads", "Q4_K", (("f16", 1, 8192, True), ("q8_0", 4, 4096, False))),
    ("dense, one KV head", "Q8_0", (("q4_0", 1, 8192, True), ("q5_1", 4, 4096, False))),
    ("dense, wide", "Q4_0", (("f16", 1, 4096, True), ("q8_0", 2, 8192, False))),
    ("experts", "Q6_K", (("f16", 1, 8192, True), ("iq4_nl", 4, 4096, False))),
    ("many experts", "Q8_0", (("f16", 1, 8192, True), ("q8_0", 4, 4096, False))),
    ("latent attention", "Q5_K", (("f16", 1, 8192, True), ("q8_0", 4, 4096, False))),
    ("sliding windows", "Q6_K", (("f16", 1, 8192, True), ("q8_0", 4, 4096, False))),
    ("sliding windows, short", "F16", (("q5_0", 1, 8192, True), ("f16", 3, 4096, False))),
    ("sliding windows and experts", "Q8_0", (("f16", 1, 8192, True), ("q8_0", 4, 4096, False))),
    ("states", "F16", (("f16", 1, 8192, True), ("f16", 4, 4096, False))),
    ("short convolutions", "Q8_0", (("f16", 1, 8192, True), ("q8_0", 4, 4096, False))),
    ("states and attention", "Q6_K", (("f16", 1, 8192, True), ("q4_1", 4, 4096, False))),
    ("delta net and experts", "Q8_0", (("f16", 1, 8192, True), ("q8_0", 4, 4096, False))),
]


def test_every_model_is_loaded() -> None:
    assert {name for name, _, _ in CASES} == set(MODELS)


@pytest.mark.parametrize(("name", "kind", "uses"), some_of(CASES), ids=[name for name, _, _ in some_of(CASES)])
def test_a_model_takes_what_llama_cpp_says(
    path: Path, name: str, kind: str, uses: tuple[tuple[str, int, int, bool], ...]
) -> None:
    files = read_model(MODELS[name]().write(path, Kind[kind]))
    assert 150 * MIB <= path.stat().st_size <= 1024 * MIB
    for kv_type, parallel, window, embeddings in uses:
        found = footprint(files, Use(window, parallel, TYPES[kv_type], embeddings=embeddings))
        told = log_of(path, kv_type, window, parallel, found.step, embeddings, reads_all=True)
        kept = found.kv_bytes + found.state_bytes
        pairs = ((found.weights_bytes or 0, told.weights), (kept, told.kept), (found.compute.total_bytes, told.compute))
        cells = " | ".join(f"{size / MIB:,.0f} / {said:,.0f}" for size, said in pairs)
        row = f"| {name} | {kind} | {parallel} × {window:,} {kv_type} | {cells} |"
        print(row)
        assert all(is_near(size, said) for size, said in pairs), f"{name} {kv_type}: {pairs}"
        assert row in PAGE.read_text(encoding="utf-8"), "the table of docs/size.md is of another build"
