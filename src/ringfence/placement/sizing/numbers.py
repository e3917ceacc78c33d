"""Reading numbers out of what others wrote: a key may be missing, null, of another kind, or of another name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

Facts = Mapping[str, Any]


def number(facts: Facts, *names: str) -> int:
    """The first of these that is a positive whole number, else 0."""
    for name in names:
        value = facts.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return 0


def numbers(facts: Facts, name: str) -> list[int] | None:
    """A list of whole numbers, else None. Truth values count as 0 and 1, as some writers have them."""
    value = facts.get(name)
    if not isinstance(value, list | tuple):
        return None
    found = cast("list[Any]", value)
    return [int(one) for one in found] if all(isinstance(one, int) for one in found) else None


def words(facts: Facts, name: str) -> list[str] | None:
    """A list of texts that is not empty, else None."""
    value = facts.get(name)
    if not isinstance(value, list | tuple) or not value:
        return None
    found = cast("list[Any]", value)
    return [str(one) for one in found] if all(isinstance(one, str) for one in found) else None


def inner(facts: Facts, name: str) -> Facts:
    """What lies within a key, else nothing."""
    value = facts.get(name)
    return cast("Facts", value) if isinstance(value, Mapping) else {}
