"""GET /control/v1/models: what can be asked for, and the targets behind each name."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from ringfence.control.view import View


def routes(view: View) -> APIRouter:
    router = APIRouter(tags=["models"])

    @router.get("/models")
    async def models() -> dict[str, Any]:
        """Every model with its targets, and how busy they are."""
        return {"models": view.status()["models"]}

    return router
