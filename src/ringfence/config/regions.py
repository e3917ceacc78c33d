"""[pure] Which rules can never be the first to match: each is a box of values, and those before it are taken off.

Every dimension is cut into a few values of which each other one behaves as one of them, with regard to all conditions
of the rules. A box is a set of those for each dimension it says something of; sets are whole numbers, a bit for each
value. So the answer is exact, as far as signals are independent of each other. Hours of different zones are taken to
be: a rule that only the difference between two clocks makes unreachable is not found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ringfence.config.conditions import Condition, Value, kind_of

Conditions = Sequence[Condition]
Space = Mapping[str, tuple[Value, ...]]
Box = Mapping[str, int]
MOST_BOXES = 20_000
"""Into as many pieces a box is taken apart at most; with more, the rule counts as reachable."""


def space_of(rules: Iterable[Conditions]) -> Space:
    """The values to be told apart, by dimension."""
    cuts: dict[str, list[Value]] = {}
    for conditions in rules:
        for one in conditions:
            cuts.setdefault(one.dimension, []).extend(one.cuts)
    return {dimension: kind_of(dimension).values(found) for dimension, found in cuts.items()}


def box_of(conditions: Conditions, space: Space) -> Box:
    """The values that meet all conditions; a dimension with none of them has the empty set, 0."""
    box: dict[str, int] = {}
    for one in conditions:
        values = space[one.dimension]
        met = sum(1 << place for place, value in enumerate(values) if one.covers(value))
        box[one.dimension] = box.get(one.dimension, (1 << len(values)) - 1) & met
    return box


def is_empty(box: Box) -> bool:
    return 0 in box.values()


def minus(box: Box, other: Box, space: Space) -> list[Box]:
    """What of `box` is not in `other`, as boxes that do not overlap."""
    left: list[Box] = []
    inside = dict(box)
    for dimension, met in other.items():
        mine = inside.get(dimension, (1 << len(space[dimension])) - 1)
        if mine & ~met:
            left.append({**inside, dimension: mine & ~met})
        if not mine & met:  # they have nothing in common
            return [box]
        inside[dimension] = mine & met
    return left


def left_of(box: Box, others: Iterable[Box], space: Space) -> list[Box] | None:
    """What of `box` is in none of the others; None when it is in too many pieces to tell."""
    left = [] if is_empty(box) else [box]
    for other in others:
        if is_empty(other):
            continue
        left = [piece for one in left for piece in minus(one, other, space)]
        if len(left) > MOST_BOXES:
            return None
    return left


def contradictions(conditions: Conditions) -> list[str]:
    """The dimensions in which no value meets what a rule says."""
    space = space_of([conditions])
    return [dimension for dimension, met in box_of(conditions, space).items() if met == 0]


def unreachable(rules: Sequence[Conditions], covers: Sequence[bool]) -> dict[int, list[int]]:
    """By place: the rules that are never the first to match, and the earlier ones that see to it. Only rules of which
    `covers` says so take anything from those after them. Rules that contradict themselves are not told of."""
    space = space_of(rules)
    boxes = [box_of(conditions, space) for conditions in rules]
    found: dict[int, list[int]] = {}
    for place, box in enumerate(boxes):
        before = [one for one in range(place) if covers[one]]
        if is_empty(box) or left_of(box, (boxes[one] for one in before), space) != []:
            continue
        needed = [one for one in before if minus(box, boxes[one], space) != [box]]
        for one in tuple(needed):  # those that are enough
            others = [each for each in needed if each != one]
            if left_of(box, (boxes[each] for each in others), space) == []:
                needed = others
        found[place] = needed
    return found
