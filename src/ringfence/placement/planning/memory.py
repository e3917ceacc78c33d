"""[pure] What was found for a want holds as long as the rooms it looked at are as they were, and no time came.

Each room has a mark. It is the same whenever the room is: at the beginning of a round, and after each want that took,
or was promised, something of it. So after a few demands changed, only those wants are looked at again whose rooms
became others by that, and not all that are waited for on devices that hang together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

from ringfence.placement.planning.capacity import Holder, Room
from ringfence.placement.planning.draft import Draft
from ringfence.placement.planning.options import Finding, When
from ringfence.placement.planning.state import InstanceState, Phase
from ringfence.placement.planning.wants import Want

Key = tuple[object, ...]
VERSIONS = 3
"""How many states of a room are kept: one for each round of a plan that does something."""


@dataclass(slots=True)
class Seen:
    """A room at the beginning of a round, and its mark. `told` says of each instance whether its model is asked for,
    and whether it goes."""

    figures: tuple[object, ...]
    instances: list[InstanceState]
    told: list[int]
    mark: int
    holders: list[Holder] | None = None


@dataclass(slots=True)
class Kept:
    """A finding, when it was made, when time ends it, and the marks of the rooms after it was acted on."""

    finding: Finding
    made_s: float
    wakes_s: float
    after: dict[str, int] = field(default_factory=dict[str, int])


class Memory:
    """For plans of the same models, slots and mode by the same policy, one after the other."""

    def __init__(self) -> None:
        self.marks = count(1)
        self._seen: dict[str, list[Seen]] = {}
        self._before: dict[Key, Kept] = {}
        self._known: dict[Key, Kept] = {}

    def turn(self) -> None:
        """Another plan: what the last one had no use for is forgotten."""
        self._before, self._known = self._known, {}

    def begin(self, draft: Draft) -> None:
        """A round: each room gets its mark."""
        for device, room in draft.rooms.items():
            seen = self._look(draft, device, room)
            room.mark, room.holders_at_first = seen.mark, seen.holders

    def end(self, draft: Draft) -> None:
        """What was looked up about each room, for the next time that it is so."""
        for device, room in draft.rooms.items():
            self._seen[device][0].holders = room.holders_at_first

    def _look(self, draft: Draft, device: str, room: Room) -> Seen:
        figures = (
            room.free_now,
            room.free_soon,
            room.empty_bytes,
            room.soon_s,
            room.large_until_s,
            room.state.out_of_service,
            room.state.order,
            device in draft.hot,
            device in draft.strained,
        )
        instances = [instance for instance, _size in room.held]
        demands, going = draft.demands, draft.going
        told = [2 * (instance.id in going) + (instance.model in demands) for instance in instances]
        known = self._seen.setdefault(device, [])
        lasts = not room.leases and Phase.SLEEPING not in [instance.phase for instance in instances]
        for number, seen in enumerate(known):
            if lasts and seen.told == told and seen.figures == figures and seen.instances == instances:
                if number:
                    known.insert(0, known.pop(number))
                return seen
        seen = Seen(figures, instances, told, next(self.marks))
        known.insert(0, seen)
        del known[VERSIONS:]
        return seen

    def recall(self, draft: Draft, want: Want) -> tuple[Key | None, Kept | None]:
        """What was found for this want among these rooms; and by what it is to be remembered, if it may be."""
        model = want.model
        if draft.can_sleep or model is None or model.slot or want.sleeper is not None:
            return None, None
        rooms = draft.rooms
        key = (
            want.name,
            want.tier,
            want.overdue_s,
            want.is_asked,
            *[rooms[share.device].mark for site in want.sites for share in site.shares if share.device in rooms],
        )
        kept = self._known.get(key) or self._before.get(key)
        if kept is None or not kept.made_s <= draft.now_s < kept.wakes_s:
            return key, None
        self._known[key] = kept
        draft.wake(kept.wakes_s)
        return key, kept

    def keep(self, draft: Draft, key: Key, finding: Finding, wakes_s: float) -> Kept | None:
        """What is done at once is not remembered: afterwards nothing is as it was."""
        option = finding.option
        if option is not None and option.when in (When.NOW, When.EVICTING):
            return None
        kept = self._known[key] = Kept(finding, draft.now_s, wakes_s)
        return kept

    def mark(self, draft: Draft, want: Want, kept: Kept | None, devices: Iterable[str]) -> None:
        """Something of these devices was taken or promised. Those that the want has no site on were not looked at, and
        may be as they never were."""
        for device in devices:
            mark = kept.after.get(device) if kept is not None else None
            if mark is None:
                mark = next(self.marks)
                if kept is not None and any(share.device == device for site in want.sites for share in site.shares):
                    kept.after[device] = mark
            draft.rooms[device].mark = mark
