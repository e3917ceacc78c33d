"""The engines behind the models: those of the configuration, and those found on this machine."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Callable
from functools import partial
from importlib import import_module, resources
from pathlib import Path
from time import time
from typing import Any

from ringfence import engines
from ringfence.config.compile import too_far
from ringfence.config.models import ModelSettings
from ringfence.config.schema import Config
from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability, Endpoint, Model, Target
from ringfence.core.errors import BoundaryRefused
from ringfence.core.ports import Ask, Emit, Engine, Fetch, Fetched, Sleeps
from ringfence.core.registry import adapters
from ringfence.egress.client import HEALTH_PATH, egress_endpoint
from ringfence.egress.pool import Pool
from ringfence.egress.resolve import NameNotResolved, resolve
from ringfence.placement.adopted import Adopted
from ringfence.placement.discover import discover
from ringfence.placement.examine import examine
from ringfence.placement.instance import Outlook, Placement
from ringfence.placement.launch import NotLaunched
from ringfence.placement.lifecycle import State
from ringfence.placement.offered import LeftOut, Source, catalog_of
from ringfence.placement.supervisor import Supervisor
from ringfence.placement.way_out import WayOut
from ringfence.runtime.configured import Configured, engine_key, has_moved, has_other_key, restarts, wanted
from ringfence.runtime.desired import Desired
from ringfence.runtime.starts import NOWHERE, entry_of, started
from ringfence.runtime.targets import Known, own_target, rented
from ringfence.runtime.turning import LOOK_EVERY_S, Turned, Turning, can_turn

WAY_OUT = "way out"
"""Names of models have no spaces, so that no engine of one can be taken for it."""
FIRST_LOOK_S = 1.0
"""For an engine that already runs to say what it has: before that, none of its models is served."""
log = logging.getLogger("ringfence.instances")
GONE_AFTER_S = 60.0
DEMO = "demo"  # so small that a second thread only waits for the first, and on a busy machine for long
DRAIN_S = 30.0
ASK_S = 120.0
"""Tens of GiB are moved when an engine goes to sleep or wakes up; who asks for less waits for less."""
MAKE_A_TOKEN = ("llamacpp", "vllm")
"""Engines of which one may be asked for, to see whether they work: others might load a model for it."""
CALLABLE = frozenset((Ability.CHAT, Ability.COMPLETIONS))


class NotServable(Exception):
    """A configured model cannot be served; the message says why and what to do."""


class Instances:
    """Keeps `placement` in line with the configuration and with what is found; knows which models there are."""

    def __init__(
        self, placement: Placement, desired: Desired, pool: Pool, emit: Emit, state_dir: Path,
        changed: Callable[[], None], *, has_parent: bool = False,
    ) -> None:  # fmt: skip
        self.on_progress: Callable[[str, int, int], None] = lambda _model, _done, _all: None
        self.placement = placement
        self.adapters: dict[str, Engine] = adapters(engines)
        self.left_out: tuple[LeftOut, ...] = ()
        self.own_port = 0
        self._pool = pool
        self._emit = emit
        self._state_dir = state_dir
        self._changed = changed
        self._has_parent = has_parent
        self._configured: dict[str, Configured] = {}
        self._found: dict[str, Adopted] = {}
        self._found_s = int(time())
        self._desired = desired
        self._turning = Turning(placement, desired)

    # -- what is configured ---------------------------------------------------------------------------------------

    async def bring_up(self, config: Config, ready_s: float = 0.0) -> None:
        """Serve what `config` says: start the new, and once that stands, drain and stop what is gone or was changed.
        A changed model that is not always loaded, or for which there is no room beside the old one, takes its place.

        With `ready_s`, new engines must be ready within that time. Raises NotServable, and then nothing has changed.
        """
        fresh: dict[str, Configured] = {}
        turned: dict[str, Turned] = {}
        try:
            await self._begin(config, fresh, turned)
            adopted = [one.instance for one in fresh.values() if one.endpoint is not None]
            await asyncio.gather(*(self.placement.is_ready(instance, FIRST_LOOK_S) for instance in adopted))
            if ready_s:
                stays = [one for one in fresh.values() if one.settings.residency == "always"]
                await asyncio.gather(*(self._brought(one, config, ready_s, fresh, turned) for one in stays))
        except BaseException:
            for turn in turned.values():
                self._turning.back(turn)
            for one in fresh.values():
                await self._remove(one.instance, 0)
            raise
        for name, turn in turned.items():
            self._configured[name].path, self._configured[name].digest = turn.entry.path, ""
        asked = wanted(config)
        kept = {name: one for name, one in self._configured.items() if name in asked and name not in fresh}
        for name, one in kept.items():
            one.settings = asked[name].settings
            if one.instance in self._desired.entries:
                self._desired.entries[one.instance].settings = one.settings
        gone = [one for name, one in self._configured.items() if name not in kept]
        self._configured = {name: fresh.get(name) or kept[name] for name in asked if name in fresh or name in kept}
        for profile in config.profiles.values():
            one = self._configured.get(profile.exact.model) if profile.exact and profile.exact.digest else None
            if one is not None and one.path is not None and not one.digest:
                one.digest = await asyncio.to_thread(_sha256, one.path)
        await self._look_for_egress(config)
        self._changed()
        for one in fresh.values():
            self.placement.get(one.instance).expect(None)  # what was said of it was said while the others were there
        for one in gone:
            task = asyncio.create_task(self._remove(one.instance, DRAIN_S), name=f"drain {one.instance}")
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _begin(self, config: Config, fresh: dict[str, Configured], turned: dict[str, Turned]) -> None:
        """Whatever is new or was changed: started, or set up otherwise where it is. Raises NotServable."""
        for name, one in wanted(config).items():
            settings = one.settings
            old = self._configured.get(name)
            if old is not None and not (
                restarts(old.settings, settings)
                or has_moved(old.endpoint, config)
                or has_other_key(old.endpoint, settings)
            ):
                continue
            if old is not None and settings.residency != "always" and can_turn(old.settings, settings):
                turned[name] = await self._turn(old, settings)
            else:
                fresh[name] = await self._start(name, one.model, settings, config)

    async def _brought(
        self, one: Configured, config: Config, ready_s: float, fresh: dict[str, Configured], turned: dict[str, Turned]
    ) -> None:
        """Ready beside the old one, or else in its place. Raises NotServable."""
        old, instance = self._configured.get(one.name), one.instance
        if await self.placement.is_ready(instance, ready_s):
            return
        is_refused = self.placement.is_refused(instance) and self._desired.fits_alone(instance)
        if old is None or not is_refused or not can_turn(old.settings, one.settings):
            raise self._not_ready(one, ready_s)
        await self._remove(fresh.pop(one.name).instance, 0)
        turned[one.name] = await self._turn(old, one.settings)
        if not await self._turning.loaded(turned[one.name], ready_s, config.placement.drain_s):
            raise self._not_ready(old, ready_s)

    async def _turn(self, old: Configured, settings: ModelSettings) -> Turned:
        """The same instance, set up otherwise. Raises NotServable."""
        path = await asyncio.to_thread(self._weights, old.name, settings)
        try:
            return await self._turning.turn(old.name, old.instance, settings, path)
        except NotLaunched as error:
            raise NotServable(f"models.{old.name}.{error}") from None

    def renewed(self, config: Config) -> list[str]:
        """Models whose engine is asked with another key than stands behind the same reference now. ConfigError."""
        asked = wanted(config)
        found = [
            one.model
            for name, one in self._configured.items()
            if name in asked
            and one.settings.api_key == asked[name].settings.api_key
            and has_other_key(one.endpoint, asked[name].settings)
        ]
        return list(dict.fromkeys(found))

    async def _look_for_egress(self, config: Config) -> None:
        """While a model of a provider is configured, egress is looked for; it is never started from here."""
        is_looked_for, is_wanted = self.placement.has(WAY_OUT), any(model.provider for model in config.models.values())
        if is_looked_for and not is_wanted:
            await self.placement.remove(WAY_OUT, 0)
        elif is_wanted and not is_looked_for:
            way_out, at = WayOut(), egress_endpoint(egress_socket(self._state_dir))
            starts = "`ringfence up` starts it again" if self._has_parent else "start `ringfence egress` beside this"
            self.placement.add(
                Adopted(
                    WAY_OUT, way_out, at, self.fetch_at, self._emit,
                    absent=f"no egress process answers, so no provider is reached; {starts}",
                )
            )  # fmt: skip

    async def closed_way_out(self) -> str:
        """Why no provider can be reached; empty when they can be, or none is configured. Looks at once."""
        if not self.placement.has(WAY_OUT) or await self.placement.is_ready(WAY_OUT, FIRST_LOOK_S):
            return ""
        return next(status.reason for status in self.placement.status() if status.name == WAY_OUT)

    async def keys_set_aside(self) -> list[dict[str, Any]]:
        """Of providers with several keys those that are limited or refused, as the egress process tells: by number."""
        if not self.placement.has(WAY_OUT):
            return []
        body: Any = (await self.fetch_at(egress_endpoint(egress_socket(self._state_dir)))(HEALTH_PATH)).body
        told: Any = body.get("keys_set_aside") if isinstance(body, dict) else None  # type: ignore[misc]
        return list(told) if isinstance(told, list) else []  # type: ignore[misc]

    async def _start(self, name: str, model: str, settings: ModelSettings, config: Config) -> Configured:
        instance = name
        while self.placement.has(instance):
            instance += "+"  # the old one of this name is still being drained
        if settings.source is not None:
            kind = settings.source_engine
            path = await asyncio.to_thread(self._weights, name, settings)
            entry = await asyncio.to_thread(entry_of, instance, name, settings, path)
            try:
                launch = started(entry, settings, NOWHERE, [])
            except NotLaunched as error:
                raise NotServable(f"models.{name}.{error}") from None
            adapter = self.adapters[kind]
            controls = adapter.controls if settings.sleep is not False and kind == "vllm" else None
            keeper: Supervisor | Adopted = Supervisor(
                instance, launch, adapter, self.fetch_at, self._emit, log_dir=self._state_dir / "logs",
                controls=controls if isinstance(controls, Sleeps) else None, ask_at=self.ask_at,
            )  # fmt: skip
            self._desired.entries[instance] = entry
            self.placement.add(keeper, is_planned=True)
            self.placement.demands.nudge()
            return Configured(name, model, settings, instance, kind, None, int(time()), path)
        endpoint = await self._address(model, settings, config)
        kind = settings.engine or await self._identify(endpoint)
        if kind not in self.adapters:
            raise NotServable(f"models.{model}.engine: there is no engine kind '{kind}'")
        adapter = self.adapters[kind]
        others = () if adapter.usual_ports else self._tellers()
        ask = self.ask_at(endpoint) if kind in MAKE_A_TOKEN else None
        keeper = Adopted(instance, adapter, endpoint, self.fetch_at, self._emit, others=others, ask=ask)
        self.placement.add(keeper)
        return Configured(name, model, settings, instance, kind, endpoint, int(time()))

    async def _remove(self, instance: str, drain_s: float) -> None:
        """The reconciler ends one that it has loaded: until then nobody else is to be given its room."""
        self._desired.entries.pop(instance, None)
        one, until_s = self.placement.get(instance), asyncio.get_running_loop().time() + drain_s
        if one.is_planned:
            self.placement.bind(instance, ())
            self.placement.demands.nudge()
            while one.keeper.state is not State.STOPPED:
                if asyncio.get_running_loop().time() >= until_s:
                    break
                await asyncio.sleep(LOOK_EVERY_S)
            drain_s = 0
        await self.placement.remove(instance, drain_s)
        one.expect(Outlook("it is not configured any more", None))

    def _weights(self, name: str, settings: ModelSettings) -> Path:
        source = settings.source or ""
        if source == DEMO:
            return Path(str(resources.files("ringfence.models") / "demo.gguf"))
        if source.startswith("hf:"):
            hub = import_module("ringfence.placement.hub")  # only who serves a model of a hub pays for its library
            try:
                fetch = hub.resolve_folder if settings.source_engine == "vllm" else hub.resolve
                return fetch(
                    source, self._state_dir / "models", os.environ.get("HF_TOKEN"), partial(self.on_progress, name)
                )
            except hub.HubError as error:
                raise NotServable(f"models.{name}: {error}") from None
        path = Path(source).expanduser()
        if settings.source_engine == "vllm" and not path.is_dir():
            raise NotServable(f"models.{name}: there is no folder {path}")
        if settings.source_engine != "vllm" and not path.is_file():
            raise NotServable(f"models.{name}: there is no file {path}")
        return path

    async def _address(self, name: str, settings: ModelSettings, config: Config) -> Endpoint:
        """Resolve and pin where the engine is; only this host and listed mesh networks will do."""
        url = settings.address
        assert url is not None
        try:
            at = await resolve(url.host, url.port, Boundary.MESH, config.mesh_networks)
        except NameNotResolved as error:
            raise NotServable(f"models.{name}.url: {error}") from None
        except BoundaryRefused:
            raise NotServable(f"models.{name}.url: {too_far(url.host)}") from None
        return Endpoint(at.address, url.port, at.boundary, url.prefix, engine_key(settings))

    async def _identify(self, endpoint: Endpoint) -> str:
        fetch = self.fetch_at(endpoint)
        for adapter in self._tellers():
            if await examine(adapter, fetch):
                return adapter.kind
        return "openai_compatible"

    def _tellers(self) -> tuple[Engine, ...]:
        """The adapters whose engines can be told from others."""
        return tuple(adapter for adapter in self.adapters.values() if adapter.usual_ports)

    def _not_ready(self, one: Configured, ready_s: float) -> NotServable:
        reason = next((s.reason for s in self.placement.status() if s.name == one.instance), "")
        return NotServable(f"models.{one.model}: not ready within {ready_s:g} s. {reason}".rstrip())

    # -- what is found --------------------------------------------------------------------------------------------

    def look_again(self) -> None:
        """Whoever reads the configuration again wants what is there now: engines that were found say anew what they
        have before they serve, for another may have taken the place of one since it was last asked for life."""
        for adopted in self._found.values():
            adopted.suspect()

    async def look_around(self, config: Config) -> None:
        """One look at the usual loopback ports; adopts what is new and forgets what has been gone for a while."""
        for name, adopted in list(self._found.items()):
            if adopted.state is State.FAILED and adopted.since_s > GONE_AFTER_S:
                del self._found[name]
                await self.placement.remove(name, 0)
                self._changed()
        if not config.discovery.adopt:
            return
        ports = {kind: config.discovery.ports.get(kind, engine.usual_ports) for kind, engine in self.adapters.items()}
        taken = {(address, self.own_port) for address in ("127.0.0.1", "::1")}
        taken |= {(adopted.at.address, adopted.at.port) for adopted in self._found.values()}
        taken |= {(one.endpoint.address, one.endpoint.port) for one in self._configured.values() if one.endpoint}
        every = list(dict.fromkeys(port for listed in ports.values() for port in listed))
        for found in await discover(self.adapters, self.fetch_at, every, taken):
            name = f"{found.kind}-{found.endpoint.port}"
            if self.placement.has(name):
                continue
            adopted = Adopted(
                name,
                self.adapters[found.kind],
                found.endpoint,
                self.fetch_at,
                self._emit,
                offers=found.offers,
                ask=self.ask_at(found.endpoint) if found.kind in MAKE_A_TOKEN else None,
                examine_every_s=15.0,
            )
            self._found[name] = adopted
            self.placement.add(adopted)
            log.info("found %s at %s with %d models", found.kind, found.endpoint.url, len(found.offers))
            self._changed()

    # -- what can be asked for ------------------------------------------------------------------------------------

    def models(self, config: Config) -> list[Model]:
        """Every model that can be named now; binds each instance to its targets."""
        left_out: list[LeftOut] = []
        by_model: dict[str, list[Target]] = {}
        for one in self._configured.values():
            if not self.placement.has(one.instance):  # everything is ending
                continue
            of_model = by_model.setdefault(one.model, [])
            target = own_target(one, self._known(one), config)
            if isinstance(target, LeftOut):
                left_out.append(target)
            elif target is not None:
                of_model.append(target)
            self.placement.bind(one.instance, (target.name,) if isinstance(target, Target) else ())
        first = {one.model: one for one in reversed(self._configured.values())}
        configured = [
            Model(name, tuple(found), first[name].settings.aliases, first[name].created_s)
            for name, found in by_model.items()
        ]
        clouds = [rented(name, one, config, self._found_s) for name, one in config.models.items() if one.provider]
        configured += clouds
        if self.placement.has(WAY_OUT):
            self.placement.bind(WAY_OUT, [target.name for model in clouds for target in model.targets])
        # One that has stopped answering keeps its names for a while, unless another has the same model.
        answering_first = sorted(self._found.items(), key=lambda item: item[1].state is State.FAILED)
        sources = [Source(name, adopted.engine, adopted.at, adopted.offers) for name, adopted in answering_first]
        offered = catalog_of(configured, sources, config.mesh_networks, self._found_s)
        for instance, targets in offered.targets_of.items():
            self.placement.bind(instance, targets)
        self.left_out = (*left_out, *offered.left_out)
        return list(offered.models)

    def _known(self, one: Configured) -> Known:
        """What there is to say of it now; an engine of ours that has not been loaded yet has what its file tells, and
        before anything is known, everything."""
        entry = self._desired.entries.get(one.instance)
        settings = self._desired.settings_of(entry) if entry is not None else one.settings
        abilities = self.placement.expected(one.instance) or CALLABLE | {Ability.EMBEDDINGS}
        return Known(settings, self.placement.offers(one.instance), entry.window if entry else None, abilities)

    def fetch_at(self, endpoint: Endpoint) -> Fetch:
        """Control requests to what answers there."""
        return partial(self._pool.fetch, endpoint)

    def ask_at(self, endpoint: Endpoint) -> Ask:
        """For what holds no text of a call: a token to see whether it works, and going to sleep."""

        async def ask(path: str, body: dict[str, Any]) -> Fetched:
            return await self._pool.fetch(endpoint, path, ASK_S, about=body)

        return ask


def egress_socket(state_dir: Path) -> Path:
    """Where the egress process is met. Its folder is its own, and nobody else may enter."""
    return state_dir / "egress" / "egress.sock"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
