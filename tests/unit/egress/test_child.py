"""The parent's side of the egress process, with programs in its place that live as they are told to."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from ringfence.egress import child
from ringfence.egress.child import EgressNotStarted, EgressProcess, Pace

STARTS = """
import json, os, sys
count = int(open({count!r}).read() or 0) + 1
open({count!r}, "w").write(str(count))
settings = json.loads(sys.stdin.readline())
"""
READY = 'print(json.dumps({"ready": {}}), flush=True)\n'
ANSWERS = """
for line in sys.stdin:
    wanted = json.loads(line)["providers"]
    if "deadly" in wanted:
        os.kill(os.getpid(), 9)
    print(json.dumps({"refused": "not so"} if "bad" in wanted else {"changed": wanted}), flush=True)
"""


class Patience(threading.Event):
    """Waits no time at all before another life, and notes how long it should have been."""

    def __init__(self, lives: int) -> None:
        super().__init__()
        self.waits: list[float] = []
        self.are_over = threading.Event()
        self._lives = lives

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        if len(self.waits) == self._lives:
            self.are_over.set()
            return True
        return self.is_set()


class Egress(EgressProcess):
    def __init__(self, lives: int = 1000, **told: Any) -> None:
        super().__init__({"providers": ["first"]}, pace=Pace(change_s=3.0, stop_grace_s=0.2), **told)
        self.patience = Patience(lives)
        self._stopping = self.patience


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Says what the egress process does after it has read its settings."""
    count = tmp_path / "count"
    count.write_text("0")

    def become(script: str) -> Path:
        begins = STARTS.format(count=str(count))
        monkeypatch.setattr(child, "COMMAND", (sys.executable, "-c", begins + script))
        return count

    return become


def test_one_that_was_ready_is_started_again_at_once_each_time(program: Any) -> None:
    program(READY)
    process = Egress(lives=6)
    process.start()
    assert process.patience.are_over.wait(20)
    process.stop()
    assert process.patience.waits == [0.1] * 6


def test_one_that_does_not_start_any_more_is_given_time(program: Any) -> None:
    program(f"if count in (1, 9): {READY}")
    process = Egress(lives=10)
    process.start()
    assert process.patience.are_over.wait(20)
    process.stop()
    assert process.patience.waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 0.1, 0.2]


def test_other_providers_are_put_to_work_or_refused(program: Any) -> None:
    count = program(READY + ANSWERS)
    process = Egress()
    process.start()
    process.change({"providers": ["second"]})
    with pytest.raises(EgressNotStarted, match="not so"):
        process.change({"providers": ["bad"]})
    assert (process.starts, count.read_text()) == (1, "1")
    process.stop()


def test_one_that_dies_of_a_change_is_started_with_what_is_new(program: Any, tmp_path: Path) -> None:
    program(f"open({str(tmp_path / 'told')!r}, 'w').write(json.dumps(settings['providers']))\n" + READY + ANSWERS)
    process = Egress()
    process.start()
    process.change({"providers": ["deadly"]})
    assert process.starts == 2
    assert json.loads((tmp_path / "told").read_text()) == ["deadly"]
    process.stop()


def test_a_change_that_nobody_answers_is_taken_back(program: Any) -> None:
    program(READY + "sys.stdin.readline(); sys.stdin.readline()\n")
    process = Egress()
    process._pace = Pace(change_s=0.1, stop_grace_s=0.1)
    process.start()
    with pytest.raises(EgressNotStarted, match="does not answer"):
        process.change({"providers": ["second"]})
    assert process._settings == {"providers": ["first"]}
    process.stop()
