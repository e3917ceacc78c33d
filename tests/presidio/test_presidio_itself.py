"""Presidio itself: what it finds, how long it may take, what it costs others, and what it is not let do."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import spacy

from ringfence.config.problems import ConfigError
from ringfence.config.sensitivity import PresidioSettings
from ringfence.core.boundary import Boundary
from ringfence.runtime.presidio import Presidio

pytestmark = [pytest.mark.presidio, pytest.mark.timeout(120)]
CARD, MAIL, PHONE = "4111 1111 1111 1111", "jane.doe@example.com", "+1 212 555 0142"
PROSE = "The quick brown fox jumps over the lazy dog, and nobody says who owns either of them. "


@asynccontextmanager
async def reading(reach: dict[str, Boundary] | None = None, **told: Any) -> AsyncIterator[Presidio]:
    settings = PresidioSettings(**{"wait_s": 20.0} | told)
    reader = Presidio(settings, dict.fromkeys(settings.entities, Boundary.HOST) | (reach or {}))
    await reader.start()
    try:
        yield reader
    finally:
        await reader.close()


def said(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


async def test_what_it_finds_keeps_the_call_here() -> None:
    async with reading({"EMAIL_ADDRESS": Boundary.MESH}) as reader:
        for text, reach in (
            (PROSE, Boundary.CLOUD), (f"pay with {CARD}", Boundary.HOST), (f"mail {MAIL}", Boundary.MESH),
            (f"call {PHONE}", Boundary.HOST), (f"{MAIL} or {PHONE}", Boundary.HOST),
            ("account DE89370400440532013000", Boundary.HOST), (f"{PROSE * 400}{CARD} {PROSE}", Boundary.HOST),
        ):  # fmt: skip
            assert await reader.read(said(text)) is reach, text[-60:]
        parts = {"messages": [{"role": "tool", "content": [{"type": "text", "text": f"it says {MAIL}"}]}]}
        assert await reader.read(parts) is Boundary.MESH


async def test_the_event_loop_is_not_held_up() -> None:
    async with reading() as reader:
        task = asyncio.create_task(reader.read(said(PROSE * 4000)))
        longest = ticks = 0.0
        began = time.monotonic()
        while not task.done():
            before = time.monotonic()
            await asyncio.sleep(0.005)
            longest, ticks = max(longest, time.monotonic() - before), ticks + 1
        took = time.monotonic() - began
        assert await task is Boundary.CLOUD
        assert took > 0.2, "too short to tell"
        assert longest < took / 2
        assert ticks > 10


async def test_a_text_that_takes_too_long_stays_here_and_the_next_is_read_again() -> None:
    dense = f"mail {MAIL} now. " * 30_000
    async with reading({"EMAIL_ADDRESS": Boundary.MESH}, wait_s=0.5) as reader:
        began = time.monotonic()
        assert await reader.read(said(dense)) is Boundary.HOST
        assert time.monotonic() - began < 2.0
        async with asyncio.timeout(60):
            while await reader.read(said(PROSE)) is not Boundary.CLOUD:
                await asyncio.sleep(0.1)


async def test_names_need_a_model_and_with_one_are_found(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing finds PERSON in en; names of persons and places need a model"):
        async with reading(entities=("PERSON", "EMAIL_ADDRESS")):
            pass
    pipeline = spacy.blank("en")
    ruler: Any = pipeline.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "PERSON", "pattern": "Ada Lovelace"}])
    pipeline.to_disk(tmp_path / "names")
    told = {"entities": ("PERSON", "EMAIL_ADDRESS"), "models": {"en": str(tmp_path / "names")}}
    async with reading(**told) as reader:
        assert await reader.read(said("written by Ada Lovelace")) is Boundary.HOST
        assert await reader.read(said("written by nobody")) is Boundary.CLOUD


async def test_it_loads_nothing_of_torch_and_dies_with_its_parent() -> None:
    async with reading() as reader:
        assert reader._process is not None
        mapped = Path(f"/proc/{reader._process.pid}/maps").read_text()
        assert "spacy" in mapped
        assert "torch" not in mapped
        pid = reader._process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_whole_gateway_reads_with_it(start_up: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "ringfence.yaml"
    wide = "discovery: {adopt: false}\nprofiles: {wide: {tier: T2}}\n"
    file.write_text(f"{wide}sensitivity: {{presidio: {{wait_s: 20}}}}\n")
    up = start_up("--config", str(file))

    def allowed(prompt: str) -> str:
        told = up.run("explain", "auto", "--profile", "wide", "--prompt", prompt, "--json")
        assert told.returncode == 0, told.stderr
        return json.loads(told.stdout)["allowed"]

    assert [allowed(PROSE), allowed(f"mail {MAIL}")] == ["CLOUD", "HOST"]
    assert "spacy" not in Path(f"/proc/{up.ready['pid']}/maps").read_text()
    file.write_text(f"{wide}sensitivity: {{presidio: {{entities: [PERSON]}}}}\n")
    refused = up.run("config", "reload")
    assert refused.returncode != 0
    assert "nothing finds PERSON" in refused.stdout + refused.stderr
    assert allowed(f"mail {MAIL}") == "HOST"  # the former one reads on
    file.write_text(wide)
    assert up.run("config", "reload").returncode == 0
    assert allowed(f"mail {MAIL}") == "CLOUD"
    up.stop()
