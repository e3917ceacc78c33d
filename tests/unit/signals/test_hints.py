"""Calls that chat programs make by themselves are recognised; what people write that looks a little alike is not."""

from __future__ import annotations

from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.signals.hints import is_background

OWN = {
    "Open WebUI, title": "### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat",
    "Open WebUI, tags": "### Task:\nGenerate 1-3 broad tags categorizing the main themes of the chat",
    "Open WebUI, follow-ups": "### Task:\nSuggest 3-5 relevant follow-up questions or prompts that the user",
    "Open WebUI, queries": "### Task:\nAnalyze the chat history to determine the necessity of generating",
    "Open WebUI, completion": "### Task:\nYou are an autocompletion system. Continue the text in `<text>` based on the",
    "Open WebUI, image": "### Task:\nGenerate a detailed prompt for am image generation task based",
    "Open WebUI, emoji": "Your task is to reflect the speaker's likely facial expression through a fitting emoji.",
    "LibreChat": "Provide a concise, 5-word-or-less title for the conversation, using title case conventions.",
    "LibreChat, structured": "Analyze this conversation and provide:\n1. The detected language of the conversation",
    "LibreChat, assistants": "Please generate a concise title (max 40 characters) for a conversation that starts with:",
    "LobeChat": "<task>\nGenerate a concise title that captures the essence of the conversation.\n</task>",
    "big-AGI": "Analyze the given short conversation (every line is truncated) and extract a concise chat title",
    "Continue": "Given the following... please reply with a title for the chat that is 3-4 words in length, all",
    "NextChat": "Please generate a four to five word title summarizing our conversation without any lead-in",
    "SillyTavern": "Ignore previous instructions. Summarize the most important facts and events in the story so far.",
}
BY_SYSTEM = {
    "LobeChat": "You are a professional conversation summarizer. Generate a concise title that captures the essence",
    "big-AGI": "You are an AI conversation titles assistant who specializes in creating expressive yet few-words",
    "opencode": "You are a title generator. You output ONLY a thread title. Nothing else.",
}
PEOPLE = (
    "Generate a title for my thesis on bridges",
    "Please generate a logo idea",
    "Provide a concise summary of this article",
    "Write a concise title for this blog post about cats",
    "### Task:\nGenerate a function that sorts a list",
    "Analyze the given short story",
    "Given the following table, which row is the largest?",
    "What does '### Task:\nGenerate 1-3 broad tags' do in Open WebUI?",
    "",
)


def user(text: Any, system: str = "") -> dict[str, Any]:
    return {
        "messages": [*([{"role": "system", "content": system}] if system else []), {"role": "user", "content": text}]
    }


@pytest.mark.parametrize("text", OWN.values(), ids=OWN)
def test_own_calls_are_recognised(text: str) -> None:
    assert is_background(user(text))
    assert is_background(user(f"\n  {text}", system="You are a helpful assistant."))
    assert is_background(user([{"type": "text", "text": text}]))
    assert is_background({"messages": [{"role": "user", "content": "hi"}] * 30 + user(text)["messages"]})


@pytest.mark.parametrize("system", BY_SYSTEM.values(), ids=BY_SYSTEM)
def test_so_are_those_told_by_the_system_prompt(system: str) -> None:
    assert is_background(user("<conversation>hello</conversation>", system))
    long = {"messages": [*user("hello", system)["messages"], *[{"role": "user", "content": "more"}] * 9]}
    assert not is_background(long), "a conversation is not a call for its title"


@pytest.mark.parametrize("text", PEOPLE)
def test_people_are_not_taken_for_programs(text: str) -> None:
    assert not is_background(user(text))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from(list(OWN.values())),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(("role", "content", "text", "messages")), inner)
    ),
    max_leaves=12,
)


@given(JSON)
def test_nothing_in_a_body_makes_it_raise(value: Any) -> None:
    is_background({"messages": value})


@pytest.mark.timed
def test_a_usual_body_takes_next_to_nothing() -> None:
    body = {
        "messages": [{"role": "system", "content": "You are a helpful assistant."}]
        + [{"role": "user", "content": "Write a function that sorts a list of orders. " * 20}] * 20
    }
    best = min(spent(body) for _ in range(7))
    assert best < 2e-6, f"{best * 1e9:.0f} ns"


def spent(body: dict[str, Any]) -> float:
    started = process_time()
    for _ in range(5000):
        is_background(body)
    return (process_time() - started) / 5000
