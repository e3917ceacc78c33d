"""[pure] Before when a caller would not have its work begun: Unix seconds, or a time with its offset."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

from ringfence.core.errors import BadRequest

NOT_BEFORE = b"x-ringfence-not-before"
MOST_CHARS = 40
LAST_S = 253_402_300_800.0
"""The end of the year 9999."""


def moment_of(given: Any, param: str = "not_before") -> float:
    """In Unix seconds. Raises BadRequest."""
    at_s = _read(given)
    if at_s is None or not 0 <= at_s < LAST_S:
        raise BadRequest(
            f"'{param}' must be Unix seconds, or a time with its offset, such as 2030-01-31T02:00:00+01:00.",
            param=param, code="invalid_value",
        )  # fmt: skip
    return at_s


def _read(given: Any) -> float | None:
    if isinstance(given, int | float) and not isinstance(given, bool):
        return float(given) if given < LAST_S and math.isfinite(given) else None
    if not isinstance(given, str) or len(given) > MOST_CHARS:
        return None
    text = given.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        at = datetime.fromisoformat(text)
        return at.timestamp() if at.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
