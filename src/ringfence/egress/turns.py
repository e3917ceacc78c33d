"""Whose turn it is among the keys of one provider: those that were limited are set aside for as long as it says.

Pure: told what happened, and when. Keys go by their numbers, from 0; no secret is in here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

MOST_S = 86_400.0
"""More is not believed."""
LEAST_S = 1.0
FIRST_S = {"limited": 20.0, "refused": 600.0, "unpaid": 600.0}
"""Where the provider does not say how long; from one time to the next it doubles."""
MOST_UNTOLD_S = 3600.0
REASONS = {429: "limited", 401: "refused", 402: "unpaid"}
UNPAID = re.compile(rb"billing|insufficient_quota|insufficient (?:balance|credit)|credit balance|payment|quota", re.I)
UNPAID_OF_400 = re.compile(rb"credit balance is too low", re.I)
"""As Anthropic says it, with status 400: there a message may quote what it was sent, so it has to be these words."""
_SPAN = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")

Headers = Iterable[tuple[bytes, bytes]]


@dataclass(slots=True)
class Turn:
    """How one key stands. Times are Unix seconds, 0 for never; `used` counts up with each call that took its turn."""

    used: int = 0
    limited_s: float = 0.0
    until_s: float = 0.0
    reason: str = ""
    times: int = 0
    """In a row that it was set aside without being told for how long."""


class Turns:
    """Of the keys of one provider."""

    def __init__(self, keys: int) -> None:
        self.all = [Turn() for _ in range(keys)]
        self._count = 0

    def take(self, now_s: float) -> int:
        """The one that was limited the longest ago, of those the one that was used the longest ago. Where all are set
        aside it is the one that comes free first: what the provider then says is for the caller."""
        free = list(self._free(now_s))
        if free:
            number = min(free, key=lambda at: (self.all[at].limited_s, self.all[at].used))
        else:
            number = min(range(len(self.all)), key=lambda at: self.all[at].until_s)
        self._count += 1
        self.all[number].used = self._count
        return number

    def has_other(self, number: int, now_s: float) -> bool:
        """Whether a key besides this one may be used."""
        return any(other != number for other in self._free(now_s))

    def set_aside(self, number: int, reason: str, for_s: float | None, now_s: float) -> float:
        """This key is not used for so long, or for a while that grows. For how long that is, in seconds."""
        turn = self.all[number]
        if for_s is None:
            for_s = min(FIRST_S[reason] * 2.0 ** min(turn.times, 10), MOST_UNTOLD_S)
            if turn.until_s <= now_s:  # calls that were under way together are refused together
                turn.times += 1
        for_s = min(max(for_s, LEAST_S), MOST_S)
        turn.limited_s, turn.reason = now_s, reason
        turn.until_s = max(turn.until_s, now_s + for_s)
        return for_s

    def served(self, number: int, now_s: float) -> None:
        """It was answered with it."""
        turn = self.all[number]
        if turn.until_s <= now_s:
            turn.times, turn.reason = 0, ""

    def renewed(self, number: int) -> Turns:
        """As they stand, with another key in the place of this one."""
        fresh = Turns(len(self.all))
        fresh.all = [Turn() if at == number else turn for at, turn in enumerate(self.all)]
        fresh._count = self._count
        return fresh

    def told(self, now_s: float) -> list[dict[str, object]]:
        """Those that are set aside, numbered from 1: number, reason, until_s."""
        return [
            {"number": at + 1, "reason": turn.reason, "until_s": turn.until_s}
            for at, turn in enumerate(self.all)
            if turn.until_s > now_s
        ]

    def _free(self, now_s: float) -> Iterator[int]:
        return (at for at, turn in enumerate(self.all) if turn.until_s <= now_s)


def reason_of(status: int, start: bytes = b"") -> str | None:
    """Why a key cannot be used for now, by a status and how the answer begins; None where nothing is wrong with it."""
    if status in REASONS:
        return REASONS[status]
    words = {403: UNPAID, 400: UNPAID_OF_400}.get(status)
    return "unpaid" if words is not None and words.search(start) else None


def wait_s(headers: Headers, now_s: float) -> float | None:
    """For how long a provider says that a key is limited; None where it does not say.

    First `retry-after`; else of what is used up the latest reset, and where it is not said what is used up, the first.
    """
    said = {name: value.decode("latin-1").strip() for name, value in headers}
    if (milliseconds := _number(said.get(b"retry-after-ms"))) is not None:
        return milliseconds / 1000
    if (asked := said.get(b"retry-after")) is not None and (seconds := _moment(asked, now_s)) is not None:
        return seconds
    resets: list[float] = []
    used_up: list[float] = []
    for name, value in said.items():
        if b"ratelimit" not in name or b"reset" not in name:
            continue
        seconds = _moment(value, now_s)
        if seconds is None:
            continue
        resets.append(seconds)
        if _number(said.get(name.replace(b"reset", b"remaining"))) == 0:
            used_up.append(seconds)
    return max(used_up) if used_up else min(resets, default=None)


def _moment(text: str, now_s: float) -> float | None:
    """Seconds from now: `20`, `6m0s`, `120ms`, Unix seconds or milliseconds, RFC 3339, or a date of HTTP."""
    found: float | None = None
    if (number := _number(text)) is not None:
        found = number / 1000 - now_s if number > 1e11 else number - now_s if number > 1e8 else number
    elif (span := _SPAN.fullmatch(text)) and any(span.groups()):
        days, hours, minutes, seconds, milliseconds = (float(part or 0) for part in span.groups())
        found = days * 86_400 + hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
    else:
        try:
            at = datetime.fromisoformat(text) if text[:1].isdigit() else parsedate_to_datetime(text)
            found = at.timestamp() - now_s
        except (ValueError, OverflowError):
            found = None
    return None if found is None else min(max(0.0, found), MOST_S)


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text and text[:1].isdigit() else None
    except ValueError:
        return None
    return number if number is not None and number < 1e15 else None
