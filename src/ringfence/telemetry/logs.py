"""Structured logs: one JSON object a line. Requests are logged by their outcome alone, in slices, off their path."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import orjson

from ringfence.telemetry.events import Answered


class JsonLines(logging.Formatter):
    """`ts`, `level`, `logger`, `message` and, for faults of our own, `error` with the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        row: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            row["error"] = _where(record.exc_info[1])
        return orjson.dumps(row).decode()


def _where(error: BaseException | None) -> list[str]:
    """The kind of an exception and the lines it passed. Its text is left out: it may quote a request."""
    lines: list[str] = [type(error).__name__] if error is not None else []
    step = error.__traceback__ if error is not None else None
    while step is not None:
        code = step.tb_frame.f_code
        lines.append(f"{Path(code.co_filename).name}:{step.tb_lineno} {code.co_name}")
        step = step.tb_next
    return lines


def configure(level: str, file: Path | None) -> IO[bytes]:
    """Send the logs of this process to `file` (appended), or to stderr; returns the stream for request lines."""
    stream: IO[bytes] = sys.stderr.buffer
    handler: logging.Handler = logging.StreamHandler()
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        stream = file.open("ab")
        handler = logging.FileHandler(file)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(level.upper())
    return stream


class RequestLog:
    """A listener of events: one line per answered call, gathered and written once per slice."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.is_on = True
        self._lines: list[bytes] = []
        self._second = -1
        self._shown = ""

    def __call__(self, event: object) -> None:
        if self.is_on and type(event) is Answered:
            usage = event.usage
            row = {
                "ts": self._time(event.at_s),
                "level": "info",
                "logger": "ringfence.requests",
                "message": "answered",
                "call": event.call_id,
                "key": event.key.id,
                "dialect": event.dialect,
                "model": event.model,
                "target": event.target,
                "rule": event.rule,
                "status": event.status,
                "outcome": event.outcome,
                "stream": event.stream,
                "first_byte_s": round(event.first_byte_s, 6),
                "total_s": round(event.total_s, 6),
                "prompt_tokens": usage.prompt_tokens if usage else 0,
                "completion_tokens": usage.completion_tokens if usage else 0,
            }
            self._lines.append(orjson.dumps(row))

    def write(self) -> None:
        """Write what was gathered. A full disk loses log lines, never a request."""
        if self._lines:
            lines, self._lines = self._lines, []
            try:
                self.stream.write(b"\n".join(lines) + b"\n")
                self.stream.flush()
            except OSError:
                pass

    def _time(self, at_s: float) -> str:
        """ISO 8601 in UTC; worked out once a second, as that costs more than the rest of a line."""
        second = int(at_s)
        if second != self._second:
            self._second = second
            self._shown = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._shown}.{int((at_s - second) * 1000):03d}+00:00"
