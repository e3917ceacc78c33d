"""The live parts of one gateway: built from a configuration, reloaded without a restart, stopped in order."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from time import monotonic, time
from typing import Any

from ringfence.config.schema import Config, state_dir
from ringfence.config.values import is_loopback
from ringfence.core.catalog import Catalog
from ringfence.core.identity import Key
from ringfence.core.registry import adapters
from ringfence.egress.pool import Pool
from ringfence.gateway import dialects
from ringfence.gateway.admission import Admission
from ringfence.gateway.asgi import AsgiApp
from ringfence.gateway.deciding import Settings
from ringfence.gateway.http import HttpServer
from ringfence.gateway.ids import CallIds
from ringfence.gateway.limits import RateLimits
from ringfence.gateway.parked_wishes import ParkingSettings
from ringfence.gateway.parking import Parking
from ringfence.gateway.pipeline import Pipeline
from ringfence.gateway.relay import Relay
from ringfence.gateway.responses_kept import DAY_S, KeptResponses
from ringfence.gateway.site import OPEN_KEY, Front
from ringfence.placement.events import InstanceFailed, InstanceQuarantined, InstanceReady, Moved, OffersChanged
from ringfence.placement.instance import Placement
from ringfence.routing.health import Health
from ringfence.runtime import gauges, settings, tokenizers
from ringfence.runtime.batches import batch_settings, restore_money, running_batches
from ringfence.runtime.database import database
from ringfence.runtime.desks import desks
from ringfence.runtime.instances import Instances
from ringfence.runtime.isolation import Fenced
from ringfence.runtime.money import (
    Electricity,
    kept_since_s,
    money_for_thoughts,
    money_rules,
    row_of,
)
from ringfence.runtime.parent import Parent
from ringfence.runtime.placing import Placing
from ringfence.runtime.presidio import Presidio, started
from ringfence.runtime.prices import record_prices
from ringfence.runtime.reloading import Outcome, Reloading
from ringfence.runtime.sensitive import sensitivity
from ringfence.runtime.sessions import Sessions
from ringfence.runtime.targets import cloud
from ringfence.store import keys as keystore
from ringfence.store.credentials import Credentials, admin_token, load_credentials, save_credentials
from ringfence.store.db import changed
from ringfence.store.keyring import KeyRing
from ringfence.store.ledger import Ledger
from ringfence.store.parked import ParkedRows
from ringfence.store.responses import ResponseRows
from ringfence.telemetry.events import (
    Answered,
    BatchEnded,
    BatchLineEnded,
    BudgetOverrun,
    BudgetSoftReached,
    CallParked,
    CostAboveHeld,
    CountGap,
    Escalated,
    Events,
    ParkedEnded,
    Refused,
    Retried,
)
from ringfence.telemetry.logs import GapLog, RequestLog, configure, money_log
from ringfence.telemetry.metrics import Metrics

log = logging.getLogger("ringfence.runtime")
KEYS_EVERY_S = 0.5
PARKING_EVERY_S = 1.0
PRUNE_EVERY_S = 600.0
TRY_WALL_EVERY_S = 60.0
SETTLED_AFTER_S = 1.0
FIRST_KEY = "default"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the configuration comes from, so that it can be read again."""

    path: Path | None
    overrides: Mapping[str, str] = field(default_factory=dict[str, str])
    log_file: Path | None = None


class Runtime:
    """Constructed in order of dependence; nothing runs before `start`."""

    def __init__(self, config: Config, origin: Origin, parent: Parent | None = None) -> None:
        self.config = config
        self.origin = origin
        self.parent = parent
        self.folder = state_dir(config)
        self.started_s = time()
        self.base_url, self.port = "", 0
        log_stream = configure(config.logging.level, origin.log_file or settings.log_file(config))
        self.request_log = RequestLog(log_stream)
        self.metrics = Metrics()
        self.db = database(config, is_gateway=True)
        self.ledger = Ledger(self.db, self._ledger_failed)
        self.electricity = Electricity()
        self.events = self._events()
        emit = self.events.emit
        self.keyring = KeyRing(b"")
        self.sessions = Sessions()
        self.cloud_keys: tuple[str, ...] = ()
        self.pid = os.getpid()
        self.pool = Pool(config.timeouts.connect_s, config.mesh_networks)
        self.placement = Placement()
        self.placing = Placing(self.placement, self.db, config, self.folder, self.events)
        self.electricity.measured = self.placing.memory.drawn
        self.instances = Instances(
            self.placement, self.placing.desired, self.pool, emit, self.folder, self.refresh, has_parent=bool(parent)
        )
        self.health = Health(monotonic, self.placement, emit)
        self.admission = Admission(*settings.admission(config))
        self.placing.slow = self.admission.slow
        self.relay = Relay(self.pool, settings.timeouts(config), self.instances.adapters)
        self.relay.correct, self.relay.slow = self.placement.correct, self.health.slow
        self.pipeline = Pipeline(
            Settings(Catalog.of([]), settings.house(config), config.timeouts.retries),
            limits=RateLimits(monotonic), admission=self.admission, placement=self.placement, relay=self.relay,
            health=self.health, emit=emit, ids=CallIds(),
        )  # fmt: skip
        self.pipeline.money.rows = self.ledger
        self.pipeline.thinking.money = partial(money_for_thoughts, self.pipeline)
        self.pipeline.gpu_load = lambda: self.placing.gpu_load
        self.responses = KeptResponses(self.pipeline, ResponseRows(self.db, self.folder))
        spoken = dialects_by_name()
        spoken |= {name: spoken[name].keeping(self.responses) for name in ("responses", "responses_compact")}
        self.front = Front(
            self.pipeline, list(spoken.values()), None, apps=self._apps, metrics=self._metrics_page,
            is_ready=self.is_ready, emit=emit,
        )  # fmt: skip
        self.parking = Parking(self.pipeline, ParkedRows(self.db, self.folder), spoken, self.key_by_id)
        self.pipeline.parking = self.parking
        self.batches = running_batches(self)
        self.front.desks = desks(self)
        self.server = HttpServer(self.front, settings.limits(config))
        self.admin, self._pepper = "", b""
        self._tasks: list[asyncio.Task[None]] = []
        self._reloading = Reloading(self)
        self.reader: Presidio | None = None
        self.fenced = Fenced(os.environ)
        self.without_tokenizer: tuple[str, ...] = ()

    def _events(self) -> Events:
        """Who is told of what."""
        return Events(
            after_slice=(self._settle, self.request_log.write),
            by_type={
                Answered: (self.metrics.answered, self._charge, self.request_log.answered),
                Retried: (lambda event: self.metrics.retried(event.target, event.reason),),
                Escalated: (self.metrics.escalated,),
                CallParked: (self.metrics.call_parked,),
                ParkedEnded: (self.metrics.call_unparked,),
                BatchLineEnded: (self.metrics.batch_line_ended,),
                BatchEnded: (self.metrics.batch_ended,),
                CountGap: (self.metrics.gap, GapLog(monotonic).tell, self._distrust),
                BudgetSoftReached: (lambda event: self.metrics.budget_alert("soft", event.scope), money_log),
                BudgetOverrun: (lambda event: self.metrics.budget_alert("ahead", event.scope), money_log),
                CostAboveHeld: (lambda _event: self.metrics.budget_alert("above_held", "provider"), money_log),
                Refused: (lambda event: self.metrics.refused(event.status, event.code),),
                Moved: (self._moved,),
                InstanceReady: (self._follow,),
                InstanceFailed: (self._follow,),
                InstanceQuarantined: (self._follow,),
                OffersChanged: (self._follow,),
            },
        )

    # -- start ------------------------------------------------------------------------------------------------------

    async def start(self, step: Callable[[str], None]) -> Credentials | None:
        """Bring everything up; `step` is told what is done. The first key's credentials, when there is a local copy."""
        config = self.config
        self.db.migrate()
        self._pepper, rows = await self.db.run(lambda c: (keystore.find_pepper(c, self.folder), keystore.rows(c)))
        self.keyring = self.sessions.keyring = KeyRing(self._pepper, rows)
        self.relay.salts.use(self._pepper)
        self.admin = admin_token(self.folder)
        credentials = await self._first_key()
        step(f"State in {self.folder}")
        self.reader = await started(config)  # before anything can be asked
        self.apply(config)
        self.without_tokenizer = await tokenizers.put_into(self.pipeline.meters, config)
        self.fenced.begin(config)
        self.pipeline.settings.isolation = self.fenced.standing
        await record_prices(self.db, config)
        await restore_money(self)
        await self.parking.restore()
        self.port = await self.server.listen(config.server.host, config.server.port)
        self.instances.own_port = self.port
        self.base_url = f"http://{settings.shown(config.server.host)}:{self.port}"
        step(f"Listening on {self.base_url}")
        await self.placing.start()
        await self.place(config)
        await asyncio.gather(self.instances.bring_up(config), self._try_wall())
        self.placing.modes.resume()
        await self.instances.look_around(config)
        await self.batches.restore()
        gauges.describe(self)
        self._tasks = [
            asyncio.create_task(self._every(KEYS_EVERY_S, self._watch_keys), name="watch keys"),
            asyncio.create_task(self._look_around(), name="look around"),
            asyncio.create_task(self._every(TRY_WALL_EVERY_S, self._try_wall), name="try the wall"),
            asyncio.create_task(self._every(PARKING_EVERY_S, self.parking.tick), name="serve parked"),
            asyncio.create_task(self._every(PARKING_EVERY_S, self.batches.tick), name="serve batches"),
            asyncio.create_task(self._every(PRUNE_EVERY_S, self.responses.prune), name="forget responses"),
            asyncio.create_task(self._every(PRUNE_EVERY_S, self._prune_ledger), name="forget old calls"),
            asyncio.create_task(self._every(PARKING_EVERY_S, self.responses.background.tick), name="watch background"),
        ]
        asyncio.get_running_loop().call_later(SETTLED_AFTER_S, spare_what_stays)
        return credentials

    async def _first_key(self) -> Credentials | None:
        """The local user's key: the one kept beside the database if it is still good, else a new one."""
        known = load_credentials(self.folder)
        if known is not None and self.keyring.find(known.api_key.encode()) is not None:
            return known
        key, secret = await self.create_key(name=FIRST_KEY)
        credentials = Credentials(key.id, secret)
        save_credentials(self.folder, credentials)
        return credentials

    async def create_key(self, *, name: str, **limits: Any) -> tuple[Key, str]:
        """A new key and its secret, valid from now on."""
        created = await self.db.run(
            lambda c: keystore.create(c, self._pepper, name=name, created_s=int(time()), **limits)
        )
        await self.read_keys()
        return created

    async def read_keys(self) -> None:
        self.keyring.replace(await self.db.run(keystore.rows))

    # -- reload -----------------------------------------------------------------------------------------------------

    async def reload(self) -> Outcome:
        """Read the configuration again and put it to work. A bad one changes nothing."""
        return await self._reloading.reload()

    def apply(self, config: Config) -> None:
        """Everything that takes effect at once."""
        server = config.server
        self.server.limits = settings.limits(config)
        self.relay.timeouts = settings.timeouts(config)
        self.pool.connect_s, self.pool.mesh = config.timeouts.connect_s, config.mesh_networks
        self.admission.settle(*settings.admission(config))
        self.front.keys = self.keyring if server.keys == "required" else None
        self.pipeline.money.rules = money_rules(config)
        self.electricity.watts = config.money.watts
        self.front.allowed_hosts = frozenset(server.allowed_hosts)
        self.front.metrics_need_key = not is_loopback(server.host)
        self.request_log.is_on = config.logging.requests
        parking = config.parking
        self.parking.settings = ParkingSettings(
            parking.most, parking.deadline_s, parking.most_deadline_s, server.body_memory_bytes // 2
        )
        self.batches.settings = batch_settings(config)
        if self.batches.rented is not None:
            self.batches.rented.look_every_s = float(config.batches.look_every_s)
        self.responses.kept_s = config.responses.kept_days * DAY_S
        self.responses.background.settings = settings.background(config)
        logging.getLogger().setLevel(config.logging.level.upper())

    async def place(self, config: Config) -> None:
        await self.placing.follow(config, self.instances.fetch_at, self.instances.ask_at)

    def refresh(self) -> None:
        """Models, windows or profiles may have changed: swap the settings of the path whole."""
        config = self.config
        catalog = Catalog.of(self.instances.models(config))
        self.relay.clouds |= {  # one that is gone stays: a call that was decided before may still be on its way to it
            name: cloud(provider) for name, provider in config.providers.items()
        }
        self.pipeline.settings = Settings(
            catalog, settings.house(config), config.timeouts.retries, config.placement.wait_s,
            settings.ruleset(config), sensitivity(config), self.reader, self.fenced.standing,
            config.timeouts.retry_within_s, settings.thinking(config), settings.escalations(config),
        )  # fmt: skip
        self.pipeline.quotas.resets = settings.resets(config)
        self.admission.follow(target for model in catalog.models.values() for target in model.targets)

    async def _try_wall(self) -> None:
        if await self.fenced.look(self.config):
            self.refresh()

    # -- stop -------------------------------------------------------------------------------------------------------

    async def stop(self, drain_s: float) -> None:
        """Take no more requests, let running ones end, then stop engines and write down what is pending."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.batches.close()
        await self.parking.close()
        self.responses.background.close()
        await self.server.drain(drain_s)
        await self.responses.settled()
        if self.reader is not None:
            await self.reader.close()
        await self.placing.close()
        await self.placement.close(0)
        self.pool.close()
        self.events.flush()
        await self.ledger.flush()
        self.db.close()

    def console_link(self) -> str:
        """An address that signs one browser in, once."""
        return f"{self.base_url}/console?token={self.sessions.new_token()}"

    # -- while it runs ----------------------------------------------------------------------------------------------

    def is_ready(self) -> bool:
        """True when at least one instance answers, or would once it is asked for."""
        comes = any(one.settings.residency != "always" for one in self.placing.desired.entries.values())
        return comes or any(status.state == "ready" for status in self.placement.status())

    def _settle(self) -> None:
        self.pipeline.reported.settle()

    def _distrust(self, event: CountGap) -> None:
        if event.side == "above":
            self.pipeline.meters.distrust(event.target)

    def _charge(self, event: Answered) -> None:
        self.ledger.record(row_of(event, self.electricity.of(event)))

    def _follow(self, event: InstanceReady | InstanceFailed | InstanceQuarantined | OffersChanged) -> None:
        if isinstance(event, InstanceFailed | InstanceQuarantined):
            log.warning("%s: %s: %s", type(event).__name__, event.name, event.reason)
        if isinstance(event, InstanceReady):
            self.placing.desired.loaded(event.name, event.took_s)
        self.refresh()
        self.parking.look_soon()
        self.batches.look_anew()

    def _moved(self, event: Moved) -> None:
        self.placing.moved(event)

    def key_by_id(self, key_id: str) -> Key | None:
        """As long as it is valid."""
        if self.front.keys is None:
            return OPEN_KEY if key_id == OPEN_KEY.id else None
        return self.keyring.by_id(key_id)

    async def _prune_ledger(self) -> None:
        pruned = await self.ledger.prune(kept_since_s(self.config, time()))
        if pruned:
            log.info("the ledger forgot %d calls older than %d days", pruned, self.config.money.ledger_days)

    def _ledger_failed(self, error: Exception) -> None:
        log.error("usage cannot be written down: %s", error)

    async def _watch_keys(self) -> None:
        """Keys may be made and revoked by another process, such as the command line."""
        if await self.db.run(changed):
            await self.read_keys()

    async def _look_around(self) -> None:
        while True:
            await asyncio.sleep(self.config.discovery.interval_s)
            try:
                await self.instances.look_around(self.config)
            except Exception:
                log.exception("looking for engines failed")

    async def _every(self, seconds: float, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await act()
            except Exception as error:
                log.error("%s: %s", getattr(act, "__name__", "a task"), error)

    def _metrics_page(self) -> tuple[str, bytes]:
        self.events.flush()
        exposition = import_module("ringfence.telemetry.exposition")
        return exposition.CONTENT_TYPE, exposition.render(self.metrics)

    def _apps(self) -> AsgiApp:
        """Control API and console, loaded when somebody first asks: they cost 30 MB."""
        overview = import_module("ringfence.runtime.overview")
        return overview.application(self)


def spare_what_stays() -> None:
    """The collector looks no more at what lives by now; what lives from here on is small and short. Takes some 40 ms,
    which the first callers need not wait for."""
    gc.collect()
    gc.freeze()


def dialects_by_name() -> dict[str, Any]:
    """Every dialect, by name: a file in gateway/dialects with a `DIALECT`."""
    return adapters(dialects, constant="DIALECT", by="name")
