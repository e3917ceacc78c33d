"""Whether a model that is paid for may have thought more than can be seen of it: thoughts are told of at the end of an
answer, if at all, and are paid for by whoever leaves before that."""

from __future__ import annotations

from typing import Any, cast

from ringfence.core.catalog import Target
from ringfence.core.usage import Usage

Body = dict[str, Any]


class Thoughts:
    """What the reports of targets say of it, since the start."""

    def __init__(self) -> None:
        self._thinks: dict[str, bool] = {}

    def heard(self, target: Target, usage: Usage) -> None:
        """One that has thought once may do so again."""
        self._thinks[target.name] = self._thinks.get(target.name, False) or usage.reasoning_tokens > 0

    def may_be(self, target: Target, body: Body) -> bool:
        """Of one that nobody has heard of yet, they may."""
        return self._thinks.get(target.name, True) or asks_to_think(body)


def asks_to_think(body: Body) -> bool:
    """Whether a chat asks for thoughts, in any of the words for it."""
    effort, thinking = body.get("reasoning_effort"), body.get("thinking")
    is_on = isinstance(thinking, dict) and cast(Body, thinking).get("type") != "disabled"
    return effort not in (None, "none") or is_on or bool(body.get("reasoning"))
