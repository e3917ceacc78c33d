"""The control API as an ASGI application: one file per resource, one way in, one shape of error."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, FastAPI

from ringfence import __version__
from ringfence.control import (
    batches,
    cache,
    config,
    console,
    devices,
    egress,
    events,
    explain,
    instances,
    keys,
    leases,
    models,
    modes,
    money,
    parked,
    plan,
    profiles,
    requests,
    status,
)
from ringfence.control.access import Access
from ringfence.control.failures import render_failures
from ringfence.control.shield import Shield
from ringfence.control.view import View

PREFIX = "/control/v1"
RESOURCES = (
    status, models, instances, devices, plan, modes, leases, requests, parked, batches, cache, keys, profiles, explain,
    egress, money, config, console, events,
)  # fmt: skip
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"description": f"{words}; the body says why."}
    for status, words in (
        (400, "The request is wrong"), (401, "Nobody is signed in"), (403, "It is not allowed"), (404, "No such thing"),
        (409, "It cannot be done as things are"), (410, "It is no more"), (413, "The body is too large"),
        (429, "Too much is asked"), (503, "It cannot be done now"),
    )
}  # fmt: skip
"""Statuses that any of them may end in; there is no other but 200."""


def build(view: View) -> FastAPI:
    """The application; the console is mounted on it afterwards. Nothing runs until a request comes."""
    # No openapi_url, and so no pages of documentation: those load scripts from a CDN.
    app = FastAPI(
        title="Ringfence", version=__version__, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
    )
    app.add_middleware(Shield)
    render_failures(app)
    router = APIRouter(prefix=PREFIX, dependencies=[Depends(Access(view))], responses=REFUSALS)
    for resource in RESOURCES:
        router.include_router(resource.routes(view))

    @router.get("/openapi.json", include_in_schema=False)
    async def description() -> dict[str, Any]:
        """The API described, for generating clients."""
        return app.openapi()

    app.include_router(router)
    return app
