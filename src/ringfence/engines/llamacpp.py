"""llama.cpp's own server: one model a process, or several behind its router."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ringfence.core.catalog import Ability
from ringfence.core.errors import Failure
from ringfence.core.ports import Fetch, Offer
from ringfence.engines import openai_dialect as dialect

# A llama.cpp server does not tell whether embeddings are switched on; where they are not, it says so when asked.
NOT_TOLD = frozenset(Ability)

OVERFLOWS = (
    re.compile(r"request \((?P<tokens>\d+) tokens\) exceeds the available context size \((?P<window>\d+) tokens\)"),
    re.compile(r"input \((?P<tokens>\d+) tokens\) is too large to process.*current batch size: (?P<window>\d+)", re.S),
    re.compile(r"input \((?P<tokens>\d+) tokens\) is larger than the max context size \((?P<window>\d+) tokens\)"),
)

# It answers 500 to these, but they are the caller's to mend: trying again or elsewhere would not help.
OF_THE_CALLER = re.compile(
    r"Failed to parse (?:messages|tools|tool call arguments)|(?:image|audio|video) input is not supported"
    r"|Unknown reasoning format|Cannot use both json_schema and grammar"
)


@dataclass(frozen=True, slots=True)
class LlamaCpp:
    kind: str = "llamacpp"
    title: str = "llama.cpp"
    usual_ports: tuple[int, ...] = (8080, 9931)
    # It drops the request that follows a stream on the same connection in some cases.
    keeps_alive_after_stream: bool = False
    forbidden_fields: frozenset[str] = dialect.REACHES_ELSEWHERE | {"filename", "id_slot", "slot_id"}

    async def examine(self, fetch: Fetch) -> list[Offer] | None:
        """/props tells the kind and the window of one request; a router has no window of its own, its models do."""
        props = (await fetch("/props")).body
        if not isinstance(props, dict) or "default_generation_settings" not in props:
            return None
        listed = dialect.entries((await fetch("/v1/models")).body) or []
        if props.get("role") == "router":
            return [await self._routed(fetch, entry) for entry in listed if dialect.name_of(entry)]
        window, slots = _window(props), dialect.positive(props.get("total_slots"))
        if window is None:
            window, slots = await self._from_slots(fetch, slots)
        names = [name for entry in listed if (name := dialect.name_of(entry))]
        return [Offer(name, window, slots, NOT_TOLD) for name in names]

    async def _from_slots(self, fetch: Fetch, slots: int | None) -> tuple[int | None, int | None]:
        """Older servers tell the window of a slot here only."""
        listed = (await fetch("/slots")).body
        if not isinstance(listed, list):
            return None, slots
        told = [dialect.positive(slot.get("n_ctx")) for slot in listed if isinstance(slot, dict)]
        windows = [window for window in told if window is not None]
        return (min(windows) if windows else None), slots or len(listed) or None

    async def _routed(self, fetch: Fetch, entry: dict[str, Any]) -> Offer:
        """Asking for the properties of a model must not load it."""
        name, status = str(entry["id"]), entry.get("status")
        is_loaded = isinstance(status, dict) and status.get("value") == "loaded"
        if not is_loaded:
            return Offer(name, None, None, NOT_TOLD, is_loaded=False)
        props = (await fetch(f"/props?model={quote(name, safe='')}&autoload=false")).body
        if not isinstance(props, dict):
            return Offer(name, None, None, NOT_TOLD)
        return Offer(name, _window(props), dialect.positive(props.get("total_slots")), NOT_TOLD)

    def failure(self, status: int, body: Any) -> Failure:
        if status == 500 and OF_THE_CALLER.match(dialect.read_error(body).message):
            status = 400
        return dialect.failure(status, body, OVERFLOWS)


def _window(props: dict[str, Any]) -> int | None:
    settings = props.get("default_generation_settings")
    return dialect.positive(settings.get("n_ctx")) if isinstance(settings, dict) else None


ADAPTER = LlamaCpp()
