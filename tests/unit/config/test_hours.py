"""Hours of the day: in any zone, over midnight, on the days when the clocks are changed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ringfence.config.hours import daily, daily_moment

ZONES = (
    "Pacific/Auckland", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC",
    "Pacific/Apia", "America/Sao_Paulo", "Africa/Casablanca", "Etc/GMT+12", "Pacific/Kiritimati",
)  # fmt: skip
TIMES = st.times().map(lambda at: at.replace(second=0, microsecond=0))
MOMENTS = st.integers(0, 4_000_000_000)


def text(begins: time, ends: time, zone: str) -> str:
    return f"{begins:%H:%M}-{ends:%H:%M} {zone}"


def utc_s(shown: str, zone: str, fold: int = 0) -> float:
    return datetime.fromisoformat(shown).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


@given(TIMES, TIMES, st.sampled_from(ZONES), MOMENTS)
@example(time(3), time(2, 30), "Europe/Berlin", int(utc_s("2026-03-29 01:00", "Europe/Berlin")))
@example(time(0), time(23, 59), "Pacific/Apia", int(utc_s("2011-12-29 12:00", "Pacific/Apia")))
def test_it_stays_so_until_it_changes(begins: time, ends: time, zone: str, now_s: int) -> None:
    assume(begins != ends)
    hours = daily(text(begins, ends, zone))
    is_open, changes_s = hours.at(now_s)
    assert changes_s > now_s
    for part in (0.25, 0.5, 0.999_999):
        assert hours.at(now_s + part * (changes_s - now_s)) == (is_open, changes_s)
    assert hours.at(changes_s)[0] is not is_open


@given(TIMES, TIMES, st.sampled_from(ZONES), MOMENTS)
def test_the_clock_on_the_wall_says_the_same(begins: time, ends: time, zone: str, now_s: int) -> None:
    assume(begins != ends)
    now = datetime.fromtimestamp(now_s, UTC)
    near = {(now + timedelta(hours=hours)).astimezone(ZoneInfo(zone)).utcoffset() for hours in range(-49, 50)}
    assume(len(near) == 1)  # no clock is changed
    shown = now.astimezone(ZoneInfo(zone)).time()
    is_open, changes_s = daily(text(begins, ends, zone)).at(now_s)
    assert is_open is (begins <= shown < ends if begins < ends else shown >= begins or shown < ends)
    assert datetime.fromtimestamp(changes_s, ZoneInfo(zone)).time() == (ends if is_open else begins)
    assert changes_s - now_s <= 24 * 3600


@pytest.mark.parametrize(
    ("hours", "now", "until"),
    [
        # Auckland puts its clocks forward on 27 September 2026 at 2:00, to 3:00, and back on 4 April 2027 at 3:00.
        ("02:00-08:00 Pacific/Auckland", "2026-09-27 03:00", "2026-09-27 08:00"),
        ("02:30-08:00 Pacific/Auckland", "2026-09-27 03:00", "2026-09-27 08:00"),
        ("22:00-02:30 Pacific/Auckland", "2026-09-27 01:59", "2026-09-27 03:00"),
        ("02:00-08:00 Pacific/Auckland", "2027-04-04 02:00", "2027-04-04 08:00"),
        ("02:00-08:00 Europe/Berlin", "2026-03-29 03:00", "2026-03-29 08:00"),
        ("23:00-06:00 Europe/Berlin", "2026-10-24 23:00", "2026-10-25 06:00"),
        ("01:00-02:30 Europe/Berlin", "2026-10-25 01:00", "2026-10-25 02:30"),
        ("23:00-24:00 UTC", "2026-05-05 23:30", "2026-05-06 00:00"),
    ],
)
def test_it_is_open(hours: str, now: str, until: str) -> None:
    zone = hours.split()[1]
    assert daily(hours).at(utc_s(now, zone)) == (True, utc_s(until, zone))


@pytest.mark.parametrize(
    ("hours", "now", "fold", "until"),
    [
        ("02:30-08:00 Pacific/Auckland", "2026-09-27 01:59", 0, "2026-09-27 03:00"),
        # In the hour that is skipped there is no such hour at all: it is the next day's.
        ("02:15-02:45 Pacific/Auckland", "2026-09-27 01:00", 0, "2026-09-28 02:15"),
        # Half past two comes twice, and it is over after the first.
        ("01:00-02:30 Europe/Berlin", "2026-10-25 02:15", 1, "2026-10-26 01:00"),
        ("02:00-08:00 Pacific/Auckland", "2026-06-01 08:00", 0, "2026-06-02 02:00"),
    ],
)
def test_it_is_shut(hours: str, now: str, fold: int, until: str) -> None:
    zone = hours.split()[1]
    assert daily(hours).at(utc_s(now, zone, fold)) == (False, utc_s(until, zone))


def test_a_night_is_an_hour_shorter_or_longer_when_the_clocks_change() -> None:
    def length_s(now: str) -> float:
        hours = daily("22:00-06:00 Europe/Berlin")
        begins_s = utc_s(now, "Europe/Berlin")
        return hours.at(begins_s)[1] - begins_s

    assert [length_s(f"{day} 22:00") / 3600 for day in ("2026-03-28", "2026-10-24", "2026-07-01")] == [7, 9, 8]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("", "expected hours and a time zone, such as"),
        ("2-8 UTC", "expected hours"),
        ("02:00-08:00", "which clocks?"),
        ("02:00-08:00 Pacific/Aukland", "'Pacific/Aukland' is no time zone; did you mean 'Pacific/Auckland'?"),
        ("02:00-08:00 ../../etc/passwd", "is no time zone"),
        ("02:00-08:00 America", "is no time zone"),
        ("25:00-08:00 UTC", "no time 25:00"),
        ("02:60-08:00 UTC", "no time 02:60"),
        ("24:00-00:00 UTC", "begins when it ends"),
        ("08:00-08:00 UTC", "leave hours out for always"),
        ("٠٢:00-08:00 UTC", "expected hours"),
    ],
)
def test_what_is_wrong_is_said(wrong: str, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        daily(wrong)
    assert words in str(caught.value)


@given(st.text(max_size=40))
def test_nothing_else_is_raised(anything: str) -> None:
    with contextlib.suppress(ValueError):
        daily(anything)


def test_it_is_told_as_it_was_written() -> None:
    assert str(daily(" 02:00 - 08:00  Pacific/Auckland ")) == "02:00-08:00 Pacific/Auckland"


def test_a_machine_without_time_zones_has_those_of_the_package() -> None:
    program = "from ringfence.config.hours import daily; print(daily('02:00-08:00 Pacific/Auckland').at(0))"
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"PYTHONTZPATH": ""}, capture_output=True, text=True,
        timeout=30, check=False,
    )  # fmt: skip
    assert "(False, 50400.0)" in done.stdout, done.stderr


def test_when_a_day_begins_next() -> None:
    moment = daily_moment("00:00 America/Los_Angeles")
    midnight = utc_s("2026-03-08 00:00", "America/Los_Angeles")
    assert moment.begins_after(midnight - 1) == midnight
    assert moment.begins_after(midnight) == moment.begins_after(midnight + 3600) == midnight + 23 * 3600  # put forward
    assert moment.begins_after(midnight + 23 * 3600) == midnight + 47 * 3600
    late = daily_moment("23:59 UTC")
    assert late.begins_after(0.0) == 86_340.0 and late.begins_after(86_340.0) == 2 * 86_400 - 60


@pytest.mark.parametrize("wrong", ["", "00:00", "midnight UTC", "25:00 UTC", "00:00 Mars/Olympus", "00:00-01:00 UTC"])
def test_moments_that_are_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"expected|clocks|time"):
        daily_moment(wrong)
