"""[pure] Lines for a batch of a provider, checked as calls are.

Each line has a call and a hold of its own; key, profile, model and boundary are those of the permit of the whole, and
that boundary is the narrowest of all lines. A line is known to the provider by its hold: what callers name their lines
may say something, and stays here.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any, NamedTuple, cast

import orjson

from ringfence.egress.caps import Cap, Claim, Refused, checked_body

MOST_LINES = 1000
"""Of one batch, whatever more a provider takes: its answers are read at once."""
NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
REMOTE = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""Ids of a provider: they stand in paths."""
FIELDS = frozenset(("call", "hold", "body"))
LINE_BYTES = 200
"""What a dialect may write around the body of a line, at most."""


class OneLine(NamedTuple):
    """A line that was checked: `body` is what leaves of it."""

    claim: Claim
    body: bytes

    @property
    def digest(self) -> str:
        return sha256(self.body).hexdigest()


class Limits(NamedTuple):
    """What a provider takes: of lines, of bytes, and of what a line may be called."""

    lines: int
    bytes: int
    holds: re.Pattern[str] = NAME


def read_lines(claim: Claim, cap: Cap, body: bytes, limits: Limits) -> list[OneLine]:
    """Refused where one line is not what the permit is for: then none leaves."""
    raws = [raw for raw in body.split(b"\n") if raw.strip()]
    most = min(MOST_LINES, limits.lines)
    if not 0 < len(raws) <= most:
        raise Refused(400, "malformed_body", f"A batch has from 1 to {most} lines.")
    if len(body) + LINE_BYTES * len(raws) > limits.bytes:
        raise Refused(413, "too_large", f"This provider takes batches of at most {limits.bytes} bytes.")
    found: list[OneLine] = []
    holds: set[str] = set()
    for raw in raws:
        fields = _said(raw)
        if fields.keys() != FIELDS or not _is_name(fields["call"], NAME) or not _is_name(fields["hold"], limits.holds):
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


def remote_id(body: bytes, name: str) -> str:
    """The id of the provider that a gateway names. Refused for what cannot stand in a path."""
    found = _said(body).get(name)
    if not isinstance(found, str) or not REMOTE.fullmatch(found):
        raise Refused(400, "malformed_body", f"'{name}' is no id of a provider.")
    return found


def since_in(body: bytes) -> float | None:
    """When the submission of a batch that is sought began, in Unix time, where a gateway says so."""
    since_s = _said(body).get("since_s")
    if since_s is not None and type(since_s) not in (int, float):
        raise Refused(400, "malformed_body", "'since_s' is a time.")
    return since_s


def id_in(body: bytes) -> str:
    """Of what a provider has made. Raises ValueError where it is none."""
    found = object_in(body).get("id")
    if not isinstance(found, str) or not REMOTE.fullmatch(found):
        raise ValueError("a provider told no id")
    return found


def object_in(raw: bytes) -> dict[str, Any]:
    """Raises ValueError where it is none; of what it holds nothing is said."""
    try:
        found: Any = orjson.loads(raw)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise ValueError("this is not a JSON object")
    return cast("dict[str, Any]", found)


def _said(raw: bytes) -> dict[str, Any]:
    """By a gateway."""
    try:
        return object_in(raw)
    except ValueError:
        raise Refused(400, "malformed_body", "This is not a JSON object.") from None


def _is_name(value: Any, names: re.Pattern[str]) -> bool:
    return isinstance(value, str) and names.fullmatch(value) is not None
