"""[pure] Hours of the day in a time zone, such as `02:00-08:00 Pacific/Auckland`: whether it is then, and until when.

They begin once a day and end once: a time that the clocks skip in spring is the moment at which they are put forward,
and one that they show twice in autumn is the first of the two.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

from ringfence.config.problems import nearest

FORM = "expected hours and a time zone, such as 02:00-08:00 Pacific/Auckland"
_HOURS = re.compile(r"(\d\d):(\d\d)\s*-\s*(\d\d):(\d\d)(?:\s+(\S+))?", re.ASCII)
MOMENT_FORM = "expected a time and a time zone, such as 00:00 America/Los_Angeles"
_MOMENT = re.compile(r"(\d\d):(\d\d)(?:\s+(\S+))?", re.ASCII)
_DAY = timedelta(days=1)
_MOST_DAYS = 4
"""To the next beginning: a day may have none, where a whole one was skipped or both times are in the hour skipped."""


@dataclass(frozen=True, slots=True)
class Daily:
    """Every day from `begins` to `ends`, on the next day where that is earlier, by the clocks of `zone`."""

    begins: time
    ends: time
    zone: ZoneInfo

    def at(self, now_utc_s: float) -> tuple[bool, float]:
        """Whether it is in them, and when that changes."""
        now = datetime.fromtimestamp(now_utc_s, UTC)
        until_s: float | None = None
        for begins_s, ends_s in self._from(now.astimezone(self.zone).date() - 2 * _DAY):
            if until_s is not None:
                if begins_s > until_s:
                    return True, until_s
                until_s = max(until_s, ends_s)
            elif begins_s > now_utc_s:
                return False, begins_s
            elif now_utc_s < ends_s:
                until_s = ends_s
        raise AssertionError("every day begins and ends")

    def begins_after(self, now_utc_s: float) -> float:
        """When they begin next."""
        is_in, changes_s = self.at(now_utc_s)
        return self.at(changes_s)[1] if is_in else changes_s

    def _from(self, day: date) -> Iterator[tuple[float, float]]:
        for _ in range(3 + _MOST_DAYS):
            last = day if self.begins < self.ends else day + _DAY
            begins_s, ends_s = self._instant_s(day, self.begins), self._instant_s(last, self.ends)
            if begins_s < ends_s:
                yield begins_s, ends_s
            day += _DAY

    def _instant_s(self, day: date, at: time) -> float:
        shown = datetime.combine(day, at, self.zone)
        first_s = shown.timestamp()
        if datetime.fromtimestamp(first_s, self.zone).replace(tzinfo=None) == shown.replace(tzinfo=None):
            return first_s
        # Skipped: the clocks are put forward between these two instants, at a whole second.
        before, after = int(shown.replace(fold=1).timestamp()), int(first_s)
        old = datetime.fromtimestamp(before, self.zone).utcoffset()
        while after - before > 1:
            middle = (before + after) // 2
            is_old = datetime.fromtimestamp(middle, self.zone).utcoffset() == old
            before, after = (middle, after) if is_old else (before, middle)
        return float(after)

    def __str__(self) -> str:
        return f"{self.begins:%H:%M}-{self.ends:%H:%M} {self.zone.key}"


def daily(text: str) -> Daily:
    """Parses HH:MM-HH:MM ZONE. Raises ValueError with what is wrong."""
    found = _HOURS.fullmatch(text.strip())
    if found is None:
        raise ValueError(FORM)
    begins, ends = _time(found[1], found[2]), _time(found[3], found[4])
    if begins == ends:
        raise ValueError("begins when it ends; leave hours out for always")
    if found[5] is None:
        raise ValueError(f"which clocks? {FORM}")
    return Daily(begins, ends, zone_of(found[5]))


def daily_moment(text: str) -> Daily:
    """Parses HH:MM ZONE: the minute that begins then. Raises ValueError with what is wrong."""
    found = _MOMENT.fullmatch(text.strip())
    if found is None:
        raise ValueError(MOMENT_FORM)
    begins = _time(found[1], found[2])
    if found[3] is None:
        raise ValueError(f"by which clocks? {MOMENT_FORM}")
    ends = (datetime.combine(date.min, begins) + timedelta(minutes=1)).time()
    return Daily(begins, ends, zone_of(found[3]))


def _time(hour: str, minute: str) -> time:
    if (hour, minute) == ("24", "00"):
        return time(0)
    if int(hour) > 23 or int(minute) > 59:
        raise ValueError(f"there is no time {hour}:{minute}; they go from 00:00 to 24:00")
    return time(int(hour), int(minute))


def zone_of(name: str) -> ZoneInfo:
    """The time zone of this name. Raises ValueError with what may have been meant."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        close = nearest(name, available_timezones())
        meant = f"; did you mean '{close}'?" if close else ", such as Europe/Berlin, America/New_York or UTC"
        raise ValueError(f"'{name[:64]}' is no time zone{meant}") from None
