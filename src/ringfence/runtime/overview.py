"""What the running gateway shows of itself: the view behind the control API and the console."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from hmac import compare_digest
from time import monotonic, time
from typing import Any

import orjson

from ringfence import __version__
from ringfence.config.bound_keys import keys_by_profile, reach_of_key
from ringfence.config.changes import show
from ringfence.config.cloud_keys import handed_to_egress, not_used
from ringfence.config.problems import not_configured
from ringfence.console import pages
from ringfence.control import app as control
from ringfence.control.access import SESSION_COOKIE
from ringfence.core.errors import BadRequest, NotFound
from ringfence.core.identity import Key
from ringfence.core.money import NO_BUDGET, starts
from ringfence.core.route import Urgency
from ringfence.gateway.asgi import AsgiApp
from ringfence.gateway.call import Call
from ringfence.gateway.decision_input import ASKING
from ringfence.gateway.depth import is_deep, too_deep
from ringfence.gateway.dialects.dialect import Dialect
from ringfence.gateway.head import NO_HEAD
from ringfence.gateway.lane import Lane
from ringfence.gateway.route import Foreign
from ringfence.gateway.urgency import NAMED, urgency_of
from ringfence.placement.instance import InstanceStatus
from ringfence.routing.standing import agent_of
from ringfence.runtime.explaining import Explaining
from ringfence.runtime.how_caps_stand import how_caps_stand
from ringfence.runtime.instances import WAY_OUT
from ringfence.runtime.isolation import processes
from ringfence.runtime.parts import Runtime, dialects_by_name
from ringfence.runtime.reach import reaches
from ringfence.runtime.what_holds import WhatHolds
from ringfence.runtime.what_is_batched import WhatIsBatched
from ringfence.runtime.what_is_lent import WhatIsLent
from ringfence.runtime.what_is_spent import WhatIsSpent
from ringfence.runtime.what_left import WhatLeft
from ringfence.runtime.what_moves import WhatMoves
from ringfence.runtime.what_waits import WhatWaits
from ringfence.store import keys as keystore
from ringfence.store import ledger
from ringfence.store.ledger_writes import NO_ERRORS
from ringfence.telemetry.events import Answered, Fitting

WATCH_EVERY_S = 0.25
SHOWN = 50


class Overview:
    """Reads the parts and turns them into JSON-able values."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._what_left = WhatLeft(runtime.folder / "journal")
        self._explaining = Explaining(runtime)
        self._waits = WhatWaits(runtime.parking, runtime.db)
        self._batches = WhatIsBatched(runtime.batches, runtime.db)
        self._spent = WhatIsSpent(
            runtime.pipeline.money, runtime.ledger, runtime.db, lambda: runtime.config,
            runtime.instances.keys_set_aside,
        )  # fmt: skip

        self._moves = WhatMoves(runtime.placing)
        self._lent = WhatIsLent(runtime.placing.tenants, opens=runtime.placing.desired.opens_for)
        self._holds = WhatHolds(runtime.placement, runtime.placing.memory, self._moves.reserved)
        self._cpu_before: dict[str, tuple[float, float]] = {}

    # -- what runs ------------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        runtime = self._runtime
        runtime.events.flush()
        statuses = runtime.placement.status()
        return {
            "version": __version__,
            "base_url": f"{runtime.base_url}/v1",
            "pid": runtime.pid,
            "started_s": runtime.started_s,
            "uptime_s": time() - runtime.started_s,
            "ready": runtime.is_ready(),
            "models": [self._model(name) for name in runtime.pipeline.settings.catalog.models],
            "offered": list(runtime.pipeline.settings.offered),
            "instances": [self._instance(status) for status in statuses],
            "left_out": [
                {"name": one.engine_model, "engine": one.instance, "reason": one.reason}
                for one in runtime.instances.left_out
            ],
            "devices": self._holds.shown(statuses),
            "requests": self._requests(),
            "parking": self._waits.count(),
            "money": how_caps_stand(
                runtime.pipeline.money, runtime.config.money.zone_info,
                {key.id: key for key in runtime.keyring.valid()},
                can_write=not runtime.ledger.is_failing,
            ),
            "recent": [_row(event) for event in reversed(runtime.events.recent) if type(event) is Answered][:SHOWN],
            "cloud_keys": not_used(runtime.cloud_keys, runtime.config),
            "handed_to_egress": handed_to_egress(runtime.config),
            "isolation": processes(runtime.fenced.standing, runtime.config, statuses, WAY_OUT),
        }  # fmt: skip

    def _model(self, name: str) -> dict[str, Any]:
        runtime = self._runtime
        model = runtime.pipeline.settings.catalog.models[name]
        targets: list[dict[str, Any]] = []
        for target in model.targets:
            lane, seen = runtime.admission.lanes.get(target.name), runtime.health.of(target)
            targets.append({
                "name": target.name, "engine": target.engine, **self._explaining.cloud_of(target),
                "boundary": target.reach, "window": target.window,
                "slots": target.slots, "running": lane.running if lane else 0,
                "waiting": len(lane.waiting) if lane else 0, "waiting_by_class": _by_class(*filter(None, (lane,))),
                "failures": seen.failures, "reason": seen.reason, "set_aside_s": runtime.health.set_aside_s(target),
            })  # fmt: skip
        abilities = sorted({ability.value for target in model.targets for ability in target.abilities})
        return {
            "name": model.name, "aliases": list(model.aliases), "abilities": abilities, "window": model.window,
            "owner": model.owner, "targets": targets,
        }  # fmt: skip

    def _instance(self, status: InstanceStatus) -> dict[str, Any]:
        now = monotonic()
        percent = None
        if status.cpu_s is not None:
            cpu_s, at = self._cpu_before.get(status.name, (status.cpu_s, now))
            percent = round(max(0.0, status.cpu_s - cpu_s) / (now - at) * 100, 1) if now > at else 0.0
            if now - at > 1 or status.name not in self._cpu_before:
                self._cpu_before[status.name] = (status.cpu_s, now)
        return {
            "name": status.name, "engine": status.engine, "model": status.model,
            "kind": "egress" if status.name == WAY_OUT else "supervised" if status.is_ours else "adopted",
            "state": status.state,
            "since_s": round(status.since_s, 1), "pid": status.pid, "port": status.port, "restarts": status.restarts,
            "window": status.window, "slots": status.slots,
            "in_use": status.in_use, "rss_bytes": status.rss_bytes, "cpu_percent": percent, "reason": status.reason,
        }  # fmt: skip

    def _requests(self) -> dict[str, Any]:
        runtime = self._runtime
        answers = runtime.metrics.answers
        lanes = runtime.admission.lanes.values()
        minute_ago = time() - 60
        return {
            "running": sum(lane.running for lane in lanes),
            "waiting": sum(len(lane.waiting) for lane in lanes),
            "waiting_by_class": _by_class(*lanes),
            "total": sum(series.requests for series in answers.values()),
            "errors": sum(series.requests for labels, series in answers.items() if labels[4] not in NO_ERRORS),
            "per_minute": sum(type(e) is Answered and e.at_s > minute_ago for e in runtime.events.recent),
            "prompt_tokens": sum(series.prompt_tokens for series in answers.values()),
            "completion_tokens": sum(series.completion_tokens for series in answers.values()),
        }

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        async with self._runtime.events.watch() as queue:
            yield self._each(queue)

    async def _each(self, queue: asyncio.Queue[object]) -> AsyncIterator[dict[str, Any]]:
        yield self.status()
        while True:
            try:
                async with asyncio.timeout(5.0):  # memory and load move without events
                    await queue.get()
            except TimeoutError:
                pass
            await asyncio.sleep(WATCH_EVERY_S)
            while not queue.empty():
                queue.get_nowait()
            yield self.status()

    # -- keys -------------------------------------------------------------------------------------------------------

    async def keys(self) -> list[dict[str, Any]]:
        await self._runtime.ledger.flush()
        began = starts(time(), self._runtime.config.money.zone_info)
        found, used, spent = await self._runtime.db.read(
            lambda c: (keystore.all_keys(c), ledger.totals(c, "0000-00-00"), ledger.spent_by_key(c, began))
        )
        return [ledger.with_usage(key, used, spent.get(key.id)) for key in found]

    async def create_key(
        self,
        name: str,
        profile: str,
        agent: str,
        requests_per_minute: int | None,
        tokens_per_minute: int | None,
        expires_s: int | None,
        budget: Mapping[str, int | None],
    ) -> dict[str, Any]:
        config = self._runtime.config
        for what, given, known in (("profile", profile, config.profiles), ("agent", agent, config.agents)):
            if given and given not in known:
                raise BadRequest(not_configured(what, given, known), param=what)
        try:
            key, secret = await self._runtime.create_key(
                name=name, profile=profile, agent=agent, requests_per_minute=requests_per_minute,
                tokens_per_minute=tokens_per_minute, expires_s=expires_s, budget=replace(NO_BUDGET, **budget),
            )  # fmt: skip
        except ValueError as error:
            raise BadRequest(str(error), param="name") from None
        boundary = reach_of_key(config, profile, agent).name
        return {**ledger.with_usage(key, []), "secret": secret, "boundary": boundary}

    async def rebudget_key(self, which: str, changes: Mapping[str, int | None]) -> dict[str, Any]:
        return await self._changed(which, lambda c: keystore.rebudget(c, which, changes))

    async def revoke_key(self, which: str) -> dict[str, Any]:
        return await self._changed(which, lambda c: keystore.revoke(c, which, int(time())))

    async def _changed(self, which: str, change: Callable[[Any], Key]) -> dict[str, Any]:
        """Of the one key that is meant, from now on."""
        try:
            key = await self._runtime.db.run(change)
        except keystore.KeyUnknown:
            raise NotFound(f"There is no key '{which[:64]}'; `ringfence keys list` shows them.") from None
        except keystore.KeyAmbiguous as several:
            ids = ", ".join(key.id for key in several.candidates)
            raise BadRequest(f"'{which[:64]}' means several keys: {ids}. Name one by its id.") from None
        except ValueError as error:
            raise BadRequest(str(error), param="budget") from None
        await self._runtime.read_keys()
        return ledger.with_usage(key, [])

    # -- decisions and configuration --------------------------------------------------------------------------------

    async def explain(self, model: str, body: dict[str, Any], asker: dict[str, str]) -> dict[str, Any]:
        asked = {**(body or {"messages": [{"role": "user", "content": ""}]}), "model": model}
        dialect = _dialect_of(asked, asker.get("dialect", ""))
        if isinstance(dialect, Foreign):
            if is_deep(asked):
                raise too_deep()
            dialect, asked = dialect.goes_as, dialect.heard(asked, NO_HEAD).body
        key = self._asker(asker)
        agent = agent_of(key, asker.get("agent", ""))
        named = asker.get("profile", "") if "key" in asker else ""  # of a key, what it says of itself in a header
        labels, is_stream = asker.get("labels", ""), body.get("stream") is True
        call = Call("explain", key, dialect, model, asked, _size_bytes(asked), is_stream, 0.0, agent, named, labels)
        dialect.check(call.body)
        call.urgency, call.may_load = urgency_of(NAMED[asker.get("priority", "user")], asked)
        return await self._explaining.explain(call)

    def profiles(self) -> list[dict[str, Any]]:
        settings = self._runtime.pipeline.settings
        bound = keys_by_profile(self._runtime.config, self._runtime.keyring.valid())
        return [row | {"keys": bound.get(row["name"], [])} for row in reaches(settings.house, settings.catalog)]

    async def devices(self) -> dict[str, Any]:
        return await self._holds.all()

    async def timeline(self) -> dict[str, Any]:
        return self._runtime.placing.timeline.shown()

    async def plan(self) -> dict[str, Any]:
        return await self._moves.plan()

    async def modes(self) -> dict[str, Any]:
        return self._runtime.placing.modes.shown()

    async def switch_mode(self, name: str | None) -> dict[str, Any]:
        return self._moves.switch_mode(name)

    async def leases(self) -> dict[str, Any]:
        return self._lent.all()

    async def lease(self, fields: dict[str, Any]) -> dict[str, Any]:
        return await self._lent.ask(fields)

    async def keep_lease(self, lease_id: str) -> dict[str, Any]:
        return self._lent.keep(lease_id)

    async def end_lease(self, lease_id: str) -> dict[str, Any]:
        return self._lent.end(lease_id)

    async def parked(self) -> dict[str, Any]:
        return await self._waits.all()

    async def parked_one(self, parked_id: str) -> dict[str, Any]:
        return await self._waits.one(parked_id)

    async def cancel_parked(self, parked_id: str) -> dict[str, Any]:
        return await self._waits.cancel(parked_id)

    def cache(self) -> dict[str, Any]:
        return {"profiles": self._runtime.pipeline.answers.cache.shown()}

    def clear_cache(self, profile: str) -> dict[str, Any]:
        return {"forgotten": self._runtime.pipeline.answers.clear(profile)}

    async def batches(self) -> dict[str, Any]:
        return await self._batches.all()

    async def batch(self, batch_id: str) -> dict[str, Any]:
        return await self._batches.one(batch_id)

    async def cancel_batch(self, batch_id: str) -> dict[str, Any]:
        return await self._batches.cancel(batch_id)

    async def money(self) -> dict[str, Any]:
        self._runtime.events.flush()
        return await self._spent.now()

    async def spend(self, days: int) -> dict[str, Any]:
        self._runtime.events.flush()
        return await self._spent.days(days)

    async def egress(self, since_s: float | None) -> dict[str, Any]:
        keys = await self._runtime.db.run(keystore.all_keys)
        return await self._what_left.tell(self._runtime.config, keys, since_s)

    def _asker(self, asker: dict[str, str]) -> Key:
        """Whose call it would be. A profile that is not there is most likely a slip of the pen."""
        named, known = asker.get("profile"), self._runtime.config.profiles
        if named is not None and named not in known:
            raise NotFound(not_configured("profile", named[:64], known), param="profile")
        key = asker.get("key")
        if key is None:
            return Key("explain", "explain", asker.get("profile", "default"))
        found = self._runtime.keyring.find(key.encode())
        if found is None:
            raise NotFound("This key is not known here.")
        return found

    async def reload(self) -> dict[str, Any]:
        outcome = await self._runtime.reload()
        return {
            "ok": outcome.ok,
            "changes": [asdict(change) for change in outcome.changes],
            "problems": list(outcome.problems),
            "dead_keys": list(outcome.dead_keys),
            "notes": list(outcome.notes),
        }

    def config_text(self) -> str:
        return show(self._runtime.config)

    # -- who may look -------------------------------------------------------------------------------------------------

    def sign_in(self, token: str) -> str | None:
        return self._runtime.sessions.sign_in(token)

    def session(self, session_id: str) -> dict[str, Any] | None:
        return self._runtime.sessions.find(session_id)

    def console_link(self) -> str:
        return self._runtime.console_link()

    def is_admin(self, token: str) -> bool:
        return compare_digest(token.encode(), self._runtime.admin.encode())


def application(runtime: Runtime) -> AsgiApp:
    """Control API and console as one ASGI application."""
    view = Overview(runtime)
    built = control.build(view)
    pages.mount(built, view, cookie=SESSION_COOKIE)
    return built


def _by_class(*lanes: Lane) -> dict[str, int]:
    """Those who wait, by the class that they came with."""
    found = [lane.queue.by_class() for lane in lanes]
    return {urgency.name.lower(): sum(counts[urgency] for counts in found) for urgency in Urgency}


def _dialect_of(body: dict[str, Any], named: str) -> Dialect | Foreign:
    """The one that is named, or the one that the body looks like."""
    known: dict[str, Dialect | Foreign] = {**dialects_by_name(), ASKING.name: ASKING}
    if named:
        if named not in known:
            raise BadRequest(not_configured("dialect", named[:64], known), param="dialect")
        return known[named]
    given = body.get("input")
    if isinstance(given, list) and any(isinstance(one, dict) and "content" in one for one in given):
        return ASKING
    return known["embeddings" if "input" in body else "completions" if "prompt" in body else "chat"]


def _size_bytes(body: dict[str, Any]) -> int:
    """As it would be sent."""
    try:
        return len(orjson.dumps(body))
    except TypeError:  # half a surrogate pair, or a number beyond 64 bits: no such request is taken either
        raise BadRequest("The body is not valid JSON.", code="invalid_json") from None


def _row(event: Answered) -> dict[str, Any]:
    usage, kind = event.usage, event.kind
    return {
        "id": event.call_id, "at_s": event.at_s, "model": kind.model, "target": kind.target, "rule": kind.rule,
        "dialect": kind.dialect, "status": kind.status, "outcome": kind.outcome, "stream": kind.stream,
        "first_byte_ms": round(event.first_byte_s * 1000, 2), "total_ms": round(event.total_s * 1000, 2),
        "prompt_tokens": usage.prompt_tokens if usage else 0,
        "completion_tokens": usage.completion_tokens if usage else 0,
        "key": kind.key.name, "fitting": _fitting(event.fitting),
    }  # fmt: skip


def _fitting(fitting: Fitting | None) -> dict[str, Any] | None:
    return fitting._asdict() | {"shortened": dict(fitting.shortened)} if fitting is not None else None
