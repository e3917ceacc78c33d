"""[pure] What the owner says of batches, and what a caller may say of one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from ringfence.config.hours import Daily
from ringfence.core.errors import BadRequest
from ringfence.gateway.not_before import moment_of

LEAST_KEEP_S, MOST_KEEP_S = 3600.0, 30 * 86_400.0
MOST_WINDOW_S = 14 * 86_400.0
_WINDOW = re.compile(r"([1-9]\d{0,6})([smhd])", re.ASCII)
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
MOST_PAIRS, MOST_NAME, MOST_VALUE = 16, 64, 512


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """Of all batches together."""

    hours: Daily | None = None
    """When lines are begun; None: always."""
    at_once: int = 4
    quiet_s: float = 2.0
    """So long no request of a higher class must have been under way on this machine; 0 for beside such requests."""
    most: int = 100
    most_lines: int = 50_000
    most_bytes: int = 2 * 1024**3
    keep_s: float = 7 * 86_400.0


def window_of(given: Any) -> float:
    """Seconds of a completion window such as 24h."""
    found = _WINDOW.fullmatch(given) if isinstance(given, str) else None
    window_s = int(found[1]) * _UNITS[found[2]] if found is not None else 0.0
    if not 0 < window_s <= MOST_WINDOW_S:
        raise BadRequest(
            "'completion_window' must be a time such as 24h: a number and s, m, h or d, at most 14d.",
            param="completion_window", code="invalid_value",
        )  # fmt: skip
    return window_s


def keep_of(anchor: Any, seconds: Any, usual_s: float, param: str = "expires_after") -> float:
    """For how long a file is kept."""
    if anchor is None and seconds is None:
        return usual_s
    text = str(seconds)
    if anchor != "created_at" or not text.isdecimal() or not LEAST_KEEP_S <= int(text[:9]) <= MOST_KEEP_S:
        raise BadRequest(
            f"'{param}' must have the anchor 'created_at' and from 3600 to 2592000 seconds.",
            param=param, code="invalid_value",
        )  # fmt: skip
    return float(text)


def metadata_of(given: Any) -> dict[str, str] | None:
    """Texts by name, as OpenAI bounds them."""
    if given is None:
        return None
    pairs = cast("dict[Any, Any]", given) if isinstance(given, dict) else None
    if pairs is None or len(pairs) > MOST_PAIRS or not all(_is_pair(name, value) for name, value in pairs.items()):
        raise BadRequest(
            "'metadata' must be an object of at most 16 texts, of at most 512 characters, with names of at most 64.",
            param="metadata", code="invalid_value",
        )  # fmt: skip
    return cast("dict[str, str]", pairs)


def _is_pair(name: Any, value: Any) -> bool:
    return isinstance(name, str) and isinstance(value, str) and len(name) <= MOST_NAME and len(value) <= MOST_VALUE


def not_before_of(body: Mapping[str, Any], metadata: Mapping[str, str] | None, now_s: float, window_s: float) -> float:
    """Before when no line is begun, said beside the other fields or among the metadata; 0 for at once."""
    given = body.get("not_before")
    if given is None:
        given = (metadata or {}).get("not_before")
    if given is None:
        return 0.0
    not_before_s = moment_of(given)
    if not_before_s >= now_s + window_s:
        raise BadRequest(
            "'not_before' lies behind the end of 'completion_window'.", param="not_before", code="invalid_value"
        )
    return not_before_s


def output_keep_of(body: Mapping[str, Any], usual_s: float) -> float:
    """For how long the files that a batch leaves behind are kept."""
    given = body.get("output_expires_after")
    if given is None:
        return usual_s
    fields = cast("dict[str, Any]", given) if isinstance(given, dict) else {"anchor": ""}
    return keep_of(fields.get("anchor"), fields.get("seconds"), usual_s, "output_expires_after")
