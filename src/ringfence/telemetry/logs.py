"""Structured logs: one JSON object a line. Requests are logged by their outcome alone, in slices, off their path."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import orjson

from ringfence.core.money import dollars
from ringfence.core.ports import Clock
from ringfence.core.usage import Usage
from ringfence.telemetry.events import (
    FITS,
    Answered,
    BudgetOverrun,
    BudgetSoftReached,
    CostAboveHeld,
    CountGap,
    Fitting,
    Kind,
)

GAPS_EVERY_S = 60.0
log = logging.getLogger("ringfence.tokens")
MAX_SHOWN = 4096
NO_USAGE = Usage()


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
        self._lines: list[str] = []
        self._second = -1
        self._start = ""
        self._shown: dict[Kind, str] = {}

    def answered(self, event: Answered) -> None:
        if not self.is_on:
            return
        call_id, at_s, kind, first_byte_s, total_s, usage, fitting, _ = event
        shown = self._shown.get(kind) or self._show(kind)
        prompt_tokens, completion_tokens, *_ = usage if usage is not None else NO_USAGE
        second = int(at_s)
        if second != self._second:
            self._begin_second(second)
        self._lines.append(  # ids are letters, digits and -_.: alone, so that nothing here needs escaping
            f'{self._start}{int((at_s - second) * 1000):03d}+00:00","level":"info","logger":"ringfence.requests",'
            f'"message":"answered","call":"{call_id}",{shown},"first_byte_s":{first_byte_s:.6f},"total_s":{total_s:.6f},'
            f'"prompt_tokens":{prompt_tokens},"completion_tokens":{completion_tokens}'
            f"{_window(fitting) if fitting is not FITS and fitting is not None else ''}}}"
        )

    def write(self) -> None:
        """Write what was gathered. A full disk loses log lines, never a request."""
        if self._lines:
            lines, self._lines = self._lines, []
            try:
                lines.append("")
                self.stream.write("\n".join(lines).encode())
                self.stream.flush()
            except OSError:
                pass

    def _begin_second(self, second: int) -> None:
        """ISO 8601 in UTC; worked out once a second, as that costs more than the rest of a line."""
        self._second = second
        self._start = datetime.fromtimestamp(second, UTC).strftime('{"ts":"%Y-%m-%dT%H:%M:%S.')

    def _show(self, kind: Kind) -> str:
        """Who asked for what, and how it ended, as JSON without braces."""
        if len(self._shown) >= MAX_SHOWN:
            self._shown.clear()
        row = {
            "key": kind.key.id, "dialect": kind.dialect, "model": kind.model, "target": kind.target, "rule": kind.rule,
            "status": kind.status, "outcome": kind.outcome, "stream": kind.stream,
        }  # fmt: skip
        shown = self._shown[kind] = orjson.dumps(row)[1:-1].decode()
        return shown


def _window(fitting: Fitting) -> str:
    """What was done to make it fit, as fields of JSON; nothing where it did fit."""
    if fitting.state == FITS.state:
        return ""
    given_up = {"dropped": fitting.dropped, "shortened": dict(fitting.shortened)} if fitting.before else {}
    row = {"state": fitting.state, "before": fitting.before, "after": fitting.after, **given_up}
    return f',"window":{orjson.dumps(row).decode()}'


class GapLog:
    """A listener of gaps in counting: one line a minute for a target, as it may be so with every request."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told_at: dict[str, float] = {}

    def tell(self, event: CountGap) -> None:
        now = self._clock()
        last = self._told_at.get(event.target)
        if last is not None and now - last < GAPS_EVERY_S:
            return
        self._told_at[event.target] = now
        log.warning(
            "%s reports %d prompt tokens, %s what was counted: %d by the %s (call %s)",
            event.target, event.reported, event.side, event.counted, event.by, event.call_id,
        )  # fmt: skip


def money_log(event: BudgetSoftReached | BudgetOverrun | CostAboveHeld) -> None:
    """A listener of what owners of budgets are to know."""
    spending = logging.getLogger("ringfence.money")
    if isinstance(event, CostAboveHeld):
        spending.warning(
            "'%s' says that a call at %s has cost %s, and at most %s was held for it: its price is another",
            event.provider, event.target, dollars(event.cost), dollars(event.held),
        )  # fmt: skip
        return
    whose = "the house" if event.scope == "house" else f"the {event.scope} '{event.name}'"
    spent, limit = dollars(event.spent), dollars(event.limit)
    if isinstance(event, BudgetOverrun):
        spending.warning(
            "%s has spent %s of %s a %s, and at this pace it comes to %s, %d %% above it",
            whose, spent, limit, event.period, dollars(event.projected),
            round(100 * event.projected / event.limit) - 100,
        )  # fmt: skip
    else:
        spending.warning(
            "%s is past its soft limit, %s spent of %s a %s: what costs nothing goes first now",
            whose, spent, limit, event.period,
        )  # fmt: skip
