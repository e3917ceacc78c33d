"""Anything else that serves OpenAI's routes: SGLang, TensorRT-LLM, LocalAI, and whatever comes next."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ringfence.core.catalog import OF_TEXT, Ability
from ringfence.core.errors import Failure
from ringfence.core.ports import NO_WIRES, Ask, Fetch, Offer, Wire
from ringfence.engines import openai_dialect as dialect
from ringfence.engines import vllm

NOT_TOLD = OF_TEXT
WINDOW_FIELDS = ("max_model_len", "context_length", "context_window", "max_context_length")

OVERFLOWS = (
    re.compile(
        r"(?:The input )?\((?P<tokens>\d+) tokens\) is longer than the model's context length "
        r"\((?P<window>\d+)(?: tokens)?\)"
    ),
    re.compile(r"Input length \((?P<tokens>\d+)\) exceeds (?:the )?model's maximum context length \((?P<window>\d+)\)"),
    re.compile(
        r"(?:Requested token count exceeds the model's )?maximum context length of (?P<window>\d+) tokens.*?"
        r"a total of (?P<tokens>\d+)",
        re.S,
    ),
    *vllm.OVERFLOWS[:-1],
    re.compile(r"request \((?P<tokens>\d+) tokens\) exceeds the available context size \((?P<window>\d+) tokens\)"),
    re.compile(r"(?:This model's )?maximum context length (?:is|of) (?P<window>\d+)"),
    re.compile(r"prompt is too long: (?P<tokens>\d+) tokens > (?P<window>\d+) maximum"),
)
"""Of SGLang, of what is built on vLLM or llama.cpp, and of proxies."""


@dataclass(frozen=True, slots=True)
class OpenAICompatible:
    """It is never looked for: what cannot be told apart must be configured."""

    kind: str = "openai_compatible"
    title: str = "OpenAI-compatible"
    usual_ports: tuple[int, ...] = ()
    keeps_alive_after_stream: bool = True
    # The bootstrap fields of SGLang name other hosts, its processors are code, its sessions outlive the request.
    forbidden_fields: frozenset[str] = dialect.REACHES_ELSEWHERE | {
        "bootstrap_host",
        "bootstrap_port",
        "bootstrap_room",
        "custom_logit_processor",
        "data_parallel_rank",
        "ec_transfer_params",
        "kv_transfer_params",
        "logits_processors",
        "rid",
        "session_params",
        "vllm_xargs",
    }
    wires: ClassVar[Mapping[Ability, Wire]] = NO_WIRES

    may_cut: bool = True
    alive_path: str = "/v1/models"
    controls: None = None
    salt_field: str = ""

    def mark(self, body: Any) -> Any:
        return [(entry.get("id"), _window(entry)) for entry in dialect.entries(body) or ()]

    async def examine(self, fetch: Fetch) -> list[Offer] | None:
        """Whoever lists models is taken at its word; what the models can do is not told by this dialect."""
        listed = dialect.entries((await fetch("/v1/models")).body)
        if listed is None:
            return None
        return [Offer(name, _window(entry), None, NOT_TOLD) for entry in listed if (name := dialect.name_of(entry))]

    async def count(self, ask: Ask, ability: Ability, body: dict[str, Any]) -> int | None:
        """The dialect has no route for it."""
        return None

    def failure(self, status: int, body: Any) -> Failure:
        return dialect.failure(status, body, OVERFLOWS)


def _window(entry: dict[str, Any]) -> int | None:
    meta = entry.get("meta")
    if isinstance(meta, dict) and (told := dialect.positive(meta.get("n_ctx"))):
        return told
    return next((told for field in WINDOW_FIELDS if (told := dialect.positive(entry.get(field)))), None)


ADAPTER = OpenAICompatible()
