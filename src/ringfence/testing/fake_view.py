"""A running gateway as the control API and the console see it, without one: every answer is made up and can be changed.

view = FakeView()
view.sample["models"].clear()
view.changed()
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import Any

from ringfence.core.errors import BadRequest, ModelNotFound, NotFound
from ringfence.testing.fake_explained import sample_window
from ringfence.testing.fake_leases import FakeLeases
from ringfence.testing.fake_money import sample_money, sample_spend
from ringfence.testing.fake_parking import FakeParking
from ringfence.testing.fake_placement import FakePlacement
from ringfence.testing.fake_status import sample_holders, sample_status
from ringfence.testing.fake_what_left import sample_what_left

ADMIN_TOKEN = "rf-admin-for-tests"  # noqa: S105
CHAT_KEY = "sk-rf-chat-for-tests"


class FakeView:
    """Holds keys and sessions in memory; `tokens` are the console tokens that still work."""

    def __init__(self) -> None:
        self.sample: dict[str, Any] = sample_status(time.time())
        self.what_left: dict[str, Any] = sample_what_left(time.time())
        self.purse: dict[str, Any] = sample_money(time.time())
        self.spent: dict[str, Any] = sample_spend(time.time())
        self.parking = FakeParking()
        self.batched = [
            _batched(3, "in_progress", 1200, 3, 82_675.0), _batched(2, "failed", 0, 0, None),
            _batched(1, "completed", 4990, 10, None),
        ]  # fmt: skip
        self.placement = FakePlacement()
        self.lent = FakeLeases()
        self.holders = sample_holders()
        self.unread: list[dict[str, str]] = []
        self.asked_since: list[float | None] = []
        self.tokens: set[str] = set()
        self.sessions: dict[str, dict[str, Any]] = {}
        self.bound = [{"name": "default", "tier": "T1 sovereign", "boundary": "HOST", "targets": [], "idle": []}]
        self.explained: dict[str, Any] | None = None
        """What every request that names a known model is told; None for an answer without rules."""
        self.asked: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.known_keys: dict[str, dict[str, Any]] = {}
        self.reloads = 0
        self.watchers: set[asyncio.Queue[dict[str, Any] | None]] = set()

    def status(self) -> dict[str, Any]:
        return deepcopy(self.sample)

    async def keys(self) -> list[dict[str, Any]]:
        return [dict(key) for key in self.known_keys.values()]

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
        if profile not in ("default", ""):
            raise BadRequest(f"There is no profile '{profile}'.", param="profile")
        key = {
            "id": f"key_{len(self.known_keys):012x}",
            "name": name,
            "hint": "abcd",
            "profile": profile,
            "agent": agent,
            "requests_per_minute": requests_per_minute,
            "tokens_per_minute": tokens_per_minute,
            "created_s": int(time.time()),
            "expires_s": expires_s,
            "revoked_s": None,
            "requests": 0,
            "prompt_tokens": 0,
            "completion_tokens": 0,
            "cost_usd_micros": 0,
            "budget": {**dict.fromkeys(("day", "week", "month", "call")), "soft_percent": 80, **budget},
            "spent": dict.fromkeys(("day", "week", "month"), 0),
        }
        self.known_keys[str(key["id"])] = key
        return {**key, "secret": "sk-rf-shown-once"}

    async def rebudget_key(self, which: str, changes: Mapping[str, int | None]) -> dict[str, Any]:
        key = self.known_keys.get(which)
        if key is None:
            raise NotFound(f"There is no key '{which}'.", code="key_not_found")
        key["budget"] = {**key["budget"], **changes}
        return dict(key)

    async def revoke_key(self, which: str) -> dict[str, Any]:
        key = self.known_keys.get(which)
        if key is None:
            raise NotFound(f"There is no key '{which}'.", code="key_not_found")
        key["revoked_s"] = int(time.time())
        return dict(key)

    async def explain(self, model: str, body: dict[str, Any], asker: dict[str, str]) -> dict[str, Any]:
        self.asked.append((model, body, asker))
        for known in self.sample["models"]:
            if model in (known["name"], *known["aliases"]):
                break
        else:
            raise ModelNotFound(f"The model '{model}' does not exist.", param="model")
        if self.explained is not None:
            return deepcopy(self.explained) | {"asker": asker}
        shown = ("engine", "provider", "host", "boundary", "window")
        chain = [
            {
                "target": target["name"],
                **{name: target[name] for name in shown},
                "usable": not target["reason"],
                "note": target["reason"],
            }
            for target in known["targets"]
        ]
        return {
            "model": known["name"],
            "rule": "requested-model",
            "reason": "named by the caller" if model == known["name"] else f"'{model}' is another name for it",
            "allowed": "HOST",
            "kept_by": "",
            "held_by": "",
            "profile": asker.get("profile", "default"),
            "agent": asker.get("agent", ""),
            "priority": asker.get("priority", "user"),
            "chain": chain,
            "ending": "error",
            "excluded": [],
            "window": sample_window(target=chain[0]["target"], window=known["window"]),
            "signals": {"ability": "chat", "prompt_bytes": len(repr(body)), "stream": False, "tools": False},
            "asker": asker,
        }

    def profiles(self) -> list[dict[str, Any]]:
        return deepcopy(self.bound)

    async def egress(self, since_s: float | None) -> dict[str, Any]:
        self.asked_since.append(since_s)
        return deepcopy(self.what_left)

    async def devices(self) -> dict[str, Any]:
        nothing = dict.fromkeys(("headroom_bytes", "threshold_bytes", "leased_bytes"), 0)
        found = [
            device
            | {"expected_free_bytes": device["free_bytes"], "holders": self.holders.get(device["id"], [])}
            | self.placement.reserved.get(device["id"], nothing)
            for device in self.status()["devices"]
        ]
        return {"devices": found, "unread": list(self.unread)}

    async def timeline(self) -> dict[str, Any]:
        return {"every_s": 5, "devices": self.placement.points}

    async def plan(self) -> dict[str, Any]:
        return deepcopy(self.placement.plan)

    async def modes(self) -> dict[str, Any]:
        return self.placement.now()

    async def switch_mode(self, name: str | None) -> dict[str, Any]:
        return self.placement.switch(name)

    async def leases(self) -> dict[str, Any]:
        return {"leases": self.lent.rows()}

    async def lease(self, fields: dict[str, Any]) -> dict[str, Any]:
        return self.lent.ask(fields)

    async def keep_lease(self, lease_id: str) -> dict[str, Any]:
        return _leased(self.lent.beat(lease_id), lease_id)

    async def end_lease(self, lease_id: str) -> dict[str, Any]:
        return _leased(self.lent.end(lease_id), lease_id)

    async def parked(self) -> dict[str, Any]:
        return {"parked": self.parking.rows(), "most": self.parking.most, "sealed": self.parking.sealed}

    async def parked_one(self, parked_id: str) -> dict[str, Any]:
        return _parked(self.parking.row(parked_id), parked_id)

    def cache(self) -> dict[str, Any]:
        row = {"profile": "default", "answers": 2, "bytes": 4096, "hit": 3, "miss": 2, "joined": 1}
        return {"profiles": [row]}

    def clear_cache(self, profile: str) -> dict[str, Any]:
        return {"forgotten": 2 if profile in ("", "default") else 0}

    async def cancel_parked(self, parked_id: str) -> dict[str, Any]:
        return _parked(await self.parking.cancel(parked_id), parked_id)

    async def money(self) -> dict[str, Any]:
        return deepcopy(self.purse)

    async def spend(self, days: int) -> dict[str, Any]:
        return deepcopy(self.spent) | {"days": deepcopy(self.spent["days"][-days:])}

    async def batches(self) -> dict[str, Any]:
        return {"batches": self.batched, "running": sum(row["status"] == "in_progress" for row in self.batched)}

    async def batch(self, batch_id: str) -> dict[str, Any]:
        row = next((row for row in self.batched if row["id"] == batch_id), None)
        if row is None:
            raise NotFound(f"There is no batch '{batch_id}'.")
        errors = [{"code": "duplicate_custom_id", "message": "Twice.", "param": "custom_id", "line": 7}]
        return row | {"errors": errors if row["status"] == "failed" else []}

    async def cancel_batch(self, batch_id: str) -> dict[str, Any]:
        row = await self.batch(batch_id)
        for kept in self.batched:
            if kept["id"] == batch_id and kept["left_s"] is not None:
                kept |= {"status": "cancelling"}
                return await self.batch(batch_id)
        return row

    async def reload(self) -> dict[str, Any]:
        self.reloads += 1
        return {"ok": True, "changes": [], "problems": [], "dead_keys": []}

    def config_text(self) -> str:
        return "server:\n  port: 7464\n"

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self.watchers.add(queue)
        try:
            yield self._follow(queue)
        finally:
            self.watchers.discard(queue)

    async def _follow(self, queue: asyncio.Queue[dict[str, Any] | None]) -> AsyncIterator[dict[str, Any]]:
        while (status := await queue.get()) is not None:
            yield status

    def changed(self) -> None:
        """Tell every watcher; from the loop that they run in."""
        for queue in self.watchers:
            queue.put_nowait(self.status())

    def end_watching(self) -> None:
        """Let every stream of events end."""
        for queue in self.watchers:
            queue.put_nowait(None)

    def sign_in(self, token: str) -> str | None:
        if token not in self.tokens:
            return None
        self.tokens.discard(token)
        session_id = f"session-{len(self.sessions)}"
        self.sessions[session_id] = {"api_key": CHAT_KEY, "expires_s": time.time() + 3600}
        return session_id

    def session(self, session_id: str) -> dict[str, Any] | None:
        found = self.sessions.get(session_id)
        return found if found is not None and time.time() < found["expires_s"] else None

    def console_link(self) -> str:
        self.tokens.add("linked")
        return "http://127.0.0.1:7464/console?token=linked"

    def is_admin(self, token: str) -> bool:
        return token == ADMIN_TOKEN


def _batched(number: int, status: str, completed: int, failed: int, left_s: float | None) -> dict[str, Any]:
    return {
        "id": f"batch_{number:024x}", "status": status, "key": "nightly", "profile": "private",
        "endpoint": "/v1/chat/completions", "model": "local/fast", "total": 5000, "completed": completed,
        "failed": failed, "age_s": 3725.0,
        "left_s": left_s, "not_before_s": None,
    }  # fmt: skip


def _parked(row: dict[str, Any] | None, parked_id: str) -> dict[str, Any]:
    if row is None:
        raise NotFound(f"There is no parked request '{parked_id}'.")
    return row


def _leased(row: dict[str, Any] | None, lease_id: str) -> dict[str, Any]:
    if row is None:
        raise NotFound(f"There is no lease '{lease_id}'.")
    return row
