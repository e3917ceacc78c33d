"""What is taken out of a translated request that has no messages."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.gateway.carried import for_cloud, for_engine

HELLO = {"role": "user", "content": "Hello"}
BODIES = [{"model": "m", "input": ["a watch"], "encoding_format": "float"}, {"model": "m", "prompt": "a watch"}]


@pytest.mark.parametrize("body", BODIES)
def test_a_prompt_or_texts_to_embed_go_on_as_they_are(body: dict[str, object]) -> None:
    for kind in ("llamacpp", "vllm", "ollama"):
        assert for_engine(body, kind) == body
    for kind in ("openai", "anthropic"):
        assert for_cloud(body, kind, "https://api.example.com") == body


def test_a_system_message_in_the_midst_stays_there_as_text_of_the_user() -> None:
    """As Claude Code sends them; Qwen's template, for one, refuses a system message that is not the first."""
    marked = {"type": "text", "text": "Do it.", "cache_control": {"type": "ephemeral"}}
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "You code."},
        {"role": "user", "content": [{"type": "text", "text": "The folder is empty."}, marked]},
        {"role": "system", "content": "There are agents."},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]},
        {"role": "tool", "tool_call_id": "c", "content": "done"},
        {"role": "system", "content": "It is late."},
        {"role": "user", "content": "Go on."},
    ]
    for told in (
        for_engine({"messages": messages}, "llamacpp")["messages"],
        for_cloud({"messages": messages}, "openai", "https://api.example.com")["messages"],
    ):
        assert [message["role"] for message in told] == ["system", "user", "assistant", "tool", "user"]
        texts = [part["text"] for part in told[1]["content"]]
        assert texts == [
            "The folder is empty.", "Do it.", "<system-reminder>\nThere are agents.\n</system-reminder>",
        ]  # fmt: skip
        assert told[-1]["content"] == "<system-reminder>\nIt is late.\n</system-reminder>\n\nGo on."
    assert for_cloud({"messages": messages}, "anthropic", "https://api.example.com")["messages"] == messages


def test_several_first_system_messages_are_one() -> None:
    messages = [{"role": "system", "content": "One."}, {"role": "developer", "content": "Two."}, HELLO]
    assert for_engine({"messages": messages}, "vllm")["messages"] == [
        {"role": "system", "content": "One.\n\nTwo."}, HELLO,
    ]  # fmt: skip
    turns = [HELLO, HELLO]
    assert for_engine({"messages": turns}, "vllm")["messages"] == turns, "what has no late one stays as it is"
