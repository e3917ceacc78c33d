"""A desk whose answers wait for something: how it is run, and how it tells what went wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from urllib.parse import parse_qs

from ringfence.core.errors import BadRequest, Failure, TargetUnavailable
from ringfence.gateway.request import Request
from ringfence.gateway.route import Desk
from ringfence.gateway.step import Run
from ringfence.store.failure import StoreFailed

log = logging.getLogger("ringfence.desks")


class AsyncDesk(Desk):
    """Stops working when its caller goes away."""

    what: str
    """What is asked for here, as the log calls it."""

    async def attend(self, request: Request, call_id: str) -> None:
        """Answer; raises Failure for what the caller is to be told instead."""
        raise NotImplementedError

    def call_id(self, request: Request) -> str:
        """Under which it is answered; empty where no call comes of it."""
        return ""

    def broke(self, request: Request, failure: Failure, call_id: str) -> None:
        """Tell it."""
        request.fail(failure, call_id)

    def serve(self, request: Request) -> None:
        run = Run(self._serve(request))
        request.on_gone = run.cancel
        run.step()

    async def _serve(self, request: Request) -> None:
        call_id = self.call_id(request)
        try:
            await self.attend(request, call_id)
        except Failure as failure:
            self.broke(request, failure, call_id)
        except asyncio.CancelledError:
            raise
        except StoreFailed as failed:
            log.error("%s cannot be read or written now: %s", self.what, failed)
            failure = TargetUnavailable("This cannot be stored or read now; the gateway's log says why.")
            self.broke(request, failure, call_id)
        except Exception:  # a fault of ours must not take the connection down without a word
            log.exception("%s could not be answered", self.what)
            self.broke(request, Failure("The gateway failed on this request; its log says why."), call_id)


def query_of(request: Request) -> dict[str, str]:
    """What stands behind the `?`; the last of each name."""
    return {name: values[-1] for name, values in parse_qs(request.head.query.decode("latin-1")).items()}


def limit_of(query: Mapping[str, str], usual: int, most: int) -> int:
    """How many rows are wanted."""
    given = query.get("limit", str(usual))
    if not given.isdecimal() or not 1 <= int(given[:9]) <= most:
        raise BadRequest(f"'limit' must be a whole number from 1 to {most}.", param="limit", code="invalid_value")
    return int(given)


def is_rising(query: Mapping[str, str]) -> bool:
    """Whether the oldest rows are wanted first; the latest are, unless it says otherwise."""
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise BadRequest("'order' must be asc or desc.", param="order", code="invalid_value")
    return order == "asc"
