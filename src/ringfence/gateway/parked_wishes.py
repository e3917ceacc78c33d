"""[pure] What a caller says of how it wants to wait. Looked at only once there is something to wait for."""

from __future__ import annotations

from dataclasses import dataclass

from ringfence.core.errors import BadRequest
from ringfence.gateway.head import Head
from ringfence.gateway.not_before import NOT_BEFORE, moment_of

DEADLINE = b"x-ringfence-deadline-s"


@dataclass(frozen=True, slots=True)
class ParkingSettings:
    """How many may wait, and for how long."""

    most: int = 1000
    deadline_s: float = 900.0
    most_deadline_s: float = 86_400.0
    most_body_bytes: int = 48 * 1024 * 1024
    """Of requests whose callers wait on their connections: those are in memory."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """For how long a caller would wait, and whether it takes a ticket rather than wait."""

    deadline_s: float
    wants_ticket: bool
    not_before_s: float = 0.0
    """Unix seconds; 0 for at once."""


def read_wishes(head: Head, settings: ParkingSettings, now_s: float) -> Wishes:
    """BadRequest for a header that cannot be understood. A deadline beyond the most that is allowed is that most; it
    counts from the moment at which the request may begin. `now_s` is Unix time."""
    deadline_s = settings.deadline_s
    asked = head.header(DEADLINE)
    if asked is not None:
        if not asked.isdigit() or not 0 < len(asked) <= 9 or int(asked) < 1:
            raise BadRequest(
                f"The header {DEADLINE.decode()} must be a whole number of seconds, at least 1.", code="invalid_value"
            )
        deadline_s = float(int(asked))
    preferences = b",".join(value for name, value in head.headers if name == b"prefer")
    wanted = {preference.partition(b";")[0].strip().lower() for preference in preferences.split(b",")}
    not_before_s = moment_of(head.not_before.decode("latin-1"), NOT_BEFORE.decode()) if head.not_before else 0.0
    put_off_s = max(0.0, not_before_s - now_s)
    if put_off_s >= settings.most_deadline_s:
        raise BadRequest(
            f"'{NOT_BEFORE.decode()}' lies further ahead than a request may wait (parking.most_deadline_s).",
            code="invalid_value",
        )
    return Wishes(
        min(deadline_s + put_off_s, settings.most_deadline_s), b"respond-async" in wanted,
        not_before_s if put_off_s else 0.0,
    )  # fmt: skip
