"""[pure] Who held how much of each device in the last hour: a point every five seconds, and nothing older."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from typing import Any

from ringfence.core.device import Device

EVERY_S = 5
KEPT_S = 3600
FIELDS = 4
"""When, held by us, by others, leased and not taken yet. Eight bytes each: 23 KB for the hour of a device."""


class Timeline:
    """`add` as often as there is something new: what comes too soon after the last point is left out."""

    def __init__(self) -> None:
        self._points: dict[str, array[int]] = {}
        self._last_s: int | None = None

    def add(self, at_s: float, devices: Iterable[Device], leased: Mapping[str, int]) -> None:
        """What was read at `at_s` (UTC), and by device what tenants may still take beside what they hold.

        A device that is out of service has no point: nobody knows who holds it. When the clock was set back, what
        it has not reached yet is forgotten."""
        now_s = int(at_s)
        if self._last_s is not None and self._last_s <= now_s < self._last_s + EVERY_S:
            return
        self._last_s = now_s
        for device in devices:
            if not device.out_of_service and not device.part_of:
                points = self._points.setdefault(device.id, array("q"))
                _cut(points, now_s)
                points.extend((now_s, *_held(device), leased.get(device.id, 0)))
        self._forget(now_s)

    def shown(self) -> dict[str, Any]:
        """By device, oldest first."""
        return {
            "every_s": EVERY_S,
            "devices": {
                name: [list(points[place : place + FIELDS]) for place in range(0, len(points), FIELDS)]
                for name, points in self._points.items()
            },
        }

    def _forget(self, now_s: int) -> None:
        """What is older than an hour, and devices of which nothing is left."""
        for name, points in list(self._points.items()):
            old = 0
            while old < len(points) and points[old] <= now_s - KEPT_S:
                old += FIELDS
            del points[:old]
            _cut(points, now_s + 1)
            if not points:
                del self._points[name]


def _cut(points: array[int], from_s: int) -> None:
    """Without what is told of `from_s` and later."""
    while points and points[-FIELDS] >= from_s:
        del points[-FIELDS:]


def _held(device: Device) -> tuple[int, int]:
    ours = sum(holder.held_bytes or 0 for holder in device.holders if holder.instance)
    return ours, device.used_by_others_bytes
