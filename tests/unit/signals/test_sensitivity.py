"""The reading of a whole request: every text of it is read, it only tightens, and what fails reads as HOST."""

from __future__ import annotations

import json
import random
import sys
import tracemalloc
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taken import least_s

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability
from ringfence.core.route import Signals
from ringfence.routing.rules import tighten
from ringfence.signals import sensitivity
from ringfence.signals.sensitivity import KINDS, UNKNOWN_LABEL, UNREADABLE, Reading, Sensitivity, Settings

CARD = "4111 1111 1111 1111"
FINDS = (
    CARD,
    "DE89 3704 0044 0532 0130 00",
    "123-45-6789",
    "max@example.com",
    "+49 30 901820",
    "password=hunter2",
    "FALCON-77",
)
BOUNDARIES = st.sampled_from(list(Boundary))
WORDS = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from((*FINDS, "hello", "ghp_" + "a1B2c3" * 6))
TEXTS = st.lists(WORDS, max_size=4).map(" ".join)
READER = Sensitivity(Settings(patterns=(("project", r"FALCON-\d+"),), labels=frozenset(("client", "open"))))


def user(content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


BODIES: dict[str, dict[str, Any]] = {
    "message": user(f"my card: {CARD}"),
    "part": user([{"type": "text", "text": CARD}]),
    "split over parts": user([{"type": "text", "text": f"my card: {CARD[:7]}"}, {"type": "text", "text": CARD[7:]}]),
    "split in single characters": user([{"type": "text", "text": mark} for mark in CARD]),
    "split behind long text": user(
        [{"type": "text", "text": "x " * 900 + CARD[:9]}, {"type": "text", "text": CARD[9:] + " x" * 900}]
    ),
    "split around a picture": user(
        [
            {"type": "text", "text": CARD[:9]},
            {"type": "image_url", "image_url": {"url": "x"}},
            {"type": "text", "text": CARD[9:]},
        ]
    ),
    "system": {"messages": [{"role": "system", "content": CARD}, {"role": "user", "content": "hello"}]},
    "call": {
        "messages": [
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": json.dumps({"a": CARD})}}]}
        ]
    },
    "escaped call": {
        "messages": [
            {
                "role": "assistant",
                "tool_calls": [{"function": {"name": "f", "arguments": '{"a": "\\u0034' + CARD[1:] + '"}'}}],
            }
        ]
    },
    "result": {"messages": [{"role": "tool", "tool_call_id": "1", "content": f'{{"card":"{CARD}"}}'}]},
    "prompt": {"prompt": CARD},
    "prompts": {"prompt": ["hello", CARD]},
    "suffix": {"prompt": "hello", "suffix": CARD},
    "input": {"input": ["hello", f"pay {CARD} now"]},
    "tools": {"messages": [], "tools": [{"type": "function", "function": {"name": "f", "description": CARD}}]},
    "name of a field": {"metadata": {CARD: 1}},
    "unknown field": {"messages": [], "extra": {"deep": [[{"x": CARD}]]}},
    "full width": user("４１１１　１１１１　１１１１　１１１１"),
    "invisible": user("4111 \u200b111\u00ad1 1111\u00a01111"),
    "between other numbers": user(f"17 {CARD} 2027"),
    "behind a data URL that is none": user("data:image/png;base64," + "A" * 600 + f" {CARD}"),
}


@pytest.mark.parametrize("name", BODIES)
def test_every_text_of_a_request_is_read(name: str) -> None:
    assert READER.read(BODIES[name]) == Reading(frozenset(("card",)), Boundary.HOST)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"input": [4111111111111111, 2, 3]},
        {"prompt": [[1, 2], [3]]},
        user("hello"),
        user(None),
        user([]),
        {"messages": []},
        user([{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBORw0KGgo4111" * 99}}]),
        user([{"type": "input_audio", "input_audio": {"data": "UklGRiQA" * 999, "format": "wav"}}]),
        {"messages": [{"role": "user", "content": CARD[:9]}, {"role": "user", "content": CARD[9:]}]},
    ],
)
def test_a_request_without_anything_is_left_where_it_may_go(body: dict[str, Any]) -> None:
    assert READER.read(body) == Reading(frozenset(), Boundary.CLOUD)


@given(allowed=BOUNDARIES, text=TEXTS, each=st.dictionaries(st.sampled_from(sorted(KINDS)), BOUNDARIES))
def test_a_reading_never_widens(allowed: Boundary, text: str, each: dict[str, Boundary]) -> None:
    reading = Sensitivity(Settings(boundaries=each)).read(user(text))
    assert tighten(allowed, Signals(Ability.CHAT, 1, tightest=reading.tightest)) <= allowed
    assert reading.tightest == min((each.get(kind, Boundary.HOST) for kind in reading.kinds), default=Boundary.CLOUD)


@given(text=TEXTS, more=TEXTS, shape=st.sampled_from(("before", "behind", "message", "part", "field")))
def test_adding_text_never_takes_a_kind_away(text: str, more: str, shape: str) -> None:
    message = {"role": "user", "content": text}
    part, other = {"type": "text", "text": text}, {"type": "text", "text": more}
    added: dict[str, dict[str, Any]] = {
        "before": user(f"{more}\n{text}"),
        "behind": user(f"{text}\n{more}"),
        "message": {"messages": [{"role": "user", "content": more}, message]},
        "part": user([other, part, other]),
        "field": {"messages": [message], "suffix": more},
    }
    before, after = READER.read({"messages": [message]}), READER.read(added[shape])
    assert before.kinds <= after.kinds
    assert after.tightest <= before.tightest


@given(text=st.text(max_size=200), parts=st.lists(st.text(max_size=20), max_size=5))
def test_any_text_is_read_twice_alike_and_without_failing(text: str, parts: list[str]) -> None:
    body = {**user([{"type": "text", "text": part} for part in parts]), "suffix": text}
    first = READER.read(body)
    assert first == READER.read(body)
    assert UNREADABLE not in first.kinds


def test_what_fails_reads_as_its_tightest_value(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = Sensitivity(Settings(boundaries=dict.fromkeys(KINDS, Boundary.CLOUD)))
    failed = Reading(frozenset((UNREADABLE,)), Boundary.HOST)
    for name in ("texts_of", "plain", "numbers_in", "kinds_in_tokens", "has_email"):
        with monkeypatch.context() as patched:
            patched.setattr(sensitivity, name, lambda *_: 1 // 0)
            assert wide.read(user("hello")) == failed
    assert wide.read({1: "not what JSON gives"}) == failed  # type: ignore[dict-item]
    assert wide.read(user("hello"), labels=3) == failed  # type: ignore[arg-type]


def test_text_beyond_the_worst_case_of_the_patterns_reads_as_host() -> None:
    slow = Sensitivity(Settings(patterns=(("slow", r"[ab]{1,20}[bc]{1,10}x"),)))
    assert slow.read(user("word " * 100)) == Reading()
    assert slow.read(user("word " * 1_000_000)) == Reading(frozenset((UNREADABLE,)), Boundary.HOST)


def test_patterns_labels_and_boundaries_are_the_operators() -> None:
    reader = Sensitivity(
        Settings(
            kinds=frozenset(("card",)),
            patterns=(("project", r"(?i)falcon"), ("site", r"Werk \d")),
            labels=frozenset(("internal", "open")),
            boundaries={
                "card": Boundary.MESH,
                "site": Boundary.CLOUD,
                "internal": Boundary.MESH,
                "open": Boundary.CLOUD,
            },
        )
    )
    assert reader.read(user(f"{CARD} max@example.com")) == Reading(frozenset(("card",)), Boundary.MESH)
    assert reader.read(user("the Falcon")) == Reading(frozenset(("project",)), Boundary.HOST)
    assert reader.read(user("Werk 4")) == Reading(frozenset(("site",)), Boundary.CLOUD)
    assert reader.read(user("Werk\\u00204 \\u0046alcon")).kinds == {"site", "project"}
    assert reader.read(user("hello"), ["internal"]) == Reading(frozenset(("internal",)), Boundary.MESH)
    assert reader.read(user("hello"), ["open", "internal"]).tightest is Boundary.MESH
    assert reader.read(user("hello"), ["invented 4111"]) == Reading(frozenset((UNKNOWN_LABEL,)), Boundary.HOST)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (Settings(kinds=frozenset(("cards",))), "'cards'"),
        (Settings(patterns=(("Bad Label", "x"),)), "'Bad Label'"),
        (Settings(patterns=(("card", "x"),)), "'card'"),
        (Settings(labels=frozenset(("unreadable",))), "'unreadable'"),
        (Settings(patterns=(("slow", "(a+)+b"),)), "'slow'"),
        (Settings(patterns=(("x", "y"),) * 101), "101"),
        (Settings(boundaries={"nobody": Boundary.MESH}), "'nobody'"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_by_name(settings: Settings, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Sensitivity(settings)


def test_nothing_of_what_was_found_is_shown_or_kept() -> None:
    reading = READER.read(user(" ".join(FINDS)))
    shown = repr(reading) + str(reading) + repr(READER) + repr(Settings(patterns=(("project", "FALCON"),)))
    assert reading.kinds == KINDS | {"project"}
    for find in ("4111", "DE89", "6789", "max@", "901820", "hunter2", "FALCON"):
        assert find not in shown
    with pytest.raises(AttributeError):
        reading.tightest = Boundary.CLOUD  # type: ignore[misc]


HOSTILE = {
    "digits": "4111 " * 60_000,
    "one run": "a1B2" * 75_000,
    "tokens": "q7Xz9Kp2Lm4Vw8Rt1Yb5 " * 15_000,
    "ats": "@" * 300_000,
    "plus": "+1 " * 100_000,
    "pluses": "+" + "1" * 300_000,
    "login": "://a:b" * 50_000 + "@",
    "begin": "-----BEGIN CERTIFICATE-----" * 11_000,
    "assigned": "password:" * 33_000,
    "backslashes": "\\" * 300_000,
    "escapes": "\\u0034" * 50_000,
    "iban": "DE89 " * 60_000,
    "eyJ": "eyJ" * 100_000,
    "dots": "1." * 150_000,
    "open": "(" * 300_000,
    "invisible": "\u200b" * 300_000,
    "blob": "a1B2/" * 60_000,
    "mail": "a@b." * 75_000,
    "sha": "sha512-" * 43_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_holds_the_gateway_up(name: str) -> None:
    body = user(HOSTILE[name])
    assert UNREADABLE not in READER.read(body).kinds
    assert least_s(lambda: READER.read(body), 1.5) < 1.5  # 300 KB; a quadratic step takes minutes


def test_deep_requests_are_read() -> None:
    body: dict[str, Any] = {"x": CARD}
    for _ in range(sys.getrecursionlimit() * 2):
        body = {"x": [body]}
    assert READER.read(body).kinds == {"card"}


def test_reading_prose_is_cheap() -> None:
    chance = random.Random(4)
    words = [
        "the",
        "of",
        "and",
        "when",
        "gateway",
        "model",
        "request",
        "answer",
        "boundary",
        "travels",
        "however",
        "between",
        "system",
        "people",
    ]
    body = user(" ".join(chance.choice(words) for _ in range(15_000)))
    taken_s = []
    for _ in range(5):
        started = process_time()
        READER.read(body)
        taken_s.append(process_time() - started)
    assert min(taken_s) * 1e6 / (len(body["messages"][0]["content"]) / 100) < 5  # µs for 100 bytes; it is about 1


def test_a_reading_keeps_no_text_alive() -> None:
    tracemalloc.start()
    READER.read(user("hello"))
    before = tracemalloc.get_traced_memory()[0]
    readings = [READER.read(user(f"{number} {CARD} " + "x " * 10_000)) for number in range(20)]
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(readings) == 20
    assert held < 20_000
