"""One profile under proof: `python -m ringfence.prove.inside`, in a network of its own. A line of JSON for each way."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ringfence.prove.house import House, NotStarted, Seen
from ringfence.prove.network import NoNamespace, use_own_resolver
from ringfence.prove.packets import Reach
from ringfence.prove.temptations import ELSEWHERE, ELSEWHERE_HOST
from ringfence.prove.verdict import Row, judge, merged
from ringfence.prove.way import Tried, Way, all_ways
from ringfence.tether import leave_when_input_ends

LINGER_S = 2.0
"""After the last attempt: what was put off must not be missed."""
ATTEMPT_S = 90.0


class Blind(Exception):
    """The sink does not see what leaves; nothing that it says would count."""


async def prove(house: House, profile: str, wanted: frozenset[str]) -> None:
    """Try each way and tell what came of it. Raises NotStarted, NoNamespace, Blind."""
    try:
        await house.open(profile)
        before = await _can_see(house)
        _say({"ready": True})
        for way in (SERVED, *all_ways(), *ENDS):
            if wanted and way.name not in wanted and not way.serves and way not in ENDS:
                continue
            row, before = await _try(house, way, before)
            if row is not None:
                _say({"row": row.as_row()})
    finally:
        await house.close()


async def _try(house: House, way: Way, before: Seen) -> tuple[Row | None, Seen]:
    """One way, once or for each delegate. No row for a way that this house does not have."""
    if way.attempt_as is None:
        allowed = Reach.HOST if way.stays else _widest(house) if way.ends else house.reach_of(house.profile)
        return await _attempt(house, way, before, allowed, way.attempt, must_reach=not house.is_bound)
    rows: list[Row] = []
    for delegate in house.delegates:
        attempt = partial(_as, way.attempt_as, delegate)
        reach, is_bound = house.reach_of(delegate), house.is_exact(delegate)
        row, before = await _attempt(house, way, before, reach, attempt, must_reach=not is_bound)
        rows += [row] if row is not None else []
    return (merged(rows) if rows else None), before


async def _as(
    attempt: Callable[[House, str, str], Awaitable[Tried]], delegate: str, house: House, text: str
) -> Tried:  # fmt: skip
    tried = await attempt(house, f"{text} as {delegate}", delegate)
    return replace(tried, answer=f"{delegate}: {tried.answer}")


def _widest(house: House) -> Reach:
    """As connections of calls that were allowed are closed at the end."""
    return max(house.reach_of(name) for name in (house.profile, *house.delegates))


async def _attempt(
    house: House, way: Way, before: Seen, allowed: Reach, attempt: Callable[[House, str], Awaitable[Tried | None]], *,
    must_reach: bool,
) -> tuple[Row | None, Seen]:  # fmt: skip
    """The row, and what had come by then."""
    text = f"the proof's own text {secrets.token_hex(4)} for {way.name} and {house.profile}"
    await house.sink.seen(texts=[text])
    try:
        async with asyncio.timeout(ATTEMPT_S):
            tried = await attempt(house, text)
    except TimeoutError:
        tried = Tried("took too long", is_tried=False)
    after = await house.sink.settled()
    if after.missed:
        raise Blind(f"{after.missed} packets came too fast to be looked at")
    if tried is None:
        return None, after
    row = judge(
        way.name, way.text, tried.answer, house.weighed(after, before), allowed, is_tried=tried.is_tried,
        must_reach=must_reach and way.reaches and allowed >= Reach.CLOUD, text_arrived=text in after.arrived,
        must_serve=way.serves,
    )  # fmt: skip
    return row, after


async def _served(house: House, text: str) -> Tried:
    said = await house.served(text)
    return Tried(said.in_words, said.status == 200 and await house.heard(text))


SERVED = Way("served", "asks as anybody may, so that somebody must answer", _served, serves=True)


async def _nothing(_house: House, _text: str) -> Tried:
    await asyncio.sleep(LINGER_S)
    return Tried("")


async def _left(house: House, _text: str) -> Tried:
    await house.leave()
    return Tried("")


ENDS = (
    Way("afterwards", "nothing is asked any more; what was put off?", _nothing, stays=True),
    Way("the-end", "the program ends; what does it send then?", _left, ends=True),
)


async def _can_see(house: House) -> Seen:
    """Packets of our own, to a name, an address and a port: the sink must have counted each."""
    before = await house.sink.settled()
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sender:
        sender.sendto(b"seen?", (ELSEWHERE, 9))
    loop = asyncio.get_running_loop()
    await loop.getaddrinfo(ELSEWHERE_HOST, 80, type=socket.SOCK_STREAM)
    _, writer = await asyncio.wait_for(asyncio.open_connection(ELSEWHERE, 443), 5)
    writer.close()
    after = await house.sink.settled()
    beyond = [one.packet for one in house.weighed(after, before) if one.reach is Reach.ELSEWHERE]
    came = {(packet.protocol, packet.port) for packet in beyond}
    missing = {("udp", 9), ("udp", 53), ("tcp", 443)} - came
    if missing:
        raise Blind(f"packets of the proof's own did not arrive in the sink: {sorted(missing)}")
    return after


def _run(spec: dict[str, Any]) -> None:
    folder = Path(spec["folder"])
    use_own_resolver(folder)
    house = House(folder, spec["scene"], Path(spec["certificate"]), Path(spec["certificate_key"]))
    asyncio.run(prove(house, spec["profile"], frozenset(_words(spec["ways"]))))


def _words(listed: Iterable[Any]) -> list[str]:
    return [str(word) for word in listed]


def main() -> None:
    """Read what to prove from standard input; tell what came of it on standard output."""
    spec = json.loads(sys.stdin.readline())
    leave_when_input_ends(lambda: os._exit(1))
    try:
        _run(spec)
    except (NotStarted, NoNamespace, Blind) as error:
        _say({"failed": str(error)})
        sys.exit(1)


def _say(row: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
