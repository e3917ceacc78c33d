"""[pure] What an engine reports of a prompt beside what was counted before it was sent: learned from, and compared."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple

from ringfence.core.ports import Emit
from ringfence.core.usage import Usage
from ringfence.gateway.ratio import Ratios
from ringfence.telemetry.events import CountGap

FAR_TOKENS, FAR_SHARE = 16, 0.02
"""An engine's own count may differ from what it reports by the marks that begin and end a text, and no more."""
ESTIMATE_SHARE = 0.25
"""By how much a prompt may exceed an estimate, which is a quantile, before that is worth a word."""


class By(StrEnum):
    """Who counted. `BOUND` and `TOKENIZER`, which has the template's bound around it, are never less than the tokens,
    `ENGINE` is their number, `RATIO` is an estimate."""

    ENGINE = "engine"
    TOKENIZER = "tokenizer"
    BOUND = "bound"
    RATIO = "ratio"


class Counted(NamedTuple):
    """Tokens of the one prompt of a call, as it was sent, and by whom they were counted."""

    tokens: int
    by: By


_tuple: Any = tuple
counted: Callable[[tuple[int, By]], Counted] = partial(_tuple.__new__, Counted)
"""As `Counted(...)`, but for the Python function that a named tuple puts in between."""
BOUND, ENGINE, RATIO = By.BOUND, By.ENGINE, By.RATIO
"""Looked up once: members of an enumeration are slow to find."""

Report = tuple[str, str, int, Counted | None, Usage]
"""Call, target, size of the prompt as it was sent (measured as for `Ratios.estimate`), what was counted, what is
reported."""
MOST_WAITING = 4096
MANY = 64
"""Of so many at once some are enough to learn from."""


class Reported:
    """Learns from what is reported, and tells of gaps. One for the gateway; `settle` is called off the calls' path."""

    def __init__(self, emit: Emit) -> None:
        self.ratios = Ratios()
        self._emit = emit
        self._waiting: deque[Report] = deque(maxlen=MOST_WAITING)
        self.take: Callable[[Report], None] = self._waiting.append
        """One call has been answered."""

    def settle(self) -> None:
        """Look at what was reported since."""
        waiting = self._waiting
        ratios = self.ratios
        every = 1 + len(waiting) // MANY
        while waiting:
            call_id, target, size_bytes, known, (tokens, _, _, is_estimated, _, _, _) = waiting.popleft()
            if is_estimated or tokens <= 0:  # what the gateway estimated itself is no report
                continue
            side = gap(known, tokens, ratios.least(target, size_bytes))
            if side:
                self._tell(call_id, target, known, tokens, side)
            if side != "below" and (every == 1 or len(waiting) % every == 0):  # nothing is learned from what was cut
                ratios.learn(target, size_bytes, tokens)

    def _tell(self, call_id: str, target: str, known: Counted | None, reported: int, side: str) -> None:
        tokens, by = known if known is not None else (0, By.RATIO)
        self._emit(CountGap(call_id, target, tokens, reported, by.value, side))


def gap(counted: Counted | None, reported: int, least: int | None) -> str:
    """'above' where an engine read more tokens than were counted: the count cannot be relied on. 'below' where it read
    far fewer than it counted itself, or than prompts of this size have: it may have cut the prompt. Else ''.
    """
    if counted is not None:
        tokens, by = counted
        if reported > tokens and (by is not RATIO or reported > tokens * (1 + ESTIMATE_SHARE)):
            return "above"
        if tokens - reported > FAR_TOKENS and by is ENGINE and tokens - reported > tokens * FAR_SHARE:
            return "below"
    return "below" if least is not None and reported < least / 2 else ""
