"""[pure] What goes into a response as a chat is asked it: items become messages, and nothing is lost without a word.

What a model said before comes as items of their own: its reasoning, its text and its calls are one message again.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Callable
from typing import Any, cast

import orjson

from ringfence.core.errors import BadRequest
from ringfence.gateway.dialects.dialect import Body, wrong
from ringfence.gateway.dialects.media import remote, unsupported
from ringfence.gateway.responses_tools import CUSTOM_INPUT, flat_name

ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
"""Many templates know no developer, and OpenAI's models take both for the same."""
CARRIED = "ringfence.1."
"""How the reasoning begins that callers without a store carry from one request to the next."""
TEXTS = frozenset(("input_text", "output_text", "text", "summary_text", "reasoning_text"))
LEFT_OUT = frozenset(("web_search_call",))
"""What another service did for an earlier answer. What it found stands in that answer."""
PARTS: dict[str, frozenset[str]] = {
    **dict.fromkeys(TEXTS, frozenset(("text", "annotations", "logprobs"))),
    "refusal": frozenset(("refusal",)),
    "input_image": frozenset(("image_url", "file_id", "detail")),
    "input_file": frozenset(("file_data", "file_id", "file_url", "filename")),
    "input_audio": frozenset(("input_audio",)),
}
"""By type of a part: its fields, beside those of every part. What an earlier answer said of its text is in the text."""
ANY_PART = frozenset(("type", "prompt_cache_breakpoint"))
ASK_NOTHING: tuple[Any, ...] = (None, "auto", False, [], {})
SUMMARY_FOLLOWS = "A summary of what was said and done until now:"
NOT_STORED = "files are not stored here; send them inside the request, as a 'data:' URL"


def carried(reasoning: str) -> str:
    """A text of reasoning as `encrypted_content`. Its caller was shown it, so there is nothing to hide from it."""
    return CARRIED + urlsafe_b64encode(reasoning.encode()).decode()


def messages_of(items: list[Any], where: str) -> list[Body]:
    """The messages of a chat; BadRequest names the item at `where` that cannot be one."""
    conversation = _Conversation()
    for place, item in enumerate(items):
        at = f"{where}[{place}]"
        fields = _object(at, item)
        kind = fields.get("type") or ("message" if "role" in fields else None)
        take = _TAKES.get(kind) if isinstance(kind, str) else None
        if take is not None:
            take(conversation, at, fields)
        elif not isinstance(kind, str) or kind not in LEFT_OUT:
            raise unsupported(f"{at}.type", f"there are items of the types {', '.join(sorted(_TAKES))}")
    for message in conversation.messages:
        message.setdefault("content", "")  # of a turn that is nothing but reasoning
    return conversation.messages


class _Conversation:
    """Messages until now. `turn` is that of the model, as long as nobody else has said anything."""

    def __init__(self) -> None:
        self.messages: list[Body] = []
        self.turn: Body | None = None

    def said(self, message: Body) -> None:
        """By somebody else than the model."""
        self.turn = None
        self.messages.append(message)

    def turn_without(self, *taken: str) -> Body:
        """The model's message, or a new one where it has one of these already."""
        if self.turn is None or any(name in self.turn for name in taken):
            self.turn = {"role": "assistant"}
            self.messages.append(self.turn)
        return self.turn

    def called(self, call_id: str, name: str, arguments: str) -> None:
        """A tool, in the turn that there is."""
        turn = self.turn_without()
        call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        turn.setdefault("content", None)
        turn.setdefault("tool_calls", []).append(call)


def _message(conversation: _Conversation, at: str, item: Body) -> None:
    said_by = item.get("role")
    role = ROLES.get(said_by) if isinstance(said_by, str) else None
    if role is None:
        raise wrong(f"{at}.role", f"one of {', '.join(ROLES)}")
    content = _content(f"{at}.content", item.get("content"))
    if role == "assistant":
        turn = conversation.turn_without("content", "tool_calls")
        turn["content"] = content if isinstance(content, str) else "".join(_texts(f"{at}.content", content))
    elif role == "system" and isinstance(content, list):
        conversation.said({"role": role, "content": "\n".join(_texts(f"{at}.content", content))})
    else:
        conversation.said({"role": role, "content": content})


def _reasoning(conversation: _Conversation, at: str, item: Body) -> None:
    """As its text where that is there; what another service sealed can only be read there."""
    thoughts = "\n\n".join(_texts(f"{at}.content", _content(f"{at}.content", item.get("content") or [])))
    sealed = item.get("encrypted_content")
    if not thoughts and isinstance(sealed, str) and sealed.startswith(CARRIED):
        thoughts = _opened(f"{at}.encrypted_content", sealed)
    if not thoughts:
        thoughts = "\n\n".join(_texts(f"{at}.summary", _content(f"{at}.summary", item.get("summary") or [])))
    if thoughts:
        conversation.turn_without("content", "tool_calls", "reasoning_content")["reasoning_content"] = thoughts


def _function_call(conversation: _Conversation, at: str, item: Body) -> None:
    name = flat_name(_text(f"{at}.name", item.get("name")), item.get("namespace"))
    arguments = _text(f"{at}.arguments", item.get("arguments"))
    conversation.called(_text(f"{at}.call_id", item.get("call_id")), name, arguments)


def _custom_tool_call(conversation: _Conversation, at: str, item: Body) -> None:
    name = flat_name(_text(f"{at}.name", item.get("name")), item.get("namespace"))
    arguments = orjson.dumps({CUSTOM_INPUT: _text(f"{at}.input", item.get("input"))}).decode()
    conversation.called(_text(f"{at}.call_id", item.get("call_id")), name, arguments)


def _output(conversation: _Conversation, at: str, item: Body) -> None:
    content = _content(f"{at}.output", item.get("output"))
    if isinstance(content, list) and all(part["type"] == "text" for part in content):
        content = "\n".join(_texts(f"{at}.output", content))
    call_id = _text(f"{at}.call_id", item.get("call_id"))
    conversation.said({"role": "tool", "tool_call_id": call_id, "content": content})


def _compaction(conversation: _Conversation, at: str, item: Body) -> None:
    """What stands for all that was said before it."""
    sealed = _text(f"{at}.encrypted_content", item.get("encrypted_content"))
    if not sealed.startswith(CARRIED):
        raise unsupported(f"{at}.encrypted_content", "it was made elsewhere, and can only be read there")
    summary = _opened(f"{at}.encrypted_content", sealed)
    conversation.said({"role": "user", "content": f"{SUMMARY_FOLLOWS}\n\n{summary}"})


_TAKES: dict[str, Callable[[_Conversation, str, Body], None]] = {
    "message": _message,
    "reasoning": _reasoning,
    "compaction": _compaction,
    "function_call": _function_call,
    "custom_tool_call": _custom_tool_call,
    "function_call_output": _output,
    "custom_tool_call_output": _output,
}


# -- the parts of a message -------------------------------------------------------------------------------------------


def _content(at: str, content: Any) -> str | list[Body]:
    """A text, or the parts of a message of a chat; one part that is a text is a text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise wrong(at, "a string or a list of parts")
    parts = [_part(f"{at}[{place}]", part) for place, part in enumerate(cast("list[Any]", content))]
    if len(parts) == 1 and parts[0]["type"] == "text":
        return parts[0]["text"]
    return parts


def _part(at: str, part: Any) -> Body:
    fields = _object(at, part)
    kind = fields.get("type")
    if isinstance(kind, str) and kind in PARTS:
        for name in fields.keys() - PARTS[kind] - ANY_PART:
            if fields[name] not in ASK_NOTHING:
                raise unsupported(f"{at}.{name}", f"a part of the type '{kind}' has no such field that is carried")
    if isinstance(kind, str) and kind in TEXTS:
        return {"type": "text", "text": _text(f"{at}.text", fields.get("text"))}
    if kind == "refusal":
        return {"type": "text", "text": _text(f"{at}.refusal", fields.get("refusal"))}
    if kind == "input_image":
        return _image(at, fields)
    if kind == "input_file":
        return _file(at, fields)
    if kind == "input_audio":
        return {"type": "input_audio", "input_audio": fields.get("input_audio")}
    known = "input_text, output_text, refusal, input_image, input_file, input_audio"
    raise unsupported(f"{at}.type", f"there are parts of the types {known}")


def _image(at: str, fields: Body) -> Body:
    if fields.get("file_id") is not None:
        raise unsupported(f"{at}.file_id", NOT_STORED)
    url = _text(f"{at}.image_url", fields.get("image_url"))
    if not url.startswith("data:"):
        raise remote(f"{at}.image_url")
    image: Body = {"url": url}
    if fields.get("detail") is not None:
        image["detail"] = fields["detail"]
    return {"type": "image_url", "image_url": image}


def _file(at: str, fields: Body) -> Body:
    if fields.get("file_id") is not None:
        raise unsupported(f"{at}.file_id", NOT_STORED)
    if fields.get("file_url") is not None:
        raise remote(f"{at}.file_url")
    file = {name: fields[name] for name in ("file_data", "filename") if fields.get(name) is not None}
    _text(f"{at}.file_data", file.get("file_data"))
    return {"type": "file", "file": file}


def _texts(at: str, content: str | list[Body]) -> list[str]:
    if isinstance(content, str):
        return [content]
    for place, part in enumerate(content):
        if part["type"] != "text":
            raise wrong(f"{at}[{place}]", "a part with a text")
    return [part["text"] for part in content]


def _opened(at: str, sealed: str) -> str:
    try:
        return urlsafe_b64decode(sealed.removeprefix(CARRIED)).decode()
    except (NotBase64, ValueError):
        raise BadRequest(
            f"'{at}' is not what an answer of this gateway held.", param=at, code="invalid_value"
        ) from None


def _object(at: str, value: Any) -> Body:
    if not isinstance(value, dict):
        raise wrong(at, "an object with 'type'")
    return cast(Body, value)


def _text(at: str, value: Any) -> str:
    if not isinstance(value, str):
        raise wrong(at, "a string")
    return value
