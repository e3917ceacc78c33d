"""/control/v1/modes and /control/v1/mode: exclusive uses of devices, which one is on, and the way to another."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from ringfence.config.problems import not_configured
from ringfence.control.view import View
from ringfence.core.errors import NotFound


class Wanted(BaseModel):
    """Without a mode (null) devices are for everybody again."""

    model_config = ConfigDict(extra="forbid", strict=True)

    mode: str | None = Field(min_length=1, max_length=200)


def routes(view: View) -> APIRouter:
    router = APIRouter(tags=["modes"])

    @router.get("/modes")
    async def modes() -> dict[str, Any]:
        """Every mode of the configuration, the one that is on, and the last switch with its steps."""
        return await view.modes()

    @router.post("/mode")
    async def switch(wanted: Wanted) -> dict[str, Any]:
        """Begins a switch and does not wait for its end: `GET /modes` tells how it goes."""
        known = [mode["name"] for mode in (await view.modes())["modes"]]
        if wanted.mode is not None and wanted.mode not in known:
            raise NotFound(not_configured("mode", wanted.mode, known), param="mode")
        return await view.switch_mode(wanted.mode)

    return router
