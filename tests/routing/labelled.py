"""Requests with what a careful reader says of them; labels.md tells what each label means."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("labelled.jsonl")
BYTES_PER_TOKEN = 4
"""Of English prose, in the vocabularies in use; what the sizes of padding and the bands of length count by."""

LINKS = ("although", "because", "while", "before", "after", "until", "so that", "as soon as")


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NOUNS = words(
    "harbour council garden winter letter bridge kitchen morning river engine teacher meadow report window market "
    "neighbour ladder orchard station winding carpenter village pattern lantern quarter season paper bakery museum "
    "valley ticket blanket visitor corner autumn captain shelter basket chimney journal pavement festival"
)
VERBS = words(
    "carried followed noticed repaired measured painted remembered crossed described opened borrowed counted "
    "watched gathered avoided expected returned visited lifted mentioned"
)
QUALITIES = words(
    "narrow quiet second heavy pale early wooden distant cheerful broken patient ordinary northern shallow careful "
    "forgotten familiar sudden green uneven"
)
PARTS = words("buffer cursor batch parcel widget region ledger sample folder marker border canvas record sensor column")
ACTIONS = words("load merge split apply trim pack scan fold shift clamp render collect")


@dataclass(frozen=True)
class Labelled:
    """One request and its labels."""

    id: str
    part: str
    adversarial: bool
    task: str
    effort: int
    length: str
    private: bool
    goes: tuple[str, ...]
    route: str
    body: dict[str, Any]
    headers: dict[str, str]
    holds: tuple[tuple[str, str], ...]
    """What makes it private: kind and text as it stands in the request; none where a header does."""
    resembles: tuple[tuple[str, str], ...]
    """What looks private and is not."""

    @property
    def effort_band(self) -> str:
        return "1-3" if self.effort <= 3 else "4-6" if self.effort <= 6 else "7-10"


def load(file: Path = FILE) -> list[Labelled]:
    """All labelled requests, long ones padded; the same at each call."""
    return [read(json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]


def read(row: dict[str, Any]) -> Labelled:
    request = row["request"]
    body = json.loads(json.dumps(request["body"]))
    if pad := request.get("pad"):
        put(body, pad, filler(row["id"], pad["kind"], pad["tokens"]))
    return Labelled(
        **{name: row[name] for name in ("id", "part", "adversarial", "task", "effort", "length", "private")},
        goes=tuple(row["goes"]),
        route=request["route"],
        body=body,
        headers=dict(request.get("headers", {})),
        holds=tuple((one["kind"], one["text"]) for one in row.get("holds", ())),
        resembles=tuple((one["kind"], one["text"]) for one in row.get("resembles", ())),
    )


def put(body: dict[str, Any], pad: dict[str, Any], text: str) -> None:
    """`text` where `pad` says; an error where the request has no such place."""
    if "messages" not in body:
        field = "prompt" if "prompt" in body else "input"
        body[field] = joined(body[field], text, pad["place"])
        return
    role = "system" if pad["at"] == "system" else "user"
    found = [one for one in body["messages"] if one["role"] == role]
    message = found[-1 if pad["at"] == "last_user" else 0]
    message["content"] = joined(message["content"], text, pad["place"])


def joined(said: str, text: str, place: str) -> str:
    if place == "within":
        start, _, last = said.rpartition("\n")
        return f"{start}\n{text}\n{last}"
    return f"{text}\n\n{said}" if place == "before" else f"{said}\n\n{text}"


def filler(seed: str, kind: str, tokens: int) -> str:
    """About `tokens` tokens of text that means nothing in particular, and holds nothing private."""
    choose = random.Random(f"{seed}/{kind}")
    pieces: list[str] = []
    left = tokens * BYTES_PER_TOKEN
    for piece in KINDS[kind](choose):
        pieces.append(piece)
        left -= len(piece)
        if left <= 0:
            break
    return "".join(pieces).strip()


def prose(choose: random.Random) -> Iterator[str]:
    def clause() -> str:
        one, other = choose.sample(NOUNS, 2)
        return f"the {choose.choice(QUALITIES)} {one} {choose.choice(VERBS)} the {other}"

    while True:
        for _ in range(choose.randint(3, 7)):
            said = f"{clause()} {choose.choice(LINKS)} {clause()}" if choose.random() < 0.6 else clause()
            yield f"{said[0].upper()}{said[1:]}. "
        yield "\n\n"


def code(choose: random.Random) -> Iterator[str]:
    while True:
        action, part, other = choose.choice(ACTIONS), *choose.sample(PARTS, 2)
        step = choose.randint(2, 40)
        yield (
            f"def {action}_{part}({other}s, limit={step}):\n"
            f"    {part}s = []\n"
            f"    for {other} in {other}s[:limit]:\n"
            f"        if {other}.size > {choose.randint(1, 9)}:\n"
            f"            {part}s.append({choose.choice(ACTIONS)}({other}))\n"
            f"    return {part}s\n\n\n"
        )


def log(choose: random.Random) -> Iterator[str]:
    minute = choose.randint(0, 300)
    while True:
        minute += choose.randint(0, 2)
        level = choose.choice(("INFO", "INFO", "INFO", "DEBUG", "WARN", "ERROR"))
        yield (
            f"2025-04-{1 + minute // 1440 % 28:02d} {minute // 60 % 24:02d}:{minute % 60:02d} {level:5} "
            f"{choose.choice(PARTS)}.{choose.choice(ACTIONS)}: {choose.choice(NOUNS)} {choose.choice(VERBS)} "
            f"from 10.0.{choose.randint(0, 9)}.{choose.randint(2, 250)} in {choose.randint(1, 900)} ms\n"
        )


KINDS: dict[str, Callable[[random.Random], Iterator[str]]] = {"prose": prose, "code": code, "log": log}


def texts(value: object) -> Iterator[str]:
    """Each text in a body, whichever field it is in."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
