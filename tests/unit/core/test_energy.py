"""The estimate of electricity: shared among calls, and never more than was drawn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.energy import Drawn, Meter, electricity_usd_micros
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


def test_a_kilowatt_hour_costs_what_it_costs() -> None:
    assert electricity_usd_micros(3_600_000, 0.32) == 320_000
    assert electricity_usd_micros(350 * 10, 0.32) == 311  # ten seconds of 350 W


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


def test_what_was_measured_while_a_call_was_answered_counts() -> None:
    electricity = Electricity()
    kind = Kind(Key("key_1", "test"), "chat", "small", "seat/small", "", 200, "ok", False)
    now_s = 1000.0

    def joules(drawn: Drawn | None) -> float | None:
        """Of a call that took two seconds, and ended ten seconds after the one before."""
        nonlocal now_s
        now_s += 10
        electricity.measured = lambda: drawn
        return electricity.of(Answered("call-1", now_s, kind, 0.1, 2.0, None))

    assert joules(Drawn(2.5, 60.0)) is None, "measured before it came: nobody was answered then"
    electricity.watts = 300.0
    assert joules(Drawn(2.5, 60.0)) == pytest.approx(600.0), "until then, what its owner says"
    assert joules(Drawn(1.0, 410.0)) == pytest.approx(820.0)
    assert joules(Drawn(9.0, 70.0)) == pytest.approx(820.0), "what it draws while idle is not what a call takes"
    assert joules(Drawn(0.0, 390.0)) == pytest.approx(780.0)
    assert joules(None) == pytest.approx(600.0), "the GPU tells nothing any more"
