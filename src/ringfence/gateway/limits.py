"""Requests and tokens per minute of each key: buckets that refill steadily, and holds that settle to what was used."""

from __future__ import annotations

from math import ceil

from ringfence.core.errors import RateLimited
from ringfence.core.identity import Key
from ringfence.core.ports import Clock
from ringfence.core.usage import Usage

MINUTE_S = 60.0
MINUTE_MS = 60_000
REFILL_S = 0.01
UNLIMITED = 1 << 60
AMPLE_REQUESTS, AMPLE_TOKENS = 100_000, 100_000_000
"""Per minute: beyond them, what is used in ten milliseconds is no more than a few requests in ten thousand."""


class Allowance:
    """The two buckets of one key. Each holds at most one minute's worth; tokens may go below zero when a call used
    more than was held for it."""

    __slots__ = (
        "_has_both",
        "_head",
        "_is_ample",
        "_request_ms",
        "_template",
        "_token_ms",
        "at_s",
        "key",
        "requests",
        "requests_left",
        "tokens",
        "tokens_left",
    )

    def __init__(self, key: Key, now_s: float) -> None:
        self.key = key
        self.requests = key.requests_per_minute or UNLIMITED
        self.tokens = key.tokens_per_minute or UNLIMITED
        self.requests_left = float(self.requests)
        self.tokens_left = float(self.tokens)
        self.at_s = now_s
        self._request_ms = MINUTE_MS / self.requests
        self._token_ms = MINUTE_MS / self.tokens
        self._template = _template("requests", self.requests) + _template("tokens", self.tokens)
        self._has_both = UNLIMITED not in (self.requests, self.tokens)
        self._is_ample = self.requests >= AMPLE_REQUESTS and self.tokens >= AMPLE_TOKENS
        self._head = b""

    def refill(self, now_s: float) -> None:
        minutes = (now_s - self.at_s) / MINUTE_S
        self._head = b""
        self.at_s = now_s
        left = self.requests_left + minutes * self.requests
        self.requests_left = left if left < self.requests else float(self.requests)
        left = self.tokens_left + minutes * self.tokens
        self.tokens_left = left if left < self.tokens else float(self.tokens)

    def head(self) -> bytes:
        """x-ratelimit-* header lines, as OpenAI writes them; `reset` is when the bucket is full again. A key with ample
        limits is told the figures of the last refill, which is at most ten milliseconds old."""
        if self._head:
            return self._head
        asked, tokens = self.requests_left, self.tokens_left
        values = (
            asked, (self.requests - asked) * self._request_ms,
            tokens if tokens > 0 else 0, (self.tokens - tokens) * self._token_ms,
        )  # fmt: skip
        if not self._has_both:
            values = values[2:] if self.requests == UNLIMITED else values[:2]
        head = self._template % values
        if self._is_ample:
            self._head = head
        return head


def _template(name: str, limit: int) -> bytes:
    if limit == UNLIMITED:
        return b""
    return (
        f"x-ratelimit-limit-{name}: {limit}\r\nx-ratelimit-remaining-{name}: %d\r\nx-ratelimit-reset-{name}: %dms\r\n"
    ).encode()


class Hold:
    """Tokens set aside for one call. Given back untouched when nothing was generated."""

    __slots__ = ("allowance", "tokens")

    def __init__(self) -> None:
        self.allowance: Allowance | None = None
        self.tokens = 0

    def settle(self, usage: Usage | None) -> None:
        """Replace the estimate by what was used; None: nothing was. Only the first call counts."""
        allowance = self.allowance
        if allowance is not None:
            self.allowance = None
            allowance.tokens_left += self.tokens - (usage[0] + usage[1] if usage is not None else 0)

    def withdraw(self) -> None:
        """As if it had not been asked: it is parked, and counts when it is served."""
        allowance = self.allowance
        if allowance is not None:
            allowance.requests_left = min(allowance.requests_left + 1, float(allowance.requests))
            self.settle(None)


class RateLimits:
    """The allowances of all keys, in memory; a restart starts them full."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._allowances: dict[str, Allowance] = {}

    def hold(self, key: Key, tokens: int, hold: Hold) -> None:
        """Count one request and set aside about as many tokens as it can use; RateLimited when there are not enough.

        A call that could use more than a minute's worth waits for a full bucket.
        """
        allowance = self._allowances.get(key.id)
        now = self._clock()
        if allowance is None or allowance.key is not key:
            if key.requests_per_minute is None and key.tokens_per_minute is None:
                return
            allowance = self._renew(key, allowance, now)
        requests_left, tokens_left = allowance.requests_left, allowance.tokens_left
        if now - allowance.at_s > REFILL_S or requests_left < 1 or tokens_left < tokens:
            allowance.refill(now)
            requests_left, tokens_left = allowance.requests_left, allowance.tokens_left
            tokens = min(tokens, allowance.tokens)
            if requests_left < 1:
                raise _too_many(allowance, "requests", allowance.requests, 1 - requests_left)
            if tokens_left < tokens:
                raise _too_many(allowance, "tokens", allowance.tokens, tokens - tokens_left)
        allowance.requests_left = requests_left - 1
        allowance.tokens_left = tokens_left - tokens
        hold.allowance = allowance
        hold.tokens = tokens

    def _renew(self, key: Key, old: Allowance | None, now_s: float) -> Allowance:
        """Keys are read anew when any of them changes; only changed limits start a new allowance."""
        if old is not None and (old.key.requests_per_minute, old.key.tokens_per_minute) == (
            key.requests_per_minute, key.tokens_per_minute
        ):  # fmt: skip
            old.key = key
            return old
        fresh = self._allowances[key.id] = Allowance(key, now_s)
        return fresh


def _too_many(allowance: Allowance, what: str, limit: int, missing: float) -> RateLimited:
    wait_s = ceil(missing * MINUTE_S / limit * 1000) / 1000
    failure = RateLimited(
        f"Key '{allowance.key.name}' may use {limit} {what} a minute. Try again in {wait_s:.3g} s.",
        retry_after_s=wait_s,
    )
    pairs = (line.split(": ", 1) for line in allowance.head().decode().splitlines())
    failure.headers = tuple((name, value) for name, value in pairs)
    return failure
