"""[pure] Making a request fit its window. So far the hard cap on output; truncation and compression follow it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ringfence.core.errors import BadRequest

FIT, CLAMPED = "fit", "clamped"


@lru_cache(1024)
def hard_cap(window: int) -> int:
    """The most output tokens any request may ask for: 60 % of the window, but at least 256 where there is room.

    Below a window of 257 the window itself rules: one token is left for the prompt.
    """
    return max(1, min(max(256, int(window * 0.60)), window - 1))


def clamp(asked: int | None, window: int | None) -> tuple[int | None, str]:
    """Output tokens to ask the engine for, and what was done. An unknown window leaves the request as it is."""
    if window is None:
        return asked, FIT
    cap = hard_cap(window)
    if asked is None:
        return cap, FIT
    return (asked, FIT) if asked <= cap else (cap, CLAMPED)


def output_asked(body: dict[str, Any]) -> int | None:
    """What the caller asked for, under either of its names; the tighter one when both are given.

    BadRequest when that is less than one token.
    """
    asked: int | None = body.get("max_tokens")
    if "max_completion_tokens" in body:
        newer: int | None = body["max_completion_tokens"]
        if newer is not None and (asked is None or newer < asked):
            asked = newer
    if asked is not None and asked < 1:
        raise BadRequest("'max_tokens' must be at least 1.", param="max_tokens", code="invalid_value")
    return asked
