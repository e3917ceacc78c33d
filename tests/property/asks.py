"""Drawing a request, and the order in which what it meets fails."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Any

from house import AGENTS, FOUND_PORTS, PROFILES, TOOLS, House

TROUBLES = (
    "refuse", "no_answer_to_dial", "hang_up", "cut", "slow", "malformed", "redirect", "redirect_here", "stale",
    "status 500", "status 503", "status 429", "status 404", "status 401",
)  # fmt: skip
"""What may happen to one exchange. `stale` answers, and breaks the connection when it is used again."""
PLANTED = {
    "card": "pay with 4111 1111 1111 1111",
    "secret": "the token is ghp_a1B2c3D4e5a1B2c3D4e5a1B2c3D4e5a1B2c3",
    "iban": "to DE89 3704 0044 0532 0130 00",
    "email": "write to ada@example.org",
    "project": "about zebra-1234",
}
STEERING: tuple[tuple[str, Any], ...] = (
    ("api_base", "http://8.8.8.8/v1"), ("base_url", "http://8.8.8.8"), ("fallbacks", ["smart"]), ("api_key", "sk"),
    ("extra_headers", {"host": "8.8.8.8"}), ("custom_llm_provider", "openai"), ("deployment_id", "far"),
    ("mock_response", "x"),
)  # fmt: skip
PATHS = {"chat": "/v1/chat/completions", "completions": "/v1/completions", "embeddings": "/v1/embeddings"}


@dataclass(frozen=True)
class Ask:
    """One request. `mark` stands in its text and in no other's; `planted` are the kinds of what it should not hold;
    `tools` are those that it offers, and those whose results it brings.

    `is_steering`: it says where it wants to go, or what is to be fetched for it, which nobody may.
    """

    number: int
    path: str
    key: str
    agent: str
    named: str
    labels: tuple[str, ...]
    tools: tuple[str, ...]
    planted: frozenset[str]
    is_steering: bool
    body: dict[str, Any]
    troubles: tuple[str, ...]
    leaves_after_s: float | None

    @property
    def mark(self) -> str:
        return mark_of(self.number)

    def headers(self) -> dict[str, str]:
        named = {"x-ringfence-agent": self.agent, "x-ringfence-profile": self.named}
        named["x-ringfence-label"] = ", ".join(self.labels)
        return {"authorization": f"Bearer {self.key}"} | {name: value for name, value in named.items() if value}


def mark_of(number: int) -> str:
    return f"(ask {number})"


def key_of(profile: str) -> str:
    return f"sk-of-{profile}"


def draw_ask(rng: Random, house: House, number: int) -> Ask:
    """One request to this house."""
    dialect = rng.choice(("chat",) * 5 + ("completions", "embeddings"))
    kinds = frozenset(rng.sample(sorted(PLANTED), rng.randint(1, 2))) if rng.random() < 0.2 else frozenset[str]()
    tools = tuple(rng.sample((*TOOLS, "unheard"), rng.randint(1, 2))) if rng.random() < 0.15 else ()
    text = f"hello {mark_of(number)}"
    brought = tuple(rng.sample((*TOOLS, "unheard"), 1)) if dialect == "chat" and rng.random() < 0.07 else ()
    body = {"model": _model(rng, house)} | _said(rng, dialect, text, [PLANTED[kind] for kind in sorted(kinds)])
    if tools:
        _offer(rng, body, tools)
    for tool in brought:
        body["messages"] += _result_of(tool, rng.choice(("now", "then", "lost")))
    is_steering = rng.random() < 0.06
    if is_steering:
        _steer(rng, dialect, body)
    if dialect != "embeddings":
        body["max_tokens"] = 8
        if rng.random() < 0.4:
            body["stream"] = True
    profiles = (*house.written["profiles"],)
    return Ask(
        number, PATHS[dialect], key_of(rng.choice(profiles * 8 + ("gone",))),
        _one_of(rng, 0.2, house.written["agents"], (*AGENTS, "stranger")),
        _one_of(rng, 0.25, profiles, (*PROFILES, "unheard")),
        rng.choice(((),) * 10 + (("hr",), ("press",), ("hr", "press"), ("made-up",))), tools + brought, kinds,
        is_steering, body, tuple(rng.choice((*TROUBLES, "works")) for _ in range(rng.choice((0, 0, 1, 1, 2, 3, 5)))),
        rng.choice((None,) * 12 + (0.0, 0.1)),
    )  # fmt: skip


def _one_of(rng: Random, share: float, known: Iterable[str], others: tuple[str, ...]) -> str:
    """Nothing, mostly; else one that is there, or now and then one that may not be."""
    if rng.random() > share:
        return ""
    return rng.choice((*known,) * 8 + others)


def _model(rng: Random, house: House) -> str:
    """Mostly one that is there: by its name, by another, as what was found here has it, or left to the profile."""
    models = house.written["models"]
    found = [model for (_, port), engine in house.engines.items() if port in FOUND_PORTS for model in engine.models]
    aliases = [alias for model in models.values() for alias in model.get("aliases", ())]
    return str(rng.choice((*models, *models, *aliases, *("auto",) * (2 * len(models)), *found[:2], "no-such-model")))


def _said(rng: Random, dialect: str, text: str, secrets: list[str]) -> dict[str, Any]:
    """The text, and what it should not hold, somewhere in it."""
    if dialect == "embeddings":
        return {"input": [text, *secrets] if rng.random() < 0.5 else " ".join((text, *secrets))}
    if dialect == "completions":
        return {"prompt": " ".join((*secrets, text)) if rng.random() < 0.7 else [text, *secrets]}
    said: dict[str, Any] = {"messages": [{"role": "user", "content": text}]}
    for secret in secrets:
        _hide(rng, said, secret)
    return said


def _hide(rng: Random, said: dict[str, Any], secret: str) -> None:
    """One secret into one of the places where a chat has text."""
    messages = said["messages"]
    cut = len(secret) // 2
    place = rng.randrange(5)
    if place == 0:
        messages.insert(0, {"role": "system", "content": secret})
    elif place == 1:
        messages.append({"role": "user", "content": [{"type": "text", "text": part} for part in
                                                     (secret[:cut], secret[cut:])]})  # fmt: skip
    elif place == 2:
        escaped = json.dumps({"what": secret}).replace(" ", "\\u0020")
        messages.append({"role": "assistant", "content": escaped})
    elif place == 3:
        said.setdefault("metadata", {})[f"note{len(messages)}{cut}"] = secret
    else:
        messages.append({"role": "user", "content": secret})


def _offer(rng: Random, body: dict[str, Any], tools: tuple[str, ...]) -> None:
    """In the field of today, or in the one that it replaced."""
    functions = [{"name": tool, "parameters": {"type": "object", "properties": {}}} for tool in tools]
    if rng.random() < 0.8:
        body["tools"] = [{"type": "function", "function": function} for function in functions]
    else:
        body["functions"] = functions


def _result_of(tool: str, spelling: str) -> list[dict[str, Any]]:
    """What a tool was asked and what it brought: as it is written now, as it once was, or without the question."""
    asked, brought = {"name": tool, "arguments": "{}"}, f"what {tool} brought"
    if spelling == "then":
        return [{"role": "assistant", "content": None, "function_call": asked},
                {"role": "function", "name": tool, "content": brought}]  # fmt: skip
    call = {"id": "c1", "type": "function", "function": asked}
    result = {"role": "tool", "tool_call_id": "c1" if spelling == "now" else "c2", "content": brought}
    return [{"role": "assistant", "content": None, "tool_calls": [call]}, result]


def _steer(rng: Random, dialect: str, body: dict[str, Any]) -> None:
    if dialect == "chat" and rng.random() < 0.4:
        media = {"type": "image_url", "image_url": {"url": "http://8.8.8.8/picture.png"}}
        body["messages"].append({"role": "user", "content": [media]})
    else:
        name, value = rng.choice(STEERING)
        body[name] = value
