"""Calls that chat programs make by themselves: titles, tags, suggestions, search queries of a conversation.

Recognised by the openings of the prompts that these programs ship, which are told apart from what people write. It is
asked of every call, so it looks at a few characters and is done with nearly all.
"""

from __future__ import annotations

import re
from typing import Any, cast

LOOKED_CHARS = 600
AFTER_BLANKS = "!"
"""Texts that begin with a blank sort before it."""
MOST_BLANKS = 20
MOST_MESSAGES = 3
"""A system prompt that asks for a title stands before one or two messages."""
MOST_CHARS = 100_000
"""These calls quote the last few messages, not a book."""

LAST = re.compile(
    r"\s*(?:"
    # Open WebUI: title, tags, follow-ups, queries, completion while typing, prompts for images
    r"#{2,3} ?Task:?\s{1,4}(?:Generate (?:a concise,? |1-3 broad tags|a detailed prompt for a)"
    r"|Suggest 3-5 relevant follow-up"
    r"|Analyze the chat history to determine the necessity|You are an autocompletion system)"
    r"|Your task is to reflect the speaker's likely facial expression"  # its emoji
    r"|(?:Create|Generate) a concise, 3-5 word (?:title|phrase)"  # its older title
    # LibreChat, of several versions
    r"|(?:Please |Provide |generate ){1,2}(?:an? )?concise, 5-word-or-less title for the conversation"
    r"|Analyze this conversation and provide:\s{1,4}1\. The detected language"
    r"|Please generate a concise title \(max \d{1,3} characters\) for a conversation"
    r"|Detect user language and write in the same language an extremely concise title"
    r"|Write a concise title for this conversation|Provide a concise, 5-word-or-less title"
    r"|<task>\s{1,4}Generate a concise title that captures the essence of the conversation"  # LobeChat
    r"|Analyze the given short conversation \(every line is truncated\)"  # big-AGI
    r"|Given the following\.{0,3},? (?:chat history, )?please reply with a title for the chat"  # Continue
    r"|Please generate a four to five word title summarizing our conversation"  # NextChat
    r"|使用四到五个字直接返回这句话的简要主题"
    r"|Based on the chat history, give this conversation a name"  # Chatbox
    r"|Generate a (?:concise|short),? (?:\d-\d word|descriptive) title (?:for|of) this (?:conversation"
    r"|chat)"  # Zed, n8n
    r"|Generate a title for this conversation"  # opencode
    r"|Ignore previous instructions\. Summarize the most important"  # SillyTavern
    r"|\[?Pause your roleplay\. Summarize"
    r")",
    re.IGNORECASE,
)
FIRST = re.compile(
    r"\s*(?:"
    r"You are a professional conversation summarizer"  # LobeChat, now and earlier
    r"|You are an? (?:assistant|AI assistant)[^.]{0,40} skilled in conversation"
    r"|你是一名擅长会话的助理"
    r"|You are an AI conversation titles assistant"  # big-AGI
    r"|You are a title generator"  # opencode
    r"|You are a chat thread titling assistant|You are a summarization AI\. (?:Summarize|Your task)"  # chat-ui
    r"|Detect user language and write in the same language an extremely concise title"  # LibreChat
    r"|(?:Analyze if|Please write a 5-10 word title) (?:this message indicates"
    r"|the following conversation)"  # Claude Code
    r"|Summarize this coding conversation in under 50 characters"
    r")",
    re.IGNORECASE,
)
HEAD_CHARS = 10
HEADS = frozenset(
    opening[:HEAD_CHARS]
    for opening in (
        "### Task:\nGenerate", "## Task:\nGenerate", "### Task: Generate", "### Task\nGenerate", "## Task: Generate",
        "Your task is", "Create a concise",
        "Generate a concise", "Generate a short", "Generate a title", "Please generate", "Please provide a",
        "Provide a concise", "generate a concise",
        "Analyze this conversation", "Analyze the given", "Detect user language", "Write a concise",
        "<task>\nGenerate", "Given the following",
        "使用四到五个字直接返回这句话", "Based on the chat", "Ignore previous", "[Pause your", "Pause your roleplay",
    )
)  # fmt: skip
"""Nearly all messages begin with none of these."""
FIRST_HEAD_CHARS = 14
FIRST_HEADS = frozenset(
    opening[:FIRST_HEAD_CHARS]
    for opening in (
        "You are a professional", "You are an assistant", "You are an AI ", "You are a title",
        "You are a chat thread", "You are a summarization",
        "Detect user language", "Analyze if this", "Please write a", "Summarize this coding",
        "你是一名擅长会话的助理，你需要将",
    )
)  # fmt: skip


def is_background(body: dict[str, Any]) -> bool:
    """True for a call that a chat program makes by itself. Never raises, whatever `body` holds."""
    messages: Any = body.get("messages")
    if messages.__class__ is not list or not messages:
        return False
    last = messages[-1]
    text: Any = last.get("content") if last.__class__ is dict else None
    if text.__class__ is not str:
        text = text_of(last)
    if text[:HEAD_CHARS] in HEADS or text < AFTER_BLANKS:
        text = text[: MOST_BLANKS + LOOKED_CHARS].lstrip() if text < AFTER_BLANKS else text
        if text[:HEAD_CHARS] in HEADS and len(text) <= MOST_CHARS and LAST.match(text[:LOOKED_CHARS]):
            return True
    if len(messages) > MOST_MESSAGES:
        return False
    first = messages[0]
    if first is not last:
        text = first.get("content") if first.__class__ is dict else None
        if text.__class__ is not str:
            text = text_of(first)
    return text[:FIRST_HEAD_CHARS] in FIRST_HEADS and FIRST.match(text[:LOOKED_CHARS]) is not None


def text_of(message: Any) -> str:
    """The text of a message, or of the first text part of one that has parts."""
    if type(message) is not dict:
        return ""
    content = cast("dict[str, Any]", message).get("content")
    if type(content) is str:
        return content
    if type(content) is list:
        for part in cast("list[Any]", content)[:8]:
            if type(part) is dict and type(text := cast("dict[str, Any]", part).get("text")) is str:
                return text
    return ""
