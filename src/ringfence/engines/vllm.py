"""vLLM: one base model a process, and its LoRA adapters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ringfence.core.catalog import Ability
from ringfence.core.errors import Failure
from ringfence.core.ports import Fetch, Offer
from ringfence.engines import openai_dialect as dialect

ROUTES = {
    "/v1/chat/completions": Ability.CHAT,
    "/v1/completions": Ability.COMPLETIONS,
    "/v1/embeddings": Ability.EMBEDDINGS,
}
GENERATES = frozenset((Ability.CHAT, Ability.COMPLETIONS))

OVERFLOWS = (
    re.compile(
        r"maximum context length is (?P<window>\d+) tokens.*?"
        r"(?:your prompt contains|resulted in|you passed|you requested) (?P<floor>at least )?(?P<tokens>\d+)",
        re.S,
    ),
    re.compile(r"max_tokens=\d+ cannot be greater than max_model_len=(?P<window>\d+)"),
    re.compile(r"maximum (?:context|model) length (?:is|of) (?P<window>\d+)"),
)


@dataclass(frozen=True, slots=True)
class Vllm:
    kind: str = "vllm"
    title: str = "vLLM"
    usual_ports: tuple[int, ...] = (8000,)
    keeps_alive_after_stream: bool = True
    # The transfer fields name other hosts, a request id reaches their connectors, the rest load code or templates.
    forbidden_fields: frozenset[str] = dialect.REACHES_ELSEWHERE | {
        "chat_template",
        "data_parallel_rank",
        "ec_transfer_params",
        "kv_transfer_params",
        "logits_processors",
        "media_io_kwargs",
        "mm_processor_kwargs",
        "request_id",
        "vllm_xargs",
    }

    async def examine(self, fetch: Fetch) -> list[Offer] | None:
        """`owned_by` tells it from the other engines with the same list; an adapter has the window of its base."""
        listed = dialect.entries((await fetch("/v1/models")).body)
        if not listed or not any(entry.get("owned_by") == "vllm" for entry in listed):
            return None
        abilities = await self._abilities(fetch)
        windows = {str(entry.get("id")): dialect.positive(entry.get("max_model_len")) for entry in listed}
        return [
            Offer(name, windows.get(name) or windows.get(str(entry.get("parent"))), None, abilities)
            for entry in listed
            if (name := dialect.name_of(entry))
        ]

    async def _abilities(self, fetch: Fetch) -> frozenset[Ability]:
        """It serves only the routes of its model's task, and lists them."""
        described = (await fetch("/openapi.json")).body
        paths = described.get("paths") if isinstance(described, dict) else None
        if not isinstance(paths, dict):
            return GENERATES
        return frozenset(ability for path, ability in ROUTES.items() if path in paths) or GENERATES

    def failure(self, status: int, body: Any) -> Failure:
        return dialect.failure(status, body, OVERFLOWS)


ADAPTER = Vllm()
