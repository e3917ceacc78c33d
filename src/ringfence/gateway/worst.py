"""[pure] The most tokens that a rented call can use, in and out: what money is held for."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from ringfence.core.catalog import Ability, Medium, Target
from ringfence.core.errors import PriceUnknown, TargetFailed
from ringfence.egress.caps import tokens_asked
from ringfence.engines.openai_dialect import without_media
from ringfence.gateway.call import Call
from ringfence.gateway.dialects.media import MEDIUM_OF

OF_TOOLS = 1024
"""What a provider puts before the tools of a call: Anthropic 159 to 530 tokens (their page on tool use and tokens)."""
OF_IMAGE = 16_384
"""An image takes at most so many, of whatever provider, unless models.NAME.image_tokens says otherwise."""
OF_EACH = 16
"""What a provider's template puts around a message or a tool."""
SEVERAL = (Ability.EMBEDDINGS, Ability.RERANK)
BOUNDED = (Medium.IMAGE, Medium.AUDIO)
"""Sound has more bytes than tokens, however it is packed."""


FOR_AN_HOUR = b'"1h"'
"""How a marker of a cache asks for an hour: inside of texts, quotation marks are escaped."""


class Most(NamedTuple):
    """Tokens; and whether a cache may be asked to keep some for an hour."""

    input_tokens: int
    output_tokens: int
    for_an_hour: bool


def worst(call: Call, target: Target, body: dict[str, Any], most_output: int) -> Most:
    """At most so many tokens of input and of output. A token is at least a byte, and a model reads no more than its
    window. Raises TargetFailed (unpriced) where neither bounds it: with a video or a file, and no window."""
    output = 0
    if call.dialect.generates:
        output = min(most_output, tokens_asked(body, is_bound_needed=False) or most_output)
    window = target.window
    listed = sum(len(body[field]) for field in ("messages", "tools") if isinstance(body.get(field), list))
    data = orjson.dumps(body)
    kept = FOR_AN_HOUR in data
    tokens = len(data) + OF_EACH * listed + (OF_TOOLS if body.get("tools") else 0)
    if call.media:
        kinds = [MEDIUM_OF.get(str(part.get("type"))) for part in without_media(body)[1]]
        if window is None and not all(kind in BOUNDED for kind in kinds):
            raise TargetFailed(target.name, "unpriced", PriceUnknown(
                f"Nobody knows how many tokens a video or a file takes at '{target.model}', so what this call may cost "
                f"has no bound. Its window is one: say it at models.{target.model}.window."
            ))  # fmt: skip
        tokens = window or tokens + (target.image_tokens or OF_IMAGE) * kinds.count(Medium.IMAGE)
    if window is None or call.dialect.ability in SEVERAL or "prompt" in body:  # several texts, each with a window
        return Most(tokens, output, kept)
    return Most(min(tokens, window), output, kept)
