"""POST /control/v1/explain: where a request would go, and why, without sending it."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ringfence.control.view import View

ASKED_IN = frozenset(("messages", "prompt", "input"))
"""Fields of a request that no question has."""


class Question(BaseModel):
    """`body` is what would be sent to the route. Who would ask: a `key` (its secret), or any key of a `profile`; with a
    key, `profile` is what it would name in the header x-ringfence-profile. `agent`, as it would name itself; `labels`,
    as it would set them in x-ringfence-label; `priority`, as in x-ringfence-priority. `dialect` is the one that the
    body is of; without it, the one that it looks like. A bare request, as it would be sent, is its own `body`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str = Field(min_length=1, max_length=500)
    body: dict[str, Any] = Field(default_factory=dict, repr=False)
    key: str | None = Field(default=None, max_length=200)
    profile: str | None = Field(default=None, max_length=200)
    agent: str | None = Field(default=None, max_length=200)
    labels: list[str] = Field(default_factory=list, max_length=100)
    priority: Literal["user", "agent", "background"] | None = None
    dialect: str | None = Field(default=None, max_length=50)

    @model_validator(mode="before")
    @classmethod
    def _is_a_request(cls, given: Any) -> Any:
        if isinstance(given, dict) and "body" not in given and not ASKED_IN.isdisjoint(given):
            return {"model": given.get("model"), "body": given}
        return given


def routes(view: View) -> APIRouter:
    router = APIRouter(tags=["explain"])

    @router.post("/explain")
    async def explain(question: Question) -> dict[str, Any]:
        """The rule, the chain, who was excluded, and what the window would do to the request."""
        asker = {
            "key": question.key, "profile": question.profile, "agent": question.agent,
            "labels": ",".join(question.labels), "priority": question.priority,
            "dialect": question.dialect,
        }  # fmt: skip
        given = {name: value for name, value in asker.items() if value}
        return await view.explain(question.model, question.body, given)

    return router
