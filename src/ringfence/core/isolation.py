"""[pure] Whether the kernel keeps the gateway in, as far as is known: what was claimed, and what an attempt to get out
showed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Wall(StrEnum):
    """What stands around a process."""

    UNCLAIMED = "unclaimed"
    """Nobody says that anything does; the fence is the program's own."""
    UNCHECKED = "unchecked"
    """It is claimed, and nothing is configured to try it with."""
    CHECKING = "checking"
    """It is claimed, and has not been tried yet."""
    HELD = "held"
    """It is claimed, and an attempt to get out failed."""
    OPEN = "open"
    """It is claimed, and an attempt to get out worked."""


@dataclass(frozen=True, slots=True)
class Isolation:
    """The wall and, in words, what it rests on and how it is mended."""

    wall: Wall
    reason: str = ""
    mend: str = ""

    @property
    def keeps_promise(self) -> bool:
        """False where a wall is claimed and not there, or not known to be there yet: no T1 profile is served then."""
        return self.wall not in (Wall.CHECKING, Wall.OPEN)


NO_WALL = Isolation(Wall.UNCLAIMED)
