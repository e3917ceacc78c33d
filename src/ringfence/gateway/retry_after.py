"""When a target says that one may come again: the header retry-after, in seconds or as a date."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from time import time

MOST_S = 86_400.0
"""More is not believed."""


def seconds_of(value: bytes | None) -> float | None:
    """Seconds from now; None where it says nothing that can be read."""
    if value is None:
        return None
    said = value.decode("latin-1").strip()
    try:
        seconds = float(said) if said[:1].isdigit() else parsedate_to_datetime(said).timestamp() - time()
    except (ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds <= MOST_S else None
