"""Length: about how many tokens a request holds. By bytes, as counting them takes an engine's tokenizer.

Pure. The walk is bounded: of a request with very many values the rest is taken to be like what was seen.
"""

from __future__ import annotations

from typing import Any, cast

BYTES_PER_TOKEN = 4
"""Of prose in English; also about right for other scripts, whose characters take two to four bytes each."""
MESSAGE_TOKENS = 4
"""What a chat template puts around one message."""
MEDIA_TOKENS = 1000
"""An image, a sound or a file, of whatever size: what models of today make of an ordinary picture."""
WALKED_VALUES = 10_000
SAMPLE_CHARS = 1024
READ_FIELDS = ("messages", "prompt", "suffix", "input", "system", "tools", "functions", "documents", "response_format")
MEDIA_FIELDS = frozenset(("image_url", "input_audio", "file", "image", "source", "video_url", "audio_url"))


def context_tokens(body: dict[str, Any]) -> int:
    """Tokens of the prompt, tools and documents included. Never raises, whatever `body` holds."""
    total = 0
    for name in READ_FIELDS:
        value = body.get(name)
        if value is not None:
            total += tokens_of(value)
    return total


def tokens_of(value: Any) -> int:
    """About how many tokens `value` is, for anything that JSON can hold."""
    if type(value) is str:
        return bytes_of(value) // BYTES_PER_TOKEN + 1
    if type(value) is list:
        return tokens_of_list(cast("list[Any]", value))
    size, numbers, media, _ = walked(value, WALKED_VALUES)
    return size // BYTES_PER_TOKEN + numbers + media * MEDIA_TOKENS


def tokens_of_list(listed: list[Any]) -> int:
    """Item by item; the items that are beyond the bound count as the average of those before."""
    left = WALKED_VALUES
    size = numbers = media = messages = seen = 0
    for item in listed:
        seen += 1
        if type(item) is dict and type(text := cast("dict[str, Any]", item).get("content")) is str and len(item) == 2:
            size += bytes_of(text)  # the usual message, without a walk
            messages += 1
            left -= 1
        else:
            more, counted, pictures, left = walked(item, left)
            size += more
            numbers += counted
            media += pictures
            messages += type(item) is dict
        if left <= 0:
            break
    tokens = size // BYTES_PER_TOKEN + numbers + media * MEDIA_TOKENS + messages * MESSAGE_TOKENS
    return tokens if seen == len(listed) else tokens * len(listed) // seen


def walked(value: Any, left: int) -> tuple[int, int, int, int]:
    """Bytes of text, numbers (token ids), media, and what is left of the bound."""
    size = numbers = media = 0
    waiting: list[Any] = [value]
    while waiting and left > 0:
        one = waiting.pop()
        left -= 1
        if type(one) is str:
            size += bytes_of(one)
        elif type(one) is dict:
            for key, inner in cast("dict[Any, Any]", one).items():
                if key in MEDIA_FIELDS and type(inner) is not list:
                    media += 1
                    continue
                size += len(key) if type(key) is str else 0
                waiting.append(inner)
                if len(waiting) > left:
                    break
        elif type(one) is list:
            waiting += cast("list[Any]", one)[:left]
        elif type(one) is int:
            numbers += 1
    return size, numbers, media, left


def bytes_of(text: str) -> int:
    """UTF-8 bytes, of a long text by a sample of both ends."""
    size = len(text)
    if text.isascii():
        return size
    if size <= 2 * SAMPLE_CHARS:
        return len(text.encode("utf-8", "replace"))
    sample = text[:SAMPLE_CHARS] + text[-SAMPLE_CHARS:]
    return size * len(sample.encode("utf-8", "replace")) // (2 * SAMPLE_CHARS)
