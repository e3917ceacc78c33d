"""What the control API and the console see of the running gateway. The runtime fills it in; tests hand in a fake."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol


class View(Protocol):
    """The running gateway, as JSON-able values. Times are UTC seconds; what goes wrong is a `core.errors.Failure`.

    Nothing that it returns holds text of a request, and no secret but the one of a key that was just created.
    """

    def status(self) -> dict[str, Any]:
        """Everything the first page shows: models, instances, devices, requests, and what was left out and why."""
        ...

    async def keys(self) -> list[dict[str, Any]]:
        """Every API key without its secret, and what it has used."""
        ...

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
        """A new key; `secret` stands in this answer and never again. Profile or agent may be empty, not both. `budget`
        are its caps (day, week, month, call; micro-dollars) and its `soft_percent`."""
        ...

    async def rebudget_key(self, which: str, changes: Mapping[str, int | None]) -> dict[str, Any]:
        """Other caps for the key with this id, name or hint: None takes one away, what is not named stays."""
        ...

    async def revoke_key(self, which: str) -> dict[str, Any]:
        """The key with this id, name or hint, as it is after it was revoked."""
        ...

    async def explain(self, model: str, body: dict[str, Any], asker: dict[str, str]) -> dict[str, Any]:
        """Where such a request would go, and why. Nothing is sent. `asker` may name a key (its secret) or a profile,
        an agent, labels (with commas between), and a priority: key, profile, agent, labels, priority."""
        ...

    def profiles(self) -> list[dict[str, Any]]:
        """What each profile may reach, and why."""
        ...

    async def egress(self, since_s: float | None) -> dict[str, Any]:
        """What left this machine since then (without it: this UTC day), for whom and where to; whether the journal is
        whole; and for each profile since when nothing has left."""
        ...

    async def devices(self) -> dict[str, Any]:
        """Read now: `devices`, as in the status, each with its `holders`; and `unread`: title and reason.

        Each device has besides: expected_free_bytes, what is left once each instance holds as much as is reckoned with;
        headroom_bytes, which stay free after every load, and threshold_bytes, below which the lowest leave;
        leased_bytes, what tenants may still take beside what they hold.

        Of each holder: kind (instance, program, unnamed), name, pid, held_bytes (None where it is not told), and of an
        instance its footprint, where one is known: predicted_bytes, observed_bytes, loads; bytes, low_bytes, high_bytes
        and basis of the figure that is reckoned with."""
        ...

    async def timeline(self) -> dict[str, Any]:
        """`every_s`, and `devices`: by id, oldest first, [at_s, ours_bytes, others_bytes, leased_bytes] of the last
        hour; leased_bytes as above."""
        ...

    async def plan(self) -> dict[str, Any]:
        """What would be done now: `actions`, in order, each with what (load, wake, drain, unload, sleep, grant,
        recall), name, devices (bytes by id), cause (may be empty) and reason; `waiting`: name, reason, estimate_s;
        `refused`: name, reason; `asked_again_in_s`, or None when time alone changes nothing.

        And as it is: `models`, each with name, residency, priority, phase (absent, starting, ready, draining, stopping,
        sleeping, failed), devices (bytes by id), running, waiting, idle_s (None while it is used) and basis of its
        bytes (observed, predicted, configured); `mode`, or None; `recent`: what was done last, newest first: at_s,
        what, name, reason."""
        ...

    async def modes(self) -> dict[str, Any]:
        """`modes`: name, devices, models, tenants; `now`, the one that is on, or None; and `switch`, the last one or
        None: to, from (None: no mode), since_s, steps (at_s, text) and outcome, which is None while it goes on, then
        "done" or "rolled back: why"."""
        ...

    async def switch_mode(self, name: str | None) -> dict[str, Any]:
        """Begins a switch to a mode, or to none; answers as `modes` at once. The name is one of those."""
        ...

    async def leases(self) -> dict[str, Any]:
        """Memory of devices that other programs have, or ask for: `leases`, oldest first. Of each: id, tenant, device,
        bytes, used_bytes, priority, phase (asked, held, recalled), age_s, expires_s (what is left without a sign of
        life), pid (or None), reason (what was last said about it, or empty) and estimate_s (or None)."""
        ...

    async def lease(self, fields: dict[str, Any]) -> dict[str, Any]:
        """A new one: tenant, device (or None), memory (bytes), priority (or None), ttl_s, pid (or None); it is waited
        for at most wait_s until it is held."""
        ...

    async def keep_lease(self, lease_id: str) -> dict[str, Any]:
        """Its tenant lives. NotFound once it ended."""
        ...

    async def end_lease(self, lease_id: str) -> dict[str, Any]:
        """That lease, as it was last."""
        ...

    async def parked(self) -> dict[str, Any]:
        """What waits until a target within its boundary is free: `parked`, in the order in which it is served; how
        many there may be (`most`); and `sealed`, which is "ok" or says why texts that were parked cannot be read.

        Of each request: id, model, profile, key (its name), class, ticketed, state, age_s, position (None once it is
        not in the queue any more), deadline_s (what is left until then) and estimate_s; the last two may be None."""
        ...

    async def parked_one(self, parked_id: str) -> dict[str, Any]:
        """One of them."""
        ...

    async def cancel_parked(self, parked_id: str) -> dict[str, Any]:
        """That request, as it is after it was cancelled; one that had ended already stays as it ended."""
        ...

    def cache(self) -> dict[str, Any]:
        """Of each profile that keeps answers or did (`profiles`): profile, answers, bytes, hit, miss and joined."""
        ...

    def clear_cache(self, profile: str) -> dict[str, Any]:
        """How many were `forgotten`; of all profiles where none is named."""
        ...

    async def batches(self) -> dict[str, Any]:
        """`batches` of all keys, the latest first, and how many lines are under way (`running`).

        Of each batch: id, status, key (its name), profile, endpoint, model (empty where its lines name several), total,
        completed, failed, age_s and left_s (until its window ends; None once it has ended)."""
        ...

    async def batch(self, batch_id: str) -> dict[str, Any]:
        """One of them, with its `errors`."""
        ...

    async def cancel_batch(self, batch_id: str) -> dict[str, Any]:
        """That batch, as it is after it was cancelled; one that had ended already stays as it ended."""
        ...

    async def money(self) -> dict[str, Any]:
        """`standings`: every cap, and everything else that something was spent of in the period: scope (house,
        provider, profile, key), name (a key's id), label (a key's name), period (day, week, month), limit_usd_micros
        (None where nothing is capped), spent_usd_micros, held_usd_micros, soft_percent, begins_s and ends_s. `holds`,
        the oldest first: id, call, key (its name), profile, agent, model, provider, usd_micros and age_s. `zone` by
        whose clocks periods begin, `providers` that are configured, `can_write`: whether the ledger could be written
        last, and `problem` where it cannot be read. `keys_set_aside` of providers with several keys: provider, of (how
        many it has), number (from 1), reason (limited, refused, unpaid) and until_s."""
        ...

    async def spend(self, days: int) -> dict[str, Any]:
        """`days`, the earliest first, this one last: day (YYYY-MM-DD, in `zone`), begins_s and `rows`: provider (empty
        for own engines), calls, input_tokens, output_tokens, usd_micros, unpriced_calls."""
        ...

    async def reload(self) -> dict[str, Any]:
        """Read the configuration again: `ok`, `changes`, `problems`."""
        ...

    def config_text(self) -> str:
        """The configuration in force, as YAML; secrets are references in it."""
        ...

    def watch(self) -> AbstractAsyncContextManager[AsyncIterator[dict[str, Any]]]:
        """The whole status each time something happened, at most about four times a second."""
        ...

    def console_link(self) -> str:
        """An address that signs one browser in, once; it holds a token."""
        ...

    def sign_in(self, token: str) -> str | None:
        """Exchanges a console token, once, for the id of a session; None when it is not valid (any more)."""
        ...

    def session(self, session_id: str) -> dict[str, Any] | None:
        """`api_key` for the chat box and `expires_s`; None when there is no such session (any more)."""
        ...

    def is_admin(self, token: str) -> bool:
        """True for the token of the command line."""
        ...
