"""GET /control/v1/devices: memory, and who holds it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from ringfence.control.view import View


def routes(view: View) -> APIRouter:
    router = APIRouter(tags=["devices"])

    @router.get("/devices")
    async def devices() -> dict[str, Any]:
        """Every memory pool, in bytes."""
        return {"devices": view.status()["devices"]}

    return router
