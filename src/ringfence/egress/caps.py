"""What one call may do, checked a second time and by another process: its permit, its size, and the calls of the day.

Pure: a permit and a body go in, a `Claim` or a `Refused` comes out. Nothing here looks at what a body says beyond its
model and the fields that bound the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability

MAX_PERMIT_BYTES = 4096
MAX_NAME_CHARS = 256
DAY_S = 86_400
FIELDS = frozenset(("call", "hold", "key", "profile", "provider", "model", "allowed", "max_tokens"))
NAMES = ("call", "hold", "key", "profile", "provider", "model")
LIMIT_FIELDS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
"""Fields that bound an answer, in any dialect: at least one stands in a body, and each that does must fit."""
TIMES_FIELDS = ("n", "best_of")
"""Fields by which one call asks for several answers: the bound holds for all of them together."""


class Refused(Exception):
    """Egress itself says no. `code` goes into the header `x-egress-refused`; the message never quotes a body."""

    def __init__(self, status: int, code: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s


class Claim(NamedTuple):
    """A permit as it came in the header `x-permit`, read. `hold` is the money held for the call: without it nothing
    leaves. `max_tokens` is for all answers of the call together.

    `ability` may be left out of it and is then chat.
    """

    call: str
    hold: str
    key: str
    profile: str
    provider: str
    model: str
    allowed: Boundary
    max_tokens: int
    ability: Ability


@dataclass(frozen=True, slots=True)
class Cap:
    """The most that one provider may be asked for."""

    calls_per_day: int
    max_tokens: int


def read_permit(header: bytes) -> Claim:
    """The permit; Refused when it is not exactly one, or does not let text go to a cloud."""
    try:
        fields: Any = orjson.loads(header) if 0 < len(header) <= MAX_PERMIT_BYTES else None
    except orjson.JSONDecodeError:
        fields = None
    if type(fields) is not dict or fields.keys() - {"ability"} != FIELDS:
        raise _malformed("it is not a JSON object with exactly the fields " + ", ".join(sorted(FIELDS)))
    for name in NAMES:
        if not _is_name(fields[name]):
            raise _malformed(f"'{name}' is not a name")
    if not _is_count(fields["max_tokens"]):
        raise _malformed("'max_tokens' is not a whole number above zero")
    try:
        allowed = Boundary[fields["allowed"]]
        ability = Ability(fields.get("ability", Ability.CHAT))
    except (KeyError, TypeError, ValueError):
        raise _malformed("'allowed' is not a boundary, or 'ability' is not known") from None
    if not allowed.permits(Boundary.CLOUD):
        raise Refused(
            403, "boundary_refused", f"This call may not leave {allowed.name}; a cloud lies at CLOUD. Nothing was sent."
        )
    return Claim(
        call=fields["call"],
        hold=fields["hold"],
        key=fields["key"],
        profile=fields["profile"],
        provider=fields["provider"],
        model=fields["model"],
        allowed=allowed,
        max_tokens=fields["max_tokens"],
        ability=ability,
    )


def checked_body(claim: Claim, cap: Cap, body: bytes) -> tuple[bytes, bool]:
    """(the body to send, whether a stream is asked for); Refused when it is not the call that the permit is for.

    The body is written anew from what was read: of a field that is given twice, two readers could believe two values.
    """
    try:
        fields: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        fields = None
    if type(fields) is not dict:
        raise Refused(400, "malformed_body", "The body is not a JSON object.")
    if fields.get("model") != claim.model:
        raise Refused(403, "other_model", "The body names another model than the permit.")
    if claim.max_tokens > cap.max_tokens:
        raise Refused(
            400,
            "over_cap",
            f"The permit is for {claim.max_tokens} tokens; the cap of this provider is {cap.max_tokens}.",
        )
    asked = tokens_asked(fields, is_bound_needed=claim.ability is not Ability.EMBEDDINGS)
    if asked > claim.max_tokens:
        message = f"The body asks for {asked} tokens in all; its permit is for {claim.max_tokens}."
        raise Refused(400, "over_permit", message)
    return orjson.dumps(fields), fields.get("stream") is True


def tokens_asked(fields: Mapping[str, Any], *, is_bound_needed: bool) -> int:
    """For all answers together; 0 where there is no bound and none is needed."""
    limits = [fields[name] for name in LIMIT_FIELDS if fields.get(name) is not None]
    if not limits and is_bound_needed:
        raise Refused(400, "no_limit", "The body does not bound its answer: a field such as 'max_tokens' is needed.")
    times = [fields[name] for name in TIMES_FIELDS if fields.get(name) is not None]
    if not all(map(_is_count, (*limits, *times))):
        raise Refused(400, "no_limit", "A field that bounds the answer is not a whole number above zero.")
    return max(limits, default=0) * max(times, default=1) * _prompts(fields.get("prompt"))


def _prompts(prompt: Any) -> int:
    """Each prompt of a body gets answers of its own: strings and lists of token ids; bare token ids are one prompt.

    Counted here anew, as whoever wrote the body may have counted wrong.
    """
    if type(prompt) is not list:
        return 1
    listed: list[Any] = prompt
    bare = sum(type(entry) is int for entry in listed)
    return max(1, len(listed) - bare + (bare > 0))


def check_day(made: int, cap: Cap, now_s: float) -> None:
    """Refused (429, until midnight) when `made` calls of this UTC day use it up. `now_s` is Unix time."""
    if made >= cap.calls_per_day:
        raise Refused(
            429,
            "calls_per_day",
            f"The {cap.calls_per_day} calls that this provider may get on one day (UTC) are used up.",
            retry_after_s=DAY_S - now_s % DAY_S,
        )


def _malformed(why: str) -> Refused:
    return Refused(403, "malformed_permit", f"The permit of this call cannot be read: {why}. Nothing was sent.")


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME_CHARS and value.isprintable()


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0
