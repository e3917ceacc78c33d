"""A whole gateway with a real llama.cpp: a response is followed after a restart, and no word of it lies on the disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from kept_rows import dump

pytestmark = pytest.mark.slow
CANARY = "the heron sleeps at seven"


def client(up: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=up.base_url, api_key=up.api_key, max_retries=0, timeout=60)


def test_a_response_outlives_its_gateway(start_up: Any, tiny_model: Path) -> None:
    told = ("--model", str(tiny_model), "--set", "profiles.default.stores=true")
    up = start_up(*told)
    with client(up) as before:
        first = before.responses.create(model="auto", input=CANARY, max_output_tokens=4)
        counted = before.responses.input_tokens.count(model="auto", input=CANARY)
        assert first.usage is not None and counted.input_tokens == first.usage.input_tokens
    credentials = json.loads((up.folder / "credentials.json").read_text())
    assert up.stop() == 0
    files = [path for path in up.folder.rglob("*") if path.is_file() and path.name.startswith("ringfence.db")]
    written = b"".join(path.read_bytes() for path in files) + dump(up.folder / "ringfence.db").encode()
    assert first.id.encode() in written and CANARY.encode() not in written
    again = start_up(*told, folder=up.folder)
    again.ready["api_key"] = credentials["api_key"]
    with client(again) as after:
        assert after.responses.retrieve(first.id).to_dict() == first.to_dict()
        more = after.responses.create(model="auto", input="And?", previous_response_id=first.id, max_output_tokens=4)
        assert more.usage is not None and more.usage.input_tokens > first.usage.input_tokens
        items = after.responses.input_items.list(more.id, order="asc").data
        assert items[0].to_dict()["content"] == [{"type": "input_text", "text": CANARY}]  # type: ignore[union-attr]
        after.responses.delete(more.id)


def test_by_default_nothing_is_kept(ringfence: Any) -> None:
    with client(ringfence) as asked:
        answer = asked.responses.create(model="auto", input=CANARY, max_output_tokens=4)
        assert answer.to_dict()["store"] is False
        with pytest.raises(openai.NotFoundError):
            asked.responses.retrieve(answer.id)
