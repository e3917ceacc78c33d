"""[pure] Files, batches and their lines in the shapes that OpenAI's clients read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from ringfence.store.batches import Batch
from ringfence.store.files import File

TIMES = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")


def shown_file(file: File) -> dict[str, Any]:
    return {
        "id": file.id, "object": "file", "bytes": file.size_bytes, "created_at": int(file.created_s),
        "expires_at": int(file.expires_s), "filename": file.filename, "purpose": file.purpose, "status": "processed",
        "status_details": None,
    }  # fmt: skip


def shown_batch(batch: Batch) -> dict[str, Any]:
    times = {f"{name}_at": int(at_s) if (at_s := batch.times.get(f"{name}_at")) else None for name in TIMES}
    errors = {"object": "list", "data": list(batch.errors)} if batch.errors else None
    is_over = batch.has_ended
    return {
        "id": batch.id, "object": "batch", "endpoint": batch.endpoint, "errors": errors,
        "input_file_id": batch.input_file_id, "completion_window": batch.completion_window, "status": batch.state,
        "output_file_id": (batch.output_file_id or None) if is_over else None,
        "error_file_id": (batch.error_file_id or None) if is_over else None,
        "created_at": int(batch.created_s), "expires_at": int(batch.expires_s), **times,
        "request_counts": {"total": batch.total, "completed": batch.completed, "failed": batch.failed},
        "metadata": batch.metadata, "model": batch.model or None, "usage": _usage(batch),
        **({"not_before": int(batch.not_before_s)} if batch.not_before_s else {}),
    }  # fmt: skip


def _usage(batch: Batch) -> dict[str, Any]:
    """Of the lines that were answered until now."""
    return {
        "input_tokens": batch.input_tokens, "input_tokens_details": {"cached_tokens": batch.cached_tokens},
        "output_tokens": batch.output_tokens, "output_tokens_details": {"reasoning_tokens": batch.reasoning_tokens},
        "total_tokens": batch.input_tokens + batch.output_tokens,
    }  # fmt: skip


def listed(rows: Sequence[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    return {
        "object": "list", "data": list(rows), "first_id": rows[0]["id"] if rows else None,
        "last_id": rows[-1]["id"] if rows else None, "has_more": has_more,
    }  # fmt: skip


def answered_line(line_id: str, custom_id: str, status: int, call_id: str, body: bytes) -> bytes:
    """A line of the output, or of the errors where its call was refused. `body` is JSON."""
    response = {"status_code": status, "request_id": call_id, "body": orjson.Fragment(body)}
    return _line({"id": line_id, "custom_id": custom_id, "response": response, "error": None})


def missed_line(line_id: str, custom_id: str, code: str, message: str) -> bytes:
    """A line of the errors, where its call was never made."""
    error = {"code": code, "message": message}
    return _line({"id": line_id, "custom_id": custom_id, "response": None, "error": error})


def _line(fields: dict[str, Any]) -> bytes:
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
