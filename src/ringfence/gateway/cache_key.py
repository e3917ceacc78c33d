"""What makes two calls the same: who may see the answer, how far the text may travel, what could answer, and every
parameter. And what a caller says of it in `cache-control`.
"""

from __future__ import annotations

import hmac
from typing import Any, NamedTuple

import orjson

from ringfence.core.catalog import Target
from ringfence.core.route import Caching, Decision
from ringfence.gateway.call import Call
from ringfence.gateway.head import Head

CHANGE_NOTHING = frozenset((
    "metadata", "model", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "user",
))  # fmt: skip
"""Fields of a body that are no part of the question; the model is, as what it was resolved to."""


class Wishes(NamedTuple):
    """As RFC 9111 has them for requests."""

    looks: bool = True
    """False: `no-cache`. The answer is made anew, and kept."""
    keeps: bool = True
    """False: `no-store`. Nothing is looked up, and nothing is kept."""
    most_age_s: float | None = None


ANY = Wishes()


def read_wishes(head: Head) -> Wishes:
    """What `cache-control` says; other words of it are passed over."""
    said = head.header(b"cache-control")
    if said is None:
        return ANY
    words = {word.strip().lower() for word in said.split(b",")}
    ages = [word[8:].strip(b'"') for word in words if word.startswith(b"max-age=")]
    most_age_s = min((float(age) for age in ages if age.isdigit() and len(age) < 10), default=None)
    looks = b"no-cache" not in words and most_age_s != 0
    return Wishes(looks, b"no-store" not in words, most_age_s)


def digest_of(call: Call, decision: Decision, caching: Caching, secret: bytes) -> bytes:
    """Of all that its answer comes from. A caller that names a profile or an agent in a header is told apart from one
    whose key is bound to it. Within a field the order counts, as an engine that follows a schema follows its order."""
    key = call.key
    chain = decision.chain
    asked: list[Any] = [
        "" if caching.is_shared else key.id, key.profile, key.agent, decision.profile, int(decision.allowed),
        call.dialect.name, call.spoken, call.stream, decision.model, chain.name, decision.overlong.value, decision.told,
        [_facts(target) for target in chain.targets],
        sorted((name, value) for name, value in call.body.items() if name not in CHANGE_NOTHING),
    ]  # fmt: skip
    return hmac.digest(secret, orjson.dumps(asked), "sha256")


def _facts(target: Target) -> list[Any]:
    """With others, it would be another answer."""
    return [
        target.name, target.engine, target.engine_model, target.provider, int(target.boundary), target.window,
        target.digest, target.quantisation, target.device, target.family, target.may_cut,
    ]  # fmt: skip
