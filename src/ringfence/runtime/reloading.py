"""A configuration that is read again, and put to work without a restart."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfence.config.bound_keys import dead_keys
from ringfence.config.changes import Change, difference
from ringfence.config.load import load
from ringfence.config.money import HOUSE_NOT_NAMED
from ringfence.config.problems import ConfigError, ConfigInvalid, dotted
from ringfence.config.schema import Config
from ringfence.runtime import settings, tokenizers
from ringfence.runtime.instances import NotServable
from ringfence.runtime.parent import Parent
from ringfence.runtime.presidio import Presidio, started
from ringfence.runtime.prices import record_prices, unpriced_in_words
from ringfence.runtime.sensitive import sensitivity
from ringfence.telemetry.events import Reloaded
from ringfence.telemetry.logs import configure

if TYPE_CHECKING:
    from ringfence.runtime.parts import Runtime

log = logging.getLogger("ringfence.runtime")
READY_ON_RELOAD_S = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a reload did."""

    ok: bool
    changes: tuple[Change, ...] = ()
    problems: tuple[str, ...] = ()
    dead_keys: tuple[str, ...] = ()
    """Keys, and why each call with them is refused: their profile or agent is not configured any more."""
    notes: tuple[str, ...] = ()
    """What its owner may not expect, although nothing is wrong."""


class Reloading:
    """One reload at a time."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._one = asyncio.Lock()

    async def reload(self) -> Outcome:
        """Read the configuration again and put it to work. A bad one changes nothing."""
        live = self._runtime
        async with self._one:
            try:
                fresh = await asyncio.to_thread(self._read_again)
                renewed = _renewed("models", live.instances.renewed(fresh), fresh)
                changes = (*difference(live.config, fresh), *renewed)
                fresh = settings.until_restart(fresh, live.config)
                # A key may be another one now.
                told = live.parent if fresh.providers or live.config.providers else None
                if told is not None:
                    await told.check()
                # What is new is looked at before it is served, and may lie in a network that is listed only now.
                live.pool.mesh = (*live.config.mesh_networks, *fresh.mesh_networks)
                former = await self._change_over(fresh)
            except ConfigInvalid as invalid:
                return Outcome(False, problems=tuple(str(problem) for problem in invalid.problems))
            except (ConfigError, NotServable) as error:
                return Outcome(False, problems=(str(error),))
            finally:
                live.pool.mesh = live.config.mesh_networks
            notes = self._notes(fresh)
            problems, rented = await self._open_clouds(told)
            changes = tuple(dict.fromkeys((*changes, *_renewed("providers", rented, fresh))))
            live.config = fresh
            live.apply(fresh)
            await record_prices(live.db, fresh)
            live.instances.look_again()
            self._reopen_log(fresh)
            await live.place(fresh)
            problems += await tokenizers.put_into(live.pipeline.meters, fresh)
            await live.fenced.look(fresh)
            live.refresh()
            if changes:  # what answers, or who may see it, may be another by now
                live.pipeline.answers.clear()
            if former is not None:
                await former.close()
            live.events.emit(Reloaded(len(changes)))
            log.info("reloaded with %d changes", len(changes))
            return Outcome(not problems, changes, problems, tuple(dead_keys(fresh, live.keyring.valid())), notes)

    def _notes(self, fresh: Config) -> tuple[str, ...]:
        """What `fresh` brings that may cost, or that may not be used for what it costs."""
        live = self._runtime
        is_first = not live.config.providers and bool(fresh.providers)
        unpriced = unpriced_in_words(fresh)
        return (
            *((HOUSE_NOT_NAMED,) if is_first and not fresh.money.is_house_named else ()),
            *((unpriced,) if unpriced and unpriced != unpriced_in_words(live.config) else ()),
        )

    async def _open_clouds(self, parent: Parent | None) -> tuple[tuple[str, ...], list[str]]:
        """Before their models are offered; problems, and providers that have another key now. What goes wrong here,
        after the check, is as if egress had died."""
        if parent is None:
            return (), []
        try:
            renewed = await parent.change()
        except NotServable as error:
            log.error("the providers are as they were: %s", error)
            return (f"{error}; everything but the providers is in force",), []
        await self._runtime.instances.closed_way_out()
        return (), renewed

    async def _change_over(self, fresh: Config) -> Presidio | None:
        """Bring up what `fresh` says; the reader that is of no more use. Raises before anything has changed."""
        live = self._runtime
        former = live.reader
        if fresh.sensitivity == live.config.sensitivity:
            await live.instances.bring_up(fresh, READY_ON_RELOAD_S)
            return None
        reader = await started(fresh)
        try:
            await live.instances.bring_up(fresh, READY_ON_RELOAD_S)
        except BaseException:
            if reader is not None:
                await reader.close()
            raise
        live.reader = reader
        return former

    def _reopen_log(self, config: Config) -> None:
        """Another file may be named now, or the old one may have been moved away to be packed."""
        live = self._runtime
        old = live.request_log.stream
        try:
            live.request_log.stream = configure(config.logging.level, live.origin.log_file or settings.log_file(config))
        except OSError as error:
            log.error("logging.file cannot be opened, the old one is kept: %s", error.strerror)
            return
        if old is not sys.stderr.buffer:
            old.close()

    def _read_again(self) -> Config:
        live = self._runtime
        config = load(live.origin.path, overrides=live.origin.overrides, kinds=live.instances.adapters)
        sensitivity(config)  # a pattern that cannot be used is a problem of the file, as any other
        return config


def _renewed(section: str, names: Iterable[str], config: Config) -> tuple[Change, ...]:
    """Keys that stand behind the same reference as before, and are other ones."""
    several = {name for name, one in config.providers.items() if one.api_keys} if section == "providers" else set[str]()
    return tuple(
        Change(dotted((section, name, "api_keys" if name in several else "api_key")), "drain") for name in names
    )
