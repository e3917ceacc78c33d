"""[pure] The tool that a model thinks with: how it is offered, what it is asked, and what it says."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, cast

import orjson

from ringfence.gateway.carried import PREFILLED
from ringfence.gateway.dialects.dialect import Body

NAMES = ("think", "ringfence_think")
"""The second is for callers that have a tool of the first name themselves."""
DESCRIPTION = (
    "Hands a question that takes long and careful reasoning to a stronger model, and returns its conclusion. Use it "
    "for proofs, plans, hard debugging and calculations, not for what you know. It sees nothing of this conversation: "
    "put everything that it needs into the question."
)
PARAMETERS: Body = {
    "type": "object",
    "properties": {"question": {"type": "string", "description": "The question, with all that belongs to it."}},
    "required": ["question"],
}
TASK = (
    "Think about the following with great care, step by step, and check the result. Answer with the conclusion and the "
    "steps that matter: whoever asks sees nothing else."
)
NO_QUESTION = "There is no question in this call. Ask with `question`, or answer by yourself."
ENOUGH = "There is no more thinking for this request. Answer with what you know by now."
STEERED = frozenset((
    "functions", "function_call", "grammar", "json_schema", "guided_json", "structured_outputs", PREFILLED,
))  # fmt: skip
"""Fields of callers who say themselves how a model is to answer: a tool more would change what they get."""


def can_take(body: Body) -> bool:
    """Whether one more tool goes with the request: one answer, in words, with tools called as the model sees fit."""
    form = body.get("response_format")
    plain = form is None or (isinstance(form, dict) and cast(Body, form).get("type") == "text")
    free = body.get("tool_choice") in (None, "auto")
    return plain and free and body.get("n") in (None, 1) and STEERED.isdisjoint(body)


def free_name(taken: Collection[str]) -> str | None:
    """A name that none of the caller's own tools has."""
    return next((name for name in NAMES if name not in taken), None)


def offered(body: Body, messages: list[Any], name: str, *, is_last: bool) -> Body:
    """The request with the tool beside those of its caller. In the end it is called no more: it is left out where there
    are others, and else stays, since engines want to know the tools whose calls they see."""
    own: list[Any] = body.get("tools") or []
    if not is_last:
        return body | {"messages": messages, "tools": [*own, _tool(name)]}
    if own:
        return body | {"messages": messages}
    return body | {"messages": messages, "tools": [_tool(name)], "tool_choice": "none"}


def _tool(name: str) -> Body:
    return {"type": "function", "function": {"name": name, "description": DESCRIPTION, "parameters": PARAMETERS}}


def question_in(arguments: str) -> str:
    """What a call of the tool asks. Models write all sorts of things there: whatever text it is will do."""
    try:
        found: Any = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return arguments.strip()
    if isinstance(found, dict):
        fields = cast(Body, found)
        asked = fields.get("question") or " ".join(text for text in fields.values() if isinstance(text, str))
        return asked.strip() if isinstance(asked, str) else ""
    return found.strip() if isinstance(found, str) else ""


def asks(question: str, max_tokens: int) -> Body:
    """What the reasoning chain is asked."""
    messages = [{"role": "system", "content": TASK}, {"role": "user", "content": question}]
    return {"messages": messages, "max_tokens": max_tokens}


def result(call_id: str, text: str) -> Body:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def unavailable(code: str) -> str:
    """What the model is told when nothing could think. No word of the failure but its code: it may name what the
    caller is not to know."""
    return f"Thinking is not available now ({code}). Answer as well as you can by yourself."
