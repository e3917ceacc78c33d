"""/control/v1/money and /control/v1/spend: what may be spent, what is, what is held, and the days that were."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from ringfence.control.view import View

Days = Annotated[int, Query(ge=1, le=366)]


def routes(view: View) -> APIRouter:
    router = APIRouter(tags=["money"])

    @router.get("/money")
    async def money() -> dict[str, Any]:
        """Every cap with what is spent and held of it, in millionths of a US dollar; and the holds that stand."""
        return await view.money()

    @router.get("/spend")
    async def spend(days: Days = 30) -> dict[str, Any]:
        """What was used and spent on each of the last days, this one included, by provider; own engines have none."""
        return await view.spend(days)

    return router
