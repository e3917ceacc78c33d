"""Batches of a provider, which cost half: lines are checked, counted and written down one by one, and leave together.

Lines and what is asked of a batch later each need a permit. What is asked later carries ids of the provider and no text
of anybody, and stands in no journal; so it counts as no call of the day.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from hashlib import sha256

import orjson

from ringfence.core.catalog import Ability
from ringfence.egress.caps import Claim, Refused, check_day, read_permit
from ringfence.egress.cloud import Cloud
from ringfence.egress.errand import Told, run_errand
from ringfence.egress.journal import Journal
from ringfence.egress.journal_chain import NOT_SENT
from ringfence.egress.lines import (
    OneLine,
    file_of,
    form_of,
    id_in,
    marked,
    order_of,
    read_lines,
    remote_id,
    shown,
)
from ringfence.egress.server import Asked
from ringfence.egress.settings import Timeouts
from ringfence.store.failure import StoreFailed

RETRY_S = 5.0
LISTED = 100
ENDPOINTS = {
    Ability.CHAT: "/v1/chat/completions", Ability.COMPLETIONS: "/v1/completions", Ability.EMBEDDINGS: "/v1/embeddings",
}  # fmt: skip
"""As a batch names them, whatever stands before them in the address of the provider."""
UNSENT = frozenset(("connect", "resolve"))
JSON = "application/json"
log = logging.getLogger("ringfence.egress.batching")


class Batching:
    """Answers requests below /v1/batches. `today` and the writing are the journal's."""

    def __init__(self, journal: Journal, timeouts: Timeouts, now_s: Callable[[], float]) -> None:
        self._journal = journal
        self._timeouts = timeouts
        self._now_s = now_s
        self._leaving: set[str] = set()
        """Ids of batches that are being submitted."""

    async def answer(self, asked: Asked, cloud_of: Callable[[str], Cloud | None]) -> None:
        """Refused when it cannot be."""
        claim = read_permit(asked.permit)
        cloud = cloud_of(claim.provider)
        if cloud is None:
            raise Refused(403, "unknown_provider", "No provider of this name is switched on. Nothing was sent.")
        if not cloud.has_batches:
            raise Refused(403, "no_batches", "This provider is not to be sent batches. Nothing was sent.")
        body, asked.body = asked.body, b""
        what = asked.path.removeprefix(b"/v1/batches").decode("ascii", "replace")
        if what == "":
            self._leaving.add(claim.call)
            try:
                await self._submit(asked, cloud, claim, body)
            finally:
                self._leaving.discard(claim.call)
        elif what == "/find" and claim.call in self._leaving:
            asked.answer(200, {"found": None, "is_leaving": True})
        elif what == "/find":
            told = await self._errand(cloud, claim, "GET", f"/batches?limit={LISTED}")
            self._pass_on(asked, told, lambda: {"found": marked(told.body, claim.call), "is_leaving": False})
        elif what == "/look":
            told = await self._errand(cloud, claim, "GET", f"/batches/{remote_id(body, 'batch')}")
            self._pass_on(asked, told, lambda: shown(orjson.loads(told.body)))
        elif what == "/cancel":
            told = await self._errand(cloud, claim, "POST", f"/batches/{remote_id(body, 'batch')}/cancel")
            self._pass_on(asked, told, lambda: shown(orjson.loads(told.body)))
        elif what == "/lines":
            told = await self._errand(cloud, claim, "GET", f"/files/{remote_id(body, 'file')}/content")
            self._pass_on(asked, told, lambda: {"lines": told.body.decode()})
        elif what == "/forget":
            told = await self._errand(cloud, claim, "DELETE", f"/files/{remote_id(body, 'file')}")
            self._pass_on(asked, told, lambda: {"forgotten": id_in(told.body)})
        else:
            raise Refused(404, "not_found", "There is no such thing to be done with batches.")

    # -- lines that leave ---------------------------------------------------------------------------------------------

    async def _submit(self, asked: Asked, cloud: Cloud, claim: Claim, body: bytes) -> None:
        endpoint = ENDPOINTS.get(claim.ability)
        if endpoint is None or claim.ability not in cloud.abilities:
            raise Refused(400, "unknown_ability", f"There are no batches of {claim.ability} there. Nothing was sent.")
        lines = read_lines(claim, cloud.provider.cap, body)
        check_day(self._journal.today(claim.provider) + len(lines) - 1, cloud.provider.cap, self._now_s())
        try:
            address = (await cloud.addresses(is_fresh=True))[0]
        except OSError:
            raise _held("connect") from None
        numbers = await self._written(cloud, lines, address)
        content_type, form = form_of(file_of(lines, endpoint))
        told = await self._errand(cloud, claim, "POST", "/files", form, content_type.decode())
        file_id = id_in(told.body) if told.status == 200 else None
        outcome = NOT_SENT if told.outcome in UNSENT else told.outcome
        if file_id is not None:
            told = await self._errand(cloud, claim, "POST", "/batches", order_of(claim, file_id, endpoint))
            outcome = told.outcome if told.outcome not in UNSENT else "lost"
            if told.outcome == "answered" and told.status != 200:  # nothing comes of the text that is there now
                await self._errand(cloud, claim, "DELETE", f"/files/{file_id}")
        for number in numbers:
            self._journal.ended(number, status=told.status, bytes_in=0, sha256_in=sha256().hexdigest(), outcome=outcome)
        log.info("%d lines to %s: %s, status %d", len(lines), claim.provider, outcome, told.status)
        self._pass_on(asked, told, lambda: shown(orjson.loads(told.body)))

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

    async def _errand(
        self, cloud: Cloud, claim: Claim, method: str, path: str, body: bytes = b"", content_type: str = JSON
    ) -> Told:  # fmt: skip
        head = cloud.batch_head(method, path, content_type)
        return await run_errand(cloud, claim.call, claim.allowed, head, body, self._timeouts)

    def _pass_on(self, asked: Asked, told: Told, read: Callable[[], object]) -> None:
        """What a provider says no with goes to the gateway as it is; what cannot be read is Refused."""
        if told.outcome != "answered":
            raise _held(told.outcome)
        try:
            found = read() if told.status == 200 else orjson.loads(told.body)
        except (ValueError, Refused):
            found = None
        if found is None:
            raise _held("malformed")
        asked.answer(told.status, found)


def _held(outcome: str) -> Refused:
    return Refused(502, outcome, "The provider was not reached, or what it said of a batch cannot be read.", RETRY_S)
