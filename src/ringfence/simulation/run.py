"""One simulation from its seed, and what came of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import process_time
from typing import Any, NamedTuple

from ringfence.placement.lifecycle import Pace
from ringfence.simulation.loop import VirtualLoop, run
from ringfence.simulation.setting import SETTINGS
from ringfence.simulation.world import World

BUSY, QUIET = 1.15, 1 / 40
"""Requests a second."""


class Looks(NamedTuple):
    """How often what happens by itself is looked at: engines by `pace`, the whole site every `cycle_s` seconds."""

    pace: Pace
    cycle_s: float


USUAL = Looks(Pace(), 15.0)
"""As by default in the product."""
CALM = Looks(Pace(health_every_s=6.0), 45.0)
"""Of quiet runs, which spares about a third of what an hour takes."""
BEGAN, ENDED = 5, 60
"""So many of the first and of the last events are shown."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`problems` is what did not hold; empty is as it should be."""

    seed: int
    setting: str
    hours: float
    requests: int
    faults: int
    counts: dict[str, int]
    digest: str
    problems: tuple[str, ...]
    last: tuple[str, ...]
    took_s: float

    def told(self) -> str:
        """For people."""
        counts = ", ".join(f"{name} {number}" for name, number in sorted(self.counts.items()))
        lines = [
            f"seed {self.seed} ({self.setting}): {self.hours:.1f} h, {self.requests:,} requests, {self.faults} faults, "
            f"{self.took_s:.1f} s",
            f"  {counts}",
            f"  digest {self.digest}",
        ]
        if self.problems:
            lines += ["", *self.last[-ENDED:], "", *(f"BROKEN {problem}" for problem in self.problems)]
        return "\n".join(lines)


@contextmanager
def silence() -> Iterator[None]:
    """Without the log: what goes wrong is meant to."""
    log = logging.getLogger("ringfence")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


def simulate(seed: int, hours: float, busy: bool) -> Outcome:
    """So many hours of the site that the seed chooses."""
    began = process_time()
    loop = VirtualLoop()
    setting = SETTINGS[seed % len(SETTINGS)]
    world = World(seed, setting, loop, *(USUAL if busy else CALM))
    record = world.record

    def escaped(_loop: Any, context: dict[str, Any]) -> None:
        if not world.checks.is_over:
            record.broken("nothing escapes", f"{context.get('message')} {context.get('exception')!r}")

    loop.set_exception_handler(escaped)
    with silence():
        run(world.live(hours, BUSY if busy else QUIET), loop)
    return Outcome(
        seed, setting.name, world.hours, world.callers.asked, world.faults.count, dict(record.counts),
        record.digest, tuple(record.problems), tuple(record.last), process_time() - began,
    )  # fmt: skip
