"""What `make test-postgres` runs: nothing that keeps something is forgotten, and a second run is on PostgreSQL."""

from __future__ import annotations

import re
from pathlib import Path

from second_database import CHANGES

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
MEETS = re.compile(
    r"\bDatabase\(|\bsqlite3\b|^from (?:kept_rows|keeping|batched|spending|parked_inside|purses) import"
    r"|^from ringfence\.store\.(?!failure|private_file|credentials|sealing)",
    re.MULTILINE,
)
LEFT_OUT = {
    "tests/scenario/test_kill.py": "loads of processes, for minutes: what they are about is the gateway",
    "tests/scenario/test_kill_parked.py": "as that; restarts with what is parked are in test_parking.py",
    "tests/scenario/test_kill_batches.py": "as that; restarts of batches are in test_batches.py",
    "tests/scenario/test_storm.py": "as that",
    "tests/scenario/test_kill_money.py": "as that; test_ledger_outage.py has what a database does",
    "tests/scenario/test_batches_yield.py": "times of answers",
    "tests/scenario/test_messages.py": "what is said; test_parking_inside.py has the same waiting",
    "tests/scenario/test_thinking_beside.py": "what is said; test_parking_inside.py has the same waiting",
    "tests/unit/gateway": "what is kept there is kept in memory",
    "tests/faults": "engines; what is kept of their answers is in test_batches.py",
}


def kept() -> list[str]:
    """The files and folders of the second run."""
    told = re.findall(r"^KEPT(?:_LONG)? := ((?:.*\\\n)*.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert len(told) == 2
    return " ".join(told).replace("\\\n", " ").split()


def is_in(path: Path, those: list[str]) -> bool:
    name = path.relative_to(ROOT).as_posix()
    return any(name == one or name.startswith(f"{one}/") for one in those)


def test_what_is_named_is_there() -> None:
    assert [name for name in [*kept(), *LEFT_OUT] if not (ROOT / name).exists()] == []


def test_what_meets_the_database_runs_twice_or_says_why_not() -> None:
    found = [path for path in sorted(TESTS.rglob("test_*.py")) if MEETS.search(path.read_text(encoding="utf-8"))]
    assert len(found) > 30
    assert [path.name for path in found if not is_in(path, [*kept(), *LEFT_OUT])] == []
    for name in LEFT_OUT:
        assert any(is_in(path, [name]) and not is_in(path, kept()) for path in found), f"{name}: nothing to leave out"


def test_what_a_second_run_changes_is_still_there() -> None:
    for module in CHANGES:
        assert (ROOT / "src" / Path(*module.split("."))).with_suffix(".py").exists(), module
