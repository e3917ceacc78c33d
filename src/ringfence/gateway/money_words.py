"""[pure] What a caller is told of a cap that keeps a call."""

from __future__ import annotations

from ringfence.core.identity import Key
from ringfence.core.money import Scope, dollars
from ringfence.gateway.alarms import Total


def way_on(limit: int, total: Total, most: int) -> str:
    """What can be done now; `limit` and `most`, what the call may cost, in micro-dollars."""
    if total.spent + most <= limit:
        return "Ask again when those have ended."
    left = limit - total.spent - total.held
    if left > 0:
        return f"{dollars(left)} is left: ask for less output, or have the budget raised."
    return "Have the budget raised, or wait."


def named(scope: Scope, key: Key) -> str:
    """Whose cap it is."""
    if scope.kind == "house":
        return "the house"
    return f"the {scope.kind} '{key.name if scope.kind == 'key' else scope.name}'"
