"""What local calls took of the electricity: an estimate that is never more than was drawn; and what that costs."""

from __future__ import annotations

from typing import NamedTuple

from ringfence.core.money import USD_MICROS

J_PER_KWH = 3_600_000


def electricity_usd_micros(energy_j: float, usd_per_kwh: float) -> int:
    """What so many joules cost."""
    return round(energy_j / J_PER_KWH * usd_per_kwh * USD_MICROS)


class Drawn(NamedTuple):
    """Measured so many seconds ago."""

    age_s: float
    watts: float


class Meter:
    """The time while calls are answered, shared among them: each has what passed since the last one ended, or since it
    came where that was later. So all together never have more seconds than went by, however many ran at a time."""

    __slots__ = ("_until_s",)

    def __init__(self) -> None:
        self._until_s = 0.0

    def seconds(self, ended_s: float, total_s: float) -> float:
        """Of a call that ended now, in the order in which calls end."""
        began_s = max(self._until_s, ended_s - total_s)
        self._until_s = max(self._until_s, ended_s)
        return max(0.0, ended_s - began_s)
