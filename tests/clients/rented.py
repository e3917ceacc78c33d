"""Clouds on loopback that the clients' gateway rents: two that are well, and for each client two that are not."""

from __future__ import annotations

from typing import Any

from renting import HeardCloud

from ringfence.testing.fake_cloud import Conduct, Misdeed
from ringfence.testing.fake_cloud_answers import Saying

CLIENTS = ("openai", "ai-sdk", "langchain", "llamaindex", "ollama", "litellm", "llm")
CUT, FULL = (tuple(f"clouds/{what}-{client}" for client in CLIENTS) for what in ("cut", "full"))
CLOUDS = {"clouds/openai": "openai", "clouds/claude": "anthropic"} | dict.fromkeys((*CUT, *FULL), "openai")
"""Models by name, and how their clouds speak. CUT break each stream off, and FULL take no call for half a minute."""
LIMITED = {
    "error": {"message": "Rate limit reached.", "type": "requests", "param": None, "code": "rate_limit_exceeded"}
}
AGAIN_S = 30


def behave(made: dict[str, HeardCloud]) -> None:
    """Each as its name says."""
    for cloud in made.values():
        cloud.says, cloud.pause_s = Saying(("The", " quick", " brown", " fox", " jumps", ".")), 0.0
    for name in CUT:
        made[name].always, made[name].pause_s = Conduct(Misdeed.DROP, after_events=3), 0.2
    for name in FULL:
        made[name].always = Conduct(Misdeed.STATUS, status=429, body=LIMITED, headers=(("retry-after", str(AGAIN_S)),))


def providers(made: dict[str, HeardCloud]) -> dict[str, Any]:
    """As the configuration has them."""
    caps = {"api_key": "env:RENTED_KEY", "calls_per_day": 9999, "max_tokens": 1000}
    return {_provider(name): {"dialect": cloud.kind, "url": cloud.url, **caps} for name, cloud in made.items()}


def rented_models(made: dict[str, HeardCloud]) -> dict[str, Any]:
    """As the configuration has them."""
    told = {"provider_model": "fake-large", "price": {"input": 3, "output": 15}}
    return {name: {"provider": _provider(name), **told} for name in made}


def _provider(model: str) -> str:
    return model.replace("/", "-")
