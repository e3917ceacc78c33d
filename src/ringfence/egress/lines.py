"""[pure] Lines for a batch of a provider, checked as calls are, and the file that they make.

Each line has a call and a hold of its own; key, profile, model and boundary are those of the permit of the whole, and
that boundary is the narrowest of all lines. A line is known to the provider by its hold: what callers name their lines
may say something, and stays here.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, NamedTuple, cast

import orjson

from ringfence.egress.caps import Cap, Claim, Refused, checked_body

MOST_LINES = 1000
NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
REMOTE = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""Ids of a provider: they stand in paths."""
FIELDS = frozenset(("call", "hold", "body"))
SHOWN = ("id", "status", "input_file_id", "output_file_id", "error_file_id", "created_at", "expires_at")
MARK = "ringfence"
"""Under this name the metadata of a batch at a provider has the id that we know it by."""


class OneLine(NamedTuple):
    """A line that was checked: `body` is what leaves of it."""

    claim: Claim
    body: bytes

    @property
    def digest(self) -> str:
        return sha256(self.body).hexdigest()


def read_lines(claim: Claim, cap: Cap, body: bytes) -> list[OneLine]:
    """Refused where one line is not what the permit is for: then none leaves."""
    raws = [raw for raw in body.split(b"\n") if raw.strip()]
    if not 0 < len(raws) <= MOST_LINES:
        raise Refused(400, "malformed_body", f"A batch has from 1 to {MOST_LINES} lines.")
    found: list[OneLine] = []
    holds: set[str] = set()
    for raw in raws:
        fields = _object(raw)
        if fields.keys() != FIELDS or not all(_is_name(fields[name]) for name in ("call", "hold")):
            raise Refused(400, "malformed_body", "A line has a call, a hold and a body, and nothing else.")
        if fields["hold"] in holds:
            raise Refused(400, "malformed_body", "Two lines have one hold.")
        holds.add(fields["hold"])
        own = claim._replace(call=fields["call"], hold=fields["hold"])
        checked, is_stream = checked_body(own, cap, orjson.dumps(fields["body"]))
        if is_stream:
            raise Refused(400, "malformed_body", "A line of a batch is not streamed.")
        found.append(OneLine(own, checked))
    return found


def file_of(lines: Sequence[OneLine], endpoint: str) -> bytes:
    """As OpenAI reads it."""
    return b"".join(
        b'{"custom_id":%b,"method":"POST","url":%b,"body":%b}\n'
        % (orjson.dumps(line.claim.hold), orjson.dumps(endpoint), line.body)
        for line in lines
    )


def form_of(file: bytes) -> tuple[bytes, bytes]:
    """Content type and body of its upload."""
    edge = b"ringfence-" + secrets.token_hex(16).encode()
    body = b"".join((
        b"--", edge, b'\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n',
        b"--", edge, b'\r\ncontent-disposition: form-data; name="file"; filename="lines.jsonl"\r\n',
        b"content-type: application/jsonl\r\n\r\n", file, b"\r\n--", edge, b"--\r\n",
    ))  # fmt: skip
    return b"multipart/form-data; boundary=" + edge, body


def order_of(claim: Claim, file_id: str, endpoint: str) -> bytes:
    """What makes a batch of the file."""
    return orjson.dumps({
        "input_file_id": file_id, "endpoint": endpoint, "completion_window": "24h", "metadata": {MARK: claim.call},
    })  # fmt: skip


def remote_id(body: bytes, name: str) -> str:
    """The id of the provider that a gateway names. Refused for what cannot stand in a path."""
    found = _object(body).get(name)
    if not isinstance(found, str) or not REMOTE.fullmatch(found):
        raise Refused(400, "malformed_body", f"'{name}' is no id of a provider.")
    return found


def id_in(body: bytes) -> str | None:
    """Of what a provider has made; None where it is none."""
    try:
        found = _object(body).get("id")
    except Refused:
        return None
    return found if isinstance(found, str) and REMOTE.fullmatch(found) else None


def shown(batch: Any) -> dict[str, Any] | None:
    """What a gateway is told of a batch of a provider; None where that is none."""
    if not isinstance(batch, dict):
        return None
    fields = cast("dict[str, Any]", batch)
    if not isinstance(fields.get("id"), str) or not isinstance(fields.get("status"), str):
        return None
    return {name: fields.get(name) for name in SHOWN}


def marked(listed: bytes, call: str) -> dict[str, Any] | None:
    """The batch among those listed that we know by this id."""
    rows = _object(listed).get("data")
    for row in cast("list[Any]", rows) if isinstance(rows, list) else []:
        metadata = cast("dict[str, Any]", row).get("metadata") if isinstance(row, dict) else None
        if isinstance(metadata, dict) and cast("dict[str, Any]", metadata).get(MARK) == call:
            return shown(row)
    return None


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found: Any = orjson.loads(raw)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise Refused(400, "malformed_body", "This is not a JSON object.")
    return cast("dict[str, Any]", found)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and NAME.fullmatch(value) is not None
