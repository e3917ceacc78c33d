"""500 streams at a time: none breaks, and the gateway delays their events by little."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench" / "streams.py"
MOST_ADDED_US = 5_000
TRIES = 3
"""The 99th percentile is also of the machine's other guests: what is ours is there each time."""


@pytest.mark.slow
@pytest.mark.timed
@pytest.mark.skipif(shutil.which("cc") is None, reason="the engine stand-in is written in C")
def test_500_streams_of_20_events_a_second_each(tmp_path: Path) -> None:
    told = tmp_path / "streams.json"
    command = [sys.executable, str(BENCH), "--seconds", "10", "--out", str(told)]
    added_us: list[float] = []
    for _ in range(TRIES):
        ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=150)
        found = json.loads(told.read_text())
        assert found["bad"] == 0 and found["ok"] >= 900, found
        assert found["events_seen_share"] > 0.999, found
        if found["added_p99_us"] < MOST_ADDED_US:
            assert ended.returncode == 0, ended.stderr
            return
        if found["direct_p99_us"] < MOST_ADDED_US:
            added_us.append(found["added_p99_us"])
    if not added_us:
        pytest.skip(f"this machine is not quiet: the same load sent directly waits {found['direct_p99_us']:,.0f} us")
    raise AssertionError(f"events wait {added_us} us longer than sent directly")
