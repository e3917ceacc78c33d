"""What a caller leaves here to be asked later, when nobody watches."""

from __future__ import annotations

import asyncio
import json
from time import monotonic

from ringfence.prove.house import House
from ringfence.prove.temptations import CLOUD_MODEL
from ringfence.prove.way import Tried, Way

ORDER = 2
ENDS_S = 20.0
ENDPOINT = "/v1/chat/completions"
EDGE = "edge-of-the-proof"


async def _batch(house: House, text: str) -> Tried:
    """A line of a batch names a rented model."""
    return await _tried(house, text, "1h")


async def _not_urgent(house: House, text: str) -> Tried:
    """It may wait for a day, and so go as part of a batch of the provider."""
    return await _tried(house, text, "24h")


async def _tried(house: House, text: str, window: str) -> Tried:
    body = {"model": CLOUD_MODEL, "messages": [{"role": "user", "content": text}], "max_tokens": 16}
    line = json.dumps({"custom_id": "proof", "method": "POST", "url": ENDPOINT, "body": body})
    form = (
        f'--{EDGE}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        f'--{EDGE}\r\nContent-Disposition: form-data; name="file"; filename="proof.jsonl"\r\n\r\n{line}\r\n'
        f"--{EDGE}--\r\n"
    )
    head = {"content-type": f"multipart/form-data; boundary={EDGE}"}
    file = await house.read("/v1/files", form.encode(), head, "POST")
    asked = {"input_file_id": file.get("id"), "endpoint": ENDPOINT, "completion_window": window}
    batch = await house.read("/v1/batches", asked, method="POST")
    until = monotonic() + ENDS_S
    while batch.get("status") in ("validating", "in_progress") and monotonic() < until:
        await asyncio.sleep(0.1)
        batch = await house.read(f"/v1/batches/{batch['id']}")
    counts = batch.get("request_counts", {})
    is_tried = batch.get("status") == "completed" and counts["completed"] + counts["failed"] == 1
    return Tried("1 line, refused" if counts.get("failed") else "1 line, answered", is_tried)


async def _put_off(house: House, text: str) -> Tried:
    """A response that is made in the background; under a profile that keeps none it is refused."""
    asked = {"model": CLOUD_MODEL, "input": text, "max_output_tokens": 16, "background": True}
    said = await house.ask("/v1/responses", asked)
    if said.status != 200:
        return Tried.by(said)
    response = await house.read(f"/v1/responses/{said.id}")
    until = monotonic() + ENDS_S
    while response.get("status") in ("queued", "in_progress") and monotonic() < until:
        await asyncio.sleep(0.1)
        response = await house.read(f"/v1/responses/{said.id}")
    status = str(response.get("status"))
    return Tried(f"in the background: {status}", status in ("completed", "incomplete", "failed"))


WAYS = (
    Way("batch", "a line of a batch names a rented model", _batch, reaches=True),
    Way(
        "provider-batch",
        "a line that may wait for a day names a rented model of a provider with batches",
        _not_urgent,
        ("permit gateway/batches/outside.py:Outside._ask", "permit egress/errand.py:run_errand"),
        reaches=True,
    ),
    Way("background-response", "a response in the background names a rented model", _put_off, reaches=True),
)
