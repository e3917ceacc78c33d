"""Which window fits, what it gains, and what it costs: published with its source, measured, or not known."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ringfence.placement.sizing.advice import Row, advise, usual_reserve
from ringfence.placement.sizing.costs import PUBLISHED, measured, published
from ringfence.placement.sizing.hf_config import from_config
from ringfence.placement.sizing.kv_types import TYPES

GIB = 1 << 30
CONFIGS = Path(__file__).parent / "configs"
ROOT = Path(__file__).parents[4]
DEMO = ROOT / "src/ringfence/models/demo.gguf"
LLAMA = from_config(json.loads((CONFIGS / "llama-3.1-8b.json").read_text()))


def rows(**given: int) -> dict[str, Row]:
    return {row.kv_type.name: row for row in advise(LLAMA, **given).rows}


def test_weights_and_reserve_are_taken_off_first() -> None:
    found = advise(LLAMA, 24 * GIB, 16 * GIB, reserve_bytes=0)
    assert found.left_bytes == 8 * GIB
    assert found.rows[0].window == 65_536


@pytest.mark.parametrize(("device", "reserve"), [(4 * GIB, GIB), (24 * GIB, round(24 * GIB * 0.08))])
def test_the_usual_reserve_is_what_engines_keep_free(device: int, reserve: int) -> None:
    assert usual_reserve(device) == reserve
    assert advise(LLAMA, device, 0).left_bytes == device - reserve


def test_gains_of_a_dense_model() -> None:
    found = rows(device_bytes=24 * GIB, weights_bytes=8 * GIB)
    gains = {name: row.gain for name, row in found.items()}
    assert gains["f16"] == 1
    assert gains["fp8"] == pytest.approx(2, abs=0.01)
    assert gains["q8_0"] == pytest.approx(1.88, abs=0.01)
    assert gains["q4_0"] == pytest.approx(3.56, abs=0.01)
    assert gains["turboquant_4bit_nc"] == pytest.approx(2.82, abs=0.01)


def test_where_the_weights_do_not_fit_nothing_does() -> None:
    assert {row.window for row in rows(device_bytes=8 * GIB, weights_bytes=16 * GIB).values()} == {0}


def test_a_type_that_cannot_be_used_says_why_and_nothing_else() -> None:
    model = from_config(json.loads((CONFIGS / "deepseek-v3.json").read_text()))
    found = {row.kv_type.name: row for row in advise(model, 24 * GIB).rows}["turboquant_4bit_nc"]
    assert "latent" in found.why_not
    assert (found.window, found.gain, found.costs) == (0, None, ())


def test_what_nobody_measured_has_no_cost() -> None:
    assert {name for name in TYPES if not published(name)} == {"f16", "q5_1", "q5_0", "q4_1"}


def test_every_published_cost_has_its_source_in_the_docs() -> None:
    page = (ROOT / "docs/window.md").read_text(encoding="utf-8")
    for costs in PUBLISHED.values():
        for cost in costs:
            assert f"[{cost.source.name}]({cost.source.url})" in page
            assert cost.text in page and cost.on in page


def test_the_measured_figures_are_of_this_demo_model_and_of_no_other_file(tmp_path: Path) -> None:
    found = measured(DEMO)
    assert set(found) >= {"q8_0", "q4_0"}
    assert all(cost.is_measured and "tiny model of 2.2 M parameters" in cost.on for cost in found.values())
    other = tmp_path / "other.gguf"
    shutil.copy(DEMO, other)
    assert measured(other) == found
    content = bytearray(other.read_bytes())
    content[-1] ^= 1
    other.write_bytes(content)
    assert measured(other) == {}
    assert measured(tmp_path / "none.gguf") == {}


def test_a_measured_cost_rules_over_published_ones() -> None:
    found = {row.kv_type.name: row for row in advise(LLAMA, 24 * GIB, measured=measured(DEMO)).rows}
    assert [cost.is_measured for cost in found["q4_0"].costs] == [True]
    assert [cost.is_measured for cost in found["fp8"].costs] == [False]


def test_the_measured_figures_stand_in_the_docs_and_were_of_enough_tokens() -> None:
    page = (ROOT / "docs/window.md").read_text(encoding="utf-8")
    (entry,) = json.loads((ROOT / "src/ringfence/placement/sizing/measured.json").read_text())
    assert entry["tokens"] >= 500
    assert f"{entry['tokens']:,} tokens" in page and entry["engine"] in page
    for name, row in entry["types"].items():
        assert f"| {name} | {row['shift']:+.5f} ± {row['error']:.5f} |" in page
