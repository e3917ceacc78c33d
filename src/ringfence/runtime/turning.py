"""A model that is set up otherwise where it is: the reconciler drains its instance, and loads it anew.

Callers who come meanwhile wait, and nobody has to be told of another instance.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from ringfence.config.models import ModelSettings
from ringfence.placement.instance import Placement
from ringfence.placement.launch import Launch
from ringfence.placement.lifecycle import State
from ringfence.placement.supervisor import Supervisor
from ringfence.runtime.desired import Desired, Entry
from ringfence.runtime.starts import NOWHERE, entry_of, started

LOOK_EVERY_S = 0.05


@dataclass(slots=True)
class Turned:
    """An instance that was set up otherwise; `former` is what it was, `before` its launch until it is loaded anew."""

    entry: Entry
    former: Entry
    keeper: Supervisor
    before: Launch


def can_turn(old: ModelSettings, new: ModelSettings) -> bool:
    """Whether the same instance can serve both: what speaks to its engine is the same."""
    sleeps = old.sleep is not False, new.sleep is not False
    return (
        old.source is not None and new.source is not None and old.source_engine == new.source_engine
        and sleeps[0] == sleeps[1]
    )  # fmt: skip


class Turning:
    """Sets instances of `placement` up otherwise."""

    def __init__(self, placement: Placement, desired: Desired) -> None:
        self._placement = placement
        self._desired = desired

    async def turn(self, name: str, instance: str, settings: ModelSettings, path: Path) -> Turned:
        """From now on it is another. Raises NotLaunched, and then it is not."""
        entry = await asyncio.to_thread(entry_of, instance, name, settings, path)
        launch = started(entry, settings, NOWHERE, [])
        keeper = self._placement.get(instance).keeper
        assert isinstance(keeper, Supervisor)
        turned = Turned(entry, self._desired.entries[instance], keeper, keeper.launch)
        self._put(entry)
        if keeper.state is State.STOPPED:
            keeper.launch, keeper.offers = launch, ()
        return turned

    def back(self, turned: Turned) -> None:
        """As it was before."""
        if turned.keeper.state is State.STOPPED:
            turned.keeper.launch = turned.before
        self._put(turned.former)

    async def loaded(self, turned: Turned, ready_s: float, drain_s: float) -> bool:
        """Waits until it was loaded anew, for `drain_s` until it has left and for `ready_s` from then on."""
        instance, until_s = turned.entry.instance, asyncio.get_running_loop().time() + drain_s
        while turned.keeper.launch is turned.before and not self._placement.is_refused(instance):
            if asyncio.get_running_loop().time() > until_s:
                return False
            await asyncio.sleep(LOOK_EVERY_S)
        return await self._placement.is_ready(instance, ready_s)

    def _put(self, entry: Entry) -> None:
        self._desired.entries[entry.instance] = entry
        self._placement.demands.nudge()
