"""What the path needs of others: instances, a place to wait, further readings of a text."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.ports import Leased
from ringfence.gateway.call import Call
from ringfence.gateway.request import Request
from ringfence.gateway.thinking.thinking import AnyReply


class Placing(Protocol):
    """What the path needs of placement."""

    def take(self, target: Target) -> Leased | None:
        """A lease when the instance is ready now."""
        ...

    def lease(self, target: Target, timeout_s: float, urgency: int = 0) -> Coroutine[Any, Any, Leased]:
        """A lease as soon as it is ready; TargetFailed (loading) when that takes too long."""
        ...

    def estimate_s(self, target: Target) -> float | None:
        """In about how many seconds its model should be here; None where nobody knows."""
        ...

    def is_here(self, target: Target) -> bool:
        """Whether an instance of it is ready now."""
        ...

    def missed(self, target: Target, urgency: int = 0) -> None:
        """A caller of the target goes elsewhere, or waits where placement does not see it: it is wanted."""
        ...

    def failed(self, target: Target, reason: str) -> None: ...


class Parks(Protocol):
    """Where calls wait that go no further."""

    async def wait(self, request: Request, call: Call) -> tuple[AnyReply, bytes] | None:
        """As `Pipeline.begin`, in time; None when the caller was given a ticket. Raises Failure."""
        ...


class Reader(Protocol):
    """A further reading of what could leave, too slow for the event loop."""

    async def read(self, body: dict[str, Any]) -> Boundary:
        """How far a request may travel. Never raises: what cannot be read may go nowhere."""
        ...
