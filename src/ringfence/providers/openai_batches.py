"""OpenAI's batches, as OpenAI and some that follow it have them: a file of lines is sent, a batch is made of it, and
its answers are files again."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import orjson

from ringfence.core.catalog import Ability
from ringfence.egress.batch_dialect import (
    MOST_RESULT_BYTES,
    Declined,
    Errand,
    Found,
    Shown,
    Sought,
    Steps,
    Unheard,
    good,
)
from ringfence.egress.lines import Limits, OneLine, id_in, object_in

ENDPOINTS = {
    Ability.CHAT: "/v1/chat/completions", Ability.COMPLETIONS: "/v1/completions", Ability.EMBEDDINGS: "/v1/embeddings",
}  # fmt: skip
"""As a batch names them, whatever stands before them in the address of the provider."""
LISTED = 100
MARK = "ringfence"
"""Under this name the metadata of a batch at a provider has the id that we know it by."""
LIMITS = Limits(50_000, 200_000_000)


@dataclass(frozen=True, slots=True)
class FileBatches:
    """https://platform.openai.com/docs/api-reference/batch"""

    before: str
    abilities: frozenset[Ability] = frozenset(ENDPOINTS)
    limits: Limits = LIMITS

    def submit(self, call: str, ability: Ability, lines: Sequence[OneLine]) -> Steps[Shown]:
        endpoint = ENDPOINTS[ability]
        content_type, form = _form_of(_file_of(lines, endpoint))
        file_id = id_in(good((yield Errand("POST", "/files", form, content_type))))
        order = {
            "input_file_id": file_id, "endpoint": endpoint, "completion_window": "24h", "metadata": {MARK: call},
        }  # fmt: skip
        answered = yield Errand("POST", "/batches", orjson.dumps(order))
        if 400 <= answered.status < 500:  # there is no batch that would read it
            with suppress(Unheard):
                yield Errand("DELETE", f"/files/{file_id}")
            raise Declined(answered)
        return _shown(object_in(good(answered)))

    def find(self, sought: Sought) -> Steps[Found]:
        rows = object_in(good((yield Errand("GET", f"/batches?limit={LISTED}")))).get("data")
        for row in cast("list[Any]", rows) if isinstance(rows, list) else []:
            metadata = cast("dict[str, Any]", row).get("metadata") if isinstance(row, dict) else None
            if isinstance(metadata, dict) and cast("dict[str, Any]", metadata).get(MARK) == sought.call:
                return Found(_shown(cast("dict[str, Any]", row)))
        return Found()

    def look(self, batch: str) -> Steps[Shown]:
        return _shown(object_in(good((yield Errand("GET", f"/batches/{batch}")))))

    def cancel(self, batch: str) -> Steps[Shown]:
        return _shown(object_in(good((yield Errand("POST", f"/batches/{batch}/cancel")))))

    def lines(self, file: str) -> Steps[bytes]:
        return good((yield Errand("GET", f"/files/{file}/content", most_bytes=MOST_RESULT_BYTES)))

    def forget(self, file: str) -> Steps[str]:
        return id_in(good((yield Errand("DELETE", f"/files/{file}"))))


def _file_of(lines: Sequence[OneLine], endpoint: str) -> bytes:
    return b"".join(
        b'{"custom_id":%b,"method":"POST","url":%b,"body":%b}\n'
        % (orjson.dumps(line.claim.hold), orjson.dumps(endpoint), line.body)
        for line in lines
    )


def _form_of(file: bytes) -> tuple[str, bytes]:
    """Content type and body of its upload."""
    edge = f"ringfence-{secrets.token_hex(16)}"
    line = f"--{edge}".encode()
    body = b"".join((
        line, b'\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n',
        line, b'\r\ncontent-disposition: form-data; name="file"; filename="lines.jsonl"\r\n',
        b"content-type: application/jsonl\r\n\r\n", file, b"\r\n", line, b"--\r\n",
    ))  # fmt: skip
    return f"multipart/form-data; boundary={edge}", body


def _shown(batch: dict[str, Any]) -> Shown:
    batch_id, status = batch.get("id"), batch.get("status")
    if not isinstance(batch_id, str) or not isinstance(status, str):
        raise ValueError("this is no batch")
    return Shown(batch_id, status, *(batch.get(name) for name in Shown._fields[2:]))
