"""Batches of a provider, which cost half: lines are checked, counted and written down one by one, and leave together.

Lines and what is asked of a batch later each need a permit. What is asked later carries ids of the provider and no text
of anybody, and stands in no journal; so it counts as no call of the day.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from hashlib import sha256
from typing import Any, NamedTuple, TypeVar

import orjson

from ringfence.egress.batch_dialect import (
    Answered,
    BatchDialect,
    Declined,
    Found,
    Shown,
    Sought,
    Steps,
    Unheard,
    told,
)
from ringfence.egress.caps import Claim, Refused, check_day, read_permit
from ringfence.egress.cloud import Cloud
from ringfence.egress.errand import Told, run_errand
from ringfence.egress.journal import Journal
from ringfence.egress.journal_chain import NOT_SENT
from ringfence.egress.lines import OneLine, read_lines, remote_id, since_in
from ringfence.egress.server import Asked
from ringfence.egress.settings import Timeouts
from ringfence.store.failure import StoreFailed

RETRY_S = 5.0
UNSENT = frozenset(("connect", "resolve"))
MOST_KNOWN = 10_000
log = logging.getLogger("ringfence.egress.batching")
T = TypeVar("T")


class Came(NamedTuple):
    """What came of several errands: `last` is what the provider said last, `found` what was read of it where all went
    well. `is_begun`: something was answered."""

    last: Told
    is_begun: bool
    found: Any = None

    @property
    def outcome(self) -> str:
        """For the journal. What followed on something that was answered may have been heard."""
        if self.last.outcome in UNSENT:
            return "lost" if self.is_begun else NOT_SENT
        return self.last.outcome


class Batching:
    """Answers requests below /v1/batches. `today` and the writing are the journal's."""

    def __init__(self, journal: Journal, timeouts: Timeouts, now_s: Callable[[], float]) -> None:
        self._journal = journal
        self._timeouts = timeouts
        self._now_s = now_s
        self._leaving: set[str] = set()
        """Ids of batches that are being submitted."""
        self._begun: dict[tuple[str, str], tuple[float, int]] = {}
        """When each was submitted and of how many lines, by provider and the id that we know it by."""
        self._known: dict[tuple[str, str], str] = {}
        """Batches that were shown to a gateway, by provider and id there, with the id that we know each by."""

    async def answer(self, asked: Asked, cloud_of: Callable[[str], Cloud | None]) -> None:
        """Refused when it cannot be."""
        claim = read_permit(asked.permit)
        cloud = cloud_of(claim.provider)
        if cloud is None:
            raise Refused(403, "unknown_provider", "No provider of this name is switched on. Nothing was sent.")
        if cloud.batches is None:
            raise Refused(403, "no_batches", "This provider is not to be sent batches. Nothing was sent.")
        body, asked.body = asked.body, b""
        what = asked.path.removeprefix(b"/v1/batches").decode("ascii", "replace")
        if what == "":
            self._leaving.add(claim.call)
            try:
                await self._submit(asked, cloud, cloud.batches, claim, body)
            finally:
                self._leaving.discard(claim.call)
            return
        if what == "/find" and claim.call in self._leaving:
            asked.answer(200, _found(Found(is_leaving=True)))
            return
        steps, shape = self._later(what, cloud.batches, claim, body)
        self._pass_on(asked, claim, await self._carried(cloud, claim, steps), shape)

    def _later(
        self, what: str, batches: BatchDialect, claim: Claim, body: bytes
    ) -> tuple[Steps[Any], Callable[[Any], object]]:
        """What is asked of a batch later, and how a gateway is told of it."""
        if what == "/find":
            begun_s, lines = self._begun.get((claim.provider, claim.call), (None, None))
            since_s = since_in(body) if begun_s is None else begun_s
            known = {batch: call for (provider, batch), call in self._known.items() if provider == claim.provider}
            return batches.find(Sought(claim.call, since_s, lines, known)), _found
        if what == "/look":
            return batches.look(remote_id(body, "batch")), told
        if what == "/cancel":
            return batches.cancel(remote_id(body, "batch")), told
        if what == "/lines":
            return batches.lines(remote_id(body, "file")), lambda lines: {"lines": lines.decode()}
        if what == "/forget":
            return batches.forget(remote_id(body, "file")), lambda name: {"forgotten": name}
        raise Refused(404, "not_found", "There is no such thing to be done with batches.")

    # -- lines that leave ---------------------------------------------------------------------------------------------

    async def _submit(self, asked: Asked, cloud: Cloud, batches: BatchDialect, claim: Claim, body: bytes) -> None:
        if claim.ability not in batches.abilities or claim.ability not in cloud.abilities:
            raise Refused(400, "unknown_ability", f"There are no batches of {claim.ability} there. Nothing was sent.")
        lines = read_lines(claim, cloud.provider.cap, body, batches.limits)
        check_day(self._journal.today(claim.provider) + len(lines) - 1, cloud.provider.cap, self._now_s())
        try:
            address = (await cloud.addresses(is_fresh=True))[0]
        except OSError:
            raise _held("connect") from None
        numbers = await self._written(cloud, lines, address)
        _remember(self._begun, (claim.provider, claim.call), (self._now_s(), len(lines)))
        came = await self._carried(cloud, claim, batches.submit(claim.call, claim.ability, lines))
        for number in numbers:
            self._journal.ended(
                number, status=came.last.status, bytes_in=0, sha256_in=sha256().hexdigest(), outcome=came.outcome
            )
        log.info("%d lines to %s: %s, status %d", len(lines), claim.provider, came.outcome, came.last.status)
        self._pass_on(asked, claim, came, told)

    async def _written(self, cloud: Cloud, lines: list[OneLine], address: str) -> list[int]:
        """One line of the journal for each, and each within what is left of the day; or Refused, and none leaves."""
        found = await asyncio.gather(*(self._write(cloud, line, address) for line in lines), return_exceptions=True)
        numbers = [one for one in found if isinstance(one, int)]
        failed = next((one for one in found if isinstance(one, BaseException)), None)
        if failed is None:
            return numbers
        for number in numbers:
            self._journal.ended(number, status=0, bytes_in=0, sha256_in=sha256().hexdigest(), outcome=NOT_SENT)
        if not isinstance(failed, StoreFailed | ValueError):
            raise failed
        log.error("the journal cannot be written; nothing leaves: %s", failed)
        message = "The journal of what leaves cannot be written, so nothing leaves. `ringfence doctor` tells more."
        raise Refused(503, "journal_failed", message, RETRY_S)

    async def _write(self, cloud: Cloud, line: OneLine, address: str) -> int:
        claim = line.claim
        check_day(self._journal.today(claim.provider), cloud.provider.cap, self._now_s())
        return await self._journal.sent(
            call=claim.call, key=claim.key, profile=claim.profile, provider=claim.provider, model=claim.model,
            allowed=claim.allowed, address=address, max_tokens=claim.max_tokens, bytes_out=len(line.body),
            sha256_out=line.digest,
        )  # fmt: skip

    # -- inside -------------------------------------------------------------------------------------------------------

    async def _carried(self, cloud: Cloud, claim: Claim, steps: Steps[Any]) -> Came:
        """Everything that they want to ask, one after the other."""
        last, is_begun = Told("malformed"), False
        try:
            errand = next(steps)
            while True:
                last = await run_errand(cloud, claim.call, claim.allowed, errand, self._timeouts)
                if last.outcome == "answered":
                    is_begun = True
                    errand = steps.send(Answered(last.status, last.body, last.head))
                else:
                    errand = steps.throw(Unheard(last.outcome))
        except StopIteration as end:
            return Came(last, is_begun, end.value)
        except Unheard:
            return Came(last, is_begun)
        except Declined as declined:
            return Came(Told("answered", *declined.answered), is_begun)
        except ValueError:
            return Came(Told("malformed", last.status), is_begun)

    def _pass_on(self, asked: Asked, claim: Claim, came: Came, shape: Callable[[Any], object]) -> None:
        """What a provider says no with goes to the gateway as it is; what cannot be read is Refused."""
        last = came.last
        if last.outcome != "answered":
            raise _held(last.outcome)
        if last.status != 200:
            asked.answer(last.status, _read(last.body), list(last.head))
            return
        shown = came.found.shown if isinstance(came.found, Found) else came.found
        if isinstance(shown, Shown):
            _remember(self._known, (claim.provider, shown.id), claim.call)
        asked.answer(200, shape(came.found))


def _remember(known: dict[tuple[str, str], T], name: tuple[str, str], what: T) -> None:
    """The oldest is forgotten for it."""
    known.pop(name, None)
    while len(known) >= MOST_KNOWN:
        del known[next(iter(known))]
    known[name] = what


def _found(found: Found) -> dict[str, object]:
    return {"found": told(found.shown), "is_leaving": found.is_leaving}


def _read(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _held("malformed") from None


def _held(outcome: str) -> Refused:
    return Refused(502, outcome, "The provider was not reached, or what it said of a batch cannot be read.", RETRY_S)
