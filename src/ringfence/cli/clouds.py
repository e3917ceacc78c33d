"""Rented clouds as the commands tell of them: which are configured, whose keys went where, which keys are of no use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ringfence.core.money import caps_in_words

CLOUD_KEYS = (
    "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "GROQ_API_KEY", "OPENROUTER_API_KEY",
    "MISTRAL_API_KEY", "DEEPSEEK_API_KEY", "MOONSHOT_API_KEY", "TOGETHER_API_KEY", "FIREWORKS_API_KEY", "XAI_API_KEY",
    "COHERE_API_KEY", "PERPLEXITY_API_KEY", "AZURE_OPENAI_API_KEY", "CEREBRAS_API_KEY", "AWS_SECRET_ACCESS_KEY",
)  # fmt: skip


def cloud_keys_in(env: Mapping[str, str]) -> list[str]:
    """Names of cloud keys that the environment holds."""
    return [name for name in CLOUD_KEYS if env.get(name)]


def keys_in_words(told: Mapping[str, Any]) -> list[str]:
    """Of `handed_to_egress` and `cloud_keys`, as the gateway tells them: a line for each that holds something."""
    handed = ", ".join(f"{key} ({', '.join(providers)})" for key, providers in told["handed_to_egress"].items())
    unused = ", ".join(told["cloud_keys"])
    return [
        *([f"handed to egress: {handed}"] if handed else []),
        *([f"found, not used: {unused}"] if unused else []),
    ]


def clouds_in_words(ready: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Lines of the banner, as (title, text); the title of a line that goes on with the one before is empty."""
    lines = [("Clouds", f"{', '.join(ready['providers'])} through the egress process")] if ready["providers"] else []
    if ready["providers"]:
        words = caps_in_words(ready["house_cap"])
        lines.append(("Budget", f"{words} in all" if words else "no cap for the house: money.house"))
    keys = keys_in_words(ready)
    return lines + [("" if place else "Keys", line) for place, line in enumerate(keys)]
