"""The egress process as the gateway sees it: an instance like any other, except that what it serves lies at CLOUD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ringfence.core.errors import EngineFailed, Failure
from ringfence.core.ports import Fetch, Offer
from ringfence.egress.client import HEALTH_PATH


@dataclass(frozen=True, slots=True)
class WayOut:
    """Its health is asked for, never anything of a provider's: that would be a call nobody made."""

    kind: str = "egress"
    title: str = "Egress"
    usual_ports: tuple[int, ...] = ()
    keeps_alive_after_stream: bool = True
    forbidden_fields: frozenset[str] = frozenset()
    alive_path: str = HEALTH_PATH

    async def examine(self, fetch: Fetch) -> list[Offer] | None:
        """One offer for each provider that it holds a key for."""
        body: Any = (await fetch(HEALTH_PATH)).body
        listed: Any = body.get("providers") if isinstance(body, dict) else None  # type: ignore[misc]
        return [Offer(str(name)) for name in listed] if isinstance(listed, list) else None  # type: ignore[misc]

    def failure(self, status: int, body: Any) -> Failure:
        return EngineFailed(f"The egress process answered with {status}.")
