"""The desks of the site: all that is asked for with a key beside calls of models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringfence.gateway.listing import Models
from ringfence.gateway.route import Desk
from ringfence.gateway.tickets import Tickets

if TYPE_CHECKING:
    from ringfence.runtime.parts import Runtime


def desks(runtime: Runtime) -> list[Desk]:
    """Each has paths of its own."""
    return [Models(runtime.pipeline), Tickets(runtime.parking)]
