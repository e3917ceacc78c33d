"""GET /control/v1/instances: the engines that run, those that were adopted, and those that were left out."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from ringfence.control.view import View


def routes(view: View) -> APIRouter:
    router = APIRouter(tags=["instances"])

    @router.get("/instances")
    async def instances() -> dict[str, Any]:
        """Every instance and its state; `left_out` says which engines are not used, and why."""
        status = view.status()
        return {"instances": status["instances"], "left_out": status["left_out"]}

    return router
