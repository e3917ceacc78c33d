"""Rows of the ledger as lines of CSV and of JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from ringfence.core.ledger import CallRow

FIELDS = ("id", "at", "key", *(name for name in CallRow._fields if name not in ("id", "at_s")))
"""`at` is the time in UTC, `key` the name of the key."""
IN_MILLIONTHS = ("energy_j", "first_byte_s", "total_s")
"""Nobody measures them finer."""
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""A cell of text that begins so is worked out by spreadsheets; what it was called is somebody else's choice."""


def shown(row: CallRow, key_names: Mapping[str, str]) -> dict[str, Any]:
    """By FIELDS."""
    told: dict[str, Any] = row._asdict()
    for name in IN_MILLIONTHS:
        if told[name] is not None:
            told[name] = round(told[name], 6)
    at = datetime.fromtimestamp(told.pop("at_s"), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"id": told.pop("id"), "at": at, "key": key_names.get(row.key_id, ""), **told}


def csv_head() -> str:
    """The names of the columns."""
    return _csv([FIELDS])


def csv_lines(rows: Iterable[CallRow], key_names: Mapping[str, str]) -> str:
    """What is not known is empty."""
    return _csv([_cell(value) for value in shown(row, key_names).values()] for row in rows)


def json_lines(rows: Iterable[CallRow], key_names: Mapping[str, str]) -> str:
    """One object a line. What is not known is null."""
    return "".join(json.dumps(shown(row, key_names), ensure_ascii=False) + "\n" for row in rows)


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return value
    safe = f"'{value}" if value.startswith(FORMULA) else value
    return safe.replace("\r", " ")  # which would not be quoted


def _csv(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
