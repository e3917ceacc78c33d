"""A permit says how far one call's text may travel and how far the chosen endpoint lies. No permit, no bytes."""

from __future__ import annotations

from typing import NamedTuple

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Endpoint
from ringfence.core.errors import BoundaryRefused


class Permit(NamedTuple):
    """Made by `issue` only; the transport checks it against the address it is about to write to."""

    call_id: str
    allowed: Boundary
    reached: Boundary


def issue(call_id: str, allowed: Boundary, endpoint: Endpoint) -> Permit:
    """A permit for this endpoint; BoundaryRefused when it lies beyond what the call allows."""
    reached = endpoint.boundary
    if reached > allowed:
        raise BoundaryRefused(
            f"This request may not leave {allowed.name}; the target lies at {reached.name}. "
            "Nothing was sent. Use a key whose profile allows it, or a model that runs closer."
        )
    return tuple.__new__(Permit, (call_id, allowed, reached))  # one a call: `Permit(...)` is a function in between
