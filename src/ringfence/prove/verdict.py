"""[pure] What was seen, and what follows from it: a row for each way, a verdict for each profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from ringfence.prove.packets import Packet, Reach


class Verdict(StrEnum):
    """Of one way under one profile."""

    HELD = "held"
    """Nothing left."""
    ALLOWED = "allowed"
    """Packets left, as far as the profile lets them."""
    LEAK = "LEAK"
    BLIND = "blind"
    """What may leave did not, or nobody is served at all, so that nothing seen proves nothing."""
    NOT_TRIED = "not tried"


WORSE = (Verdict.HELD, Verdict.ALLOWED, Verdict.NOT_TRIED, Verdict.BLIND, Verdict.LEAK)
"""From the best to the worst."""
PROVES = (Verdict.HELD, Verdict.ALLOWED)


@dataclass(frozen=True, slots=True)
class Row:
    """One way under one profile. `packets` and `bytes` are what left, without looks at one's own engines, which carry
    no text; `to` is where, the furthest first."""

    way: str
    text: str
    verdict: Verdict
    answer: str
    packets: int
    bytes: int
    beyond_packets: int
    beyond_bytes: int
    text_arrived: bool
    to: tuple[str, ...]

    def as_row(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Weighed:
    """Packets with how far each would have got."""

    packet: Packet
    count: int
    reach: Reach

    @property
    def place(self) -> str:
        """Where to, as people read it."""
        packet = self.packet
        host = f"[{packet.address}]" if ":" in packet.address else packet.address
        asked = f" asking for {packet.name}" if packet.name else ""
        port = f":{packet.port}" if packet.port else ""
        return f"{packet.protocol} {host}{port}{asked} ({self.reach.name.lower()})"


def judge(
    way: str, text: str, answer: str, weighed: Sequence[Weighed], allowed: Reach, *, is_tried: bool, must_reach: bool,
    text_arrived: bool, must_serve: bool = False,
) -> Row:  # fmt: skip
    """The row of one attempt. A text that arrived is a leak where nothing may leave, whatever the packets say."""
    left = [one for one in weighed if one.reach > Reach.HOST]
    beyond = [one for one in left if one.reach > allowed]
    if beyond or (text_arrived and allowed is Reach.HOST):
        verdict = Verdict.LEAK
    elif not is_tried:
        verdict = Verdict.BLIND if must_serve else Verdict.NOT_TRIED
    elif must_reach and not text_arrived:
        verdict = Verdict.BLIND
    else:
        verdict = Verdict.ALLOWED if left else Verdict.HELD
    ordered = sorted(left, key=lambda one: (-one.reach, one.place))
    return Row(
        way, text, verdict, answer, _count(left), _bytes(left), _count(beyond), _bytes(beyond), text_arrived,
        tuple(dict.fromkeys(one.place for one in ordered)),
    )  # fmt: skip


def merged(rows: Sequence[Row]) -> Row:
    """Several attempts of one way as one row: the worst verdict, and what left taken together."""
    first = rows[0]
    return replace(
        first, verdict=max((row.verdict for row in rows), key=WORSE.index),
        answer=", ".join(row.answer for row in rows if row.answer), packets=sum(row.packets for row in rows),
        bytes=sum(row.bytes for row in rows), beyond_packets=sum(row.beyond_packets for row in rows),
        beyond_bytes=sum(row.beyond_bytes for row in rows), text_arrived=any(row.text_arrived for row in rows),
        to=tuple(dict.fromkeys(place for row in rows for place in row.to)),
    )  # fmt: skip


def _count(weighed: Sequence[Weighed]) -> int:
    return sum(one.count for one in weighed)


def _bytes(weighed: Sequence[Weighed]) -> int:
    return sum(one.count * one.packet.size_bytes for one in weighed)
