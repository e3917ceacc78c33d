"""Which of a few calls have left, by the newest files of the journal: for whoever held something for them, and died."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from ringfence.egress.journal_chain import NOT_SENT, files_of, parse

LEAST_FILES = 2
"""Read whatever their times say: clocks are put back."""
MARGIN_S = 3600.0
_CALL = re.compile(rb'"call":"((?:[^"\\]|\\.)*)"')


def never_left(folder: Path, calls: Iterable[tuple[str, float]]) -> set[str]:
    """Those of `calls` (ids, and when each began, in Unix time) of which no byte left, or can have left: the journal
    goes back that far, and names none of them but where it says that nothing was sent.

    Raises OSError when a file cannot be read, and ValueError when the journal has none or says no time."""
    began_s: dict[str, float] = {}
    for call, at_s in calls:
        began_s[call] = min(at_s, began_s.get(call, at_s))
    ids = {orjson.dumps(call)[1:-1]: call for call in began_s}
    oldest_s, first_s = min(began_s.values()), float("inf")
    left = set[str]()
    sent: defaultdict[int, str] = defaultdict(str)
    not_sent = set[int]()
    for number, path in enumerate(reversed(files_of(folder)), 1):
        lines = path.read_bytes().split(b"\n")
        first_s = _time_of(lines[0])
        for raw in lines:
            if (call := _named(raw, ids)) is None:
                continue
            found = parse(raw)
            if found is None:  # torn, or changed: it counts as sent
                left.add(call)
            elif found.get("kind") == "sent":
                sent[found["seq"]] = call
            elif found.get("outcome") == NOT_SENT:
                not_sent.add(found["of"])
        if number >= LEAST_FILES and first_s < oldest_s - MARGIN_S:
            break
    left.update(call for seq, call in sent.items() if seq not in not_sent)
    return {call for call, at_s in began_s.items() if call not in left and at_s > first_s}


def _named(raw: bytes, ids: dict[bytes, str]) -> str | None:
    found = _CALL.search(raw)
    if found is not None:
        return ids.get(found[1])
    return next((call for shown, call in ids.items() if shown in raw), None)


def _time_of(raw: bytes) -> float:
    fields: dict[str, Any] | None = parse(raw)
    if fields is None:
        raise ValueError("the first line of a file of the journal cannot be read")
    return datetime.fromisoformat(fields["time"]).timestamp()
