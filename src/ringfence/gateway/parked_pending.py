"""One parked request while it waits, and how often it has failed."""

from __future__ import annotations

from typing import Any

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.errors import Failure, TargetUnavailable
from ringfence.core.identity import Key
from ringfence.core.route import Urgency
from ringfence.gateway.call import Call
from ringfence.gateway.dialects.dialect import Dialect
from ringfence.gateway.head import NO_HEAD
from ringfence.gateway.parked_answer import Told
from ringfence.gateway.route import Foreign
from ringfence.gateway.step import Run, Waiter
from ringfence.routing.health import Seen
from ringfence.routing.rules import PARK_RETRY_S
from ringfence.signals.hints import is_background
from ringfence.store.parked import Parked

MOST_BROKEN = 3
"""So many times an engine may fail on one request while it answers others; then its caller is told. One that fails on
everything is waited for."""


class Pending:
    """One parked request. `call` has no text where the text lies on disk."""

    __slots__ = (
        "_broken",
        "_is_told_apart",
        "_seen",
        "call",
        "ended",
        "row",
        "run",
        "since_s",
        "target",
        "told",
        "turn",
    )

    def __init__(self, row: Parked, call: Call, since_s: float) -> None:
        self.row = row
        self.call = call
        self.since_s = since_s
        self.turn: Waiter[Failure | None] = Waiter()
        self.run: Run | None = None
        self.target: Target | None = None
        self.told: list[Told] = []
        self.ended: list[Waiter[None]] = []
        """Whoever holds its ticket, and waits for its end."""
        self._broken = 0
        self._seen: Seen | None = None
        self._is_told_apart = True

    def goes_to(self, seen: Seen) -> None:
        """It is tried. `seen` is what is known of its target: not the same as when that failed on it if it has served
        somebody since, and then the fault may be with this request."""
        self._is_told_apart = seen is not self._seen

    def is_broken_again(self, seen: Seen | None = None) -> bool:
        """An engine was reached and made no answer of it; True when that is enough. Without `seen`, whatever the engine
        does for others."""
        self._broken += seen is None or self._is_told_apart
        self._seen = seen
        return self._broken >= MOST_BROKEN


def call_of(
    row: Parked, key: Key, route: Dialect | Foreign, started_at: float, body: dict[str, Any] | None = None,
    labels: str = "",
) -> Call:  # fmt: skip
    """Its call: as far as when it was parked, whatever is allowed now. Without its text, for the queue."""
    dialect = route.goes_as if isinstance(route, Foreign) else route
    voice = asked = None
    said_in = ""
    if isinstance(route, Foreign) and body is not None:
        heard = route.heard(body, NO_HEAD)
        dialect, body, voice, asked, said_in = heard.dialect or dialect, heard.body, heard.voice, body, heard.said_in
    call = Call(
        row.id, key, dialect, row.model, body or {}, row.body_bytes, row.stream, started_at, row.agent, row.named,
        labels, at_most=Boundary(row.boundary), urgency=Urgency(row.urgency),
        may_load=not is_background(body or {}), spoken=row.dialect,
    )  # fmt: skip
    call.asked, call.voice, call.said_in = asked, voice, said_in
    if isinstance(route, Foreign) and asked is not None:
        route.made(call)
    return call


def too_late() -> TargetUnavailable:
    return TargetUnavailable(
        "No target within the boundary could serve this before its deadline.", code="deadline_passed",
        retry_after_s=PARK_RETRY_S,
    )  # fmt: skip
