"""The estimate of electricity: shared among calls, and never more than was drawn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.energy import Meter
from ringfence.core.identity import Key
from ringfence.runtime.money import Electricity, row_of
from ringfence.telemetry.events import Answered, Kind

SPANS = st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 100)), max_size=30)


def test_one_after_the_other_and_side_by_side() -> None:
    meter = Meter()
    assert [meter.seconds(*call) for call in ((10, 2), (20, 5), (21, 6), (22, 7), (40, 1))] == [2, 5, 1, 1, 1]


@given(calls=SPANS)
def test_never_more_than_the_time_while_calls_ran(calls: list[tuple[int, int]]) -> None:
    meter, ends = Meter(), sorted((begun + took, took) for begun, took in calls)
    shares = [meter.seconds(*call) for call in ends]
    busy = {second for ended, took in ends for second in range(ended - took, ended)}
    assert sum(shares) <= len(busy)
    assert all(0 <= share <= took for share, (_, took) in zip(shares, ends, strict=True))


def test_only_what_an_engine_of_the_house_computed() -> None:
    electricity = Electricity()

    def joules(target: str = "seat/small", provider: str = "", outcome: str = "ok") -> float | None:
        kind = Kind(Key("key_1", "test"), "chat", "small", target, "", 200, outcome, False, provider=provider)
        event = Answered("call-1", 1000.0, kind, 0.1, 2.0, None)
        return row_of(event, electricity.of(event)).energy_j

    assert joules() is None, "nobody said what is drawn"
    electricity.watts = 300.0
    assert [joules("small@cloud", "cloud"), joules(""), joules(outcome="cached")] == [None] * 3
    assert joules() == pytest.approx(600.0)
