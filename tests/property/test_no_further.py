"""Any configuration that loads, any request, any order of failures: nothing of a call goes beyond its boundary.

One seed is one story: up to three configurations, one read over the other while a call is under way, and requests to
each. It is told again by `RINGFENCE_SEED=… pytest tests/property/test_no_further.py`.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from inside import Tally, stories

from ringfence.signals.sensitivity import Sensitivity
from share import share_of

FIRST = int(os.environ.get("RINGFENCE_SEED", "0"))
MANY = share_of(20_000)


def judge(tally: Tally) -> None:
    """Nothing leaked, and what was drawn was worth drawing."""
    assert tally.leaks == [], f"{len(tally.leaks)} leaks, the first: {tally.leaks[0]}"
    count = tally.count
    drawn = sum(count[f"houses {what}"] for what in ("up", "refused", "not served"))
    assert count["houses up"] >= drawn / 2, count
    assert count["houses refused"] >= drawn / 20, count
    assert count["houses not served"] <= drawn / 20, count
    for way in ("host", "mesh", "cloud"):
        assert count[f"went to {way}"] >= count["asks"] / 50, count
    assert count["status 200"] >= count["asks"] / 5, count
    assert count["might reach nowhere"] >= count["asks"] / 20, count
    assert count["ticket 200"] >= count["asks"] / 150, count
    assert count["ticket 503"] and not count["ticket 202"], count
    assert not count["status 500"] and not count["ticket 500"], count


def test_a_few(tmp_path: Path) -> None:
    judge(stories(itertools.count(FIRST), tmp_path, enough=600))


def test_what_cannot_be_read_stays_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_self: Sensitivity, _body: object, _found: set[str]) -> None:
        raise RuntimeError

    monkeypatch.setattr(Sensitivity, "reads", fails)
    tally = stories(itertools.count(FIRST), tmp_path, enough=300)
    assert tally.leaks == []
    assert tally.count["went to host"] and not tally.count["went to mesh"] and not tally.count["went to cloud"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many(tmp_path: Path) -> None:
    tally = stories(itertools.count(FIRST + 1000), tmp_path, enough=MANY)
    judge(tally)
    assert tally.count["asks"] >= MANY
