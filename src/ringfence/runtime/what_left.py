"""What left this machine, as the control API tells it: the journal's summary beside the configured profiles."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep, time
from typing import Any

from ringfence.config.schema import Config
from ringfence.core.boundary import Boundary
from ringfence.core.identity import Key
from ringfence.egress.journal_chain import MEND, Call
from ringfence.egress.journal_summary import MOST_ADDRESSES, Count, Group, JournalSummary, Summary
from ringfence.store.failure import StoreFailed

MOST_GROUPS = 200


class WhatLeft:
    """Asks in a thread of its own, one after the other: reading a long journal for the first time takes seconds."""

    def __init__(self, folder: Path) -> None:
        self._journal = JournalSummary(folder, rest=self._rest)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="what-left")
        self._loop: asyncio.AbstractEventLoop | None = None

    async def tell(self, config: Config, keys: list[Key], since_s: float | None) -> dict[str, Any]:
        """As JSON. Without `since_s` since the beginning of the UTC day."""
        now_s = time()
        wanted_s = now_s // 86_400 * 86_400 if since_s is None else since_s
        loop = self._loop = asyncio.get_running_loop()
        found, failure = None, ""
        try:
            found = await loop.run_in_executor(self._thread, self._journal.read, wanted_s)
        except OSError as error:
            failure = str(StoreFailed.of(error.filename or self._journal.folder, error))
        started_s = float(min((key.created_s for key in keys), default=now_s))
        return {
            "now_s": now_s, "since_s": found.since_s if found else wanted_s,
            **_told(config, {key.id: key.name for key in keys}, started_s, found, failure, self._journal.folder),
        }  # fmt: skip

    def _rest(self, seconds: float) -> None:
        """In the thread. Its process must not wait at its end until a long journal is read."""
        if self._loop is not None and self._loop.is_closed():
            raise RuntimeError("nobody waits for this any more")
        sleep(seconds)


def _told(
    config: Config, names: dict[str, str], started_s: float, found: Summary | None, failure: str, folder: Path
) -> dict[str, Any]:
    state = _state(found)
    counts = found.groups if found else {}
    total = _sum(counts.values())
    calls = found.calls if found else []
    since_s, since = _beginning(state, config, found, started_s)
    broken = found is not None and not found.verdict.is_whole
    return {
        "providers": list(config.providers), "known_since_s": since_s,
        "journal": {
            "state": state, "begun_s": found.begun_s if found else None,
            "problem": found.verdict.place(folder) if found and broken else failure,
            "mend": MEND.format(folder=folder) if broken else "",
            **(_checked(found) if found else {}),
        },
        "profiles": [_profile(name, config, found, since_s, since) for name in _profiles(config, found)],
        "groups": [
            _group(group, count, names)
            for group, count in sorted(counts.items(), key=lambda one: (-one[1].calls, one[0]))[:MOST_GROUPS]
        ],
        "total": _counted(total),
        "calls": [_call(call, names) for call in calls],
        "more_calls": max(0, total.calls + total.not_sent - len(calls)),
    }  # fmt: skip


def _state(found: Summary | None) -> str:
    """whole, broken, empty (no line yet), absent, or unreadable."""
    if found is None:
        return "unreadable"
    if not found.verdict.is_whole:
        return "broken"
    if found.verdict.lines:
        return "whole"
    return "absent" if found.begun_s is None else "empty"


def _beginning(state: str, config: Config, found: Summary | None, started_s: float) -> tuple[float | None, str]:
    """From when on it is known what left, and by what: journal or first_start; None and unknown when it is not."""
    if state in ("whole", "empty") and found is not None:
        return found.begun_s, "journal"
    if state == "absent" and not config.providers:  # nothing that could have sent, and nothing that says it did
        return started_s, "first_start"
    return None, "unknown"


def _checked(found: Summary) -> dict[str, Any]:
    verdict = found.verdict
    return {
        "lines": verdict.lines, "files": verdict.files, "head": str(verdict.head), "recovered": verdict.recovered,
        "unfinished_bytes": verdict.unfinished_bytes, "checked_s": found.checked_s,
    }  # fmt: skip


def _profiles(config: Config, found: Summary | None) -> list[str]:
    """Those of the configuration in its order, then those of which only the journal knows."""
    journalled = {*found.last, *found.running, *(group.profile for group in found.groups)} if found else set[str]()
    return [*config.profiles, *sorted(journalled - config.profiles.keys())]


def _profile(name: str, config: Config, found: Summary | None, since_s: float | None, since: str) -> dict[str, Any]:
    """`since_s`: nothing has left after that time."""
    settings = config.profiles.get(name)
    boundary = settings.profile(name).boundary if settings else None
    last_s = found.last.get(name) if found else None
    if since_s is not None and last_s is not None:
        since_s, since = last_s, "last_call"
    return {
        "name": name, "is_configured": settings is not None,
        "boundary": boundary.name if boundary is not None else None,
        "has_own_network": bool(config.mesh) and boundary is not Boundary.HOST,
        "since_s": since_s, "since": since, "is_running": found is not None and name in found.running,
        **_counted(_sum(count for group, count in (found.groups if found else {}).items() if group.profile == name)),
    }  # fmt: skip


def _sum(counts: Iterable[Count]) -> Count:
    total = Count()
    for count in counts:
        total.merge(count)
    return total


def _counted(count: Count) -> dict[str, int]:
    return {
        "calls": count.calls, "bytes_out": count.bytes_out, "bytes_in": count.bytes_in, "not_sent": count.not_sent,
    }  # fmt: skip


def _group(group: Group, count: Count, names: dict[str, str]) -> dict[str, Any]:
    return {
        **group._asdict(), "key_name": names.get(group.key, ""), **_counted(count),
        "addresses": sorted(count.addresses)[:MOST_ADDRESSES],
    }  # fmt: skip


def _call(call: Call, names: dict[str, str]) -> dict[str, Any]:
    """`status` is 0 and `outcome` empty while it has no end."""
    sent, ended = call
    return {
        "seq": sent.seq, "call": sent.call, "at_s": sent.at_s, "ended_s": ended.at_s if ended else None,
        "profile": sent.profile, "key": sent.key, "key_name": names.get(sent.key, ""),
        "provider": sent.provider, "model": sent.model, "address": sent.address,
        "bytes_out": sent.bytes_out, "bytes_in": ended.bytes_in if ended else 0,
        "status": ended.status if ended else 0, "outcome": ended.outcome if ended else "", "has_left": call.has_left,
    }  # fmt: skip
