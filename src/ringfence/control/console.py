"""A fresh way into the console: an address that signs one browser in, once."""

from __future__ import annotations

from fastapi import APIRouter

from ringfence.control.view import View


def routes(view: View) -> APIRouter:
    router = APIRouter(tags=["console"])

    @router.post("/console-link")
    async def link() -> dict[str, str]:
        return {"url": view.console_link()}

    return router
