"""GET /control/v1/requests: totals, and the last ones. Never any text of them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from ringfence.control.view import View


def routes(view: View) -> APIRouter:
    router = APIRouter(tags=["requests"])

    @router.get("/requests")
    async def requests() -> dict[str, Any]:
        """How many run, wait and failed, and the recent ones with their times and tokens."""
        status = view.status()
        return {"requests": status["requests"], "recent": status["recent"]}

    return router
