"""/control/v1/leases: memory of devices for programs of somebody else."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from ringfence.config.values import Size
from ringfence.control.view import View

LONGEST_WAIT_S = 600.0
Seconds = Annotated[float, Field(allow_inf_nan=False)]


class NewLease(BaseModel):
    """What is asked for. Without a device one is chosen; `memory` is bytes or text such as 16GiB. With a pid the lease
    lives as long as that process, without one as long as its heartbeats are at most `ttl_s` apart."""

    model_config = ConfigDict(extra="forbid", strict=True)

    tenant: str = Field(pattern=r"^[A-Za-z0-9._:@/-]{1,100}$")
    device: str | None = Field(default=None, min_length=1, max_length=200)
    memory: Size
    priority: int | None = Field(default=None, ge=0, le=10_000)
    ttl_s: Seconds = Field(default=60.0, gt=0)
    pid: int | None = Field(default=None, ge=1, le=2**31 - 1)
    wait_s: Seconds = Field(default=0.0, ge=0, le=LONGEST_WAIT_S)


def routes(view: View) -> APIRouter:
    router = APIRouter(tags=["leases"])

    @router.get("/leases")
    async def leases() -> dict[str, Any]:
        """Every lease that is asked for, held or asked back, oldest first."""
        return await view.leases()

    @router.post("/leases", status_code=201)
    async def ask(new: NewLease) -> dict[str, Any]:
        """A new lease. It may be used once its phase is `held`, which is waited for as long as `wait_s` says."""
        return await view.lease(new.model_dump())

    @router.post("/leases/{lease_id}/heartbeat")
    async def keep(lease_id: str) -> dict[str, Any]:
        """Its tenant lives; the phase `recalled` asks it to go. 404 once the lease ended: ask for another."""
        return await view.keep_lease(lease_id)

    @router.delete("/leases/{lease_id}")
    async def end(lease_id: str) -> dict[str, Any]:
        """Its tenant has gone. As it was last."""
        return await view.end_lease(lease_id)

    return router
