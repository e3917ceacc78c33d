"""vLLM: one base model a process, and its LoRA adapters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from ringfence.core.catalog import Ability
from ringfence.core.errors import Failure
from ringfence.core.ports import NO_WIRES, Ask, Fetch, Offer, Wire
from ringfence.engines import openai_dialect as dialect
from ringfence.engines.vllm_sleep import SLEEPS, VllmSleep

ROUTES = {
    "/v1/chat/completions": Ability.CHAT,
    "/v1/completions": Ability.COMPLETIONS,
    "/v1/embeddings": Ability.EMBEDDINGS,
    "/v1/rerank": Ability.RERANK,
    "/v1/audio/transcriptions": Ability.TRANSCRIPTION,
    "/v1/audio/translations": Ability.TRANSLATION,
    "/v1/audio/speech": Ability.SPEECH,
    "/v1/images/generations": Ability.IMAGES,
}
GENERATES = frozenset((Ability.CHAT, Ability.COMPLETIONS))
COUNTED_FIELDS = (
    "model", "messages", "tools", "add_generation_prompt", "continue_final_message", "add_special_tokens",
    "chat_template_kwargs",
)  # fmt: skip
"""Of a chat, those that shape its prompt and that /tokenize knows."""
LEAST_MEDIA = 16
"""Tokens: since 0.17 /tokenize counts an image, and before only its place, which is a few tokens. Of images that are
smaller than this it is not said which of them it was."""

BLIND = re.compile(r"^(?:\S+ is not a multimodal model|At most 0 (?:image|audio|video)\(s\) may be provided)")
MOST_METRICS = 4 * 1024 * 1024
KV_LINE = re.compile(r"^vllm:cache_config_info\{(.{1,8000})\}", re.M)
KV_BLOCK, KV_BLOCKS = (re.compile(rf'\b{name}="(\d{{1,12}})"') for name in ("block_size", "num_gpu_blocks"))
"""The labels that tell the size of the KV cache: tokens in a block, and blocks."""
OVERFLOWS = (
    re.compile(
        r"(?:This model's )?maximum context length is (?P<window>\d+) tokens\. However, you requested \d+ output "
        r"tokens and your prompt contains .*?for a total of (?P<floor>at least )?(?P<tokens>\d+)",
        re.S,
    ),
    re.compile(
        r"(?:This model's )?maximum context length is (?P<window>\d+) tokens.*?"
        r"(?:your prompt contains|resulted in|you passed|you requested) (?P<floor>at least )?(?P<tokens>\d+)",
        re.S,
    ),
    re.compile(
        r"(?:\d{3}: )?max_(?:completion_)?tokens=\d+ ?cannot be greater than max_model_len="
        r"(?:max_total_tokens=)?(?P<window>\d+)"
    ),
    re.compile(
        r"(?:The decoder prompt )?\(length (?P<tokens>\d+)\) is longer than the maximum model length of (?P<window>\d+)"
    ),
    re.compile(r"(?:This model's )?maximum (?:context|model) length (?:is|of) (?P<window>\d+)"),
)
"""Of a prompt with its output, of a prompt alone, of an output alone; then those of older versions."""


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
    wires: ClassVar[Mapping[Ability, Wire]] = NO_WIRES

    may_cut: bool = False
    alive_path: str = "/v1/models"
    controls: VllmSleep = SLEEPS
    salt_field: str = "cache_salt"

    def mark(self, body: Any) -> Any:
        """Each model with its window. The times and ids in that list are new in each answer."""
        return [(entry.get("id"), entry.get("max_model_len")) for entry in dialect.entries(body) or ()]

    async def examine(self, fetch: Fetch) -> list[Offer] | None:
        """`owned_by` tells it from the other engines with the same list; an adapter has the window of its base.
        `root` is where the weights come from, whatever name they are served by."""
        listed = dialect.entries((await fetch("/v1/models")).body)
        if not listed or not any(entry.get("owned_by") == "vllm" for entry in listed):
            return None
        abilities = await self._abilities(fetch)
        kept = kv_tokens((await fetch("/metrics")).body)
        windows = {str(entry.get("id")): dialect.positive(entry.get("max_model_len")) for entry in listed}
        return [
            Offer(
                name,
                windows.get(name) or windows.get(str(entry.get("parent"))),
                None,
                abilities,
                family=dialect.name_of(entry, "root") or "",
                kv_tokens=kept,
            )
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

    async def count(self, ask: Ask, ability: Ability, body: dict[str, Any]) -> int | None:
        """By /tokenize, which writes out the same template as a chat. It knows no documents."""
        if ability is not Ability.CHAT:
            return await dialect.longest(dialect.prompts_of(ability, body), partial(_tokens, ask, body))
        if "documents" in body:
            return None
        asked = {name: body[name] for name in COUNTED_FIELDS if name in body}
        if body.get("reasoning_effort") is not None:  # a chat hands it to the template; /tokenize must be told to
            asked["chat_template_kwargs"] = {
                "reasoning_effort": body["reasoning_effort"], **(body.get("chat_template_kwargs") or {}),
            }  # fmt: skip
        bare, media = dialect.without_media(asked)
        tokens = dialect.counted(await ask("/tokenize", asked), "count")
        if not media or tokens is None:
            return tokens
        without = dialect.counted(await ask("/tokenize", bare), "count")
        return tokens if without is not None and tokens - without >= LEAST_MEDIA * len(media) else None

    def failure(self, status: int, body: Any) -> Failure:
        if 400 <= status <= 500 and BLIND.search(said := dialect.read_error(body).message):
            return dialect.takes_none(said)
        return dialect.failure(status, body, OVERFLOWS)


def kv_tokens(page: Any) -> int | None:
    """Of how many tokens it can keep the keys and values at a time, as its metrics tell; None where they do not. With
    data parallelism there is a line for each engine core."""
    if type(page) is not str:
        return None
    kept = 0
    for line in KV_LINE.findall(page[:MOST_METRICS]):
        size, blocks = KV_BLOCK.search(line), KV_BLOCKS.search(line)
        kept += int(size[1]) * int(blocks[1]) if size is not None and blocks is not None else 0
    return kept or None


async def _tokens(ask: Ask, body: dict[str, Any], text: str) -> int | None:
    asked = {"model": body.get("model"), "prompt": text, "add_special_tokens": body.get("add_special_tokens", True)}
    return dialect.counted(await ask("/tokenize", asked), "count")


ADAPTER = Vllm()
