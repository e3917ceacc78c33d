"""What stands in a body beside plain text. An engine fetches media that it is given by address, so a request must not
name any: media come inside the request, as `data:` URLs or base64, in the fields listed here and nowhere else."""

from __future__ import annotations

import re
from itertools import chain
from typing import Any, cast

from ringfence.core.catalog import NO_MEDIA, Medium
from ringfence.core.errors import BadRequest
from ringfence.gateway.dialects.dialect import Body, refuse_fields, wrong

SCHEME = re.compile(r"(?!data:)[A-Za-z][A-Za-z0-9+.\-]+:|//[A-Za-z0-9_\-\[]*[.:%]")
"""How an address begins. Base64 has no '.' and no ':', but of an MP3 it may begin with '//'."""

PARTS: dict[str, frozenset[str]] = {
    **dict.fromkeys(("text", "input_text", "output_text"), frozenset(("text", "annotations"))),
    "refusal": frozenset(("refusal",)),
    "thinking": frozenset(("thinking", "signature", "closed")),
    "image_url": frozenset(("image_url",)),
    "video_url": frozenset(("video_url",)),
    "audio_url": frozenset(("audio_url",)),
    "input_image": frozenset(("image_url", "detail")),
    "input_audio": frozenset(("input_audio",)),
    "file": frozenset(("file",)),
}
"""By type of a part of a message: its fields, besides those of every part."""
ANY_PART = frozenset(("type", "cache_control"))
TEXT_FIELDS = frozenset(
    (
        "text", "refusal", "thinking", "signature", "content", "reasoning", "reasoning_content", "reasoning_details",
        "thinking_blocks", "tool_calls", "function_call", "annotations",
    )
)  # fmt: skip
"""Fields whose strings are text for a model, and never fetched."""
MEDIUM_OF: dict[str, Medium] = {
    **dict.fromkeys(("image_url", "input_image"), Medium.IMAGE),
    **dict.fromkeys(("audio_url", "input_audio"), Medium.AUDIO),
    "video_url": Medium.VIDEO,
}
"""By type of a part: what a model must be able to read to understand it."""
URL_FIELDS = frozenset(("image_url", "video_url", "audio_url"))
URL_PARTS = frozenset(("url", "detail", "format"))
PLAIN_MESSAGE = frozenset(("role", "content", "tool_call_id", "tool_calls", "function_call"))
"""Fields of a message in which no engine looks for media."""
MEDIA_FIELDS = frozenset(
    (
        "image", "images", "image_data", "image_embeds", "image_url", "image_urls", "input_image", "media", "video",
        "videos", "video_data", "video_url", "audios", "audio_data", "audio_embeds", "audio_url", "file", "files",
        "multi_modal_data", "multimodal_data", "prompt_embeds", "input_embeds", "file_url", "file_urls",
    )
)  # fmt: skip
"""Fields in which one engine or another takes media beside the messages; none of them has a form that is checked."""
PUT_INSIDE = "send media inside a message, as a part with a 'data:' URL"


def remote(param: str) -> BadRequest:
    return BadRequest(
        "Send media inside the request, as a 'data:' URL. The engine would have to fetch this address, and a request "
        "must not make it reach other hosts.",
        param=param,
        code="remote_media_refused",
    )


def unsupported(param: str, why: str) -> BadRequest:
    return BadRequest(f"'{param}' is not accepted: {why}.", param=param, code="unsupported_parameter")


def check_message_fields(where: str, message: Body) -> None:
    """A message beside its text and its parts."""
    for name in message.keys() - PLAIN_MESSAGE:
        value = message[name]
        if name in MEDIA_FIELDS and value:
            raise unsupported(f"{where}.{name}", PUT_INSIDE)
        if name not in TEXT_FIELDS:
            _refuse_addresses(f"{where}.{name}", value)


def check_part(where: str, part: Any) -> None:
    """One part of a message."""
    kind = cast(Body, part).get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str):
        raise wrong(where, "an object with 'type'")
    fields = cast(Body, part)
    known = PARTS.get(kind)
    for name, value in fields.items():
        if name not in TEXT_FIELDS and (known is None or name not in URL_FIELDS):
            _refuse_addresses(f"{where}.{name}", value)  # also of a part that is not known: it says what is wrong
    if known is None:
        raise unsupported(f"{where}.type", f"there are parts of the types {', '.join(sorted(PARTS))}")
    for name in fields:
        if name not in known and name not in ANY_PART and fields[name] is not None:
            raise unsupported(f"{where}.{name}", f"a part of the type '{kind}' has no such field")
    for name in URL_FIELDS.intersection(known):
        _check_url(f"{where}.{name}", fields.get(name))


def media_in(body: Body) -> frozenset[Medium]:
    """The media in the messages of a chat that was checked."""
    listed: Any = body.get("messages")
    messages = cast("list[Any]", listed) if type(listed) is list else []
    contents = [cast(Body, message).get("content") for message in messages if type(message) is dict]
    parts = chain.from_iterable(cast("list[Any]", content) for content in contents if type(content) is list)
    kinds = {str(cast(Body, part).get("type")) for part in parts if type(part) is dict}
    return frozenset(MEDIUM_OF[kind] for kind in kinds & MEDIUM_OF.keys()) if kinds else NO_MEDIA


def check_prompts(param: str, given: Any) -> None:
    """A string, a list of strings or token ids, or a list of such lists of ids."""
    if isinstance(given, str):
        return
    if not isinstance(given, list):
        raise wrong(param, "a string, or a list of strings or token ids")
    listed = cast("list[Any]", given)
    kinds = set(map(type, listed))
    if kinds <= {str, int}:
        return
    inner = cast("list[list[Any]]", [entry for entry in listed if type(entry) is list])
    if kinds <= {str, int, list} and set(map(type, chain.from_iterable(inner))) <= {int}:
        return
    for place, entry in enumerate(listed):
        if type(entry) is dict:
            _check_mixed(f"{param}[{place}]", cast(Body, entry))
        elif type(entry) not in (str, int) and not (type(entry) is list and _is_ids(cast("list[Any]", entry))):
            raise wrong(f"{param}[{place}]", "a string, a token id, or a list of token ids")


def refuse_media(body: Body) -> None:
    """Fields of a body in which an engine would take media."""
    if not MEDIA_FIELDS.isdisjoint(body):
        refuse_fields(body, MEDIA_FIELDS, PUT_INSIDE)


def _is_ids(listed: list[Any]) -> bool:
    return set(map(type, listed)) <= {int}


def _check_mixed(where: str, entry: Body) -> None:
    """Text and media as one input: nothing beside the text that is not inside the request."""
    for name, value in entry.items():
        if not isinstance(value, str):
            raise wrong(f"{where}.{name}", "a string" if name == "text" else "a 'data:' URL")
        if name != "text" and not value.startswith("data:"):
            raise remote(f"{where}.{name}")


def _check_url(where: str, media: Any) -> None:
    url = media
    if isinstance(media, dict):
        fields = cast(Body, media)
        for name in sorted(fields.keys() - URL_PARTS):
            raise unsupported(f"{where}.{name}", "it is no part of a URL here")
        _refuse_addresses(where, [value for name, value in fields.items() if name != "url"])
        url = fields.get("url")
    if not isinstance(url, str):
        raise wrong(where, "a 'data:' URL, or an object with 'url'")
    if not url.startswith("data:"):
        raise remote(where)


def refuse_address(where: str, word: str) -> None:
    """For a text that must not be the address of anything."""
    _refuse_addresses(where, word)


def _refuse_addresses(where: str, value: Any) -> None:
    """No string in it, however deep, begins as an address does."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            if SCHEME.match(one.lstrip()[:300]):
                raise remote(where)
        elif isinstance(one, dict):
            waiting.extend(cast("dict[str, Any]", one).values())
        elif isinstance(one, list):
            waiting.extend(cast("list[Any]", one))
