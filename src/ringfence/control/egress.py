"""GET /control/v1/egress: what left this machine, for whom and where to; and since when nothing has."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from ringfence.control.view import View

Since = Annotated[float | None, Query(ge=0, le=10**11, allow_inf_nan=False)]


def routes(view: View) -> APIRouter:
    router = APIRouter(tags=["egress"])

    @router.get("/egress")
    async def egress(since_s: Since = None) -> dict[str, Any]:
        """Counts and calls begin at `since_s` (UTC seconds, at most 50 hours ago, rounded down to a quarter of an
        hour); without it at the beginning of the UTC day."""
        return await view.egress(since_s)

    return router
