"""Who asks: API keys as the rest of the system sees them. The secret itself is never here."""

from __future__ import annotations

from dataclasses import dataclass

from ringfence.core.money import NO_BUDGET, Budget


@dataclass(frozen=True, slots=True)
class Key:
    """One API key. Limits are per minute; None is unlimited. Times are UTC seconds since the epoch.

    With an `agent`, each call with it is a call of that agent; then `profile` may be empty, and is that of the agent.
    """

    id: str
    name: str
    profile: str = "default"
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    created_s: int = 0
    expires_s: int | None = None
    revoked_s: int | None = None
    hint: str = ""
    agent: str = ""
    budget: Budget = NO_BUDGET

    def is_valid(self, now_s: float) -> bool:
        return self.revoked_s is None and (self.expires_s is None or now_s < self.expires_s)
