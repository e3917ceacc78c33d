"""What the desks of files and of batches have in common: their paths, and how they answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from ringfence.core.errors import Failure
from ringfence.gateway.desk import AsyncDesk
from ringfence.gateway.refusal import JSON_HEAD
from ringfence.gateway.request import Request


class RowsDesk(AsyncDesk):
    """Rows of a table under one path."""

    prefix: str

    def rest(self, path: str) -> list[str] | None:
        """The segments behind the prefix; None for another path."""
        if path in (self.prefix, f"{self.prefix}/"):
            return []
        if not path.startswith(f"{self.prefix}/"):
            return None
        return path[len(self.prefix) + 1 :].split("/")

    async def serve_rest(self, request: Request, rest: list[str]) -> None:
        raise NotImplementedError

    async def attend(self, request: Request, call_id: str) -> None:
        await self.serve_rest(request, self.rest(request.path) or [])

    def broke(self, request: Request, failure: Failure, call_id: str) -> None:
        """What was begun as a file cannot end as an error."""
        if request.is_answered:
            request.abort()
        else:
            super().broke(request, failure, call_id)


def answer(request: Request, body: Mapping[str, Any]) -> None:
    request.answer(200, JSON_HEAD, orjson.dumps(body))
