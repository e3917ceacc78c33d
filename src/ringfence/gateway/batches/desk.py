"""What the desks of files and of batches have in common: how they answer, and how they tell failures."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import orjson

from ringfence.core.errors import BadRequest, Failure, TargetUnavailable
from ringfence.gateway.refusal import JSON_HEAD
from ringfence.gateway.request import Request
from ringfence.gateway.route import Desk
from ringfence.gateway.step import Run
from ringfence.store.failure import StoreFailed

log = logging.getLogger("ringfence.batches")


class RowsDesk(Desk):
    """Rows of a table under one path."""

    prefix: str

    def rest(self, path: str) -> list[str] | None:
        """The segments behind the prefix; None for another path."""
        if path in (self.prefix, f"{self.prefix}/"):
            return []
        if not path.startswith(f"{self.prefix}/"):
            return None
        return path[len(self.prefix) + 1 :].split("/")

    def serve(self, request: Request) -> None:
        run = Run(self._serve(request))
        request.on_gone = run.cancel
        run.step()

    async def serve_rest(self, request: Request, rest: list[str]) -> None:
        raise NotImplementedError

    async def _serve(self, request: Request) -> None:
        try:
            await self.serve_rest(request, self.rest(request.path) or [])
        except Failure as failure:
            request.fail(failure)
        except asyncio.CancelledError:
            raise
        except StoreFailed as failed:
            log.error("%s cannot be served: %s", self.prefix, failed)
            self._broke(request, TargetUnavailable("This cannot be stored or read now; the gateway's log says why."))
        except Exception:  # a fault of ours must not take the connection down without a word
            log.exception("%s could not be answered", self.prefix)
            self._broke(request, Failure("The gateway failed on this request; its log says why."))

    def _broke(self, request: Request, failure: Failure) -> None:
        """What was begun as a file cannot end as an error."""
        if request.is_answered:
            request.abort()
        else:
            request.fail(failure)


def answer(request: Request, body: Mapping[str, Any]) -> None:
    request.answer(200, JSON_HEAD, orjson.dumps(body))


def query_of(request: Request) -> dict[str, str]:
    """The last of each."""
    return {name: values[-1] for name, values in parse_qs(request.head.query.decode("latin-1")).items()}


def limit_of(query: Mapping[str, str], usual: int, most: int) -> int:
    """How many rows are wanted."""
    given = query.get("limit", str(usual))
    if not given.isdecimal() or not 1 <= int(given[:9]) <= most:
        raise BadRequest(f"'limit' must be a number from 1 to {most}.", param="limit", code="invalid_value")
    return int(given)
