"""[pure] What is given up so that a prompt fits: arithmetic on sizes, before any text is touched.

Order of sacrifice: tool output and documents of earlier turns are shortened, then earlier turns left out, oldest first,
then the tool output of the current turn shortened, then the system prompt trimmed, then calls of the current turn left
out with their results, oldest first, and last the user's last message is shortened. It is worked out the other way
round: from what is kept longest to what goes first, each takes of the room that is left. A step is linear, or sorts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ringfence.gateway.shrink.pieces import Kind, Piece, Place, Prompt, Unit

FLOOR = 128
"""Tool output and documents keep this much, or all of it, as long as they are kept."""
LEAST_LAST = 16
"""A user's message of less would say nothing: the request is refused."""
LEAST_TRIMMED = 32
"""What would be left of a system prompt below this is left out."""
YIELDS_WHEN_OLD = frozenset((Kind.TOOL_RESULT, Kind.DOCUMENT))
YIELDS_NOW = frozenset((Kind.TOOL_RESULT, Kind.DOCUMENT, Kind.ASSISTANT))


@dataclass(slots=True)
class Plan:
    """What to do to a prompt: entries to leave out, and the tokens that texts may keep."""

    dropped: list[Place] = field(default_factory=list[Place])
    rooms: list[tuple[Piece, int]] = field(default_factory=list[tuple[Piece, int]])

    def shorten(self, pieces: list[Piece], level: int) -> None:
        self.rooms += [(piece, level) for piece in pieces if piece.tokens > level]

    def drop(self, units: Iterable[Unit]) -> None:
        for unit in units:
            self.dropped += unit.places


def plan(prompt: Prompt, most: int) -> Plan | None:
    """How a prompt comes down to `most` tokens; None when it cannot."""
    left = most - prompt.fixed
    if not prompt.shrinks or left <= 0:
        return None
    if prompt.last.tokens <= left:
        return _around_the_last(prompt, left - prompt.last.tokens, most)
    return _with_the_last_shortened(prompt, left)


def _around_the_last(prompt: Prompt, left: int, most: int) -> Plan:
    """The user's last message stays whole; `left` is for everything else."""
    made = Plan()
    system = sum(unit.tokens for unit in prompt.system)
    now = _newest(prompt.current, left - min(system, left // 2), YIELDS_NOW, made)
    left -= sum(_least(unit, YIELDS_NOW) for unit in now)
    left -= _trim_system(prompt.system, left, made)
    yielding = _yielding(now, YIELDS_NOW)
    whole, least = sum(piece.tokens for piece in yielding), _least_of(yielding)
    half = max(least, min(whole, least + left, most // 2))  # of huge output of tools, before earlier turns go
    left -= half - least
    kept = _newest(prompt.old, left, YIELDS_WHEN_OLD, made)
    left -= sum(_least(unit, YIELDS_WHEN_OLD) for unit in kept)
    more = min(whole - half, left)
    made.shorten(yielding, level([piece.tokens for piece in yielding], half + more))
    old = _yielding(kept, YIELDS_WHEN_OLD)
    made.shorten(old, level([piece.tokens for piece in old], _least_of(old) + left - more))
    return made


def _with_the_last_shortened(prompt: Prompt, left: int) -> Plan | None:
    """The user's last message has to be shortened: earlier turns go, and the rest keeps up to a quarter of the room."""
    last = prompt.last
    spare = left - last.fixed - LEAST_LAST
    if spare < 0 or not last.pieces:
        return None
    made = Plan()
    made.drop(prompt.old)
    quarter = min(left // 4, spare // 2)
    now = _newest(prompt.current, quarter, YIELDS_NOW, made)
    left -= sum(_least(unit, YIELDS_NOW) for unit in now)
    made.shorten(_yielding(now, YIELDS_NOW), FLOOR)
    left -= _trim_system(prompt.system, quarter, made)
    made.shorten(last.pieces, level([piece.tokens for piece in last.pieces], left - last.fixed))
    return made


def _newest(units: list[Unit], left: int, yields: frozenset[Kind], made: Plan) -> list[Unit]:
    """The newest units that fit one after the other, with texts that yield at their shortest; the rest is dropped."""
    start = len(units)
    while start and (least := _least(units[start - 1], yields)) <= left:
        left -= least
        start -= 1
    made.drop(units[:start])
    return units[start:]


def _trim_system(units: list[Unit], left: int, made: Plan) -> int:
    """Tokens that the system's messages keep of `left`: the longest are shortened first, then the last ones go."""
    total = sum(unit.tokens for unit in units)
    if total <= left:
        return total
    count, room = 0, left
    for unit in units:
        room -= unit.fixed + sum(min(piece.tokens, LEAST_TRIMMED) for piece in unit.pieces)
        if room < 0:
            break
        count += 1
    kept = units[:count]
    made.drop(units[count:])
    fixed = sum(unit.fixed for unit in kept)
    pieces = [piece for unit in kept for piece in unit.pieces]
    height = level([piece.tokens for piece in pieces], left - fixed)
    made.shorten(pieces, height)
    return fixed + sum(min(piece.tokens, height) for piece in pieces)


def _yielding(units: list[Unit], yields: frozenset[Kind]) -> list[Piece]:
    return [piece for unit in units for piece in unit.pieces if piece.kind in yields]


def _least(unit: Unit, yields: frozenset[Kind]) -> int:
    return unit.fixed + sum(min(piece.tokens, FLOOR) if piece.kind in yields else piece.tokens for piece in unit.pieces)


def _least_of(pieces: list[Piece]) -> int:
    return sum(min(piece.tokens, FLOOR) for piece in pieces)


def level(sizes: list[int], room: int) -> int:
    """The height at which sizes are cut off so that together they take at most `room`."""
    ordered = sorted(sizes)
    for place, size in enumerate(ordered):
        share = room // (len(ordered) - place)
        if size > share:
            return max(0, share)
        room -= size
    return ordered[-1] if ordered else 0
