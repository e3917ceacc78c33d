"""What every provider's adapter asks of a body: its path, its share of output tokens, and what is refused by name."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from ringfence.core.errors import BadRequest

REACHES_BEYOND = frozenset(
    (
        "background",
        "callback_url",
        "compound_custom",
        "mcp_servers",
        "models",
        "plugins",
        "preset",
        "provider",
        "route",
        "search_options",
        "search_parameters",
        "search_settings",
        "transforms",
        "web_search_options",
        "webhook_url",
    )
)
"""Fields with which a caller would send its text on from the provider, or have another model answer. What a provider
looks up for an answer, it also wants money for."""

PRICED_AS_USUAL: dict[str, tuple[Any, ...]] = {
    "service_tier": ("auto", "default", "standard", "standard_only", "on_demand", "flex"),
    "speed": ("standard",),
    "enable_search": (False,),
}
"""By field: values at which a call costs no more than is held for it. Haste may cost twice as much and more:
https://openrouter.ai/docs/guides/features/service-tiers"""

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "n": (1,),
    "best_of": (1,),
    "store": (False,),
    "metadata": ({},),
    "modalities": (["text"],),
    "service_tier": ("auto", "default"),
    "verbosity": ("medium",),
    "functions": ([],),
    "function_call": ("auto", "none"),
}
"""By field: values that ask for nothing, so that leaving the field out loses nothing. None is one for every field."""

VERSION = re.compile(r"/v\d+[a-z]*\d*(?:/|$)")


def is_neutral(name: str, value: Any) -> bool:
    """True when leaving the field out asks for the same."""
    return value is None or value in NEUTRAL.get(name, ())


def refused(name: str, why: str) -> BadRequest:
    return BadRequest(f"'{name}' cannot be sent to this provider: {why}.", param=name, code="unsupported_parameter")


def refuse_what_reaches_beyond(body: dict[str, Any]) -> None:
    """BadRequest for fields and tools that make a provider fetch, store or ask elsewhere, or want more money."""
    for name in sorted(REACHES_BEYOND.intersection(body)):
        if body[name] is not None:
            raise refused(name, "it would carry the request beyond the model that was chosen")
    for name, values in PRICED_AS_USUAL.items():
        if body.get(name) is not None and body[name] not in values:
            raise refused(name, "it may cost more than the price that is known")
    if body.get("store"):
        raise refused("store", "the provider would keep the conversation")
    for place, tool in enumerate(body.get("tools") or ()):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind not in ("function", "custom"):
            raise refused(f"tools[{place}].type", "only tools that the caller runs itself are carried")


def choices(body: dict[str, Any]) -> int:
    """How many answers are asked for, to all prompts together; BadRequest for what is no whole number of at least 1."""
    asked = [body.get(name) for name in ("n", "best_of")]
    if any(value is not None and (type(value) is not int or value < 1) for value in asked):
        raise BadRequest("'n' must be a whole number of at least 1.", param="n", code="invalid_value")
    return max(value or 1 for value in asked) * prompt_count(body.get("prompt"))


def prompt_count(prompt: Any) -> int:
    """How many prompts one body has: each string and each list of token ids is one, and so are bare ids together."""
    if not isinstance(prompt, list) or not prompt:
        return 1
    bare = sum(type(entry) is int for entry in prompt)
    return len(prompt) - bare + (bare > 0)


def output_tokens(body: dict[str, Any], max_tokens: int) -> int:
    """Tokens to ask for in each answer: the tighter of both names, and all answers together within `max_tokens`."""
    count = choices(body)
    if count > max_tokens:
        name = "prompt" if isinstance(body.get("prompt"), list) else "n"
        raise refused(name, f"{count} answers are more than the {max_tokens} output tokens that a call may ask for")
    asked = [value for name in ("max_tokens", "max_completion_tokens") if (value := body.get(name)) is not None]
    for value in asked:
        if type(value) is not int or value < 1:
            raise BadRequest(
                "'max_tokens' must be a whole number of at least 1.", param="max_tokens", code="invalid_value"
            )
    return min([*asked, max_tokens // count])


def joined_path(url: str, route: str, prefix: str = "") -> str:
    """`route` behind the path of `url`. `prefix` is for an address without a path; '/v1' where no version is named."""
    before = urlsplit(url).path.rstrip("/") or prefix
    return f"{before}{route}" if VERSION.search(before) else f"{before}/v1{route}"


def header_value(api_key: str) -> str:
    """The key, when it can stand in a header; the error never shows it."""
    if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
        raise ValueError("the provider's key is empty, or has spaces or characters that no header holds")
    return api_key
