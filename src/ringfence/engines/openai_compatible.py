"""Anything else that serves OpenAI's routes: SGLang, TensorRT-LLM, LocalAI, and whatever comes next."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ringfence.core.catalog import Ability
from ringfence.core.errors import Failure
from ringfence.core.ports import Fetch, Offer
from ringfence.engines import openai_dialect as dialect

NOT_TOLD = frozenset(Ability)
WINDOW_FIELDS = ("max_model_len", "context_length", "context_window", "max_context_length")

OVERFLOWS = (
    re.compile(r"\((?P<tokens>\d+) tokens\) is longer than the model's context length \((?P<window>\d+) tokens\)"),
    re.compile(
        r"maximum context length (?:is|of) (?P<window>\d+) tokens.*?"
        r"(?:your prompt contains|resulted in|a total of|you requested) (?P<floor>at least )?(?P<tokens>\d+)",
        re.S,
    ),
    re.compile(r"request \((?P<tokens>\d+) tokens\) exceeds the available context size \((?P<window>\d+) tokens\)"),
    re.compile(r"maximum context length (?:is|of) (?P<window>\d+)"),
    re.compile(r"prompt is too long: (?P<tokens>\d+) tokens > (?P<window>\d+) maximum"),
)


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

    async def examine(self, fetch: Fetch) -> list[Offer] | None:
        """Whoever lists models is taken at its word; what the models can do is not told by this dialect."""
        listed = dialect.entries((await fetch("/v1/models")).body)
        if listed is None:
            return None
        return [Offer(name, _window(entry), None, NOT_TOLD) for entry in listed if (name := dialect.name_of(entry))]

    def failure(self, status: int, body: Any) -> Failure:
        return dialect.failure(status, body, OVERFLOWS)


def _window(entry: dict[str, Any]) -> int | None:
    meta = entry.get("meta")
    if isinstance(meta, dict) and (told := dialect.positive(meta.get("n_ctx"))):
        return told
    return next((told for field in WINDOW_FIELDS if (told := dialect.positive(entry.get(field)))), None)


ADAPTER = OpenAICompatible()
