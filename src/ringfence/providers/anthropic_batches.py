"""Anthropic's message batches: one request makes one, and its results are read from it.

They have no metadata, and a list of them says nothing of their lines. So the id by which a line is known there ends in
a mark of its batch: one of which nobody heard is told by the first of its results, and while it is under way nobody can
tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, cast

import orjson

from ringfence.core.catalog import Ability
from ringfence.egress.batch_dialect import MOST_RESULT_BYTES, Errand, Found, Shown, Sought, Steps, good
from ringfence.egress.lines import Limits, OneLine, id_in, object_in
from ringfence.providers.anthropic_errors import STATUSES

LISTED = 1000
MARK_CHARS = 12
MARKED = re.compile(rf"(?P<hold>.+)-(?P<mark>[0-9a-f]{{{MARK_CHARS}}})")
LIMITS = Limits(100_000, 256_000_000, re.compile(rf"[A-Za-z0-9_-]{{1,{64 - MARK_CHARS - 1}}}"))
"""With the mark behind it, an id of a line may have 64 letters, digits, `_` and `-`."""
CLOCKS_S = SUBMITTED_S = 3600.0
"""So far the provider's clock may be off, and so long a submission may take."""
UNDER_WAY = {"in_progress": "in_progress", "canceling": "cancelling"}
NOT_DONE = {
    "canceled": {"code": "batch_cancelled", "message": "The batch was cancelled before this line was begun."},
    "expired": {"code": "batch_expired", "message": "The batch expired before this line was begun."},
}
"""Results of lines that the provider did not begin, and does not charge, as OpenAI calls them."""


@dataclass(frozen=True, slots=True)
class MessageBatches:
    """https://platform.claude.com/docs/en/build-with-claude/batch-processing"""

    before: str
    abilities: frozenset[Ability] = frozenset((Ability.CHAT,))
    limits: Limits = LIMITS

    def submit(self, call: str, ability: Ability, lines: Sequence[OneLine]) -> Steps[Shown]:
        mark = _mark(call)
        requests = b",".join(
            b'{"custom_id":%b,"params":%b}' % (orjson.dumps(f"{line.claim.hold}-{mark}"), line.body) for line in lines
        )
        return _shown(object_in(good((yield Errand("POST", "", b'{"requests":[%b]}' % requests)))))

    def find(self, sought: Sought) -> Steps[Found]:
        """Of those that may be it, whichever ended says by its first result; one that is under way says nothing."""
        rows = object_in(good((yield Errand("GET", f"?limit={LISTED}")))).get("data")
        mark, is_open = _mark(sought.call), False
        for row in _candidates(rows, sought):
            shown = _shown(row)
            if sought.known.get(shown.id) == sought.call:
                return Found(shown)
            if shown.output_file_id is not None:
                first = good((yield _results(shown.id, is_first_line=True)))
                found = MARKED.fullmatch(str(object_in(first).get("custom_id")))
                if found is not None and found["mark"] == mark:
                    return Found(shown)
            is_open = is_open or shown.status in UNDER_WAY.values()
        return Found(is_leaving=is_open)

    def look(self, batch: str) -> Steps[Shown]:
        return _shown(object_in(good((yield Errand("GET", f"/{batch}")))))

    def cancel(self, batch: str) -> Steps[Shown]:
        return _shown(object_in(good((yield Errand("POST", f"/{batch}/cancel")))))

    def lines(self, file: str) -> Steps[bytes]:
        """The file of its results has the name of the batch."""
        results = good((yield _results(file)))
        return b"".join(
            orjson.dumps(_row(object_in(raw)), option=orjson.OPT_APPEND_NEWLINE)
            for raw in results.split(b"\n")
            if raw.strip()
        )

    def forget(self, file: str) -> Steps[str]:
        """Of a batch that has ended, with its lines and results."""
        return id_in(good((yield Errand("DELETE", f"/{file}"))))


def _results(batch: str, *, is_first_line: bool = False) -> Errand:
    """Where they are is in the API's reference; an address in an answer is never followed."""
    return Errand("GET", f"/{batch}/results", most_bytes=MOST_RESULT_BYTES, is_first_line=is_first_line)


def _mark(call: str) -> str:
    return sha256(call.encode()).hexdigest()[:MARK_CHARS]


def _candidates(rows: Any, sought: Sought) -> Iterator[dict[str, Any]]:
    """Those listed that may be it."""
    for row in cast("list[Any]", rows) if isinstance(rows, list) else []:
        batch = cast("dict[str, Any]", row) if isinstance(row, dict) else {}
        created_s = _seconds(batch.get("created_at"))
        if sought.known.get(str(batch.get("id")), sought.call) != sought.call:
            continue
        after_s = None if created_s is None or sought.since_s is None else created_s - sought.since_s
        if after_s is not None and not -CLOCKS_S <= after_s <= SUBMITTED_S + CLOCKS_S:
            continue
        if sought.lines is None or sum(_counts(batch).values()) == sought.lines:
            yield batch


def _counts(batch: dict[str, Any]) -> dict[str, int]:
    """Their sum is always the number of all lines."""
    counts: Any = batch.get("request_counts")
    told = cast("dict[str, Any]", counts) if isinstance(counts, dict) else {}
    return {name: count for name, count in told.items() if type(count) is int}


def _shown(batch: dict[str, Any]) -> Shown:
    status, batch_id = batch.get("processing_status"), batch.get("id")
    if not isinstance(batch_id, str) or status not in (*UNDER_WAY, "ended"):
        raise ValueError("this is no batch of messages")
    has_results = status == "ended" and batch.get("results_url") is not None
    return Shown(
        batch_id, UNDER_WAY.get(status) or _ended(batch), output_file_id=batch_id if has_results else None,
        created_at=_seconds(batch.get("created_at")), expires_at=_seconds(batch.get("expires_at")),
    )  # fmt: skip


def _ended(batch: dict[str, Any]) -> str:
    """In one word; what became of each line is in its result."""
    if batch.get("cancel_initiated_at") is not None:
        return "cancelled"
    return "expired" if _counts(batch).get("expired") else "completed"


def _seconds(text: Any) -> int | None:
    try:
        return int(datetime.fromisoformat(text).timestamp()) if isinstance(text, str) else None
    except ValueError:
        return None


def _row(line: dict[str, Any]) -> dict[str, Any]:
    """A result as OpenAI has it. What is in no known form is passed on as an answer, for it may have been charged."""
    custom_id, given = str(line.get("custom_id")), line.get("result")
    marked = MARKED.fullmatch(custom_id)
    result = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    row: dict[str, Any] = {
        "custom_id": marked["hold"] if marked is not None else custom_id, "response": None, "error": None,
    }  # fmt: skip
    match result:
        case {"type": "succeeded", "message": dict(message)}:
            row["response"] = {"status_code": 200, "body": message}
        case {"type": "errored", "error": dict(error)}:
            row["response"] = _failed(cast("dict[str, Any]", error))
        case {"type": ("canceled" | "expired") as kind}:
            row["error"] = NOT_DONE[kind]
        case _:
            row["response"] = {"status_code": 200, "body": result}
    return row


def _failed(error: dict[str, Any]) -> dict[str, Any]:
    """As an ordinary call would have been answered."""
    inner: Any = error.get("error")
    if not isinstance(inner, dict):
        inner, error = error, {"type": "error", "error": error}
    kind = cast("dict[str, Any]", inner).get("type")
    return {"status_code": STATUSES.get(str(kind), 500), "body": error}
