"""[pure] A request of OpenAI's Responses API as a chat is asked it, and what of it stands in the answer.

What has a place in a chat goes there. What has none is refused by its name, unless nobody misses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from ringfence.core.boundary import Boundary
from ringfence.core.errors import BadRequest
from ringfence.gateway.dialects.dialect import Body, check_shared, refuse_fields, wrong
from ringfence.gateway.dialects.media import unsupported
from ringfence.gateway.responses_input import messages_of
from ringfence.gateway.responses_tools import Toolbox, choice, toolbox

PREVIOUS = "previous_response_id"
BACKGROUND = "background"
REFERENCE = "item_reference"
TELLS_REASONING = "reasoning.encrypted_content"
TELLS_LOGPROBS = "message.output_text.logprobs"
CHAT_FIELDS = {
    "messages": "what is said stands in 'input'",
    "max_tokens": "it is called 'max_output_tokens' here",
    "max_completion_tokens": "it is called 'max_output_tokens' here",
    "response_format": "it is called 'text.format' here",
    "reasoning_effort": "it is called 'reasoning.effort' here",
    "functions": "they stand in 'tools'",
    "function_call": "it is called 'tool_choice' here",
    "n": "a response is one answer",
}
"""Fields of a chat that would not do here what they say; with the reason."""
NOT_HERE = {
    "conversation": "conversations are not kept here; use 'previous_response_id', or send the earlier items",
    "prompt": "templates of prompts are not kept here; send the text",
    "moderation": "nothing that is served here moderates; ask a model that does on its own",
    "access_programs": "there are none here",
    "background_options": "when it is made is for this gateway to say",
    "image": "no images are made here",
    "context_management": "what is too long is shortened here, and x-ringfence-window says so, or it is refused",
}
"""Fields that ask for what is not done here; with what to do instead."""
READ = frozenset(
    (
        "input", "instructions", PREVIOUS, "tools", "tool_choice", "text", "reasoning", "max_output_tokens", "include",
        "metadata", "store", "stream", "stream_options", "truncation", "top_logprobs", "client_metadata",
        "max_tool_calls", "prompt_cache_retention", "prompt_cache_options", BACKGROUND, *NOT_HERE,
    )
)  # fmt: skip
"""Fields that are read here. All others mean the same in a chat, or are an engine's own."""
ECHOED = (
    "max_output_tokens", "max_tool_calls", "prompt_cache_key", "prompt_cache_retention", "safety_identifier",
    "temperature", "top_logprobs", "top_p", "user",
)  # fmt: skip
EFFORT, SUMMARY, OLD_SUMMARY = "effort", "summary", "generate_summary"
REASONING: dict[str, tuple[Any, ...]] = {
    EFFORT: (),
    SUMMARY: (),
    OLD_SUMMARY: (),
    "context": ("auto",),
    "mode": ("standard",),
}
TEXT: dict[str, tuple[Any, ...]] = {"format": (), "verbosity": ()}
"""Fields within fields; those with values may have no others."""
FORMATS = ("text", "json_object", "json_schema")


@dataclass(slots=True)
class Asked:
    """`chat` is what an engine is asked, `shown` what the answer says of it."""

    chat: Body
    shown: Body
    tools: Toolbox
    tells_summary: bool
    """Reasoning is told as a summary, which its caller asked for."""
    carries_reasoning: bool
    """It is told so that the caller can send it again."""
    is_put_off: bool = False
    """It is made in the background."""


@dataclass(frozen=True, slots=True)
class Previous:
    """The response that is followed, with all that was said until then, and how far that may travel at most."""

    id: str
    items: list[Any]
    at_most: Boundary

    def put_into(self, body: Body) -> None:
        """In place of its id."""
        body[PREVIOUS] = {"id": self.id, "items": self.items, "at_most": int(self.at_most)}


def previous_of(body: Body) -> Previous | None:
    """What was put in place of the id; BadRequest where nobody looked for it."""
    found = body.get(PREVIOUS)
    if found is None:
        return None
    fields = cast(Body, found) if isinstance(found, dict) else {}
    try:
        items, at_most = fields["items"], Boundary(fields["at_most"])
    except (KeyError, ValueError):
        why = "no response is kept where this is asked; send the earlier items in 'input'"
        raise BadRequest(
            f"'{PREVIOUS}' is not accepted: {why}.", param=PREVIOUS, code="unsupported_parameter"
        ) from None
    if not isinstance(items, list):
        raise wrong(PREVIOUS, "the id of a response")
    return Previous(str(fields.get("id")), cast("list[Any]", items), at_most)


def asked(body: Body, *, keeps: bool = False) -> Asked:
    """BadRequest names the field that is wrong, or that cannot be carried. `keeps`: there is somewhere to keep what is
    made in the background."""
    _refuse(body)
    is_put_off = _is_put_off(body, keeps=keeps)
    chat = {name: value for name, value in body.items() if name not in READ}
    previous = previous_of(body)
    chat["messages"] = _messages(body, previous)
    found = toolbox(body.get("tools"))
    picked = choice(body.get("tool_choice"), found)
    if found.functions:
        chat["tools"] = found.functions
    else:
        chat.pop("parallel_tool_calls", None)
    if picked is not None:
        chat["tool_choice"] = picked
    reasoning, text = _fields(body, "reasoning"), _fields(body, "text")
    _refuse_within("reasoning", reasoning, REASONING)
    _refuse_within("text", text, TEXT)
    reasoning = {SUMMARY: reasoning.get(OLD_SUMMARY)} | {k: v for k, v in reasoning.items() if v is not None}
    if reasoning.get(EFFORT) is not None:
        chat["reasoning_effort"] = reasoning[EFFORT]
    if text.get("verbosity") is not None:
        chat["verbosity"] = text["verbosity"]
    if (form := _format(text.get("format"))) is not None:
        chat["response_format"] = form
    _read_output(body, chat)
    include = _list(body, "include")
    if TELLS_LOGPROBS in include or body.get("top_logprobs"):
        chat["logprobs"] = True
    stream = body.get("stream") or (is_put_off or body.get("stream"))
    if stream is not None:
        chat["stream"] = stream
    if stream:
        chat["stream_options"] = {"include_usage": True}
    return Asked(
        chat, _shown(body, found, reasoning, text, previous) | {BACKGROUND: is_put_off}, found,
        reasoning.get(SUMMARY) is not None, TELLS_REASONING in include, is_put_off,
    )  # fmt: skip


def _is_put_off(body: Body, *, keeps: bool) -> bool:
    given = body.get(BACKGROUND)
    if given is not None and not isinstance(given, bool):
        raise wrong(BACKGROUND, "true or false")
    if given and not keeps:
        refuse_fields(body, frozenset((BACKGROUND,)), "nothing is kept where this is asked; leave it out")
    return bool(given)


def _refuse(body: Body) -> None:
    """What would not do here what it says, and what is not done here."""
    for name, why in CHAT_FIELDS.items():
        if body.get(name) is not None:
            refuse_fields(body, frozenset((name,)), why)
    for name, why in NOT_HERE.items():
        if body.get(name) not in (None, False):
            refuse_fields(body, frozenset((name,)), why)
    check_shared({"truncation": body.get("truncation")})


def _refuse_within(where: str, fields: Body, known: dict[str, tuple[Any, ...]]) -> None:
    for name, value in fields.items():
        if value is not None and (name not in known or (known[name] and value not in known[name])):
            raise unsupported(f"{where}.{name}", "nothing that is served has anything like it")


def as_chat(body: Body) -> None:
    """Make a chat of a body that was sent to a chat's address and has the shape of a response; in place."""
    options = body.get("stream_options")
    chat = asked(body).chat
    chat.pop("stream_options", None)
    body.clear()
    body |= chat
    if options is not None:
        body["stream_options"] = options


def referred(item: Body, at_most: Boundary) -> Body:
    """What stands in place of a reference: the item, and how far it may travel at most."""
    return {"type": REFERENCE, "id": item.get("id"), "item": item, "at_most": int(at_most)}


def reach_of(body: Body) -> Boundary:
    """How far what a request builds on may travel, all of it."""
    previous = previous_of(body)
    reach = previous.at_most if previous is not None else Boundary.CLOUD
    given = body.get("input")
    for item in cast("list[Any]", given) if isinstance(given, list) else ():
        if is_reference(item):
            reach = min(reach, Boundary(item["at_most"]))
    return reach


def is_reference(item: Any) -> bool:
    """Whether another item is meant."""
    return isinstance(item, dict) and cast(Body, item).get("type") == REFERENCE


def said_in(body: Body) -> list[Any]:
    """The items of `input`; a text is one of a user."""
    given = body.get("input")
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": given}]}]
    items = cast("list[Any]", given) if isinstance(given, list) else []
    return [_itself(f"input[{place}]", item) for place, item in enumerate(items)]


def _itself(at: str, item: Any) -> Any:
    """What a reference stands for; any other item is what it is."""
    if not is_reference(item):
        return item
    fields = cast(Body, item)
    if not isinstance(fields.get("item"), dict) or fields.get("at_most") not in list(Boundary):
        why = "no item is kept where this is asked; send the item itself"
        raise BadRequest(f"'{REFERENCE}' is not accepted: {why}.", param=f"{at}.type", code="unsupported_parameter")
    return cast(Body, fields["item"])


def _messages(body: Body, previous: Previous | None) -> list[Body]:
    given = body.get("input")
    if not isinstance(given, str | list) and not (given is None and previous is not None):
        raise wrong("input", "a string, or a list of items")
    messages = messages_of(previous.items, PREVIOUS) if previous is not None else []
    messages += [{"role": "user", "content": given}] if isinstance(given, str) else messages_of(said_in(body), "input")
    instructions = body.get("instructions")
    if isinstance(instructions, list):
        messages = messages_of(cast("list[Any]", instructions), "instructions") + messages
    elif instructions:
        if not isinstance(instructions, str):
            raise wrong("instructions", "a string")
        messages.insert(0, {"role": "system", "content": instructions})
    if not messages:
        raise wrong("input", "a string, or a list with at least one item")
    return _with_one_system(messages)


def _with_one_system(messages: list[Body]) -> list[Body]:
    """What stands before everything else is one message: many templates take no second one."""
    count = 0
    while count < len(messages) and messages[count]["role"] == "system":
        count += 1
    if count < 2:
        return messages
    text = "\n\n".join(message["content"] for message in messages[:count])
    return [{"role": "system", "content": text}, *messages[count:]]


def _read_output(body: Body, chat: Body) -> None:
    most, likely = body.get("max_output_tokens"), body.get("top_logprobs")
    if most is not None:
        if type(most) is not int or most < 1:
            raise wrong("max_output_tokens", "a whole number of at least 1")
        chat["max_tokens"] = most
    if likely is not None:
        if type(likely) is not int or not 0 <= likely <= 20:
            raise wrong("top_logprobs", "a whole number from 0 to 20")
        if likely:
            chat["top_logprobs"] = likely


def _format(form: Any) -> Body | None:
    if form is None:
        return None
    fields: Body = cast(Body, form) if isinstance(form, dict) else {}
    kind = fields.get("type")
    if kind not in FORMATS:
        raise wrong("text.format.type", f"one of {', '.join(FORMATS)}")
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": kind}
    names = ("name", "description", "schema", "strict")
    return {"type": kind, kind: {name: fields[name] for name in names if fields.get(name) is not None}}


def _fields(body: Body, name: str) -> Body:
    found = body.get(name)
    if found is not None and not isinstance(found, dict):
        raise wrong(name, "an object")
    return cast(Body, found or {})


def _list(body: Body, name: str) -> list[Any]:
    found = body.get(name)
    if found is not None and not isinstance(found, list):
        raise wrong(name, "a list")
    return cast("list[Any]", found or [])


def _shown(body: Body, found: Toolbox, reasoning: Body, text: Body, previous: Previous | None) -> Body:
    """The fields that every answer has, with those of the request."""
    for name in ("store", "parallel_tool_calls"):
        if body.get(name) is not None and not isinstance(body[name], bool):
            raise wrong(name, "true or false")
    return {
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "metadata": _fields(body, "metadata"),
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        PREVIOUS: previous.id if previous is not None else None,
        "reasoning": {EFFORT: reasoning.get(EFFORT), SUMMARY: reasoning.get(SUMMARY)},
        "service_tier": body.get("service_tier") or "default",
        "store": False,
        "text": {"format": {"type": "text"}} | {name: value for name, value in text.items() if value is not None},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": found.shown,
        "truncation": "disabled",
        **{name: body.get(name) for name in ECHOED},
    }
