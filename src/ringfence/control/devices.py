"""/control/v1/devices: memory, who holds it, and how that was in the last hour."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from ringfence.control.view import View


def routes(view: View) -> APIRouter:
    router = APIRouter(tags=["devices"])

    @router.get("/devices")
    async def devices() -> dict[str, Any]:
        """Every memory pool, who holds what of it, and what cannot be read; in bytes."""
        return await view.devices()

    @router.get("/devices/timeline")
    async def timeline() -> dict[str, Any]:
        """The last hour of each device: when, held by us, by others, and leased but not taken yet; in bytes."""
        return await view.timeline()

    return router
