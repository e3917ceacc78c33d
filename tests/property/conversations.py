"""Conversations of every kind, drawn number by number, and how an engine would write them into a prompt."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ringfence.gateway.count import Template

Draw = Callable[[int, int], int]
"""A whole number from the first to the second."""
Body = dict[str, Any]

TEXTS = (
    "the quick brown fox jumps over the lazy dog\n", "x", "def f(a, b):\n    return a + b\n", "Straße ÄÖÜ ﬁne\n",
    "日本語のテキスト。", "مرحبا بالعالم ", "👩‍👩‍👧‍👦🏳️‍🌈",
    '{"key": "value", "list": [1, 2, 3]}', "2026-01-01 INFO started\n",
    "# Heading\nname: value\n", " \n\t", "a\u0301e\u0301",
)  # fmt: skip
IN_BYTES = Template(base=64, message=48, part=0, call=96, tools=160, tool=16)
"""Around ChatML, when a token is a byte."""
IN_TOKENS = Template(base=16, message=12, part=2, call=32, tools=80, tool=8)
"""The same by the tiny model's tokenizer; it splits most words into letters."""


class Conversations:
    """Draws bodies. Each message has a mark of its own, by which it is found again."""

    def __init__(self, draw: Draw, window: int, has_images: bool = False) -> None:
        self.draw = draw
        self.window = window
        self.has_images = has_images

    def body(self) -> Body:
        count = self.draw(1, 9) if self.draw(0, 9) else self.draw(10, 40)
        messages: list[Body] = []
        if self.draw(0, 2):
            messages.append({"role": ("system", "developer")[self.draw(0, 1)], "content": self.content()})
        while len(messages) < count:
            messages += self.messages(len(messages))
        for index, message in enumerate(messages):
            message["mark"] = f"m{index}"
        body: Body = {"model": "m", "messages": messages}
        if self.draw(0, 4) == 0:
            body["tools"] = [self.tool(index) for index in range(self.draw(1, 4))]
        return body

    def messages(self, index: int) -> list[Body]:
        """The next one, or a call of tools with its results (or some of them, in any order)."""
        kind = self.draw(0, 9)
        if kind < 4:
            return [{"role": "user", "content": self.content(self.has_images)}]
        if kind < 6:
            return [{"role": "assistant", "content": self.content()}]
        if kind == 6:
            called = {"role": "assistant", "content": None, "function_call": {"name": "old", "arguments": "{}"}}
            return [called, {"role": "function", "name": "old", "content": self.text()}]
        if kind == 7 and self.draw(0, 3) == 0:
            return [{"role": ("system", "tool")[self.draw(0, 1)], "content": self.text()}]
        ids = [f"c{index}-{place}" if self.draw(0, 5) else "same" for place in range(self.draw(1, 3))]
        calls = [
            {"id": known, "type": "function", "function": {"name": "look", "arguments": json.dumps({"q": self.word()})}}
            for known in ids
        ]
        results: list[Body] = [
            {"role": "tool", "tool_call_id": known, "content": self.content()} for known in ids if self.draw(0, 9)
        ]
        if self.draw(0, 1):
            results.reverse()
        if self.draw(0, 9) == 0:
            results.insert(self.draw(0, len(results)), {"role": "user", "content": self.text()})
        return [
            {"role": "assistant", "content": (None, "", self.text())[self.draw(0, 2)], "tool_calls": calls},
            *results,
        ]

    def content(self, images: bool = False) -> Any:
        if self.draw(0, 4):
            return self.text()
        parts: list[Body] = [{"type": "text", "text": self.text()} for _ in range(self.draw(1, 3))]
        if images and self.draw(0, 2) == 0:
            parts.append({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}})
        return parts

    def text(self) -> str:
        """From nothing to a few windows, short ones more often."""
        most = self.window * (1, 1, 1, 4)[self.draw(0, 3)] >> self.draw(0, 12)
        unit = TEXTS[self.draw(0, len(TEXTS) - 1)]
        size = self.draw(0, max(1, most))
        return (unit * (size // len(unit) + 1))[:size]

    def word(self) -> str:
        return TEXTS[self.draw(0, len(TEXTS) - 1)] * self.draw(0, 3)

    def tool(self, index: int) -> Body:
        about = {"type": "object", "properties": {"q": {"type": "string", "description": self.word()}}}
        return {"type": "function", "function": {"name": f"t{index}", "description": self.word(), "parameters": about}}


def prompt(body: Body) -> str:
    """As the tiny model's template writes it (ChatML), names and marks before the text, images left out."""
    written: list[str] = []
    tools = body.get("tools")
    if tools:
        listed = "".join("\n" + json.dumps(tool, ensure_ascii=False) for tool in tools)
        written.append(f"<|im_start|>system\n<tools>{listed}\n</tools>\nAnswer a call as <tool_call>\n")
        written.append('{"name": ..., "arguments": ...}\n</tool_call><|im_end|>\n')
    for message in body["messages"]:
        written.append(f"<|im_start|>{message['role']}\n{message.get('name', '')}{message['mark']}{said(message)}")
        calls = [call["function"] for call in message.get("tool_calls") or ()]
        if message.get("function_call"):
            calls.append(message["function_call"])
        for call in calls:
            arguments = json.dumps(call["arguments"])
            written.append(f'<tool_call>\n{{"name": "{call["name"]}", "arguments": {arguments}}}\n</tool_call>')
        written.append("<|im_end|>\n")
    written.append("<|im_start|>assistant\n")
    return "".join(written)


def said(message: Body) -> str:
    """The text of a message, its parts one after the other."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content or ""
