"""What is known of how each target counts: its template as its engine counted it, its images, its tokenizer.

A template is measured where an engine counts and the window is so small that the usual allowance for templates is a
good part of it. It holds for a minute, as an engine may be started anew with another template and nobody is told; and
no longer once an engine reports more tokens than it gave reason to expect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, cast

from ringfence.core.catalog import Target
from ringfence.core.ports import Clock
from ringfence.engines.openai_dialect import without_media
from ringfence.gateway.count import WEIGHTY, Count, Meter, data_of
from ringfence.gateway.form import File
from ringfence.gateway.image_rules import ImageRule, rule_of
from ringfence.gateway.probes import PROBES, measured_template
from ringfence.gateway.step import in_task

Body = dict[str, Any]
Ask = Callable[[Body], Awaitable["int | None"]]
"""The engine's own count of a body; None where it does not count."""
SMALL_WINDOW = 16_384
HOLDS_S = 60.0
MOST_TARGETS = 4096
OTHER_FIELDS = WEIGHTY - {"tools"}
"""Fields for which a template may have words that no probe calls forth."""
CONTENT = itemgetter("content")
PROBED_ROLES = frozenset(("system", "user", "assistant", "tool"))


@dataclass(slots=True)
class Known:
    """Of one target."""

    target: Target
    plain: Meter
    """By bytes, with the usual allowance for its template."""
    measured: Meter | None = None
    until: float = 0.0
    """Until when it is not measured again, whatever came of it."""
    is_trusted: bool = True


class Meters:
    """By the names of targets. A target that is another than before is known anew."""

    def __init__(self, clock: Clock) -> None:
        self.tokenizers: Mapping[str, Count] = {}
        """By the file that a target names."""
        self._clock = clock
        self._known: dict[str, Known] = {}
        self._asks = True

    def unasking(self) -> Meters:
        """What is known, for who only wants to know what would be done."""
        known = Meters(self._clock)
        known.tokenizers, known._known, known._asks = self.tokenizers, self._known, False
        return known

    def of(self, target: Target) -> Meter:
        """A bound."""
        known = self._known.get(target.name)
        return known.plain if known is not None and known.target is target else self._of(target).plain

    def exact(self, target: Target) -> Meter | None:
        """A bound by the model's own tokenizer, where its file could be read."""
        count = self.tokenizers.get(target.tokenizer) if target.tokenizer else None
        return replace(self.of(target), count=count) if count is not None else None

    def measured(self, target: Target, body: Body) -> Meter | None:
        """A closer bound, where the template was measured and `body` has nothing but what was tried."""
        known = self._of(target)
        if known.measured is None or self._clock() >= known.until or not OTHER_FIELDS.isdisjoint(body):
            return None
        messages: list[Body] = body["messages"]
        return known.measured if all(message.get("role") in PROBED_ROLES for message in messages) else None

    async def measure(self, target: Target, ask: Ask) -> bool:
        """Ask for what the template adds, where that is worth it and was not done lately. True where it is new."""
        known = self._of(target)
        if not self._asks:
            return False
        if (target.window or SMALL_WINDOW) >= SMALL_WINDOW or not known.is_trusted or self._clock() < known.until:
            return False
        known.until = self._clock() + HOLDS_S
        counts = await in_task(_counts(target, ask), id)
        if "one" not in counts or not known.is_trusted:
            known.measured = None
            return False
        known.measured = replace(known.plain, template=measured_template(counts))
        return True

    def distrust(self, target_name: str) -> None:
        """Its engine read more tokens than were thought possible."""
        known = self._known.get(target_name)
        if known is not None:
            known.is_trusted, known.measured = False, None

    def _of(self, target: Target) -> Known:
        known = self._known.get(target.name)
        if known is None or (known.target is not target and _facts(known.target) != _facts(target)):
            if len(self._known) >= MOST_TARGETS:
                self._known.clear()
            known = self._known[target.name] = Known(target, Meter(image=_rule(target)))
        known.target = target
        return known


def _facts(target: Target) -> tuple[object, ...]:
    """With others, it is another. Not its window, of which a call may have a share."""
    return (
        target.engine, target.engine_model, target.digest, target.quantisation, target.family, target.image_tokens,
        target.tokenizer,
    )  # fmt: skip


def _rule(target: Target) -> ImageRule:
    most = target.image_tokens
    return (lambda _size: most) if most else rule_of(target.engine_model, target.family)


async def _counts(target: Target, ask: Ask) -> dict[str, int]:
    """By the name of the probe; without those that the engine refuses."""

    async def asked(name: str) -> tuple[str, int | None]:
        return name, await ask({**PROBES[name], "model": target.engine_model})

    first = await asked("one")
    if first[1] is None:
        return {}
    others = await asyncio.gather(*(asked(name) for name in PROBES if name != "one"))
    return {name: tokens for name, tokens in (first, *others) if tokens is not None}


def media_bytes(body: Body) -> int:
    """Size of the images, sounds and files in a body."""
    if isinstance(sound := body.get("file"), File):
        return len(sound.data)
    messages: Any = body.get("messages")
    try:
        if list not in map(type, map(CONTENT, messages)):
            return 0  # as it is with most
    except (KeyError, TypeError):  # a message without content, or no messages: look closely
        pass
    _bare, parts = without_media(body)
    return sum(len(data_of(cast(Body, part))) for part in parts if isinstance(part, dict))


def media_tokens(parts: list[Any], meter: Meter) -> int:
    """Tokens at most of parts that are more than text."""
    return sum(
        meter.template.part + (meter.media(cast(Body, part)) if isinstance(part, dict) else meter.serialised(part))
        for part in parts
    )


async def counted(ask: Ask, meter: Meter, body: Body) -> int | None:
    """As the engine counts it; where it counts only the texts, with the images by their rule."""
    bare, media = without_media(body)
    told = await ask(body)
    if told is not None or not media:
        return told
    texts = await ask(bare)
    return None if texts is None else texts + media_tokens(media, meter)
