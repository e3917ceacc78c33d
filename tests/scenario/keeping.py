"""A gateway in this process that keeps responses, and the clock that says when they expire. The fixture is `keeping`
(conftest.py)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
from composed import SECRET, Gateway, Reply
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Catalog, Model
from ringfence.core.route import House, Profile
from ringfence.gateway.deciding import Settings
from ringfence.gateway.responses_kept import KeptResponses
from ringfence.store.db import Database

OTHER = b"sk-other"
CLOUDY = Profile("default", Boundary.CLOUD, stores=True)
EVENT = TypeAdapter(ResponseStreamEvent)


@dataclass
class Keeping:
    """A gateway that keeps responses, and the clock that says when they expire."""

    gateway: Gateway
    folder: Path
    db: Database
    kept: KeptResponses
    wall_s: float = 1_790_000_000.0

    def client(self, secret: bytes = SECRET) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            base_url=f"http://127.0.0.1:{self.gateway.port}/v1", api_key=secret.decode(), max_retries=0, timeout=10
        )

    def profile(self, profile: Profile, *targets: Any) -> None:
        catalog = Catalog.of([Model("fast", targets or self.gateway.targets, aliases=("quick",))])
        self.gateway.pipeline.settings = Settings(catalog, House({"default": profile}, {}, {}), lease_wait_s=2.0)

    async def ask(self, *words: Any, **more: Any) -> Reply:
        client = await self.gateway.client()
        reply = await client.ask(*words, **more)
        client.leave()
        return reply


def events_in(body: bytes) -> list[dict[str, Any]]:
    """The events of a stream, each of a type of OpenAI's library, with no field that it lacks."""
    found = [json.loads(block.split("\ndata: ")[1]) for block in body.decode().strip().split("\n\n")]
    for event in found:
        assert EVENT.validate_python(event).to_dict(exclude_unset=True, mode="json").keys() == event.keys()
    return found
