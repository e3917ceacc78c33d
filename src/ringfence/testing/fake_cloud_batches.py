"""Files and batches of a fake cloud, as OpenAI has them: a batch ends when the test says so, and each line is answered
as a call would be."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ringfence.testing.fake_cloud_rules import Refused

CREATED_S = 1_790_000_000
DAY_S = 86_400
Answer = Callable[[dict[str, Any]], dict[str, Any]]
"""Of the body of a line; raises Refused."""


class FakeBatches:
    """`ends` as soon as they are looked at, or when `finish` is called; `files` and `batches` are there to be read."""

    def __init__(self, answer: Answer) -> None:
        self.ends = False
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self._answer = answer
        self._count = 0

    def serves(self, path: str) -> bool:
        return path.startswith(("/v1/files", "/v1/batches"))

    def served(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        """JSON, or the bytes of a file. Raises Refused."""
        place = path.partition("?")[0].removeprefix("/v1/").split("/")
        if (method, place) == ("POST", ["files"]):
            return self._uploaded(headers.get("content-type", ""), body)
        if place[0] == "files" and len(place) > 1:
            return self._file(method, place)
        if (method, place) == ("POST", ["batches"]):
            return self._begun(json.loads(body))
        if (method, place) == ("GET", ["batches"]):
            return {"object": "list", "data": list(reversed(self.batches.values())), "has_more": False}
        batch = self.batches.get(place[1])
        if batch is None:
            raise Refused(f"No batch found with id '{place[1]}'.", 404)
        if place[2:] == ["cancel"] and method == "POST":
            if batch["status"] != "in_progress":
                raise Refused(f"Cannot cancel a batch with status '{batch['status']}'.", 409)
            self.finish(batch["id"], state="cancelled", most=0)
        elif self.ends and batch["status"] == "in_progress":
            self.finish(batch["id"])
        return batch

    def finish(self, batch_id: str, state: str = "completed", most: int | None = None) -> None:
        """It has answered as many lines as `most`, and ended in this state."""
        batch = self.batches[batch_id]
        output: list[bytes] = []
        errors: list[bytes] = []
        lines = self.files[batch["input_file_id"]].splitlines()
        for number, raw in enumerate(lines):
            line = json.loads(raw)
            row: dict[str, Any] = {"id": f"batch_req_{number}", "custom_id": line["custom_id"], "response": None}
            if most is not None and number >= most:
                row["error"] = {"code": f"batch_{state}", "message": "This request was not executed."}
                errors.append(_line(row))
                continue
            try:
                answered, status, kept = self._answer(line["body"]), 200, output
            except Refused as refused:
                answered = {"error": {"message": refused.message, "type": refused.type, "code": refused.code}}
                status, kept = refused.status, errors
            row |= {"response": {"status_code": status, "request_id": f"req_{number}", "body": answered}, "error": None}
            kept.append(_line(row))
        batch["status"] = state
        for name, kept in (("output_file_id", output), ("error_file_id", errors)):
            batch[name] = self._kept(b"".join(reversed(kept))) if kept else None  # in whatever order
        batch["request_counts"] = {"total": len(lines), "completed": len(output), "failed": len(errors)}

    def _uploaded(self, content_type: str, body: bytes) -> dict[str, Any]:
        kind, _, edge = content_type.partition("; boundary=")
        parts = body.split(f"--{edge}".encode()) if edge else []
        fields = dict(part[2:-2].split(b"\r\n\r\n", 1) for part in parts[1:-1])
        purpose = next((value for head, value in fields.items() if b'name="purpose"' in head), b"")
        file = next((value for head, value in fields.items() if b'name="file"; filename=' in head), None)
        if kind != "multipart/form-data" or purpose != b"batch" or file is None:
            raise Refused("The file and its purpose are needed.")
        return {"id": self._kept(file), "object": "file", "purpose": "batch", "bytes": len(file)}

    def _file(self, method: str, place: list[str]) -> Any:
        file = self.files.get(place[1])
        if file is None:
            raise Refused(f"No such File object: {place[1]}", 404)
        if method == "DELETE":
            del self.files[place[1]]
            return {"id": place[1], "object": "file", "deleted": True}
        return file if place[2:] == ["content"] else {"id": place[1], "object": "file", "bytes": len(file)}

    def _begun(self, body: dict[str, Any]) -> dict[str, Any]:
        if set(body) - {"input_file_id", "endpoint", "completion_window", "metadata"}:
            raise Refused("Unrecognized request argument supplied.")
        if body["completion_window"] != "24h" or body["input_file_id"] not in self.files:
            raise Refused("Invalid 'completion_window' or 'input_file_id'.")
        lines = [json.loads(raw) for raw in self.files[body["input_file_id"]].splitlines()]
        if len({line["custom_id"] for line in lines}) != len(lines) or any(
            line["url"] != body["endpoint"] or line["method"] != "POST" for line in lines
        ):
            raise Refused("The lines of the file are not those of a batch for this endpoint.")
        self._count += 1
        batch = self.batches[f"batch_{self._count}"] = {
            "id": f"batch_{self._count}", "object": "batch", "endpoint": body["endpoint"], "errors": None,
            "input_file_id": body["input_file_id"], "completion_window": "24h", "status": "in_progress",
            "output_file_id": None, "error_file_id": None, "created_at": CREATED_S, "expires_at": CREATED_S + DAY_S,
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0}, "metadata": body.get("metadata"),
        }  # fmt: skip
        return batch

    def _kept(self, file: bytes) -> str:
        self._count += 1
        self.files[f"file-{self._count}"] = file
        return f"file-{self._count}"


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row).encode() + b"\n"
