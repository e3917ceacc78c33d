"""What a plan costs, by its own bench. Twice the budgets, since whoever runs this may not be alone on the machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench" / "planning.py"
CHANGED_MS = 5.0
NOTHING_MS = 50.0


@pytest.mark.timed
@pytest.mark.timeout(120)
def test_a_hundred_devices_and_a_thousand_models_are_planned_in_time(tmp_path: Path) -> None:
    out = tmp_path / "planning.json"
    subprocess.run([sys.executable, BENCH, "--rounds", "5", "--out", out], check=False, stdout=subprocess.DEVNULL)
    figures = json.loads(out.read_text(encoding="utf-8"))
    assert len(figures) == 14
    slow = {
        what: cost_ms
        for what, cost_ms in figures.items()
        if cost_ms > 2 * (NOTHING_MS if what.endswith("from nothing") else CHANGED_MS)
    }
    assert not slow
