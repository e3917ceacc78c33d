"""What the window of a target would do to a request: worked out as for a real one, but nobody is asked to count."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from math import ceil
from typing import Any

from ringfence.core.catalog import Target
from ringfence.core.errors import ContextLengthExceeded
from ringfence.core.route import Overlong
from ringfence.gateway.call import Call
from ringfence.gateway.count import Meter, byte_length
from ringfence.gateway.fitting import PLAIN, USUAL_TOKENS_A_BYTE, surely, weigh
from ringfence.gateway.meters import Meters
from ringfence.gateway.ratio import Ratios
from ringfence.gateway.relay import Relay
from ringfence.gateway.shrink import SHAPES, Fitted
from ringfence.gateway.shrink.fit import shares_of

UNKNOWN, REFUSED = "unknown", "refused"
"""States besides those of a call: no window is known, so that nothing is done; nothing would make it fit."""


@dataclass(frozen=True, slots=True)
class WhatFits:
    """Reads what the gateway knows of its targets."""

    relay: Relay
    ratios: Ratios
    meters: Meters

    async def foresee(self, call: Call, target: Target, overlong: Overlong) -> dict[str, Any]:
        """What would be done to `call` (of which `output` is set) at this target, as JSON-able numbers.

        `by` says on what that rests: the `bound`, which is never too low, or an `estimate`, in whose place the engine's
        own count, or its refusal, comes when it is sent.
        """
        refuses = overlong is Overlong.REFUSE
        told = {
            "target": target.name, "window": target.window, "overlong": overlong.value, "asked": call.output,
            "shares": None, "bound": None, "estimate": None, "by": "bound", "error": "",
        }  # fmt: skip
        if target.window is None:
            return told | _done(Fitted(call.body, call.output, UNKNOWN, 0, 0))
        shape = SHAPES[call.dialect.name]
        shares = shares_of(shape, target.window, call.output, refuses)
        meters = self.meters.unasking()
        bound = shape.bound(call.body, meters.of(target))
        tokens_a_byte = self._tokens_a_byte(target, call.body_bytes)
        estimate = await asyncio.to_thread(_estimate, call, tokens_a_byte, bound)
        told |= {
            "bound": bound, "estimate": estimate,
            "shares": {
                "input": shares.most_input, "output": shares.output, "least_output": shares.least,
                "reserve": shares.reserve,
            },
        }  # fmt: skip
        fitted = surely(call, target, meters, refuses=refuses)
        if fitted is not None:
            return told | _done(fitted)
        is_cut = self.relay.cuts(target)
        told["by"] = "bound" if is_cut else "estimate"

        async def ask(body: dict[str, Any]) -> int | None:
            return estimate if not is_cut and (refuses or not call.dialect.generates) else None

        try:
            fitted = await weigh(call, target, ask, tokens_a_byte, meters, refuses=refuses, is_cut=is_cut)
        except ContextLengthExceeded as refused:
            none = Fitted(call.body, None, REFUSED, refused.tokens or 0, refused.tokens or 0)
            return told | _done(none) | {"error": refused.message}
        if not is_cut and fitted.before:
            told["estimate"] = fitted.before
        return told | _done(fitted)

    def _tokens_a_byte(self, target: Target, size_bytes: int) -> float:
        """As calls without a count are fitted by."""
        learned = self.ratios.estimate(target.name, size_bytes)
        return learned / size_bytes if learned is not None else USUAL_TOKENS_A_BYTE


def _done(fitted: Fitted) -> dict[str, Any]:
    return {
        "state": fitted.state, "max_tokens": fitted.output, "before": fitted.before, "after": fitted.after,
        "dropped": fitted.dropped, "shortened": {str(kind): count for kind, count in fitted.shortened.items()},
    }  # fmt: skip


def _estimate(call: Call, tokens_a_byte: float, bound: int | None) -> int:
    """Tokens of its largest prompt, about."""

    def count(text: str) -> int:
        return ceil(byte_length(text) * tokens_a_byte)

    prompts = SHAPES[call.dialect.name].prompts(call.body, Meter(count, PLAIN))
    most = max((prompt.tokens for prompt in prompts), default=0)
    return most if bound is None else min(bound, most)
