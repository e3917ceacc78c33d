"""Each dialect as the matrix speaks it: how one asks, and how a good answer reads. A new dialect joins by being listed.

One that is found in gateway/dialects/ and is not listed here fails the suite.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ringfence.gateway import dialects

SAID = "The quick brown fox jumps."
MOST_TOKENS = 16


@dataclass(frozen=True)
class Spoken:
    """`said` finds the text in an answer in one piece, `piece` that in an event of a stream; None: no streams."""

    path: str
    body: dict[str, Any]
    said: Callable[[Any], str]
    piece: Callable[[Any], str] | None = None


def _choice(answer: Any) -> Any:
    return answer["choices"][0] if answer["choices"] else {}


SPOKEN = {
    "chat": Spoken(
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": "hello there"}], "max_tokens": MOST_TOKENS},
        lambda answer: _choice(answer)["message"]["content"],
        lambda event: _choice(event).get("delta", {}).get("content") or "",
    ),
    "completions": Spoken(
        "/v1/completions",
        {"prompt": "hello there", "max_tokens": MOST_TOKENS},
        lambda answer: _choice(answer)["text"],
        lambda event: _choice(event).get("text", ""),
    ),
    "embeddings": Spoken(
        "/v1/embeddings",
        {"input": "hello there"},
        lambda answer: SAID if len(answer["data"][0]["embedding"]) == 8 else "",
    ),
}


def found() -> set[str]:
    """The dialects that the gateway has."""
    modules = [
        importlib.import_module(f"{dialects.__name__}.{one.name}") for one in pkgutil.iter_modules(dialects.__path__)
    ]
    return {module.DIALECT.name for module in modules if hasattr(module, "DIALECT")}


WAYS = [(name, is_stream) for name, one in SPOKEN.items() for is_stream in (False, True) if one.piece or not is_stream]
"""Every way of asking: a dialect, and whether for a stream."""
