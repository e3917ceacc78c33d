"""/control/v1/parked: requests that wait until a target within their boundary is free. Never any text of them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from ringfence.control.view import View


def routes(view: View) -> APIRouter:
    router = APIRouter(tags=["parked"])

    @router.get("/parked")
    async def parked() -> dict[str, Any]:
        """Every parked request in the order in which they are served, and how many there may be."""
        return await view.parked()

    @router.get("/parked/{parked_id}")
    async def one(parked_id: str) -> dict[str, Any]:
        """The one with this id."""
        return await view.parked_one(parked_id)

    @router.delete("/parked/{parked_id}")
    async def cancel(parked_id: str) -> dict[str, Any]:
        """Ends it: whoever waits for it gets an error. One that had ended already stays as it ended."""
        return await view.cancel_parked(parked_id)

    return router
