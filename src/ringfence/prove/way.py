"""What a way out is: how it is tried, and which places of the program it goes through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules

from ringfence.prove import ways
from ringfence.prove.house import House, Said


@dataclass(frozen=True, slots=True)
class Tried:
    """How an attempt went. `is_tried` is False when it did not come about, so that silence would prove nothing."""

    answer: str
    is_tried: bool = True

    @classmethod
    def by(cls, said: Said, *, is_tried: bool = True) -> Tried:
        return cls(said.in_words, said.is_decided and is_tried)


async def _none(_house: House, _text: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Way:
    """One way in which text could get out. `attempt` gets a text that is its own, to be looked for in the sink.

    `stays`: not even a profile that may reach clouds lets this out. `reaches`: one that may, must; otherwise the proof
    would see nothing whatever happened. `serves`: the sign of life, without which the others say nothing. `ends`: after
    it there is no program any more. `covers`: places in the source from which text sets out, through which it goes.
    """

    name: str
    text: str
    attempt: Callable[[House, str], Awaitable[Tried | None]] = _none
    covers: tuple[str, ...] = ()
    stays: bool = False
    reaches: bool = False
    serves: bool = False
    ends: bool = False
    attempt_as: Callable[[House, str, str], Awaitable[Tried]] | None = None
    """Instead of `attempt`, for each delegate of the profile, whose name it gets last. Each goes as far as it may."""


def all_ways() -> tuple[Way, ...]:
    """Every way of every module, in the order in which they are tried: those that break engines come last."""
    modules = [import_module(f"{ways.__name__}.{found.name}") for found in iter_modules(ways.__path__)]
    return tuple(way for module in sorted(modules, key=lambda module: module.ORDER) for way in module.WAYS)
