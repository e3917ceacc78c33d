"""GET /control/v1/profiles: what each profile may reach, and why."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from ringfence.control.view import View


def routes(view: View) -> APIRouter:
    router = APIRouter(tags=["profiles"])

    @router.get("/profiles")
    async def profiles() -> dict[str, Any]:
        """Every profile: tier, boundary, chain, who is bound to it, and for every target whether it may be reached."""
        return {"profiles": view.profiles()}

    return router
