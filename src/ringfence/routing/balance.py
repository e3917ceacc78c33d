"""[pure] Which of several targets of one model a call goes to: where the beginning of its text has been, unless that
one is busy.

An engine keeps what it worked out of a prompt, so the next turn of a conversation is answered sooner, and for less, by
the one that had the last. Each beginning has an order of targets of its own (rendezvous hashing): one that comes takes
its share from all, one that goes leaves its share to all, and nothing else moves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from itertools import pairwise
from typing import Any, cast

from ringfence.core.catalog import Target

PREFIX_BYTES = 2048
"""Of each of the first messages; in characters where they are not ASCII."""
FIRST_MESSAGES = 4
"""Up to the first of a user: a conversation grows behind it. A system prompt alone is that of many conversations."""
FIRST_PARTS = 4
MARGIN = 0.5
"""By so much of its places the target of a text may be busier than the least busy one."""


def prefix(body: dict[str, Any], salt: str = "") -> bytes:
    """What the turns of one conversation have in common and others do not, as a hash; empty where there is nothing to
    be kept for a next turn. `salt` is for engines that keep the prompts of callers apart."""
    texts = list(_firsts(body))
    if not texts:
        return b""
    digest = blake2b(salt.encode(), digest_size=8)
    for text in texts:
        digest.update(text[:PREFIX_BYTES].encode("utf-8", "surrogatepass"))
        digest.update(b"\0")
    return digest.digest()


def balanced(
    targets: Sequence[Target],
    begins: Callable[[], bytes],
    load: Callable[[Target], float],
    is_here: Callable[[Target], bool],
) -> Sequence[Target]:
    """The same targets in order. Those of one model that follow each other are interchangeable, and only they change
    places. `load` is running and waiting calls by places, `begins` gives what `prefix` does."""
    if all(one.model != other.model for one, other in pairwise(targets)):
        return targets
    start = begins()
    ordered: list[Target] = []
    runs: list[list[Target]] = []
    for target in targets:
        if runs and runs[-1][0].model == target.model:
            runs[-1].append(target)
        else:
            runs.append([target])
    for run in runs:
        ordered += _choice(run, start, load, is_here) if len(run) > 1 else run
    return ordered


def home(targets: Iterable[Target], start: bytes) -> Target:
    """The target of a beginning, whatever else there is."""
    return max(targets, key=lambda target: (blake2b(start + target.name.encode(), digest_size=8).digest(), target.name))


def _choice(
    targets: list[Target], start: bytes, load: Callable[[Target], float], is_here: Callable[[Target], bool]
) -> list[Target]:
    loads = {target.name: load(target) for target in targets}
    away = {target.name for target in targets if not is_here(target)}
    ordered = sorted(targets, key=lambda target: (target.name in away, loads[target.name]))
    if not start:
        return ordered
    at = home(targets, start)
    if at.name in away and len(away) < len(targets):
        return ordered
    ready = [target for target in targets if (target.name in away) == (at.name in away)]
    least, busy = min(loads[target.name] for target in ready), loads[at.name]
    if busy - least > MARGIN or busy >= 1.0 > least:
        return ordered
    return [at, *(target for target in ordered if target is not at)]


def _firsts(body: dict[str, Any]) -> Iterable[str]:
    messages = body.get("messages")
    if type(messages) is not list:
        yield from _texts(body.get("prompt"))
        return
    for message in cast("list[Any]", messages)[:FIRST_MESSAGES]:
        if type(message) is not dict:
            return
        said = cast("dict[str, Any]", message)
        yield from _texts(said.get("content"))
        if said.get("role") == "user":
            return


def _texts(content: Any) -> Iterable[str]:
    if type(content) is str:
        yield content
        return
    for part in cast("list[Any]", content)[:FIRST_PARTS] if type(content) is list else ():
        text = cast("dict[str, Any]", part).get("text") if type(part) is dict else part
        if type(text) is str:
            yield text
