"""/control/v1/keys: API keys; the secret of one is shown once, when it is made."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from ringfence.control.view import View


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
            new.tokens_per_minute, new.expires_s,
        )  # fmt: skip

    @router.delete("/keys/{which}")
    async def revoke(which: str) -> dict[str, Any]:
        """Revokes the key with this id, name or hint; it stays in the list."""
        return await view.revoke_key(which)

    return router
