"""A provider says that its quota of the day is used up: what nobody waits for waits until the next one begins."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from batched import form, jsonl, line
from outgoing import KEY, provider
from served import served
from whole import ask, made_key, question

from ringfence.testing.fake_cloud import Conduct, FakeCloud, Misdeed

pytestmark = pytest.mark.slow

CONFIG = """
discovery: {adopt: false}
batches: {quiet_s: 0}
providers:
  rented:
    url: "https://api.cloud.example/v1"
    api_key: "env:RENTED_KEY"
    calls_per_day: 1000
    max_tokens: 100
    resets: "RESETS UTC"
models:
  smart: {provider: rented, provider_model: fake-large, price: {input: 3, output: 15}, aliases: [auto]}
profiles:
  bold: {tier: T3, chain: [smart]}
timeouts: {retries: 0}
"""
USED_UP = {"error": {"message": "You exceeded your current quota.", "type": "insufficient_quota",
                     "param": None, "code": "insufficient_quota"}}  # fmt: skip


def sent(root_url: str, key: str, path: str, head: bytes, body: bytes) -> Any:
    name, _, value = head.decode().strip().partition(": ")
    asked = urllib.request.Request(root_url + path, body, {name: value, "authorization": f"Bearer {key}"})
    with urllib.request.urlopen(asked, timeout=20) as reply:
        return json.loads(reply.read())


async def test_lines_of_a_batch_wait_for_the_next_day(tmp_path: Path) -> None:
    folder, file = tmp_path / "state", tmp_path / "ringfence.yaml"
    file.write_text(CONFIG.replace("RESETS", f"{datetime.now(UTC) + timedelta(minutes=30):%H:%M}"))
    async with FakeCloud("openai", api_key=KEY) as cloud:
        cloud.always = Conduct(Misdeed.STATUS, status=429, body=USED_UP)
        async with served(folder, file, provider(cloud.url)) as (root_url, _):
            house: Any = SimpleNamespace(root_url=root_url, folder=folder)
            key = await asyncio.to_thread(made_key, house, "nightly", profile="bold")
            head, body = form(jsonl([line(n, model="smart", max_tokens=5) for n in range(3)]), purpose="batch")
            input_file = await asyncio.to_thread(sent, root_url, key, "/v1/files", head, body)
            wanted = {
                "input_file_id": input_file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h",
            }  # fmt: skip
            json_head = b"content-type: application/json"
            batch = await asyncio.to_thread(sent, root_url, key, "/v1/batches", json_head, json.dumps(wanted).encode())
            while not cloud.calls:
                await asyncio.sleep(0.05)
            await asyncio.sleep(1.0)
            before = len(cloud.calls)
            assert before <= 3  # those that were begun together
            await asyncio.sleep(4.0)
            assert len(cloud.calls) == before
            reply = await asyncio.to_thread(
                ask, root_url, "POST", "/v1/chat/completions", question("hello", model="smart", max_tokens=5), key, 20.0
            )
            assert (reply.status, reply.json["error"]["code"]) == (429, "provider_quota_used_up")
            assert 20 * 60 < int(reply.headers["retry-after"]) <= 31 * 60
            assert len(cloud.calls) == before + 1  # somebody waits for it, and it may have been raised
            looked = await asyncio.to_thread(ask, root_url, "GET", f"/v1/batches/{batch['id']}", None, key, 20.0)
            assert looked.json["status"] == "in_progress"
            assert looked.json["request_counts"] == {"total": 3, "completed": 0, "failed": 0}
