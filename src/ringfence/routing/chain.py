"""[pure] Walking a chain: permitted targets in order, then those that failed once more, up to the retries allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.route import Chain


def walk(chain: Chain, allowed: Boundary, is_usable: Callable[[Target], bool], retries: int) -> Iterator[Target]:
    """Yield the targets to try: each permitted one once, and after that up to `retries` more in the same order.

    A target beyond `allowed` is never yielded, whatever the chain says. Targets that are cooling down come after the
    others, so that a chain with nothing else still tries them.
    """
    targets = chain.targets
    if len(targets) != 1:
        targets = sorted((t for t in targets if t.boundary <= allowed), key=lambda target: not is_usable(target))
    elif targets[0].boundary > allowed:
        return
    yield from targets
    for turn in range(retries if targets else 0):
        yield targets[turn % len(targets)]
