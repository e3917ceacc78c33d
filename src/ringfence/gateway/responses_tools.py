"""[pure] The tools of a response as a chat is offered them, and their calls told back by the names that they came with.

A chat knows functions alone. A namespace of functions becomes functions with longer names; a tool that takes a free
text becomes a function with one text. What a service would have to do itself is refused, or left out where a model
can do without: the answer lists the tools that were in force.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, cast

from ringfence.gateway.dialects.dialect import Body, wrong
from ringfence.gateway.dialects.media import unsupported

CUSTOM_INPUT = "input"
"""The one field of the function that a free text becomes."""
LEFT_OUT = ("web_search", "image_generation", "tool_search")
"""Tools that a service does itself and that programs offer with every request: a model without them goes on."""
MOST_CHARS = 64
"""Of the name of a function, as OpenAI has it."""
NO_PARAMETERS: Body = {"type": "object", "properties": {}}
DIRECT = "direct"
MODES = ("auto", "none", "required")


@dataclass(frozen=True, slots=True)
class Named:
    """What a function is to its caller."""

    name: str
    namespace: str | None = None
    is_custom: bool = False


@dataclass(slots=True)
class Toolbox:
    """`functions` are offered to the chat, `shown` to whoever reads the answer."""

    functions: list[Body] = field(default_factory=list[Body])
    shown: list[Body] = field(default_factory=list[Body])
    named: dict[str, Named] = field(default_factory=dict[str, Named])


def flat_name(name: str, namespace: Any = None) -> str:
    """The name of a function of a namespace, for a chat that knows no namespaces."""
    if not isinstance(namespace, str) or not namespace:
        return name
    flat = f"{namespace}{'' if namespace.endswith('__') else '__'}{name}"
    if len(flat) <= MOST_CHARS:
        return flat
    return f"{flat[: MOST_CHARS - 9]}_{sha256(flat.encode()).hexdigest()[:8]}"


def toolbox(tools: Any) -> Toolbox:
    """BadRequest names the tool that cannot be offered."""
    found = Toolbox()
    if tools is None:
        return found
    if not isinstance(tools, list):
        raise wrong("tools", "a list")
    for place, tool in enumerate(cast("list[Any]", tools)):
        _take(found, f"tools[{place}]", tool, None)
    return found


def _take(found: Toolbox, at: str, tool: Any, namespace: str | None) -> None:
    fields = _object(at, tool)
    kind = fields.get("type")
    callers = fields.get("allowed_callers")
    if callers is not None and not (isinstance(callers, list) and DIRECT in callers):
        raise unsupported(f"{at}.allowed_callers", "the model itself calls all tools that are offered here")
    if kind == "function":
        _function(found, at, fields, namespace)
    elif kind == "custom":
        _custom(found, at, fields, namespace)
    elif kind == "namespace" and namespace is None:
        inner = fields.get("tools")
        if not isinstance(inner, list):
            raise wrong(f"{at}.tools", "a list")
        count = len(found.functions)
        for place, one in enumerate(cast("list[Any]", inner)):
            _take(found, f"{at}.tools[{place}]", one, _name(at, fields))
        _describe(found, count, fields)
    elif isinstance(kind, str) and kind.startswith(LEFT_OUT):
        return
    else:
        raise unsupported(
            f"{at}.type", "tools that callers run themselves are offered here: function, custom, namespace"
        )
    if namespace is None:
        found.shown.append(fields)


def _describe(found: Toolbox, count: int, fields: Body) -> None:
    """What is said of a namespace stands with the first of its tools, of which there are `count` more now."""
    about = fields.get("description")
    if isinstance(about, str) and about and len(found.functions) > count:
        function: Body = found.functions[count]["function"]
        named = f"{fields.get('name')}: {about}"
        own = function.get("description")
        function["description"] = f"{named}\n\n{own}" if isinstance(own, str) and own else named


def _function(found: Toolbox, at: str, fields: Body, namespace: str | None) -> None:
    name = _name(at, fields)
    flat = _new(found, at, Named(name, namespace))
    function: Body = {"name": flat, "parameters": fields.get("parameters") or NO_PARAMETERS}
    function |= {key: fields[key] for key in ("description", "strict") if fields.get(key) is not None}
    found.functions.append({"type": "function", "function": function})


def _custom(found: Toolbox, at: str, fields: Body, namespace: str | None) -> None:
    name = _name(at, fields)
    flat = _new(found, at, Named(name, namespace, is_custom=True))
    description = fields.get("description") or ""
    if not isinstance(description, str):
        raise wrong(f"{at}.description", "a text")
    form = fields.get("format")
    if isinstance(form, dict) and cast(Body, form).get("type") == "grammar":
        grammar = cast(Body, form)
        description += (
            f"\n\n'{CUSTOM_INPUT}' follows this {grammar.get('syntax')} grammar:\n{grammar.get('definition')}"
        )
    text = {"type": "string", "description": "The text for this tool, as it is."}
    parameters = {"type": "object", "properties": {CUSTOM_INPUT: text}, "required": [CUSTOM_INPUT]}
    function: Body = {"name": flat, "description": description.strip(), "parameters": parameters}
    found.functions.append({"type": "function", "function": function})


def _new(found: Toolbox, at: str, named: Named) -> str:
    flat = flat_name(named.name, named.namespace)
    if found.named.get(flat, named) != named:
        raise wrong(f"{at}.name", f"another name: there is a tool that is called '{flat[:100]}' already")
    found.named[flat] = named
    return flat


def choice(given: Any, found: Toolbox) -> Any:
    """`tool_choice` as a chat takes it, None where nothing is said; `found` is narrowed to what is allowed."""
    if given is None:
        return None
    if isinstance(given, str):
        if given not in MODES:
            raise wrong("tool_choice", f"one of {', '.join(MODES)}, or an object that names a tool")
        return given if found.functions or given == "required" else None
    fields = _object("tool_choice", given)
    if fields.get("type") == "allowed_tools":
        return _allowed(fields, found)
    return {"type": "function", "function": {"name": _chosen("tool_choice", fields, found)}}


def _allowed(fields: Body, found: Toolbox) -> Any:
    mode, tools = fields.get("mode"), fields.get("tools")
    if mode not in ("auto", "required"):
        raise wrong("tool_choice.mode", "auto or required")
    if not isinstance(tools, list):
        raise wrong("tool_choice.tools", "a list")
    names: set[str] = set()
    for place, tool in enumerate(cast("list[Any]", tools)):
        at = f"tool_choice.tools[{place}]"
        names.add(_chosen(at, _object(at, tool), found))
    found.functions = [tool for tool in found.functions if tool["function"]["name"] in names]
    return mode


def _chosen(at: str, fields: Body, found: Toolbox) -> str:
    if fields.get("type") not in ("function", "custom"):
        raise unsupported(f"{at}.type", "one of the tools that are offered here can be chosen: function, custom")
    flat = flat_name(_name(at, fields), fields.get("namespace"))
    if flat not in found.named:
        raise wrong(f"{at}.name", "the name of one of the tools")
    return flat


def _object(at: str, value: Any) -> Body:
    if not isinstance(value, dict):
        raise wrong(at, "an object with 'type'")
    return cast(Body, value)


def _name(at: str, fields: Body) -> str:
    name = fields.get("name")
    if not isinstance(name, str) or not name:
        raise wrong(f"{at}.name", "a name")
    return name
