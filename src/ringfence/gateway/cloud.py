"""What is different when a target is a rented cloud: another body, a permit that travels, another dialect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from ringfence.core.catalog import Endpoint, Target
from ringfence.core.errors import BoundaryRefused, EngineFailed, Failure, RateLimited
from ringfence.core.ports import Provider
from ringfence.egress.client import call_head, permit_line
from ringfence.egress.permit import Permit
from ringfence.egress.pool import HeadedLine, Line
from ringfence.gateway.call import Call
from ringfence.gateway.carried import for_cloud
from ringfence.gateway.retry_after import seconds_of

HELD = {
    "connect": "no connection to the provider could be made",
    "resolve": "the provider's name leads to an address where no cloud may lie",
    "journal_failed": "the journal of what leaves cannot be written",
}
"""Codes of the egress process for a call of which no byte has left, in words. So is any that is in neither table."""
UNANSWERED = {
    "lost": "the provider broke off before it answered",
    "stale": "the provider broke off before it answered",
    "malformed": "the provider sent something that cannot be read",
    "redirected": "the provider points elsewhere, and that is never followed",
    "too_long": "the provider's answer did not end within the limits",
    "first_byte_timeout": "the provider did not answer in time",
    "stalled": "the provider stopped in the middle of its answer",
}
"""Codes for one that was sent."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """One configured provider: how it is spoken to, where it is, and the most output that one call may ask for."""

    adapter: Provider
    url: str
    max_tokens: int
    has_batches: bool = False
    """Lines that nobody waits for may go there as a batch."""


def said(cloud: Cloud, call: Call, body: dict[str, Any]) -> dict[str, Any]:
    """`body` as this provider is told it. BadRequest for what its dialect cannot carry."""
    if call.asked is not None:
        body = for_cloud(body, cloud.adapter.kind, cloud.url)
    if body.get("service_tier") == "priority":  # rules have read it; money is held for the usual price
        body = {**body, "service_tier": "default"}
    return cloud.adapter.request(call.dialect.ability, body, cloud.url, cloud.max_tokens)


def request(
    cloud: Cloud, call: Call, target: Target, endpoint: Endpoint, body: dict[str, Any], permit: Permit
) -> tuple[bytes, bytes]:
    """Head and body of the call to the egress process. BadRequest for what this dialect cannot carry."""
    data = orjson.dumps(said(cloud, call, body))
    profile = call.decision.profile if call.decision is not None else call.key.profile
    line = permit_line(
        permit, hold=call.hold, key=call.key.id, profile=profile, provider=target.provider, model=target.engine_model,
        max_tokens=cloud.max_tokens, ability=call.dialect.ability,
    )  # fmt: skip
    return b"%b%d\r\n\r\n" % (call_head(endpoint, line), len(data)), data


def failure(cloud: Cloud, target: Target, line: Line, status: int, error: Any) -> Failure:
    """What a caller is told of an answer that is none: by the egress process itself, or by the provider."""
    headers = line if isinstance(line, HeadedLine) else None
    refused = headers.header(b"x-egress-refused") if headers is not None else None
    retry_after_s = seconds_of(headers.header(b"retry-after")) if headers is not None else None
    if refused is None:
        return cloud.adapter.failure(status, error, retry_after_s)
    code = refused.decode("ascii", "replace")
    if code == "boundary_refused":
        return BoundaryRefused("The egress process refused this call: its permit does not reach a cloud.")
    if code == "calls_per_day":
        return RateLimited(
            f"The day's calls to '{target.provider}' are used up (providers.{target.provider}.calls_per_day).",
            code="provider_calls_used_up", retry_after_s=retry_after_s,
        )  # fmt: skip
    if code in UNANSWERED:
        return EngineFailed(
            f"The call to '{target.provider}' left, and no answer came back: {UNANSWERED[code]}.", code=code
        )
    why = HELD.get(code, f"the egress process refused it ({code})")
    return EngineFailed(f"The call to '{target.provider}' did not leave this machine: {why}.", code=code)
