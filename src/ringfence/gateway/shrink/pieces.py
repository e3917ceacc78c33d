"""[pure] What a request is made of, whatever its dialect: texts that may be shortened, in units that stay or go whole.

A `Place` is the way to a value in the body, such as ("messages", 3, "content"). The body itself is never changed:
`written` makes another that shares all it can with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, cast

from ringfence.gateway.count import Meter

Body = dict[str, Any]
Place = tuple[str | int, ...]


class Kind(StrEnum):
    """What a text is."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL_RESULT = "tool_result"
    DOCUMENT = "document"


@dataclass(slots=True)
class Piece:
    """One text, where it stands, and what it weighs."""

    kind: Kind
    place: Place
    text: str = field(repr=False)
    tokens: int


@dataclass(slots=True)
class Unit:
    """Messages that stay or go together, such as a call of a tool and its results. `fixed` is what cannot be shortened:
    the template's words, calls, images."""

    places: list[Place] = field(default_factory=list[Place])
    fixed: int = 0
    pieces: list[Piece] = field(default_factory=list[Piece])

    @property
    def tokens(self) -> int:
        return self.fixed + sum(piece.tokens for piece in self.pieces)

    def add(self, other: Unit) -> None:
        self.places += other.places
        self.fixed += other.fixed
        self.pieces += other.pieces


@dataclass(slots=True)
class Prompt:
    """What shares one window. Everything is in the order of the body; `old` are whole turns.

    `last` is the user's last message (without one, the last that was said), `current` what came after it. `param`
    names it in errors. A prompt that cannot be shortened says so.
    """

    param: str
    fixed: int
    last: Unit
    system: list[Unit] = field(default_factory=list[Unit])
    old: list[Unit] = field(default_factory=list[Unit])
    current: list[Unit] = field(default_factory=list[Unit])
    shrinks: bool = True

    @property
    def units(self) -> Iterator[Unit]:
        yield from self.system
        yield from self.old
        yield self.last
        yield from self.current

    @property
    def tokens(self) -> int:
        return self.fixed + sum(unit.tokens for unit in self.units)


class Shape(Protocol):
    """How the body of a dialect falls into prompts."""

    @property
    def generates(self) -> bool:
        """True when output is asked for beside the input."""
        ...

    def bound(self, body: Body, meter: Meter) -> int | None:
        """Tokens of the largest prompt at most, without a tokenizer; None where that cannot be said."""
        ...

    def prompts(self, body: Body, meter: Meter) -> list[Prompt]:
        """Its prompts, measured; each has the window for itself."""
        ...


def written(body: Body, texts: dict[Place, str], dropped: Iterable[Place]) -> Body:
    """A body with other texts and without some entries of its lists. Shares with `body` what is the same in both."""
    copy = body.copy()
    fresh = {id(copy)}
    for place, text in texts.items():
        holder = _own(copy, place[:-1], fresh)
        holder[place[-1]] = text
    by_list: dict[Place, set[int]] = {}
    for place in dropped:
        by_list.setdefault(place[:-1], set()).add(cast(int, place[-1]))
    for where, gone in by_list.items():
        holder = _own(copy, where[:-1], fresh)
        kept: list[Any] = holder[where[-1]]
        holder[where[-1]] = [entry for index, entry in enumerate(kept) if index not in gone]
    return copy


def _own(copy: Body, place: Place, fresh: set[int]) -> Any:
    """The dict or list at a place, and all above it, as copies of our own. `fresh` are the ids of those made here."""
    holder: Any = copy
    for step in place:
        inner = holder[step]
        if id(inner) not in fresh:
            inner = inner.copy()
            holder[step] = inner
            fresh.add(id(inner))
        holder = inner
    return holder
