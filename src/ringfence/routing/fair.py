"""[pure] Who of those that wait for one target is next: by class, then by a fair share for each key, then by age.

Whoever has waited for `promote_s` counts as one class higher, and so on, so that no class waits for ever. Within a
class keys take turns by start-time fair queueing (Goyal, Vin and Cheng, 1996): each key's first request has a start
tag, the least tag goes first, and what it costs, divided by the key's share, is where the next request of that key
starts. What went and came back is at its old place. Time is told by whoever asks; nothing here has a clock.

Adding, taking and removing are O(log n): what is removed from the middle of a heap stays there, without effect, until
it comes up or until half of the heap is such.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from ringfence.core.route import Urgency

CLASSES = len(Urgency)
LAST = Urgency.BACKGROUND
MOST_COST = 2**24
"""More than any window has tokens. Tags only grow, and are exact up to 2**53: one request that says that it wants more
than can be must not take them to where what others cost is lost in rounding."""
SPARE = 32
"""Entries without effect that a heap may hold beside as many as have one."""


class Turn:
    """One who waits, or went and may come back. `cost` is in any unit that is the same for all; `share` weighs its key
    against the others of its class."""

    __slots__ = ("cost", "due_s", "flow", "key", "level", "number", "share", "since_s", "start", "urgency")

    def __init__(self, urgency: Urgency = Urgency.USER, key: str = "", share: int = 1, cost: int = 1) -> None:
        self.urgency = urgency
        self.key = key
        self.share = share
        self.cost = min(max(1, cost), MOST_COST)
        self.number = 0
        """Counts who came; 0 before it has."""
        self.since_s = 0.0
        self.level = int(urgency)
        """The class that it counts as by now."""
        self.due_s = 0.0
        self.start = 0.0
        self.flow: Flow | None = None
        """None while it does not wait."""

    def __lt__(self, other: Turn) -> bool:
        return self.number < other.number


@dataclass(slots=True, eq=False)
class Flow:
    """Those of one key that wait in one class, by age. `start` is the tag of the first of them."""

    key: str
    start: float
    share: int = 1
    count: int = 0
    turns: list[Turn] = field(default_factory=list[Turn])

    def __lt__(self, _: Flow) -> bool:
        return False  # two of one tag and one number are as good as each other

    def first(self) -> Turn | None:
        turns = self.turns
        while turns and turns[0].flow is not self:
            heappop(turns)
        return turns[0] if turns else None

    def swept(self) -> None:
        if len(self.turns) > 2 * self.count + SPARE:
            self.turns = [turn for turn in self.turns if turn.flow is self]
            heapify(self.turns)


class Level:
    """One class. `now` is its virtual time: the start tag of what was taken last."""

    def __init__(self) -> None:
        self.now = 0.0
        self.count = 0
        self.flows: dict[str, Flow] = {}
        """By key; also of those that have nothing waiting and have had more than `now` tells."""
        self._last = 0.0
        self._order: list[tuple[float, int, Flow]] = []
        self._idle: list[tuple[float, str]] = []

    def add(self, turn: Turn) -> None:
        flow = self.flows.get(turn.key)
        if flow is None:
            flow = self.flows[turn.key] = Flow(turn.key, self.now)
        elif not flow.count:
            flow.start = max(flow.start, self.now)
        self._enter(turn, flow)

    def put_back(self, turn: Turn) -> None:
        """One that was taken: to the tag that it was taken at, and what it cost is given back."""
        flow = self.flows.get(turn.key)
        if flow is None:
            flow = self.flows[turn.key] = Flow(turn.key, turn.start)
        is_moved = turn.start < flow.start
        flow.start = min(flow.start, turn.start)
        self._enter(turn, flow, is_moved=is_moved)

    def remove(self, turn: Turn) -> None:
        """It leaves, and costs its key nothing."""
        flow = turn.flow
        assert flow is not None
        was_first = flow.first() is turn
        turn.flow = None
        flow.count -= 1
        self.count -= 1
        flow.swept()
        if was_first:
            self._next_of(flow)

    def first(self) -> Turn | None:
        """The one with the least tag; of several the oldest."""
        order = self._order
        while order:
            start, number, flow = order[0]
            turn = flow.first()
            if turn is not None and turn.number == number and flow.start == start:
                return turn
            heappop(order)
        return None

    def take(self, turn: Turn) -> None:
        """The first goes."""
        flow = turn.flow
        assert flow is not None
        turn.start = flow.start
        self.now = max(self.now, flow.start)
        flow.start += turn.cost / turn.share
        self._last = max(self._last, flow.start)
        self.remove(turn)

    def order(self) -> list[Turn]:
        """All in the order in which they would go if nobody else came."""
        tags: list[tuple[float, Turn]] = []
        for flow in self.flows.values():
            start = flow.start
            for turn in sorted(turn for turn in flow.turns if turn.flow is flow):
                tags.append((start, turn))
                start += turn.cost / turn.share
        return [turn for _, turn in sorted(tags)]

    def heaviest(self) -> Flow:
        """The key with the most that waits, for its share."""
        return max(self.flows.values(), key=lambda flow: flow.count / flow.share)

    def _enter(self, turn: Turn, flow: Flow, *, is_moved: bool = False) -> None:
        """`is_moved`: the tag of its key is another one now, also for one that is older."""
        turn.flow = flow
        flow.share = turn.share
        flow.count += 1
        self.count += 1
        heappush(flow.turns, turn)
        first = flow.first()
        if first is not None and (is_moved or first is turn):
            heappush(self._order, (flow.start, first.number, flow))
            self._sweep()

    def _next_of(self, flow: Flow) -> None:
        turn = flow.first()
        if turn is not None:
            heappush(self._order, (flow.start, turn.number, flow))
            self._sweep()
        elif not self.count:  # nobody waits: all start level
            self.now = max(self.now, self._last)
            self.flows.clear()
            self._order.clear()
            self._idle.clear()
        else:
            heappush(self._idle, (flow.start, flow.key))
            self._forget()

    def _forget(self) -> None:
        """Keys that have had no more than the others by now."""
        while self._idle and self._idle[0][0] <= self.now:
            _, key = heappop(self._idle)
            flow = self.flows.get(key)
            if flow is not None and not flow.count and flow.start <= self.now:
                del self.flows[key]

    def _sweep(self) -> None:
        if len(self._order) > 2 * len(self.flows) + SPARE:
            firsts = ((flow, flow.first()) for flow in self.flows.values())
            self._order = [(flow.start, turn.number, flow) for flow, turn in firsts if turn is not None]
            heapify(self._order)
        if len(self._idle) > 2 * len(self.flows) + SPARE:
            self._idle = [(flow.start, flow.key) for flow in self.flows.values() if not flow.count]
            heapify(self._idle)


class FairQueue:
    """`waiting` are those who wait, by number. While `is_background_held`, requests in the background that have not
    been promoted yet stay where they are."""

    def __init__(self, promote_s: float) -> None:
        self.promote_s = promote_s
        self.waiting: dict[int, Turn] = {}
        self.is_background_held = False
        self._levels = [Level() for _ in range(CLASSES)]
        self._due: list[list[tuple[float, Turn]]] = [[] for _ in range(CLASSES)]
        self._came = 0
        self._now_s = float("-inf")

    def add(self, turn: Turn, now_s: float) -> None:
        """One comes; or comes back, and then it is where it was before."""
        now_s = self._passed(now_s)
        if turn.number:
            self._levels[turn.level].put_back(turn)
        else:
            self._came += 1
            turn.number, turn.since_s = self._came, now_s
            self._levels[turn.level].add(turn)
        self.waiting[turn.number] = turn
        self._is_due(turn)

    def remove(self, turn: Turn) -> None:
        """It waits no longer. ValueError when it does not wait."""
        if self.waiting.pop(turn.number, None) is None:
            raise ValueError("it does not wait")
        self._levels[turn.level].remove(turn)

    def first(self, now_s: float) -> Turn | None:
        """Who is next; None when nobody waits, or all who do are held."""
        self._promote(self._passed(now_s))
        for level in self._levels:
            if level.count and not (self.is_background_held and level is self._levels[LAST]):
                return level.first()
        return None

    def take(self, turn: Turn) -> None:
        """It goes, as `first` said."""
        del self.waiting[turn.number]
        self._levels[turn.level].take(turn)

    def before(self, turn: Turn) -> int:
        """How many are before it at most, itself not counted: those of its class and of higher ones."""
        return sum(level.count for level in self._levels[: turn.level + 1]) - (turn.flow is not None)

    def order(self, now_s: float) -> list[Turn]:
        """All who wait, the next one first. It costs as much as sorting them."""
        self._promote(self._passed(now_s))
        return [turn for level in self._levels for turn in level.order()]

    def by_class(self) -> dict[Urgency, int]:
        """How many wait, by the class that they came with."""
        counts = dict.fromkeys(Urgency, 0)
        for turn in self.waiting.values():
            counts[turn.urgency] += 1
        return counts

    def gives_way(self, turn: Turn) -> Turn | None:
        """Who had best leave a full queue for the sake of one who comes: the last of a lower class, or of its own class
        the last of a key that has more waiting, for its share. It looks at all keys of one class."""
        number = max((place for place, level in enumerate(self._levels) if level.count), default=0)
        level = self._levels[number]
        if not level.count or number < turn.level:
            return None
        flow = level.heaviest()
        if number == turn.level:
            own = level.flows.get(turn.key)
            if flow.count / flow.share <= ((own.count if own is not None else 0) + 1) / turn.share:
                return None
        return max(one for one in flow.turns if one.flow is flow)

    def _is_due(self, turn: Turn) -> None:
        if turn.level:
            turn.due_s = turn.since_s + self.promote_s * (turn.urgency - turn.level + 1)
            due = self._due[turn.level]
            heappush(due, (turn.due_s, turn))
            if len(due) > 2 * self._levels[turn.level].count + SPARE:
                level = turn.level
                self._due[level] = [(one.due_s, one) for one in self.waiting.values() if one.level == level]
                heapify(self._due[level])

    def _promote(self, now_s: float) -> None:
        for level in range(LAST, 0, -1):
            if level == LAST and self.is_background_held:
                continue
            due = self._due[level]
            while due and due[0][0] <= now_s:
                due_s, turn = heappop(due)
                if turn.flow is not None and turn.level == level and turn.due_s == due_s:
                    self._levels[level].remove(turn)
                    turn.level = level - 1
                    self._levels[turn.level].add(turn)
                    self._is_due(turn)

    def _passed(self, now_s: float) -> float:
        """Time does not go back here, whatever a clock says."""
        self._now_s = max(self._now_s, now_s)
        return self._now_s
