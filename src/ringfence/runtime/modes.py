"""Modes: one exclusive use of devices at a time, switched as a whole or not at all.

A switch tells the planner, which drains and unloads whatever does not belong to the mode and loads what does. The
programs of the mode are started once the others have left. What is not ready in time takes the switch back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import time
from typing import Any

from ringfence.placement.events import Moved
from ringfence.placement.planning import Phase
from ringfence.placement.reconciler import Reconciler
from ringfence.runtime.desired import Desired
from ringfence.runtime.mode_programs import ProgramFailed, Programs

LOOK_EVERY_S = 0.2
log = logging.getLogger("ringfence.modes")


@dataclass(slots=True)
class Step:
    """Something that happened during a switch; UTC seconds."""

    at_s: float
    text: str


@dataclass(slots=True)
class Switch:
    """`outcome` is None while it goes on, then 'done' or why it was rolled back. None stands for no mode."""

    to: str | None
    before: str | None
    since_s: float
    steps: list[Step] = field(default_factory=list[Step])
    outcome: str | None = None

    def say(self, text: str) -> None:
        self.steps.append(Step(time(), text))
        log.info("mode %s: %s", self.to or "off", text)


class SwitchGoesOn(Exception):
    """Another switch is not over yet."""


class RolledBack(Exception):
    """Why a switch failed."""


class Modes:
    """`desired.now` is the mode that is on; what is kept in `file` outlives a restart."""

    def __init__(self, desired: Desired, reconciler: Reconciler, nudge: Callable[[], None], file: Path) -> None:
        self.switch: Switch | None = None
        self._desired = desired
        self._reconciler = reconciler
        self._nudge = nudge
        self._file = file
        self._programs = Programs(file.parent / "logs")
        self._task: asyncio.Task[None] | None = None

    @property
    def now(self) -> str | None:
        return self._desired.now

    def shown(self) -> dict[str, Any]:
        """For the control API."""
        modes = [
            {"name": name, "devices": list(one.devices), "models": list(one.models), "tenants": list(one.tenants)}
            for name, one in self._desired.config.modes.items()
        ]
        switch = None
        if self.switch is not None:
            told = asdict(self.switch)
            switch = {"to": told["to"], "from": told["before"], **{k: told[k] for k in ("since_s", "steps", "outcome")}}
        return {"modes": modes, "now": self.now, "switch": switch}

    async def restore(self) -> None:
        """Before models are added: the mode that was on is on again, if it is still configured, so that nothing is
        loaded that does not belong to it. `resume` does the rest once they are."""
        try:
            name = (await asyncio.to_thread(self._file.read_text, encoding="utf-8")).strip()
        except (OSError, UnicodeDecodeError):
            return
        if name in self._desired.config.modes:
            self._desired.now = name

    def resume(self) -> None:
        """Have its programs started and its models ready; without them it is off."""
        if self.now is not None and self.switch is None:
            self._begin(Switch(self.now, None, time()))

    def follow(self) -> None:
        """Another configuration is in force: a mode that is not in it ends."""
        goes_on = self.switch is not None and self.switch.outcome is None
        if self.now is not None and self.now not in self._desired.config.modes and not goes_on:
            log.warning("mode %s is not configured any more, and ends", self.now)
            self.begin(None)

    def begin(self, name: str | None) -> Switch:
        """Start a switch; None ends the mode that is on. KeyError for an unknown mode, SwitchGoesOn."""
        if name is not None and name not in self._desired.config.modes:
            raise KeyError(name)
        if self.switch is not None and self.switch.outcome is None:
            raise SwitchGoesOn(self.switch.to or "off")
        return self._begin(Switch(name, self.now, time()))

    def _begin(self, switch: Switch) -> Switch:
        self.switch = switch
        self._task = asyncio.create_task(self._run(switch), name=f"switch to mode {switch.to}")
        return switch

    def moved(self, event: Moved) -> None:
        """Told of everything that the reconciler does."""
        if self.switch is not None and self.switch.outcome is None:
            self.switch.say(f"{event.what} {event.name}: {event.reason}")

    async def close(self) -> None:
        """The gateway ends: so do the programs of the mode."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._programs.stop()

    async def _run(self, switch: Switch) -> None:
        try:
            await self._go(switch, switch.to)
            await asyncio.to_thread(self._keep, switch.to)
            switch.outcome = "done"
        except RolledBack as reason:
            switch.say(f"it is taken back: {reason}")
            await self._take_back(switch)
            switch.outcome = f"rolled back: {reason}"
        except Exception as error:  # whatever went wrong, the switch has an end
            log.exception("a switch of modes met a fault")
            await self._take_back(switch)
            switch.outcome = f"rolled back: the gateway met {type(error).__name__}"
        self.follow()  # it may have gone meanwhile

    async def _go(self, switch: Switch, name: str | None) -> None:
        await self._programs.stop()
        self._desired.now = name
        for each in self._missing():
            self._reconciler.forgive(each)
        self._nudge()
        if name is None:
            switch.say("no mode is on; models come back as they are wanted")
            return
        settings = self._desired.config.modes[name]
        until_s = asyncio.get_running_loop().time() + settings.ready_s + self._reconciler.drain_s
        await self._until(lambda: not self._strangers(), until_s, "these did not leave", self._strangers)
        switch.say("the devices are handed over")
        try:
            await self._programs.start(settings.run)
        except ProgramFailed as failed:
            raise RolledBack(str(failed)) from None
        for command in settings.run:
            switch.say(f"{Path(command[0]).name} was started")
        until_s = asyncio.get_running_loop().time() + settings.ready_s
        await self._until(lambda: not self._missing(), until_s, "not ready in time", self._missing)
        switch.say("everything that belongs to it is ready")

    async def _until(
        self, is_so: Callable[[], bool], until_s: float, otherwise: str, names: Callable[[], list[str]]
    ) -> None:
        while not is_so():
            if asyncio.get_running_loop().time() >= until_s:
                raise RolledBack(f"{otherwise}: {', '.join(map(self._with_reason, names()))}")
            hopeless = [one for one in self._missing() if self._reconciler.placement.get(one).failed]
            if hopeless:
                failed = self._reconciler.placement.get(hopeless[0])
                raise RolledBack(f"{hopeless[0]} does not start: {failed.failed}")
            await asyncio.sleep(LOOK_EVERY_S)

    def _with_reason(self, name: str) -> str:
        outlook = self._reconciler.placement.get(name).outlook
        return f"{name} ({outlook.reason})" if outlook is not None else name

    async def _take_back(self, switch: Switch) -> None:
        try:
            await self._programs.stop()
            modes = self._desired.config.modes
            before = switch.before if switch.before in modes else None  # it may not be configured any more
            self._desired.now = before
            self._nudge()
            await asyncio.to_thread(self._keep, before)
            if before is not None:
                await self._programs.start(modes[before].run)
        except ProgramFailed as failed:
            switch.say(f"what belongs to mode {switch.before} was not started again: {failed}")
        except Exception as error:  # a switch without an end would be the last one
            log.exception("what belongs to mode %s was not started again", switch.before)
            switch.say(f"what belongs to mode {switch.before} was not started again: {type(error).__name__}")

    def _strangers(self) -> list[str]:
        """Instances that are on the devices of the mode and are none of it, or are still set up as before."""
        mode = self._desired.mode()
        if mode is None:
            return []
        state, _plan = self._reconciler.dry()
        protected = {model.name for model in state.models if model.priority == 0}
        return [
            each.id
            for each in state.instances
            if any(claim.device in mode.devices for claim in each.claims)
            and (
                (each.model not in mode.members and each.model not in protected)
                or self._reconciler.is_outdated(each.id)
            )
        ]

    def _missing(self) -> list[str]:
        """Models of the mode that are not ready."""
        mode = self._desired.mode()
        if mode is None:
            return []
        state, _plan = self._reconciler.dry()
        ready = {each.model for each in state.instances if each.phase is Phase.READY}
        return [name for name in mode.members if name in self._desired.entries and name not in ready]

    def _keep(self, name: str | None) -> None:
        if name is None:
            self._file.unlink(missing_ok=True)
        else:
            self._file.write_text(f"{name}\n", encoding="utf-8")
