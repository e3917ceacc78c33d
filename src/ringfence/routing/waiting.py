"""[pure] The queue of parked requests: by class, then by age. Time is told by whoever asks; nothing here has a clock.

A request waits for a *want*: the ways that it could take. All that wait for the same want wait in one line, and of the
lines whose way is open the first in order goes. One that went and came back keeps its place.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from math import ceil

from ringfence.core.route import Urgency

BACK_OFF_S = 1.0
MOST_BACK_OFF_S = 5.0
"""Between two tries of one request: one that nothing can serve must not keep the others from being served."""
REMEMBERED = 32
SPARE_DEADLINES = 64
"""Deadlines of those that are gone, before they are swept out."""


def class_of(urgency: int) -> str:
    """In a word, also where what was written down is none."""
    return {each.value: each.name.lower() for each in Urgency}.get(urgency, "unknown")


Rank = tuple[int, int, str]
"""Urgency, number, id."""


@dataclass(slots=True)
class Place:
    """One parked request in the queue. Times are those of the queue; `number` grows with each that is parked."""

    id: str
    number: int
    urgency: Urgency
    want: Hashable
    parked_s: float
    deadline_s: float
    tries: int = 0
    not_before_s: float = 0.0
    is_tried: bool = False
    """It is being served now, or at least that is tried."""

    @property
    def rank(self) -> Rank:
        return self.urgency, self.number, self.id


class Waiting:
    """Everything that is parked, bounded."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._now_s = float("-inf")
        self._places: dict[str, Place] = {}
        self._order: list[Rank] = []
        self._lines: dict[Hashable, list[Rank]] = {}
        self._deadlines: list[tuple[float, str]] = []
        self._waited_s: deque[float] = deque(maxlen=REMEMBERED)
        self._took_s: deque[float] = deque(maxlen=REMEMBERED)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def is_full(self) -> bool:
        return len(self._places) >= self.most

    def get(self, parked_id: str) -> Place | None:
        return self._places.get(parked_id)

    def places(self) -> list[Place]:
        """All, those that are being tried first, then in order."""
        return sorted(self._places.values(), key=lambda place: (not place.is_tried, place.rank))

    def add(self, place: Place) -> None:
        """At the place that its class and its number give it. ValueError for an id that is here."""
        if place.id in self._places:
            raise ValueError(f"{place.id} is parked already")
        if len(self._deadlines) > 2 * len(self._places) + SPARE_DEADLINES:
            self._deadlines = [(place.deadline_s, place.id) for place in self._places.values()]
            heapify(self._deadlines)
        self._places[place.id] = place
        heappush(self._deadlines, (place.deadline_s, place.id))
        self._enter(place)

    def remove(self, parked_id: str) -> Place | None:
        """It has ended, however; None when it is not here."""
        place = self._places.pop(parked_id, None)
        if place is not None and not place.is_tried:
            self._leave(place)
        return place

    def next(self, now_s: float, is_open: Callable[[Place], bool]) -> Place | None:
        """The first in order of those whose way is open now: it counts as tried until `put_back` or `remove`. `is_open`
        is asked once for each want, of the first that waits for it."""
        now_s = self._passed(now_s)
        heads = (self._head(line, now_s) for line in self._lines.values())
        for rank in sorted(head for head in heads if head is not None):
            place = self._places[rank[2]]
            if is_open(place):
                self._leave(place)
                place.is_tried = True
                place.tries += 1
                return place
        return None

    def put_back(self, parked_id: str, now_s: float) -> None:
        """It could not be served after all: back to its place in order, and not to be tried again at once."""
        place = self._places.get(parked_id)
        if place is not None and place.is_tried:
            place.is_tried = False
            place.not_before_s = self._passed(now_s) + min(BACK_OFF_S * place.tries, MOST_BACK_OFF_S)
            self._enter(place)

    def expired(self, now_s: float) -> list[Place]:
        """Those whose deadline has come; they are here no longer. What is being tried is left until it is put back."""
        now_s = self._passed(now_s)
        gone: list[Place] = []
        late: list[tuple[float, str]] = []
        while self._deadlines and self._deadlines[0][0] <= now_s:
            deadline = heappop(self._deadlines)
            place = self._places.get(deadline[1])
            if place is None:
                continue
            if place.is_tried:
                late.append(deadline)
            else:
                self.remove(place.id)
                gone.append(place)
        for deadline in late:
            heappush(self._deadlines, deadline)
        return gone

    # -- what those who wait are told -------------------------------------------------------------------------------

    def position(self, parked_id: str) -> int:
        """1 for the first; 0 for one that is being served, or is not here."""
        place = self._places.get(parked_id)
        return 0 if place is None or place.is_tried else bisect_left(self._order, place.rank) + 1

    def served(self, waited_s: float, took_s: float) -> None:
        """One was answered: after so long in the queue, and then in so long a time."""
        self._waited_s.append(max(0.0, waited_s))
        self._took_s.append(max(0.0, took_s))

    def estimate_s(self, parked_id: str, now_s: float, at_once: int) -> float | None:
        """Seconds until it is served, as far as those before it tell. `at_once` is how many are served at a time now; 0
        while its way is shut: then what others have waited is all there is to go by. None when nobody has."""
        place = self._places.get(parked_id)
        if place is None or not self._took_s:
            return None
        if place.is_tried:
            return 0.0
        if at_once:
            return ceil(self.position(parked_id) / at_once) * _mean(self._took_s)
        return max(0.0, _mean(self._waited_s) - (self._passed(now_s) - place.parked_s))

    # -- inside -----------------------------------------------------------------------------------------------------

    def _passed(self, now_s: float) -> float:
        """Time does not go back here, whatever a clock says."""
        self._now_s = max(self._now_s, now_s)
        return self._now_s

    def _head(self, line: list[Rank], now_s: float) -> Rank | None:
        return next((rank for rank in line if self._places[rank[2]].not_before_s <= now_s), None)

    def _enter(self, place: Place) -> None:
        insort(self._order, place.rank)
        insort(self._lines.setdefault(place.want, []), place.rank)

    def _leave(self, place: Place) -> None:
        del self._order[bisect_left(self._order, place.rank)]
        line = self._lines[place.want]
        del line[bisect_left(line, place.rank)]
        if not line:
            del self._lines[place.want]


def left_s(parked_s: float, deadline_s: float, now_s: float) -> float:
    """How long one that was found again after a start may still wait, by the clock on the wall. However that was put
    forward or back meanwhile, it is no longer than it ever could have been."""
    return max(0.0, min(deadline_s - now_s, deadline_s - parked_s))


def put_off_s(parked_s: float, not_before_s: float, now_s: float) -> float:
    """In how many seconds one may begin that is put off; no more than it ever could have been, as `left_s`."""
    return max(0.0, min(not_before_s - now_s, not_before_s - parked_s))


def _mean(values: deque[float]) -> float:
    return sum(values) / len(values)
