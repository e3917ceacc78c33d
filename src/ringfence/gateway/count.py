"""[pure] Tokens of a request: a bound by its bytes, which needs no tokenizer, and the same sum by any other counter.

The bound. A token of a byte-level vocabulary, or of one that falls back to bytes, stands for at least one byte of the
text, so a text has at most as many tokens as UTF-8 bytes. Around the texts a template writes its own words, which are
measured when a model is loaded (`Template`), and it writes tools and calls as JSON, in one of several spellings:
`serialised_bound` is the longest of them. A normaliser may make a text longer before it is cut (`expanded_length`).
Images have rules of their own. What has no bound, such as a template that the caller brings, has no number.

It is safe and loose, 3 to 4 times what a tokenizer finds in English: it tells what surely fits, not how long a text is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast
from unicodedata import normalize

import orjson

from ringfence.gateway.image_rules import MOST_IMAGE, UNKNOWN_FAMILY, ImageRule
from ringfence.gateway.images import image_tokens

Body = dict[str, Any]
Count = Callable[[str], int]
"""Tokens of a text: never less for a longer one, and for two texts joined at most the sum."""

IMAGE_PARTS = frozenset(("image_url", "input_image", "image"))
AUDIO_PARTS = frozenset(("audio_url", "input_audio"))
MEDIA_PARTS = IMAGE_PARTS | AUDIO_PARTS | {"video_url", "file"}
AUDIO_LEAST, AUDIO_CHARS = 1_500, 16
"""Encoders pad sound to 30 s, which is at most 1,500 tokens (Whisper's 50 a second, unmerged). Beyond that a token is
0.02 s: 15 bytes at 6 kbit/s, the lowest rate of Opus, and 20 characters of base64."""
TEXT_KEYS = ("text", "refusal", "thinking")
"""The fields of a part of a message in which its text stands."""

LONG_CHARS = 1 << 18

SHAPING = frozenset(("chat_template", "mm_processor_kwargs"))
"""Fields with which a caller shapes the prompt itself: with them no bound holds."""
SCHEMAS = ("tools", "functions", "response_format", "documents", "chat_template_kwargs", "tool_choice", "function_call")
"""Fields, besides the messages, that a template may write into the prompt."""
WEIGHTY = SHAPING.union(SCHEMAS)


def byte_length(text: str) -> int:
    """The bound of a text's tokens: its bytes in UTF-8."""
    if text.isascii():
        return len(text)
    if len(text) > LONG_CHARS:  # piece by piece: no copy of all of it, and others have their turn
        return sum(byte_length(text[at : at + LONG_CHARS]) for at in range(0, len(text), LONG_CHARS))
    return len(text.encode("utf-8", "surrogatepass"))


def expanded_length(text: str) -> int:
    """The bound where a normaliser may lengthen the text (NFKC, NFD, lower case), as with XLM-R, T5 and BERT.

    Compatibility decomposition is the longest form (up to 11 bytes for one, U+FDFA); lower case adds at most half.
    """
    if text.isascii():
        return len(text)
    if len(text) > LONG_CHARS:
        return sum(expanded_length(text[at : at + LONG_CHARS]) for at in range(0, len(text), LONG_CHARS))
    return len(normalize("NFKD", text).encode("utf-8", "surrogatepass")) * 3 // 2


BOUNDS = frozenset((byte_length, expanded_length))


@dataclass(frozen=True, slots=True)
class Template:
    """What a chat template adds, in tokens at most. The defaults hold where nothing was measured: they cover the
    default system prompts and the instructions for tools that templates of known models bring along."""

    base: int = 640
    """Once: begin and end marks, a default system prompt, the date, the head of the answer."""
    message: int = 16
    """Around each message."""
    part: int = 8
    """Around each part of a message, such as an image."""
    call: int = 64
    """Around each call of a tool."""
    tools: int = 640
    """Once, where tools are offered."""
    tool: int = 64
    """Around each of them."""


UNMEASURED = Template()
PLAIN_TOKENS = 4
"""Around a prompt that is sent as it is: begin and end marks, and the space that some tokenizers put first."""
FILL_TOKENS = 4
"""Marks between a prompt and its suffix."""


@dataclass(frozen=True, slots=True)
class Meter:
    """Measures a request for one model. With `count` a bound, so are all its sums."""

    count: Count = byte_length
    template: Template = UNMEASURED
    image: ImageRule = UNKNOWN_FAMILY
    is_quick: bool = False
    """`count` takes next to nothing, whatever the size: it may be asked about texts far beyond a window."""

    def serialised(self, value: Any) -> int:
        """Tokens of JSON in a prompt, however the template spells it."""
        if self.count in BOUNDS:
            return serialised_bound(value)
        return self.count(json.dumps(value, ensure_ascii=False, indent=4))

    def call(self, call: Any) -> int:
        """Tokens of one call of a tool: name, arguments and id."""
        return self.template.call + self.serialised(call)

    def media(self, part: Body) -> int:
        """Tokens of an image, sound or file; where no rule tells, a number that none of the known ones exceeds."""
        known = self.known_media(part)
        return max(MOST_IMAGE, len(data_of(part))) if known is None else known

    def known_media(self, part: Body) -> int | None:
        """The same, None where no rule tells: for films and files."""
        kind, data = part.get("type"), data_of(part)
        if kind in IMAGE_PARTS:
            return image_tokens(data, self.image)
        if kind in AUDIO_PARTS:
            return AUDIO_LEAST + len(data) // AUDIO_CHARS
        return None

    def schemas(self, body: Body, without: tuple[str, ...] = ()) -> int:
        """Tokens of everything beside the messages that a template writes into the prompt, and of its own words."""
        total = self.template.base
        if WEIGHTY.isdisjoint(body):
            return total
        for name in SCHEMAS:
            given = body.get(name)
            if not given or name in without:
                continue
            total += known_bound(given) if self.count in BOUNDS else self.serialised(given)
            if name in ("tools", "functions"):
                count = len(cast("list[Any]", given)) if isinstance(given, list) else 1
                total += self.template.tools + self.template.tool * count
        return total

    def around(self, message: Body) -> int:
        """Tokens of a message besides its texts: the template's, calls, names, media, and fields that nobody knows."""
        total = self.template.message
        for name, value in message.items():
            if name == "role" or value is None:
                continue
            if name == "content":
                if isinstance(value, list):
                    total += sum(self._around_part(part) for part in cast("list[Any]", value))
            elif name == "tool_calls" and isinstance(value, list):
                total += sum(self.call(call) for call in cast("list[Any]", value))
            elif name == "function_call":
                total += self.call(value)
            elif isinstance(value, str):
                total += self.count(value) + 1
            else:
                total += self.serialised(value)
        return total

    def _around_part(self, part: Any) -> int:
        if not isinstance(part, dict):
            return self.template.part + self.serialised(part)
        fields = cast(Body, part)
        if fields.get("type") in MEDIA_PARTS:
            return self.template.part + self.media(fields)
        rest = {
            name: value for name, value in fields.items() if name not in TEXT_KEYS and name not in ("type", "signature")
        }
        return self.template.part + (self.serialised(rest) if rest else 0)


def chat_bound(body: Body, meter: Meter) -> int | None:
    """At most so many tokens, of a body with messages; None where something in it has no bound.

    By bytes whatever the meter counts with: a counter costs more than this is allowed to.
    """
    bounding = meter.count in BOUNDS
    length = meter.count if bounding else byte_length
    template = meter.template
    total = template.base
    messages: list[Body] = body["messages"]
    look: list[Body] | None = None
    calls: list[Any] = []
    for message in messages:
        text = message.get("content")
        if type(text) is str:
            if len(message) == 2:
                total += len(text) if text.isascii() else length(text)
                continue
            if len(message) == 3 and "role" in message and type(known := message.get("tool_call_id")) is str:
                total += (len(text) if text.isascii() else length(text)) + length(known) + 1
                continue
        if len(message) == 3 and "role" in message and _has_calls(message, text):
            calls += message["tool_calls"]
            total += length(text) if text else 0
        elif look is None:
            look = [message]
        else:
            look.append(message)
    total += template.message * len(messages)
    if calls:  # one list of all is longer than each by itself
        total += template.call * len(calls) + serialised_bound(calls)
    if look is None and WEIGHTY.isdisjoint(body):
        return total
    if not SHAPING.isdisjoint(body):
        return None
    by_bytes = meter if bounding else Meter(byte_length, template, meter.image)
    for message in look or ():
        bound = _message_bound(message, by_bytes)
        if bound is None:
            return None
        total += bound - template.message
    return total + by_bytes.schemas(body) - template.base


def _has_calls(message: Body, text: Any) -> bool:
    """Whether it says nothing but a text, or no text, and calls."""
    return "content" in message and type(message.get("tool_calls")) is list and (text is None or type(text) is str)


def _message_bound(message: Body, meter: Meter) -> int | None:
    content = message.get("content")
    if isinstance(content, str):
        return meter.around(message) + meter.count(content)
    texts = 0
    for part in cast("list[Any]", content) if isinstance(content, list) else ():
        if not isinstance(part, dict):
            continue
        fields = cast(Body, part)
        if fields.get("type") in MEDIA_PARTS:
            if meter.known_media(fields) is None:
                return None
        else:
            texts += sum(meter.count(text) for key in TEXT_KEYS if isinstance(text := fields.get(key), str))
    return meter.around(message) + texts


MARKS = b"<>&':,"
"""In JSON: what is written longer somewhere, by at most 8 tokens."""


def serialised_bound(value: Any) -> int:
    """At most so many bytes, in whichever way a template writes a value: compact or indented by up to four spaces, with
    characters beyond ASCII (and `<>&'`, as Jinja does) written as `\\u….`, or as elements of XML, a key's two marks
    being at most 8 tokens more. A string is taken as JSON within JSON."""
    return _bound_of(value, orjson.dumps(value))


def _bound_of(value: Any, plain: bytes) -> int:
    spaces = len(orjson.dumps(value, option=orjson.OPT_INDENT_2)) - len(plain)
    marks = len(plain) - len(plain.translate(None, MARKS))
    size = len(plain) if plain.isascii() else 3 * len(plain)
    return size + 2 * spaces + 8 * marks


_known: dict[tuple[int, int], int] = {}
MOST_KNOWN = 4096


def known_bound(value: Any) -> int:
    """The same for what comes again with each request of an agent: the tools that it offers. Nothing of them is kept
    but their size and their hash, which nobody can foresee."""
    plain = orjson.dumps(value)
    key = len(plain), hash(plain)
    bound = _known.get(key)
    if bound is None:
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        bound = _known[key] = _bound_of(value, plain)
    return bound


def data_of(part: Body) -> str:
    """The URL or base64 of a part, wherever its type puts it; the longest string in it."""
    longest = ""
    for name, value in part.items():
        if name == "type":
            continue
        inner = cast(Body, value).values() if isinstance(value, dict) else (value,)
        for text in inner:
            if isinstance(text, str) and len(text) > len(longest):
                longest = text
    return longest
