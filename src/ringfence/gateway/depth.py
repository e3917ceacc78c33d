"""[pure] How deep values of a body lie within values."""

from __future__ import annotations

from typing import Any, cast

from ringfence.core.errors import BadRequest

MOST_DEEP = 200
"""What orjson reads may be 1,024 levels deep, and what it writes 254."""


def is_deep(body: dict[str, Any]) -> bool:
    """Whether values lie within values more than MOST_DEEP times."""
    level: list[Any] = [body]
    for _ in range(MOST_DEEP):
        inner = (cast("dict[str, Any]", one).values() if type(one) is dict else one for one in level)
        level = [value for values in inner for value in values if type(value) in (dict, list)]
        if not level:
            return False
    return True


def too_deep() -> BadRequest:
    """What its caller is told."""
    return BadRequest(f"The body is nested deeper than {MOST_DEEP} levels.", code="nested_too_deep")
