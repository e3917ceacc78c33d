"""One call: who asks for what. Its text is never shown by repr."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import NO_MEDIA, Medium
from ringfence.core.identity import Key
from ringfence.core.ledger import Paid
from ringfence.core.route import Decision, Urgency
from ringfence.gateway.dialects.dialect import Dialect
from ringfence.gateway.dialects.media import media_in
from ringfence.gateway.reported import Counted
from ringfence.gateway.request import Request
from ringfence.gateway.voice import Voice
from ringfence.telemetry.events import Fitting


@dataclass(slots=True)
class Bill:
    """What one call of a caller has cost up to now, in micro-dollars: on all its tries, and on calls within it."""

    usd_micros: int = 0


@dataclass(slots=True)
class Call:
    """A request that was understood. `body` is the parsed JSON; `started_at` is monotonic seconds."""

    id: str
    key: Key
    dialect: Dialect
    model: str
    body: dict[str, Any] = field(repr=False)
    body_bytes: int
    stream: bool
    started_at: float
    agent: str = ""
    named: str = ""
    labels: str = ""
    """The agent, the profile and the labels (with commas between) that the caller names in its headers."""
    at_most: Boundary = Boundary.CLOUD
    """How far it may go at most, whatever else is found: as far as when it was parked."""
    decision: Decision | None = None
    counted: Counted | None = None
    """Tokens of its one prompt, as it was sent; None where nobody counted, and for several prompts in one call."""
    sent_bytes: int = 0
    """Size of what was sent, which is not `body_bytes` where it was shortened or translated."""
    media_bytes: int = 0
    """Of the images, sounds and files in it."""
    fitting: Fitting | None = None
    """What was done for the target that it was sent to; None before."""
    is_bare: bool = False
    """Its messages are roles and texts, and nothing else, as `Dialect.check` saw."""
    is_rough: bool = False
    """`counted` is a rough bound, which was enough to see that it fits."""
    failed_at: tuple[str, ...] = ()
    """Targets that could not answer it."""
    retry_until_s: float = 0.0
    """Once one has failed: when no further try is begun."""
    matched: tuple[str, ...] = ()
    """The rules that matched it, by name, when it was last decided by rules."""
    request: Request | None = field(default=None, repr=False)
    """Where it is answered; None for one that was taken from the disk."""
    output: int | None = None
    """The most tokens that it wants in answer; None when it does not say."""
    urgency: Urgency = Urgency.USER
    """As its caller says, and once it is decided about, no higher than its profile lets it be."""
    may_load: bool = True
    """False for what nobody waits for, such as the title of a chat: it goes to what is here, and has nothing loaded."""
    spoken: str = ""
    """The name of the dialect that it was asked in, which need not be the `dialect` that its target is asked in."""
    asked: dict[str, Any] | None = field(default=None, repr=False)
    """What its caller said, where `body` is a translation of it."""
    said_in: str = ""
    """The field of `asked` that is too long, where it is the text in `body` that is."""
    voice: Voice | None = field(default=None, repr=False)
    """Who tells its answer then."""
    within: str = ""
    """The id of the call for whose sake it is made, where its caller did not ask for it itself."""
    own_tool: str = ""
    """Among the tools that it offers, the one that the gateway answers: what that is told is a call within this one."""

    hold: str = ""
    """The money that is held for it, where it may go to a provider next: what egress asks for."""
    most_output: int = 0
    """Tokens of all answers together that it is held for."""
    may_think: bool = False
    """Of what is paid for: more may have been thought than can be seen of it."""
    bill: Bill | None = None
    """None as long as nothing is held for it."""
    paid: Paid | None = None
    """What its answer cost, once that is known; None for one that no provider gave."""

    seen: frozenset[Medium] | None = None
    """`media`, once somebody has asked for them."""

    @property
    def media(self) -> frozenset[Medium]:
        """What stands in it beside text."""
        if self.is_bare:
            return NO_MEDIA
        if self.seen is None:
            self.seen = media_in(self.body)
        return self.seen

    @property
    def text_bytes(self) -> int:
        """Size of the prompt, as far as it is known by now, without images."""
        return max(1, (self.sent_bytes or self.body_bytes) - self.media_bytes)
