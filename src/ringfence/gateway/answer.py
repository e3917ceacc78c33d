"""[pure] A whole answer as the engine wrote it: only its usage is read, and only the model's name is changed.

To make objects of all of an answer, and to write it anew, costs more than anything else that is done to a request. So
the bytes are checked to be JSON, and two fields are read; what does not fit is left to be parsed in full.
"""

from __future__ import annotations

import msgspec

from ringfence.core.usage import Usage


class _Details(msgspec.Struct, gc=False):
    cached_tokens: int | None = None
    cache_creation_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_creation_1h_tokens: int | None = None


class _Made(msgspec.Struct, gc=False):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int
    completion_tokens: int = 0
    total_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Made | None = None


class _Answer(msgspec.Struct, gc=False):
    model: str
    usage: _Usage


_decode = msgspec.json.Decoder(_Answer).decode


def read(data: bytes) -> tuple[str, Usage] | None:
    """The engine's name for the model, and what it used; None when the answer must be parsed in full to tell."""
    try:
        found = _decode(data)
        if not data.isascii():
            data.decode()  # texts that are skipped are not looked at
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    usage = found.usage
    details, made = usage.prompt_tokens_details, usage.completion_tokens_details
    cached = written = long = 0
    if details is not None:
        cached, written = details.cached_tokens or 0, details.cache_creation_tokens or details.cache_write_tokens or 0
        long = details.cache_creation_1h_tokens or 0 if written else 0
    thought = made.reasoning_tokens or 0 if made is not None else 0
    completion, total = usage.completion_tokens, usage.total_tokens
    if total is not None and total > usage.prompt_tokens + completion:
        completion = total - usage.prompt_tokens  # see Usage.read
    return found.model, Usage(usage.prompt_tokens, completion, cached, False, thought, written, long)


def renamed(data: bytes, old: bytes, new: bytes) -> bytes | None:
    """With `new` in place of `old`, both such as `"model":"name"`; None when it does not stand there just once.

    Inside a JSON text a quotation mark is escaped, so these bytes can only be a field.
    """
    at = data.find(old)
    if at < 0 or data.find(old, at + 1) >= 0:
        return None
    return data.replace(old, new, 1)
