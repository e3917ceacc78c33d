"""/control/v1/keys: API keys; the secret of one is shown once, when it is made."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from ringfence.control.view import View

MOST = 10_000_000_000_000
"""Ten million dollars."""


class Caps(BaseModel):
    """The most that may be spent with a key, in micro-dollars; null: no cap."""

    model_config = ConfigDict(extra="forbid", strict=True)

    day: int | None = Field(default=None, ge=0, le=MOST)
    week: int | None = Field(default=None, ge=0, le=MOST)
    month: int | None = Field(default=None, ge=0, le=MOST)
    call: int | None = Field(default=None, ge=0, le=MOST)
    soft_percent: int = Field(default=80, ge=1, le=100)


class NewKey(BaseModel):
    """What a key is made with. Limits are per minute and None is unlimited; `expires_s` is UTC seconds.

    Without a profile it has that of its agent, and without an agent the profile 'default'.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(min_length=1, max_length=200)
    profile: str | None = Field(default=None, min_length=1, max_length=200)
    agent: str | None = Field(default=None, min_length=1, max_length=200)
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    expires_s: int | None = Field(default=None, ge=1)
    budget: Caps = Field(default_factory=Caps)


def routes(view: View) -> APIRouter:
    router = APIRouter(tags=["keys"])

    @router.get("/keys")
    async def keys() -> dict[str, Any]:
        """Every key without its secret, revoked ones included."""
        return {"keys": await view.keys()}

    @router.post("/keys", status_code=201)
    async def create(new: NewKey) -> dict[str, Any]:
        """A new key, with its secret."""
        return await view.create_key(
            new.name, new.profile or ("" if new.agent else "default"), new.agent or "", new.requests_per_minute,
            new.tokens_per_minute, new.expires_s, new.budget.model_dump(exclude_unset=True),
        )  # fmt: skip

    @router.patch("/keys/{which}/budget")
    async def rebudget(which: str, caps: Caps) -> dict[str, Any]:
        """Other caps for the key with this id, name or hint, from its next call on; what is not named stays."""
        return await view.rebudget_key(which, caps.model_dump(exclude_unset=True))

    @router.delete("/keys/{which}")
    async def revoke(which: str) -> dict[str, Any]:
        """Revokes the key with this id, name or hint; it stays in the list."""
        return await view.revoke_key(which)

    return router
