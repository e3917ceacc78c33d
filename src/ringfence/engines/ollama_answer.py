"""Answers of Ollama's own routes in OpenAI's words: texts, thoughts, calls of tools, reasons, usage, probabilities.

Thoughts are called `reasoning`, as its own OpenAI layer calls them.
"""

from __future__ import annotations

from time import time
from typing import Any
from uuid import uuid4

import orjson

from ringfence.core.errors import EngineFailed

Body = dict[str, Any]

UNREADABLE = "The engine sent something that is not an answer."


def finish_of(reason: Any) -> str:
    """OpenAI's finish_reason; 'stop' for one of which it has none, such as that a model was loaded."""
    return "length" if reason == "length" else "stop"


def usage_of(body: Body) -> Body | None:
    """None where it tells nothing: older versions leave out what is zero, as of a prompt that they still had."""
    prompt, completion = body.get("prompt_eval_count"), body.get("eval_count")
    if type(prompt) is not int and type(completion) is not int:
        return None
    prompt, completion = (count if type(count) is int else 0 for count in (prompt, completion))
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def calls_of(message: Body, first: int = 0) -> list[Body]:
    """The calls of tools that a message has, each whole. `first` is the number of the first one in the answer."""
    given = message.get("tool_calls") or ()
    if not isinstance(given, list | tuple):
        raise EngineFailed(UNREADABLE)
    calls: list[Body] = []
    for number, call in enumerate(given, first):
        function = call.get("function") if isinstance(call, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(function, dict) or not isinstance(name, str):
            raise EngineFailed(UNREADABLE)
        arguments = orjson.dumps(function.get("arguments") or {}).decode()
        calls.append({
            "index": number, "id": str(call.get("id") or f"call_{uuid4().hex[:24]}"), "type": "function",
            "function": {"name": name, "arguments": arguments},
        })  # fmt: skip
    return calls


def token_odds(body: Body) -> Body | None:
    """Of a chat: what it tells of each token, which is in OpenAI's form already."""
    told = body.get("logprobs")
    return {"content": told} if isinstance(told, list) and told else None


def text_odds(body: Body, offset: int = 0) -> Body | None:
    """Of a completion, in OpenAI's older form. `offset` is how many characters came before."""
    told = body.get("logprobs")
    if not isinstance(told, list) or not told:
        return None
    odds: Body = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    for entry in told:
        if not isinstance(entry, dict):
            raise EngineFailed(UNREADABLE)
        token, others = str(entry.get("token", "")), entry.get("top_logprobs") or ()
        odds["tokens"].append(token)
        odds["token_logprobs"].append(entry.get("logprob"))
        odds["top_logprobs"].append({
            str(other.get("token", "")): other.get("logprob") for other in others if isinstance(other, dict)
        })  # fmt: skip
        odds["text_offset"].append(offset)
        offset += len(token)
    return odds


def chat(body: Body) -> Body:
    """A whole answer of /api/chat as a chat completion."""
    message = body.get("message")
    if body.get("done") is not True or not isinstance(message, dict):
        raise EngineFailed(UNREADABLE)
    calls = calls_of(message)
    said: Body = {"role": "assistant", "content": text_of(message, "content")}
    if thoughts := text_of(message, "thinking"):
        said["reasoning"] = thoughts
    if calls:
        said["tool_calls"] = calls
    finish = "tool_calls" if calls else finish_of(body.get("done_reason"))
    choice = {"index": 0, "message": said, "logprobs": token_odds(body), "finish_reason": finish}
    return _framed("chatcmpl", "chat.completion", body, choice)


def completion(body: Body) -> Body:
    """A whole answer of /api/generate as a text completion."""
    if body.get("done") is not True or not isinstance(body.get("response"), str):
        raise EngineFailed(UNREADABLE)
    finish = finish_of(body.get("done_reason"))
    choice = {"index": 0, "text": body["response"], "logprobs": text_odds(body), "finish_reason": finish}
    return _framed("cmpl", "text_completion", body, choice)


def embedding(body: Body) -> Body:
    """The answer of /api/embed as a list of embeddings."""
    rows = body.get("embeddings")
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise EngineFailed(UNREADABLE)
    answer: Body = {
        "object": "list",
        "data": [{"object": "embedding", "index": place, "embedding": row} for place, row in enumerate(rows)],
        "model": str(body.get("model", "")),
    }
    tokens = body.get("prompt_eval_count")
    if type(tokens) is int:
        answer["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
    return answer


def text_of(fields: Body, name: str) -> str:
    """A text that may be absent."""
    text = fields.get(name)
    return text if isinstance(text, str) else ""


def new_id(kind: str) -> str:
    return f"{kind}-{uuid4().hex}"


def _framed(kind: str, called: str, body: Body, choice: Body) -> Body:
    answer: Body = {
        "id": new_id(kind),
        "object": called,
        "created": int(time()),
        "model": str(body.get("model", "")),
        "system_fingerprint": "fp_ollama",
        "choices": [choice],
    }
    if (usage := usage_of(body)) is not None:
        answer["usage"] = usage
    return answer
