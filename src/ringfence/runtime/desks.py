"""The desks of the site: all that is asked for with a key beside calls of models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringfence.gateway.batches.batches import Batches
from ringfence.gateway.batches.files import Files
from ringfence.gateway.counting import messages_counting
from ringfence.gateway.decisions import Decisions
from ringfence.gateway.dialects import messages
from ringfence.gateway.listing import Models
from ringfence.gateway.ollama_pages import OllamaPages
from ringfence.gateway.openapi import OpenApi
from ringfence.gateway.responses_desk import ResponseRoutes
from ringfence.gateway.route import Desk
from ringfence.gateway.tickets import Tickets
from ringfence.runtime.explaining import Explaining

if TYPE_CHECKING:
    from ringfence.runtime.parts import Runtime


def desks(runtime: Runtime) -> list[Desk]:
    """Each has paths of its own."""
    pipeline, batches, routes = runtime.pipeline, runtime.batches, runtime.front.routes
    runtime.responses.background.key_of = runtime.key_by_id
    found: list[Desk] = [
        Models(pipeline),
        Tickets(runtime.parking),
        Decisions(pipeline, Explaining(runtime).explain),
        messages_counting(pipeline, messages.DIALECT),
        OllamaPages(pipeline),
        Files(pipeline, batches.rows.files, lambda: batches.settings),
        Batches(pipeline, batches, routes),
        ResponseRoutes(pipeline, runtime.responses),
    ]
    return [*found, OpenApi(routes, found)]
