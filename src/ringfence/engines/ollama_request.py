"""Requests in OpenAI's dialect as Ollama's own routes take them, with the two fields that forbid it to cut a prompt.

It is what Ollama's own OpenAI layer makes of them (`openai/openai.go`), so that nothing else changes for a caller: a
completion goes through the model's template, temperature and top_p are 1 where nobody says otherwise, a tool choice
other than `none` is left to the model. The request is made anew from the fields named here. So no field by which a
caller would set `options`, `truncate`, `shift`, `raw`, `template` or `keep_alive` ever gets there; that layer knows
none of them either, and leaves out what it does not know: hints such as user, metadata, store, service_tier,
parallel_tool_calls, prompt_cache_key.

Other than there, what would be an answer to another question is refused by name: several answers or prompts at once,
token ids in place of text, `logit_bias`, `echo`, functions of the older kind, an effort or a format that it does not
know. And `tool_choice: none` is kept, by leaving out the tools.
"""

from __future__ import annotations

from typing import Any

from ringfence.core.errors import BadRequest
from ringfence.engines import ollama_messages
from ringfence.engines.ollama_messages import wrong

Body = dict[str, Any]

WHOLE = {"truncate": False, "shift": False}
"""Without them it drops the oldest messages, or the middle of a prompt, and later the beginning of what it reads.
Versions before 0.12.6 do not know them."""
OF_ITS_OWN = (
    "top_k", "min_p", "typical_p", "repeat_penalty", "repeat_last_n", "mirostat", "mirostat_tau", "mirostat_eta",
)  # fmt: skip
"""Options that its OpenAI layer leaves out, and that shape the answer: by the names that other engines take as well."""
EFFORTS = ("low", "medium", "high", "xhigh", "max")
"""Those that one version or another takes; it says itself which of them a model does not."""
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "logit_bias": ({},),
    "echo": (False,),
    "functions": ([],),
    "function_call": ("auto", "none"),
    "modalities": (["text"], []),
    "audio": (),
}
"""By field: what asks for nothing. Another value would be lost, and that would not be seen in the answer."""


def refuse_what_would_be_lost(body: Body) -> None:
    """BadRequest for the first field of NEUTRAL that asks for something."""
    for name, neutral in NEUTRAL.items():
        value = body.get(name)
        if value is not None and value not in neutral:
            raise _unsupported(name, "Ollama has nothing like it")


def chat(body: Body) -> Body:
    """For POST /api/chat."""
    refuse_what_would_be_lost(body)
    asked = _begun(body)
    asked["messages"] = ollama_messages.translated(body["messages"])
    asked["options"] = _options(body)
    if (tools := _tools(body)) is not None:
        asked["tools"] = tools
    if (form := _format(body.get("response_format"))) is not None:
        asked["format"] = form
    if (think := _think(body)) is not None:
        asked["think"] = think
    if body.get("logprobs"):
        asked["logprobs"] = True
        asked["top_logprobs"] = _whole_number("top_logprobs", body.get("top_logprobs") or 0)
    return asked


def completion(body: Body) -> Body:
    """For POST /api/generate."""
    refuse_what_would_be_lost(body)
    asked = _begun(body)
    asked["prompt"] = _prompt(body.get("prompt"))
    options = asked["options"] = {"frequency_penalty": 0, "presence_penalty": 0} | _options(body)
    options["top_p"] = options["top_p"] or 1.0
    if (suffix := body.get("suffix")) is not None:
        if not isinstance(suffix, str):
            raise wrong("suffix", "it must be a text")
        asked["suffix"] = suffix
    if (logprobs := body.get("logprobs")) is not None and logprobs is not False:
        asked["logprobs"] = True
        asked["top_logprobs"] = _whole_number("logprobs", logprobs)
    return asked


def embedding(body: Body) -> Body:
    """For POST /api/embed, which has no `shift`. It answers with numbers; what else they are to be is not its task."""
    given = body["input"]
    texts: list[Any] = given if isinstance(given, list) else [given]
    if not all(isinstance(text, str) for text in texts):
        raise wrong("input", "it takes a text or a list of texts, and no token ids")
    asked: Body = {"model": body["model"], "input": given, "truncate": WHOLE["truncate"]}
    if (dimensions := body.get("dimensions")) is not None:
        asked["dimensions"] = _whole_number("dimensions", dimensions)
    return asked


def _begun(body: Body) -> Body:
    return {"model": body["model"], "stream": body.get("stream") is True, **WHOLE}


def _options(body: Body) -> Body:
    options: Body = {"temperature": 1.0, "top_p": 1.0}
    for name in ("temperature", "top_p", "frequency_penalty", "presence_penalty"):
        if (value := body.get(name)) is not None:
            options[name] = value
    for name in OF_ITS_OWN:
        if isinstance(value := body.get(name), int | float) and not isinstance(value, bool):
            options[name] = value
    limits = [value for name in ("max_tokens", "max_completion_tokens") if (value := body.get(name)) is not None]
    if limits:
        options["num_predict"] = min(limits)
    if (seed := body.get("seed")) is not None:
        options["seed"] = _whole_number("seed", seed)
    if stops := _stops(body.get("stop")):
        options["stop"] = stops
    return options


def _stops(stop: Any) -> list[str]:
    if stop is None:
        return []
    stops = [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or not all(isinstance(text, str) for text in stops):
        raise wrong("stop", "it must be a text or a list of texts")
    return stops


def _tools(body: Body) -> list[Any] | None:
    tools = body.get("tools")
    if not tools or body.get("tool_choice") == "none":
        return None
    for place, tool in enumerate(tools):
        kind = tool.get("type", "function") if isinstance(tool, dict) else None
        if kind != "function" or not isinstance(tool.get("function"), dict):
            raise wrong(f"tools[{place}]", "only functions are carried")
    return list(tools)


def _format(asked: Any) -> Any:
    """`json`, a schema, or nothing."""
    if asked is None:
        return None
    match asked:
        case {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return "json"
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            return schema
        case _:
            raise wrong("response_format", "it must be text, json_object, or a json_schema with its schema")


def _think(body: Body) -> bool | str | None:
    """`reasoning` goes before `reasoning_effort`, as there."""
    name, effort = "reasoning_effort", body.get("reasoning_effort")
    if (reasoning := body.get("reasoning")) is not None:
        if not isinstance(reasoning, dict):
            raise wrong("reasoning", "it must be an object")
        name, effort = "reasoning.effort", reasoning.get("effort")
    if effort is None or effort == "":
        return None
    if effort == "none":
        return False
    if effort not in EFFORTS:
        raise wrong(name, f"it must be none, {', '.join(EFFORTS)}")
    return str(effort)


def _prompt(given: Any) -> str:
    if isinstance(given, list) and len(given) == 1:
        given = given[0]
    if not isinstance(given, str):
        raise wrong("prompt", "it takes one text, and no token ids")
    return given


def _whole_number(name: str, value: Any) -> int:
    if type(value) is not int:
        raise wrong(name, "it must be a whole number")
    return value


def _unsupported(name: str, why: str) -> BadRequest:
    return BadRequest(f"'{name}' cannot be sent to Ollama: {why}.", param=name, code="unsupported_parameter")
