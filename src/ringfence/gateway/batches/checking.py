"""The input of a batch is looked through before anything is asked: what is wrong with it is told by line, and how far
the text of each line may travel is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import orjson

from ringfence.core.boundary import Boundary
from ringfence.core.errors import Failure
from ringfence.core.identity import Key
from ringfence.gateway.batches.line import Line, call_of, raw_lines
from ringfence.gateway.dialects.dialect import Dialect
from ringfence.gateway.pipeline import Pipeline
from ringfence.gateway.route import Foreign
from ringfence.store.batches import Batch
from ringfence.store.files import File, FileRows

MOST_ERRORS = 100
MOST_ID = 512
LINES_A_TURN = 50


@dataclass(slots=True)
class Checked:
    """What was found. `reaches` has one figure for each line of the file, and is empty where the batch as a whole stays
    on this machine."""

    errors: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    total: int = 0
    reaches: str = ""
    models: set[str] = field(default_factory=set[str])


async def check(
    pipeline: Pipeline, files: FileRows, file: File, batch: Batch, route: Dialect | Foreign, key: Key, most_lines: int
) -> Checked:
    """Raises Unreadable."""
    found = Checked()
    seen: set[str] = set()
    reaches: dict[int, Boundary] = {}
    is_here = Boundary(batch.boundary) is Boundary.HOST
    last = 0
    async for last, raw in raw_lines(files, file):
        found.total += 1
        if found.total > most_lines:
            found.errors = [error("too_many_tasks", f"A batch has at most {most_lines} lines (batches.most_lines).")]
            return found
        line = _read(last, raw, batch, seen, found, pipeline.settings.catalog.names.keys() | pipeline.settings.offered)
        if line is not None:
            found.models.add(line.model)
        if line is not None and not is_here and not found.errors:
            reaches[last] = await _reach(pipeline, line, batch, route, key)
        if len(found.errors) >= MOST_ERRORS:
            return found
        if found.total % LINES_A_TURN == 0:
            await asyncio.sleep(0)
    if not found.total:
        found.errors.append(error("empty_file", "The input file is empty: a batch has at least one line."))
    if not is_here:
        found.reaches = "".join(str(int(reaches.get(number, Boundary.HOST))) for number in range(1, last + 1))
    return found


def error(code: str, message: str, line: int | None = None, param: str | None = None) -> dict[str, Any]:
    """As a batch shows it. Never any text of a line."""
    return {"code": code, "message": message, "param": param, "line": line}


def _read(number: int, raw: bytes, batch: Batch, seen: set[str], found: Checked, models: Any) -> Line | None:
    """The line; None where something was found wrong with it."""
    try:
        said: Any = orjson.loads(raw)
    except orjson.JSONDecodeError:
        said = None
    if not isinstance(said, dict):
        found.errors.append(error("invalid_json_line", "This line is not parseable as a JSON object.", number))
        return None
    fields = cast("dict[str, Any]", said)
    wrong = _malformed(fields) or _misplaced(fields, batch, seen, models)
    if wrong is not None:
        code, message, param = wrong
        found.errors.append(error(code, message, number, param))
        return None
    return Line(number, fields["custom_id"], fields["body"], fields)


Wrong = tuple[str, str, str]
"""Code, message, field."""


def _malformed(fields: dict[str, Any]) -> Wrong | None:
    for param, is_right, form in CHECKS:
        if fields.get(param) is None:
            return "missing_required_parameter", f"Missing required parameter: '{param}'.", param
        if not is_right(fields[param]):
            return "invalid_value", f"'{param}' must be {form}.", param
    return None


def _misplaced(fields: dict[str, Any], batch: Batch, seen: set[str], models: Any) -> Wrong | None:
    """Whether it belongs into this batch."""
    if fields["url"] != batch.endpoint:
        return "url_mismatch", f"The url of this line is not the endpoint of the batch, {batch.endpoint}.", "url"
    if fields["custom_id"] in seen:
        text = "The custom_id of this line is that of another line, too; each must be its line's alone."
        return "duplicate_custom_id", text, "custom_id"
    seen.add(fields["custom_id"])
    model = fields["body"].get("model")
    if isinstance(model, str) and model and model not in models:
        text = "The model of this line does not exist; GET /v1/models lists those that do."
        return "model_not_found", text, "body.model"
    return None


Right = Callable[[Any], bool]
CHECKS: tuple[tuple[str, Right, str], ...] = (
    ("custom_id", lambda given: isinstance(given, str) and 0 < len(given) <= MOST_ID, "a text of up to 512 characters"),
    ("method", lambda given: given == "POST", "POST"),
    ("url", lambda given: isinstance(given, str), "the endpoint of the batch"),
    ("body", lambda given: isinstance(given, dict), "an object"),
)


async def _reach(pipeline: Pipeline, line: Line, batch: Batch, route: Dialect | Foreign, key: Key) -> Boundary:
    """How far its text may travel as it is read now. What is no call yet stays here."""
    most = Boundary(batch.boundary)
    try:
        call = await call_of(line, batch, key, route, batch.id, most)
        return min(most, (await pipeline.tightest_in_turns(call, pipeline.settings)).reach)
    except Failure:
        return Boundary.HOST
