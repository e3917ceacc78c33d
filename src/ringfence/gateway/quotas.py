"""Providers whose quota of the day is used up: until it begins anew, nothing is asked of them in the background."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from ringfence.config.hours import Daily
from ringfence.core.catalog import Target
from ringfence.core.errors import Failure, RateLimited
from ringfence.core.route import Chain, Urgency

USED_UP = frozenset(("provider_unpaid", "provider_calls_used_up", "provider_quota_used_up"))
"""Codes with which a provider, or our own cap on it, says so."""
log = logging.getLogger("ringfence.quotas")


class Quotas:
    """`resets` says when the day of a provider begins, for those where that is known; `clock` is Unix time. A call that
    somebody waits for is tried all the same: the quota may have been raised."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.resets: Mapping[str, Daily] = {}
        self.clock = clock
        self._until_s: dict[str, float] = {}

    def told(self, target: Target, failure: Failure) -> Failure:
        """What a call is told of a failure of this target: when to come again, where its quota is used up."""
        resets = self.resets.get(target.provider)
        if resets is None or failure.code not in USED_UP:
            return failure
        now_s = self.clock()
        until_s = resets.begins_after(now_s)
        if self._until_s.get(target.provider) != until_s:
            log.info("the quota of '%s' is used up, and begins anew in %.0f s", target.provider, until_s - now_s)
        self._until_s[target.provider] = until_s
        return RateLimited(
            f"The quota of '{target.provider}' is used up until a new day begins there "
            f"(providers.{target.provider}.resets).",
            code="provider_quota_used_up", retry_after_s=max(1.0, until_s - now_s),
        )  # fmt: skip

    def rests(self, target: Target) -> bool:
        """Whether it is to be left alone by what nobody waits for."""
        until_s = self._until_s.get(target.provider) if self._until_s and target.provider else None
        if until_s is None:
            return False
        if target.provider in self.resets and self.clock() < until_s:
            return True
        del self._until_s[target.provider]
        return False

    def open_to(self, urgency: Urgency, chain: Chain) -> Chain:
        """The chain without targets that rest, for a call in the background."""
        if not self._until_s or urgency is not Urgency.BACKGROUND or not any(map(self.rests, chain.targets)):
            return chain
        return replace(chain, targets=tuple(target for target in chain.targets if not self.rests(target)))
