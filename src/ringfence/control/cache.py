"""/control/v1/cache: answers that are kept. Never any text of them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from ringfence.control.view import View


def routes(view: View) -> APIRouter:
    router = APIRouter(tags=["cache"])

    @router.get("/cache")
    async def cache() -> dict[str, Any]:
        """By profile: how many answers are kept, what they take, and what became of calls since the start."""
        return view.cache()

    @router.delete("/cache")
    async def clear(profile: str = "") -> dict[str, Any]:
        """Forgets all of them, or those of one profile; what is being made now is not kept either."""
        return view.clear_cache(profile)

    return router
