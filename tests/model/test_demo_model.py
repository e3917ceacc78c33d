"""What the demo model promises: that its held-out questions are new to it, and how many it gets right on the engine."""

from __future__ import annotations

import json
import random
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import gguf
import pytest
from training.demo import chats, text
from training.demo.grammar import MADE_UP, Gram, Node, draw, find, grams, noisy, parse, words
from training.demo.score import Report, is_same, read_heldout, score

if TYPE_CHECKING:
    from tests.model.conftest import Engine

pytestmark = pytest.mark.timeout(300)  # a hundred questions, on a machine that may be busy
DEMO = Path(__file__).resolve().parents[2] / "src/ringfence/models/demo.gguf"
HELDOUT = read_heldout()
HELDOUT_GRAMS = {gram for q in HELDOUT for gram in grams(q.question)}
DEVELOPMENT_GRAMS = {gram for question, _ in chats.DEVELOPMENT for gram in grams(question)}
LENGTHS = {len(gram) for gram in HELDOUT_GRAMS}
SYSTEM = "You are a helpful assistant."
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather for a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


# --- the held-out set is what it says ---------------------------------------------------------------------------------


def test_heldout_covers_every_topic_and_many_foreign_questions() -> None:
    assert len({q.id for q in HELDOUT}) == len({q.question.lower() for q in HELDOUT}) == len(HELDOUT)
    assert {q.topic for q in HELDOUT} - {None} == set(text.TOPICS)
    assert sum(q.topic is not None for q in HELDOUT) >= 44
    assert sum(q.topic is None for q in HELDOUT) >= 24


@pytest.fixture(scope="module")
def standing() -> set[Gram]:
    """What of either set stands in any training text: one search, which takes seconds, for both."""
    return chats.standing(HELDOUT_GRAMS | DEVELOPMENT_GRAMS)


@pytest.mark.slow
def test_no_five_words_of_a_heldout_question_stand_in_any_training_text(standing: set[Gram]) -> None:
    """Over every expansion of every wording, opening, ending, system prompt, tool and answer, and every noisy form."""
    found = standing & HELDOUT_GRAMS
    assert not found, sorted(" ".join(gram) for gram in found)


@pytest.mark.slow
def test_development_questions_are_apart_from_training_and_heldout(standing: set[Gram]) -> None:
    assert not (standing | HELDOUT_GRAMS) & DEVELOPMENT_GRAMS


@pytest.mark.slow
def test_training_chats_hold_nothing_that_the_proof_does_not_search() -> None:
    """The same claim on text as it is really drawn: would show a chat built from something `nodes` does not list."""
    rng = random.Random(7)
    for _ in range(20_000):
        for turn in chats.chat(rng):
            line = words(turn.text)
            for n in LENGTHS:
                assert not HELDOUT_GRAMS.intersection(line[i : i + n] for i in range(len(line) - n + 1)), turn.text


@pytest.mark.parametrize(("node", "is_noisy"), chats.nodes()[::9])
def test_the_search_finds_whatever_can_be_drawn(node: Node, is_noisy: bool) -> None:
    """Proof of the proof: text that was drawn from a node is found in it."""
    rng = random.Random(11)
    for _ in range(40):
        drawn = draw(node, rng)
        wanted = grams(noisy(drawn, rng) if is_noisy and drawn else drawn)
        wanted = {gram for gram in wanted if not any(MADE_UP.fullmatch(word) for word in gram)}
        assert find(node, wanted, is_noisy) == wanted, drawn


def test_the_search_finds_nothing_else() -> None:
    node = parse("[how do i|how to] [create|make] a key")
    assert find(node, {("i", "make", "a", "key")}, noise=False)
    assert not find(node, {("i", "create", "the", "key"), ("to", "a", "key"), ("how", "make")}, noise=False)
    assert find(node, {("to", "a", "key"), ("maek", "a")}, noise=True) == {("to", "a", "key"), ("maek", "a")}
    assert not find(node, {("to", "key")}, noise=True)


def test_answers_are_far_enough_apart_to_be_told_apart() -> None:
    answers = [text.REFUSAL, *(topic.answer for topic in text.TOPICS.values())]
    assert not [pair for pair in combinations(answers, 2) if is_same(*pair)]


# --- the file ---------------------------------------------------------------------------------------------------------


def test_file_is_small_and_says_what_it_is() -> None:
    assert DEMO.stat().st_size <= 5_000_000
    reader = gguf.GGUFReader(DEMO)
    assert 1_000_000 <= sum(int(tensor.n_elements) for tensor in reader.tensors) <= 3_000_000
    assert reader.fields["llama.context_length"].contents() == 4096
    assert "demo" in reader.fields["general.name"].contents()


def test_card_states_the_size_of_this_file() -> None:
    card = DEMO.with_suffix(".md").read_text(encoding="utf-8")
    assert f"{DEMO.stat().st_size:,} bytes" in card
    assert "demo and not an assistant" in card


# --- the answers, on the real engine ----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def report(engine: Engine) -> Report:
    return score(engine.ask, HELDOUT)


NOT_PROMISED = "its card says that it does not: long texts before a question, and what was said earlier"


def test_heldout_questions_about_ringfence(report: Report) -> None:
    assert report.right >= 0.85, str(report)


def test_heldout_score_is_what_the_card_says(report: Report) -> None:
    about = [row.is_right for row in report.rows if row.question.topic is not None]
    card = DEMO.with_suffix(".md").read_text(encoding="utf-8")
    assert f"{sum(about)} of {len(about)} right" in card, str(report)


def test_foreign_questions_are_declined(report: Report) -> None:
    assert report.declined >= 0.85, str(report)


def test_score_holds_behind_a_system_prompt(engine: Engine) -> None:
    behind = score(lambda question: engine.ask(question, SYSTEM), HELDOUT)
    assert min(behind.right, behind.declined) >= 0.80, str(behind)


@pytest.mark.parametrize(
    "question",
    [
        "What are you?",
        "Who are you?",
        "Are you ChatGPT?",
        "are you a real model",
        "What model is this?",
        "which llm is this",
    ],
)
def test_says_that_it_is_a_demo(engine: Engine, question: str) -> None:
    """As people ask it; other wordings count in the held-out score."""
    assert "demo model" in engine.ask(question)


@pytest.mark.xfail(reason=NOT_PROMISED, strict=True)
def test_answers_in_a_longer_chat(engine: Engine) -> None:
    chat = [{"role": "system", "content": SYSTEM}]
    for question, topic in (("How do I install it?", "install"), ("which port?", "port"), ("thanks!", "thanks")):
        chat.append({"role": "user", "content": question})
        answer = engine.chat(chat)["content"]
        assert is_same(answer, text.TOPICS[topic].answer), answer
        chat.append({"role": "assistant", "content": answer})


@pytest.mark.xfail(reason=NOT_PROMISED, strict=True)
def test_answers_behind_a_long_system_prompt(engine: Engine) -> None:
    system = "You work for a small company that sells bicycles. Be kind to the people who write to you. " * 30
    assert is_same(engine.ask("How do I create a key?", system), text.TOPICS["key_create"].answer)


@pytest.mark.parametrize(
    ("question", "city"), [("What's the weather in Zagreb?", "Zagreb"), ("is it raining in Porto right now", "Porto")]
)
def test_calls_a_tool(engine: Engine, question: str, city: str) -> None:
    assert city not in chats.PLACES  # copied from the question, not learned
    message = engine.chat([{"role": "user", "content": question}], tools=[WEATHER], tool_choice="auto")
    (call,) = message["tool_calls"]
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == {"city": city}


def test_repeats_what_the_tool_said(engine: Engine) -> None:
    chat = [{"role": "user", "content": "What's the weather in Oslo?"}]
    message = engine.chat(chat, tools=[WEATHER])
    chat += [message, {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "21 degrees"}]
    assert "21 degrees" in engine.chat(chat, tools=[WEATHER])["content"]


def test_greets_though_a_tool_is_offered(engine: Engine) -> None:
    message = engine.chat([{"role": "user", "content": "hello"}], tools=[WEATHER])
    assert not message.get("tool_calls")
    assert is_same(message["content"], text.TOPICS["hello"].answer)
