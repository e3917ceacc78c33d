"""GET /control/v1/status: everything at once."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from ringfence.control.view import View


def routes(view: View) -> APIRouter:
    router = APIRouter(tags=["status"])

    @router.get("/status")
    async def status() -> dict[str, Any]:
        """Models, instances, devices and requests, as the console shows them."""
        return view.status()

    return router
