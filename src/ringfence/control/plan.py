"""GET /control/v1/plan: what would be done with the devices now, and why. Nothing is done by asking."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from ringfence.control.view import View


def routes(view: View) -> APIRouter:
    router = APIRouter(tags=["plan"])

    @router.get("/plan")
    async def plan() -> dict[str, Any]:
        """What would be done now, who waits and until about when, what is refused, and where each model is."""
        return await view.plan()

    return router
