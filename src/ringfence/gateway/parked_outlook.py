"""What whoever waits is told of its place: how many are before it, and how long that may take."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from ringfence.gateway.parked_pending import Pending
from ringfence.routing.waiting import Waiting
from ringfence.store.parked import Parked

USUAL_POLL_S, MOST_POLL_S = 5, 15


class Outlook:
    """Reads the queue. What costs a decision is looked at once a second, and for all that want the same."""

    def __init__(self, waiting: Waiting, slots_for: Callable[[str], int], now: Callable[[], float]) -> None:
        """`slots_for` a parked request: how many like it are served at a time now."""
        self._waiting = waiting
        self._slots_for = slots_for
        self._now = now
        self._slots: dict[Hashable, int] = {}

    def look_anew(self) -> None:
        self._slots.clear()

    def shown(self, row: Parked) -> dict[str, Any]:
        """As the holder of its ticket sees it."""
        position, estimate_s = self.of(row.id)
        place = self._waiting.get(row.id)
        status = row.state if place is None else "serving" if place.is_tried else "waiting"
        return {
            "id": row.id, "object": "parked", "status": status, "position": position or None, "estimate_s": estimate_s,
            "deadline": int(row.deadline_s),
            **({"not_before": int(row.not_before_s)} if row.not_before_s else {}),
        }  # fmt: skip

    def of(self, parked_id: str) -> tuple[int, float | None]:
        """Its position, and in about how many seconds it is served; None where nothing is known."""
        place = self._waiting.get(parked_id)
        if place is None:
            return 0, None
        slots = self._slots.get(place.want)
        if slots is None:
            slots = self._slots[place.want] = self._slots_for(parked_id)
        estimate_s = self._waiting.estimate_s(parked_id, self._now(), slots)
        return self._waiting.position(parked_id), None if estimate_s is None else round(estimate_s, 1)

    def poll_s(self, parked_id: str) -> int:
        """When its holder had best ask again."""
        estimate_s = self.of(parked_id)[1]
        return USUAL_POLL_S if estimate_s is None else min(MOST_POLL_S, max(1, round(estimate_s)))

    def left_s(self, parked_id: str) -> float | None:
        """Seconds until its deadline; None once it has ended."""
        place = self._waiting.get(parked_id)
        return round(max(0.0, place.deadline_s - self._now()), 1) if place is not None else None

    def tell(self, kept: Pending) -> None:
        """Whoever waits for it on a stream, and was last told long enough ago."""
        place = self._waiting.get(kept.row.id)
        if not kept.told or place is None or place.is_tried:
            return
        now_s = self._now()
        due = [told for told in kept.told if told.is_due(now_s)]
        if due:
            position, estimate_s = self.of(kept.row.id)
            for told in due:
                told.say(now_s, position, estimate_s)
