"""[pure] Walking a chain: permitted targets in order, then those that failed once more, up to the retries allowed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Protocol

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.route import Chain

LONG_TOKENS = 16_384
"""A window of more is a large one."""


class Gate(Protocol):
    """Who knows how targets do."""

    def is_plain(self, target: Target) -> bool:
        """Nothing speaks against it."""
        ...

    def enter(self, target: Target, *, is_last: bool) -> int:
        """Whether it may be tried now, while others could serve or (`is_last`) though none can: 0 if not, else a number
        to `leave` with."""
        ...

    def leave(self, target: Target, entered: int) -> None:
        """The try is over, whatever came of it."""
        ...


def roomiest_first(chain: Chain, tokens: int) -> Chain:
    """The same chain for about so many tokens: first the targets whose window holds them, then large windows, then the
    others; each in its order."""

    def room(target: Target) -> int:
        window = target.window or 0
        return 0 if window >= tokens else 1 if window > LONG_TOKENS else 2

    return replace(chain, targets=tuple(sorted(chain.targets, key=room)))


def walk(chain: Chain, allowed: Boundary, gate: Gate, retries: int) -> Iterable[Target]:
    """The targets to try: each permitted one once, and after that up to `retries` more in the same order.

    A target beyond `allowed` is never among them, whatever the chain says. Those that are set aside come after the
    others, and only where the gate lets them in as the last ones: a chain with nothing else still tries most of them.
    """
    targets = chain.targets
    if len(targets) == 1 and targets[0].boundary <= allowed and gate.is_plain(targets[0]):
        return targets * (1 + retries)
    return _walk([target for target in targets if target.boundary <= allowed], gate, retries)


def _walk(permitted: list[Target], gate: Gate, retries: int) -> Iterator[Target]:
    """What the gate says is asked when a target's turn comes: others may have found out meanwhile."""
    left: list[Target] = []
    tried: list[Target] = []
    for is_last, targets in ((False, permitted), (True, left)):
        for target in targets:
            entered = gate.enter(target, is_last=is_last)
            if entered:
                tried.append(target)
                yield from _one(target, gate, entered)
            elif not is_last:
                left.append(target)
    for turn in range(retries if tried else 0):
        target = tried[turn % len(tried)]
        if entered := gate.enter(target, is_last=True):
            yield from _one(target, gate, entered)


def _one(target: Target, gate: Gate, entered: int) -> Iterator[Target]:
    try:
        yield target
    finally:  # also where the call ends here, well or not
        gate.leave(target, entered)
