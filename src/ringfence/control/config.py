"""/control/v1/config: the configuration in force, and reading it again."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from ringfence.control.view import View


def routes(view: View) -> APIRouter:
    router = APIRouter(tags=["config"])

    @router.get("/config", response_class=Response)
    async def config() -> Response:
        """YAML; secrets are references in it."""
        return Response(view.config_text(), media_type="application/yaml; charset=utf-8")

    @router.post("/config/reload")
    async def reload() -> dict[str, Any]:
        """Applies what has changed in the file; `ok` false and `problems` when it was refused and nothing changed."""
        return await view.reload()

    return router
