"""What becomes of one call: checked, counted, written down, and only then sent. Read `Calls.answer` downwards."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from hashlib import sha256
from time import monotonic
from typing import NamedTuple

from ringfence.core.errors import BoundaryRefused
from ringfence.egress.batching import Batching
from ringfence.egress.caps import Claim, Refused, check_day, checked_body, read_permit
from ringfence.egress.cloud import Cloud
from ringfence.egress.exchange import Exchange
from ringfence.egress.journal import Journal
from ringfence.egress.journal_chain import NOT_SENT
from ringfence.egress.permit import issue
from ringfence.egress.pool import HeadedLine
from ringfence.egress.server import Asked
from ringfence.egress.settings import Timeouts
from ringfence.egress.turns import Headers, reason_of, wait_s
from ringfence.store.failure import StoreFailed

RETRY_S = 5.0
log = logging.getLogger("ringfence.egress.calls")

REASONS = {
    "connect": (502, "The provider cannot be reached."),
    "resolve": (502, "The provider's name leads to an address where no cloud may lie."),
    "lost": (502, "The provider broke off before it answered."),
    "stale": (502, "The provider broke off before it answered."),
    "malformed": (502, "The provider sent something that cannot be read."),
    "redirected": (502, "The provider points elsewhere; that is never followed."),
    "too_long": (502, "The provider's answer did not end within the limits."),
    "first_byte_timeout": (504, "The provider did not answer in time."),
    "stalled": (504, "The provider did not answer in time."),
}


class Order(NamedTuple):
    """What was checked: a claim, and the body to send."""

    claim: Claim
    body: bytes
    digest: str
    is_stream: bool


class Calls:
    """Answers every request of every caller. `now_s` is Unix time."""

    def __init__(
        self, clouds: Mapping[str, Cloud], journal: Journal, timeouts: Timeouts, now_s: Callable[[], float]
    ) -> None:
        self.clouds = clouds
        self._journal = journal
        self._timeouts = timeouts
        self._now_s = now_s
        self._batching = Batching(journal, timeouts, now_s)
        self.running: set[asyncio.Task[None]] = set()
        self._retiring: set[asyncio.Task[None]] = set()

    def serve(self, asked: Asked) -> None:
        """Start answering."""
        if asked.path == b"/v1/health":
            asked.answer(200, self._health())
        elif asked.method != b"POST" or not (asked.path == b"/v1/calls" or asked.path.startswith(b"/v1/batches")):
            asked.refuse(Refused(404, "not_found", "There is POST /v1/calls and /v1/batches here, and GET /v1/health."))
        else:
            task = asyncio.create_task(self._run(asked))
            self.running.add(task)
            task.add_done_callback(self.running.discard)

    def _health(self) -> dict[str, object]:
        """How it is, and of providers with several keys which of them are set aside."""
        now_s = self._now_s()
        keys = [
            {"provider": name, "of": len(cloud.provider.keys), **one}
            for name, cloud in sorted(self.clouds.items())
            if len(cloud.provider.keys) > 1
            for one in cloud.turns.told(now_s)
        ]
        return {
            "status": "ok", "providers": sorted(self.clouds), "running": len(self.running), "keys_set_aside": keys
        }  # fmt: skip

    def change(self, clouds: Mapping[str, Cloud]) -> None:
        """For the calls that come from now on; those under way go on as they began."""
        gone = [cloud for name, cloud in self.clouds.items() if clouds.get(name) is not cloud]
        self.clouds = clouds
        task = asyncio.create_task(_retire(gone, tuple(self.running)))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _run(self, asked: Asked) -> None:
        try:
            if asked.path == b"/v1/calls":
                await self.answer(asked)
            else:
                await self._batching.answer(asked, self.clouds.get)
        except Refused as refused:
            log.info("refused: %s", refused.code)
            asked.refuse(refused)
        except Exception:
            log.exception("a call could not be answered")
            asked.abort()

    async def answer(self, asked: Asked) -> None:
        """One call, from its permit to its last byte. Refused when nothing of an answer has been passed on."""
        claim = read_permit(asked.permit)
        cloud = self.clouds.get(claim.provider)
        if cloud is None:
            raise Refused(403, "unknown_provider", "No provider of this name is switched on. Nothing was sent.")
        if claim.ability not in cloud.abilities:
            raise Refused(400, "unknown_ability", f"This provider has no {claim.ability}. Nothing was sent.")
        body, is_stream = checked_body(claim, cloud.provider.cap, asked.body)
        asked.body = b""
        order = Order(claim, body, sha256(body).hexdigest(), is_stream)
        number = cloud.turns.take(self._now_s())
        # A line that had waited and died may have been heard: the gateway holds money anew before it asks again.
        outcome = await self._tried(asked, cloud, order, number, is_fresh=False)
        if outcome in ("key_refused", "key_limited"):  # nothing was charged: once more, with another key
            cloud = self.clouds.get(claim.provider, cloud)
            if outcome == "key_limited":
                number = cloud.turns.take(self._now_s())
            outcome = await self._tried(
                asked, cloud, order, min(number, len(cloud.heads) - 1), is_fresh=True, is_last=True
            )
        if outcome in REASONS:
            status, message = REASONS[outcome]
            asked.refuse(Refused(status, outcome, message, RETRY_S))

    def _judged(self, cloud: Cloud, number: int, is_last: bool, status: int, headers: Headers) -> str | None:
        """Of the head of an answer: whether the call is to be made once more, and why. A key that is limited or refused
        is set aside here, for whoever comes next."""
        if status == 401 and not is_last and self._has_new_key(cloud, number):
            return "key_refused"
        now_s = self._now_s()
        if status < 400:
            cloud.turns.served(number, now_s)
        elif status in (401, 429) and (reason := reason_of(status)) is not None:
            self._set_aside(cloud, number, reason, wait_s(headers, now_s))
            if status in (401, 429) and not is_last and cloud.turns.has_other(number, now_s):
                return "key_limited"
        return None

    def _set_aside(self, cloud: Cloud, number: int, reason: str, for_s: float | None) -> None:
        for_s = cloud.turns.set_aside(number, reason, for_s, self._now_s())
        if len(cloud.provider.keys) > 1:
            log.info("key %d of '%s' is %s, and set aside for %.0f s", number + 1, cloud.provider.name, reason, for_s)

    def _has_new_key(self, cloud: Cloud, number: int) -> bool:
        """After a refusal. Whoever is refused first puts the other key to work for all."""
        name = cloud.provider.name
        if (now := self.clouds.get(name)) is not cloud:
            keys = now.provider.keys if now is not None else ()
            return number < len(keys) and keys[number].secret != cloud.provider.keys[number].secret
        renewed = cloud.with_new_key(number)
        if renewed is not None:
            self.change({**self.clouds, name: renewed})
        return renewed is not None

    async def _tried(
        self, asked: Asked, cloud: Cloud, order: Order, number: int, *, is_fresh: bool, is_last: bool = False
    ) -> str:
        """The outcome. Every try is counted and written down before it is made."""
        try:
            addresses = await cloud.addresses(is_fresh=is_fresh)
        except BoundaryRefused:
            return "resolve"
        except OSError:
            return "connect"
        outcome = "connect"
        for address in addresses:
            if asked.is_gone:
                return "client_gone"
            check_day(self._journal.today(order.claim.provider), cloud.provider.cap, self._now_s())
            line = await self._written(order, address)
            began = monotonic()
            outcome, exchange = await self._sent(
                asked, cloud, order, address, number, is_fresh=is_fresh, is_last=is_last
            )
            self._ended(line, order.claim, outcome, exchange, monotonic() - began)
            if exchange is not None and (reason := reason_of(exchange.status, exchange.start)) == "unpaid":
                self._set_aside(cloud, number, reason, None)
            if outcome != "connect":
                break
        return outcome

    async def _written(self, order: Order, address: str) -> int:
        """What is not written down does not leave."""
        claim = order.claim
        try:
            return await self._journal.sent(
                call=claim.call, key=claim.key, profile=claim.profile, provider=claim.provider, model=claim.model,
                allowed=claim.allowed, address=address, max_tokens=claim.max_tokens, bytes_out=len(order.body),
                sha256_out=order.digest,
            )  # fmt: skip
        except Exception:
            log.exception("the journal cannot be written; nothing leaves")
            message = "The journal of what leaves cannot be written, so nothing leaves. `ringfence doctor` tells more."
            raise Refused(503, "journal_failed", message, RETRY_S) from None

    async def _sent(
        self, asked: Asked, cloud: Cloud, order: Order, address: str, number: int, *, is_fresh: bool, is_last: bool
    ) -> tuple[str, Exchange | None]:
        """The outcome, and the exchange when there was a line to have one on."""
        if asked.is_gone:
            return "client_gone", None
        try:
            line = (None if is_fresh else cloud.take(address)) or await _dialled(asked, cloud, address)
        except (OSError, TimeoutError):
            return "connect", None
        if line is None:
            return "client_gone", None
        if asked.is_gone:
            line.cancel()
            return "client_gone", None
        if line.transport.is_closing():  # it was closed as soon as it was made: nobody would tell us
            return "connect", None
        claim, body = order.claim, order.body
        timeouts = self._timeouts
        exchange = Exchange(asked, line, partial(self._judged, cloud, number, is_last))
        line.ask(
            exchange,
            issue(claim.call, claim.allowed, line.endpoint),
            b"%b%d\r\n\r\n" % (cloud.heads[number][claim.ability], len(body)),
            body,
            timeouts.first_byte_s if order.is_stream else timeouts.answer_s,
            timeouts.between_bytes_s,
            keep=True,
        )
        limit = asyncio.get_running_loop().call_later(timeouts.call_s, exchange.give_up, "too_long")
        try:
            return await exchange.outcome, exchange
        finally:
            limit.cancel()

    def _ended(self, line: int, claim: Claim, outcome: str, exchange: Exchange | None, took_s: float) -> None:
        """Without an exchange no byte of the body left. The end need not be on disk for the next call to begin."""
        status, bytes_in = (exchange.status, exchange.bytes_in) if exchange is not None else (0, 0)
        digest = (exchange.digest if exchange is not None else sha256()).hexdigest()
        log.info(
            "call %s to %s: %s, status %d, %d bytes in, %.3f s",
            claim.call, claim.provider, outcome, status, bytes_in, took_s,
        )  # fmt: skip
        noted = outcome if exchange is not None else NOT_SENT
        try:
            self._journal.ended(line, status=status, bytes_in=bytes_in, sha256_in=digest, outcome=noted)
        except StoreFailed:
            log.exception("the journal is closed; the end of call %s is missing in it", claim.call)


async def _retire(clouds: list[Cloud], running: tuple[asyncio.Task[None], ...]) -> None:
    """Close their lines once nobody can be using one any more."""
    if running:
        await asyncio.wait(running)
    for cloud in clouds:
        cloud.pool.close()


async def _dialled(asked: Asked, cloud: Cloud, address: str) -> HeadedLine | None:
    """A new line; None when the caller went away meanwhile."""
    dialling = asyncio.ensure_future(cloud.dial(address))
    asked.on_gone = dialling.cancel
    try:
        return await dialling
    except asyncio.CancelledError:
        if asked.is_gone:
            return None
        raise
    finally:
        asked.on_gone = None
