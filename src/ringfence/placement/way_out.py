"""The egress process as the gateway sees it: an instance like any other, except that what it serves lies at CLOUD."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ringfence.core.catalog import Ability
from ringfence.core.errors import EngineFailed, Failure
from ringfence.core.ports import NO_WIRES, Ask, Fetch, Offer, Wire
from ringfence.egress.client import HEALTH_PATH


@dataclass(frozen=True, slots=True)
class WayOut:
    """Its health is asked for, never anything of a provider's: that would be a call nobody made."""

    kind: str = "egress"
    title: str = "Egress"
    usual_ports: tuple[int, ...] = ()
    keeps_alive_after_stream: bool = True
    forbidden_fields: frozenset[str] = frozenset()
    wires: ClassVar[Mapping[Ability, Wire]] = NO_WIRES
    may_cut: bool = False
    alive_path: str = HEALTH_PATH
    controls: None = None
    salt_field: str = ""

    async def examine(self, fetch: Fetch) -> list[Offer] | None:
        """One offer for each provider that it holds a key for."""
        body: Any = (await fetch(HEALTH_PATH)).body
        listed: Any = body.get("providers") if isinstance(body, dict) else None  # type: ignore[misc]
        return [Offer(str(name)) for name in listed] if isinstance(listed, list) else None  # type: ignore[misc]

    def mark(self, body: Any) -> Any:
        return None

    async def count(self, ask: Ask, ability: Ability, body: dict[str, Any]) -> int | None:
        """Never: text goes to a provider as a call and not otherwise."""
        return None

    def failure(self, status: int, body: Any) -> Failure:
        return EngineFailed(f"The egress process answered with {status}.")
