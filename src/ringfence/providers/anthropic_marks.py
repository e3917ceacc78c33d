"""Up to where Anthropic keeps a prompt, so that the next request that begins the same costs a tenth of it.

https://platform.claude.com/docs/en/build-with-claude/prompt-caching: at most four marks, in the order tools, system,
messages; each keeps all that comes before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

MARK = {"type": "ephemeral"}
TURNS = 2
"""The last turns of the user's: what was marked a turn ago is read, what is marked now is kept for the next."""

Block = dict[str, Any]


def mark(asked: dict[str, Any]) -> None:
    """Set what the caller left open. Where it has set one itself it knows better, and nothing is done."""
    if any("cache_control" in block for block in _blocks(asked)):
        return
    ends = [asked.get("tools"), asked.get("system")]
    ends += [turn["content"] for turn in asked["messages"] if turn["role"] == "user"][-TURNS:]
    for listed in ends:
        if listed:
            listed[-1] = {**listed[-1], "cache_control": MARK}


def _blocks(asked: dict[str, Any]) -> Iterator[Block]:
    yield asked
    yield from asked.get("tools") or ()
    yield from asked.get("system") or ()
    for turn in asked["messages"]:
        for block in turn["content"]:
            yield block
            inner = block.get("content")
            if isinstance(inner, list):
                yield from (part for part in inner if isinstance(part, dict))
