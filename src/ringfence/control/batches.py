"""/control/v1/batches: batches of all keys. Never any text of them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from ringfence.control.view import View


def routes(view: View) -> APIRouter:
    router = APIRouter(tags=["batches"])

    @router.get("/batches")
    async def batches() -> dict[str, Any]:
        """The latest hundred, and how many of their lines are under way."""
        return await view.batches()

    @router.get("/batches/{batch_id}")
    async def one(batch_id: str) -> dict[str, Any]:
        """The one with this id, with what is wrong with its input."""
        return await view.batch(batch_id)

    @router.delete("/batches/{batch_id}")
    async def cancel(batch_id: str) -> dict[str, Any]:
        """Stops it; what was answered is kept. One that had ended already stays as it ended."""
        return await view.cancel_batch(batch_id)

    return router
