"""[pure] Walking a chain: permitted targets in order, then those that failed once more, up to the retries allowed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.route import Chain

LONG_TOKENS = 16_384
"""A window of more is a large one."""


def roomiest_first(chain: Chain, tokens: int) -> Chain:
    """The same chain for about so many tokens: first the targets whose window holds them, then large windows, then the
    others; each in its order."""

    def room(target: Target) -> int:
        window = target.window or 0
        return 0 if window >= tokens else 1 if window > LONG_TOKENS else 2

    return replace(chain, targets=tuple(sorted(chain.targets, key=room)))


def walk(chain: Chain, allowed: Boundary, is_usable: Callable[[Target], bool], retries: int) -> tuple[Target, ...]:
    """The targets to try: each permitted one once, and after that up to `retries` more in the same order.

    A target beyond `allowed` is never among them, whatever the chain says. Targets that are cooling down come after
    the others, so that a chain with nothing else still tries them.
    """
    targets = chain.targets
    if len(targets) == 1 and targets[0].boundary <= allowed:
        return targets * (1 + retries)
    permitted = sorted((t for t in targets if t.boundary <= allowed), key=lambda target: not is_usable(target))
    again = permitted * (1 + retries)
    return tuple(again[: len(permitted) + retries]) if permitted else ()
