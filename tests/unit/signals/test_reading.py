"""The reading of a request: what shape, words and fields say of it, and that nothing in a body breaks it."""

from __future__ import annotations

from time import process_time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from taken import least_s

from ringfence.core.catalog import Ability
from ringfence.core.reading import EFFORTS, TASKS, Reading
from ringfence.signals.asked import DOCUMENT_PHRASES, NEGATED, NEGATIONS, has_documents
from ringfence.signals.effort import said_effort
from ringfence.signals.length import context_tokens
from ringfence.signals.reading import DayZero, first_answer, read
from ringfence.signals.sentences import OFFERED, offers

TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
CALLED = [
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "look_up"}}],
    },
    {"role": "tool", "tool_call_id": "1", "content": "write me a poem"},
]


def user(text: Any, system: str = "", **fields: Any) -> dict[str, Any]:
    messages = [*([{"role": "system", "content": system}] if system else []), {"role": "user", "content": text}]
    return {"messages": messages, **fields}


def task(body: dict[str, Any]) -> str:
    return read(Ability.CHAT, body).task


def schema(**properties: Any) -> dict[str, Any]:
    return {
        "type": "json_schema",
        "json_schema": {"name": "it", "schema": {"type": "object", "properties": properties}},
    }


SAID = {
    "Summarize the following article in three sentences:\n\nThe harbour was rebuilt in 1920.": "summary",
    "Write a Python function that reverses a string": "code",
    "Translate to German: 'Write a poem about the sea, please'": "rewrite",
    'Is this spam? Yes or no.\n\n"Write a function and win a prize"': "classification",
    "Extract all names and dates from this text:\n\nJohn met Mary on 5 May.": "extraction",
    "Prove that the square root of 2 is irrational": "reasoning",
    "Design a distributed, multi-region system for card payments": "architecture",
    "Schreib mir ein Gedicht über den Herbst": "creative",
    "Context:\nThe tower is 300 m high.\n\nQuestion: how high is it?": "rag",
    "What is the capital of Peru?": "chat",
    "写一首关于秋天的诗": "creative",
    "Résume ce texte en deux phrases : Le blé a reculé.": "summary",
    "Sort these tickets into billing / login / other:\n- I cannot pay\n- password lost": "classification",
    "Turn this card into name, phone, city: Jo Miller, 555 0100, Leeds": "extraction",
    "Turn our trip to the lake into a bedtime story: it rained, the boat leaked": "creative",
    "Given the report below, extract all amounts.\n\nWe paid 30 EUR in May and 40 EUR in June.": "extraction",
    "I work in a bakery and write a lot of invoices by hand. Any advice?": "chat",
    "My card 5101 6730 1219 9759 does not work any more": "chat",
    "What is 19 * 23?": "reasoning",
    "Why does the client say 'connected' but the server never see it?": "reasoning",
    "Which database would you choose for a chat service of 3 million users?": "architecture",
    "2025-04-01 01:55 ERROR load: x\n2025-04-01 01:56 DEBUG run: y\n\nSummarise what went wrong.": "summary",
    "Write a sort() for our list of orders in Go": "code",
    "Traduce al inglés: 'Nos vemos mañana en la oficina'": "rewrite",
}


@pytest.mark.parametrize(("text", "expected"), SAID.items())
def test_the_last_wish_decides(text: str, expected: str) -> None:
    assert task(user(text)) == expected


def test_shape_comes_before_words() -> None:
    assert task({"messages": [*user("find it")["messages"], *CALLED], "tools": [TOOL]}) == "agent"
    assert task(user("write me a poem", tools=[TOOL])) == "creative", "offered tools alone make no agent"
    assert task({"messages": [*user("hello")["messages"], *CALLED]}) != "agent", "nor do results without tools"
    assert task(user("I cannot log in", response_format=schema(team={"enum": ["a", "b"]}))) == "classification"
    assert (
        task(user("Jo, 31", response_format=schema(name={"type": "string"}, age={"type": "integer"}))) == "extraction"
    )
    assert read(Ability.EMBEDDINGS, {"input": "Write a poem"})[:2] == ("embedding", 1)
    assert read(Ability.COMPLETIONS, {"prompt": "def add(a, b):\n    ", "suffix": "\n"}).task == "code"


def test_a_system_prompt_that_leaves_no_choice_decides_over_what_is_sent() -> None:
    body = user(
        "Write me a poem about love", "Translate every message of the user into French. Output only the translation."
    )
    assert task(body) == "rewrite"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"reasoning_effort": "none"}, 1), ({"reasoning_effort": "minimal"}, 1), ({"reasoning_effort": "low"}, 3),
        ({"reasoning_effort": "medium"}, 5), ({"reasoning_effort": "HIGH"}, 8),
        ({"reasoning": {"effort": "xhigh"}}, 10),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, 3),
        ({"thinking": {"type": "enabled", "budget_tokens": 60_000}}, 10),
        ({"thinking": {"type": "disabled", "budget_tokens": 60000}}, 0), ({"reasoning_effort": "strange"}, 0),
        ({"reasoning_effort": 7}, 0), ({"reasoning": "high"}, 0), ({}, 0),
    ],
)  # fmt: skip
def test_what_the_caller_says_of_effort_wins(fields: dict[str, Any], expected: int) -> None:
    assert said_effort(fields) == expected
    reading = read(Ability.CHAT, user("Prove that there are infinitely many primes", **fields))
    assert reading.effort == expected if expected else reading.effort >= 7


def test_length_is_of_everything_that_is_sent() -> None:
    assert context_tokens(user("x" * 4000)) == pytest.approx(1000, abs=10)
    assert context_tokens(user("é" * 4000)) == pytest.approx(2000, abs=10)
    assert context_tokens(user("x" * 400, "y" * 4000)) == pytest.approx(1100, abs=20)
    assert context_tokens(user([{"type": "text", "text": "x" * 4000}])) == pytest.approx(1000, abs=20)
    assert context_tokens(user("hi", tools=[{"type": "function", "function": {"description": "z" * 8000}}])) > 2000
    assert context_tokens({"input": [1] * 700}) == 700, "tokens are tokens"
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400_000}}
    assert 500 < context_tokens(user([picture])) < 2000, "a picture is not its bytes"
    many = {"messages": [{"role": "user", "content": [{"type": "text", "text": "x" * 400}]}] * 20_000}
    assert context_tokens(many) == pytest.approx(20_000 * 104, rel=0.1), "beyond the bound, by what was seen"


class Stage:
    def __init__(self, said: Reading | Exception | None) -> None:
        self.said = said

    def decide(self, ability: Ability, body: dict[str, Any]) -> Reading | None:
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


def test_the_first_stage_that_answers_is_believed() -> None:
    body = user("Write a poem")
    sure = Reading("code", 9, 7)
    rules = read(Ability.CHAT, body)
    assert first_answer([Stage(None), Stage(sure), Stage(Reading("chat", 1, 1))], Ability.CHAT, body) == sure
    assert first_answer([Stage(ValueError("broken")), Stage(sure)], Ability.CHAT, body) == sure
    assert first_answer([Stage(None), Stage(ValueError("broken"))], Ability.CHAT, body) == rules
    assert first_answer([], Ability.CHAT, body) == rules == DayZero().decide(Ability.CHAT, body)


def test_the_stems_let_every_phrase_through() -> None:
    for phrase in DOCUMENT_PHRASES:
        assert has_documents(f"say: {phrase} it"), phrase


@given(st.from_regex(NEGATED), st.from_regex(OFFERED))
def test_the_literals_let_through_whatever_is_looked_for(negated: str, offered: str) -> None:
    assert any(sign in negated for sign in NEGATIONS), negated
    assert offers(offered), offered


def test_a_follow_up_is_about_the_documents_shown_before() -> None:
    shown = "Context:\nAdults pay 9 EUR, pupils 4 EUR.\n\nQuestion: what do adults pay?"
    turns = [("user", shown), ("assistant", "9 EUR"), ("user", "and pupils?")]
    assert task({"messages": [{"role": role, "content": text} for role, text in turns]}) == "rag"


def test_effort_goes_by_what_is_asked_and_how_much_is_shown() -> None:
    def effort(text: str) -> int:
        return read(Ability.CHAT, user(text)).effort

    shown = "Context:\nThe tower is 300 m high.\n\nQuestion: "
    assert effort(shown + "how high is it?") == 3
    assert effort(shown + "how high is it, and how many storeys could it have at 3 m each?") == 4
    assert effort("Translate to German: good night") <= 3
    assert effort("Translate to German:\n\n" + "The harbour was rebuilt by hand. " * 10) == 4
    assert effort("Summarize this:\n\n" + "The harbour was rebuilt by hand. " * 3) == 3
    assert effort("Summarize this:\n\n" + "The harbour was rebuilt by hand. " * 20) == 4


FIELDS = (
    "role", "content", "text", "type", "messages", "prompt", "input", "tools", "tool_choice", "tool_calls",
    "response_format",
    "json_schema", "schema", "properties", "enum", "reasoning", "effort", "reasoning_effort", "thinking",
    "budget_tokens", "system",
    "documents", "suffix", "function", "image_url",
)  # fmt: skip
WORDS = st.sampled_from(
    ("user", "system", "assistant", "tool", "write a poem:", "```python\n", "<a>" * 40, '"' * 50, "“" * 60,
     "\n" * 90, "; " * 50,
     "translate", "text", "\ud800", "翻译", "a_b(" * 30, "- " * 40, ": " * 30, "Context:\n[1] x", "high", "?")
)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | WORDS
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=40,
)
MESSAGES = st.lists(
    st.dictionaries(st.sampled_from(("role", "content", "tool_calls", "name")), JSON, max_size=4), max_size=6
)
BODIES = st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6) | st.builds(
    lambda messages, more: {**more, "messages": messages},
    MESSAGES,
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3),
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(list(Ability)), BODIES)
@example(Ability.CHAT, {"messages": [None, 3, [], {"role": [], "content": {}}]})
@example(Ability.CHAT, {"messages": [{"role": "user", "content": "\ud800 write"}]})
def test_nothing_in_a_body_makes_it_raise(ability: Ability, body: dict[str, Any]) -> None:
    reading = read(ability, body)
    assert reading.task in TASKS
    assert reading.effort in EFFORTS
    assert reading.context_tokens >= 0
    assert reading == read(ability, body)


def nested(depth: int) -> Any:
    value: Any = "write a poem"
    for _ in range(depth):
        value = {"content": [value]}
    return value


HOSTILE = {
    "deep": {"messages": [{"role": "user", "content": nested(900)}], "tools": nested(900)},
    **{
        f"{mark!r} again and again": user(mark * (1_000_000 // len(mark)))
        for mark in (
            "\n",
            " ",
            ";",
            "<a>",
            "<a b",
            '"',
            "“",
            "„",
            "'",
            "「",
            "```",
            "> ",
            "a ",
            "_a(",
            "a-",
            "1,",
            "a / ",
            "is it or ",
            "a, b",
            "\t;",
            "İ",
            "a: ",
            "\n\n",
            "\n[",
        )
    },
    "many parts": user([{"type": "text", "text": "a"}] * 200_000),
    "many messages": {"messages": [{"role": "user", "content": "a"}] * 200_000},
    "many tools": user("a", tools=[TOOL] * 100_000),
}


@pytest.mark.timed
@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_hostile_bodies_take_a_bounded_time(body: dict[str, Any]) -> None:
    assert least_s(lambda: read(Ability.CHAT, body), 0.1) < 0.1


USUAL = {
    "200 bytes": user(
        "Write a Python function that reads orders from a csv file and returns totals per customer. " * 2
    ),
    "2 KB": user("Summarize the following text:\n\n" + "The committee met on Tuesday and discussed the budget. " * 36),
    "64 KB": user(
        "Summarize the following text:\n\n" + "The committee met on Tuesday and discussed the budget. " * 1190
    ),
    "5 MB in 1,000 messages": {
        "messages": [{"role": "user", "content": "The committee met on Tuesday. " * 170}] * 1000
    },
}


@pytest.mark.timed
@pytest.mark.parametrize("body", USUAL.values(), ids=USUAL)
def test_a_reading_takes_little_however_long_the_request_is(body: dict[str, Any]) -> None:
    def spent() -> float:
        started = process_time()
        for _ in range(50):
            read(Ability.CHAT, body)
        return (process_time() - started) / 50

    best = min(spent() for _ in range(5))
    assert best < (0.5e-3 if len(body["messages"]) < 100 else 4e-3), f"{best * 1e6:.0f} us"
