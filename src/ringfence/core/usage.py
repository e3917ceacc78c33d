"""Tokens of one answered request."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

_tuple: Any = tuple


class Usage(NamedTuple):
    """Tokens as the engine reported them; `estimated` when it did not and they were counted from bytes.

    `cached_tokens` and `cache_write_tokens` are among those of the prompt, `cache_write_1h_tokens` among those written,
    `reasoning_tokens` among those of the completion.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    estimated: bool = False
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def can_be(self, *, generates: bool) -> bool:
        """Whether a call that was answered can have used just so much: every call has a prompt, and one that generates
        an answer."""
        return self.prompt_tokens > 0 and self.completion_tokens >= generates

    @classmethod
    def read(cls, reported: Any) -> Usage | None:
        """From an OpenAI `usage` object, as chats have it or as sounds and pictures do; None when it is not one."""
        fields: dict[str, Any] = reported
        if type(fields) is not dict:
            return None
        field = fields.get
        prompt, completion = field("prompt_tokens"), field("completion_tokens", 0)
        if prompt is None and "input_tokens" in fields:
            prompt, completion = fields["input_tokens"], field("output_tokens", 0)
        elif prompt is None and type(completion) is int and type(total := field("total_tokens")) is int:
            prompt = total - completion  # of rankings, older vLLM tells no more
        details = field("prompt_tokens_details")
        if type(prompt) is not int or type(completion) is not int:
            return None
        cached = written = long = 0
        if details:
            cached = _told(details, "cached_tokens")
            written = _told(details, "cache_creation_tokens") or _told(details, "cache_write_tokens")
            long = _told(details, "cache_creation_1h_tokens") if written else 0
        thought = _told(more, "reasoning_tokens") if (more := field("completion_tokens_details")) else 0
        if type(total := field("total_tokens")) is int and total > prompt + completion:
            completion = total - prompt  # xAI and Gemini count thoughts beside the answer, and charge for them alike
        return _tuple.__new__(cls, (prompt, completion, cached, False, thought, written, long))  # no function between


def _told(details: Any, name: str) -> int:
    told = cast("dict[str, Any]", details).get(name) if type(details) is dict else None
    return told if type(told) is int else 0
