"""Batches of messages of a fake cloud, as Anthropic has them: one ends when the test says so, each line is answered as
a call would be, and what is wrong with a line shows in its result."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ringfence.testing.fake_cloud_rules import Refused

PATH = "/v1/messages/batches"
HOST = "https://api.anthropic.com"
CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
MOST_LINES = 100_000
MOST_LISTED = 1000
DAY = timedelta(days=1)
RESULTS = {"canceled": {"type": "canceled"}, "expired": {"type": "expired"}}
Answer = Callable[[dict[str, Any]], dict[str, Any]]
"""Of the params of a line; raises Refused."""


class FakeMessageBatches:
    """`ends` as soon as they are looked at, or when `finish` is called; `batches` are there to be read, with the lines
    and the results of each."""

    def __init__(self, answer: Answer) -> None:
        self.ends = False
        self.batches: dict[str, dict[str, Any]] = {}
        self.lines: dict[str, list[dict[str, Any]]] = {}
        self.results: dict[str, bytes] = {}
        self._answer = answer
        self._count = 0

    def serves(self, path: str) -> bool:
        return path.partition("?")[0].startswith(PATH)

    def served(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        """JSON, or the bytes of the results. Raises Refused."""
        place = urlsplit(path).path.removeprefix(PATH).strip("/").split("/")
        if place == [""]:
            return self._begun(body, headers) if method == "POST" else self._listed(urlsplit(path).query)
        batch = self.batches.get(place[0])
        if batch is None:
            raise Refused(f"Message Batch {place[0]} not found.", 404, "not_found_error")
        match method, place[1:]:
            case "GET", []:
                if self.ends and batch["processing_status"] == "in_progress":
                    self.finish(batch["id"])
                return batch
            case "GET", ["results"]:
                return self._results(batch)
            case "POST", ["cancel"]:
                return self._cancelled(batch)
            case "DELETE", []:
                return self._deleted(batch)
            case _:
                raise Refused(f"Invalid URL ({method} {path})", 404, "not_found_error")

    def finish(self, batch_id: str, most: int | None = None, rest: str = "expired") -> None:
        """It has answered as many lines as `most`, and the others are canceled or expired."""
        batch = self.batches[batch_id]
        if batch["processing_status"] == "canceling":
            rest = "canceled"
        results: list[dict[str, Any]] = []
        for number, line in enumerate(self.lines[batch_id]):
            result = self._answered(line["params"]) if most is None or number < most else RESULTS[rest]
            results.append({"custom_id": line["custom_id"], "result": result})
        counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
        for one in results:
            counts[one["result"]["type"]] += 1
        self.results[batch_id] = b"".join(json.dumps(one).encode() + b"\n" for one in reversed(results))
        batch |= {
            "processing_status": "ended", "ended_at": _now(), "request_counts": counts,
            "results_url": f"{HOST}{PATH}/{batch_id}/results",
        }  # fmt: skip

    def _answered(self, params: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"type": "succeeded", "message": self._answer(params)}
        except Refused as refused:
            error = {"type": refused.type, "message": refused.message}
            return {"type": "errored", "error": {"type": "error", "error": error, "request_id": None}}

    def _begun(self, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
        if not headers.get("content-type", "").startswith("application/json"):
            raise Refused("the content type must be application/json")
        fields = json.loads(body)
        for name in sorted(set(fields) - {"requests"}):
            raise Refused(f"{name}: Extra inputs are not permitted")
        lines = fields.get("requests")
        if not isinstance(lines, list) or not 0 < len(lines) <= MOST_LINES:
            raise Refused("requests: List should have at least 1 item after validation, not 0")
        for place, line in enumerate(lines):
            if set(line) != {"custom_id", "params"}:
                raise Refused(f"requests.{place}: Field required, or extra inputs are not permitted")
            if not CUSTOM_ID.fullmatch(line["custom_id"]):
                raise Refused(f"requests.{place}.custom_id: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'")
        if len({line["custom_id"] for line in lines}) != len(lines):
            raise Refused("requests: custom_id must be unique within the batch")
        self._count += 1
        name = f"msgbatch_{self._count:02d}"
        self.lines[name] = lines
        counts = {"processing": len(lines), "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
        self.batches[name] = {
            "id": name, "type": "message_batch", "processing_status": "in_progress", "request_counts": counts,
            "ended_at": None, "created_at": _now(), "expires_at": _now(DAY), "archived_at": None,
            "cancel_initiated_at": None, "results_url": None,
        }  # fmt: skip
        return self.batches[name]

    def _listed(self, query: str) -> dict[str, Any]:
        limit = int(parse_qs(query).get("limit", ["20"])[0])
        if not 1 <= limit <= MOST_LISTED:
            raise Refused(f"limit: Input should be less than or equal to {MOST_LISTED}")
        rows = list(reversed(self.batches.values()))
        shown = rows[:limit]
        return {
            "data": shown, "has_more": len(rows) > limit, "first_id": shown[0]["id"] if shown else None,
            "last_id": shown[-1]["id"] if shown else None,
        }  # fmt: skip

    def _results(self, batch: dict[str, Any]) -> bytes:
        if batch["results_url"] is None:
            raise Refused(f"Message Batch {batch['id']} has no available results.", 404, "not_found_error")
        return self.results[batch["id"]]

    def _cancelled(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Lines under way may still be answered: it ends when the test says so."""
        if batch["processing_status"] == "ended":
            raise Refused(f"Message Batch {batch['id']} cannot be canceled because it has already ended.")
        batch |= {"processing_status": "canceling", "cancel_initiated_at": batch["cancel_initiated_at"] or _now()}
        return batch

    def _deleted(self, batch: dict[str, Any]) -> dict[str, Any]:
        if batch["processing_status"] != "ended":
            raise Refused(f"Message Batch {batch['id']} cannot be deleted because it has not ended.")
        for kept in (self.batches, self.lines, self.results):
            del kept[batch["id"]]
        return {"id": batch["id"], "type": "message_batch_deleted"}


def _now(later: timedelta = timedelta(0)) -> str:
    return (datetime.now(UTC) + later).isoformat().replace("+00:00", "Z")
