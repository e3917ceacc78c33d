"""Messages of Ollama's chat in OpenAI's words: images are parts, arguments are text, and each call has an id."""

from __future__ import annotations

from collections import deque
from typing import Any, cast

import orjson

from ringfence.gateway.dialects.dialect import Body, wrong
from ringfence.gateway.dialects.ollama_asked import images

ROLES = ("system", "user", "assistant", "tool")


class Conversation:
    """Goes through the messages, and remembers which calls of tools are not answered yet: Ollama's messages need not
    name them, and templates look for it."""

    def __init__(self) -> None:
        self.messages: list[Body] = []
        self._open: dict[str, deque[str]] = {}
        """The names of calls that have no answer, by id: one each, where ids are what they should be."""
        self._named: dict[str, deque[str]] = {}
        """Ids by name, and all of them under "". In one list, a body of many calls would take hours to look through."""
        self._calls = 0

    def add(self, place: int, message: Any) -> None:
        where = f"messages[{place}]"
        if not isinstance(message, dict):
            raise wrong(where, "an object with 'role' and 'content'")
        fields = cast(Body, message)
        role, content = fields.get("role"), fields.get("content")
        if role not in ROLES:
            raise wrong(f"{where}.role", f"one of {', '.join(ROLES)}")
        if content is not None and not isinstance(content, str):
            raise wrong(f"{where}.content", "a text")
        said: Body = {"role": role, "content": content or ""}
        if parts := images(f"{where}.images", fields.get("images")):
            text = [{"type": "text", "text": content}] if content else []
            said["content"] = [*text, *parts]
        thinking = fields.get("thinking")
        if thinking is not None and not isinstance(thinking, str):
            raise wrong(f"{where}.thinking", "a text")
        if thinking and role == "assistant":
            said["reasoning_content"] = thinking
        if calls := fields.get("tool_calls"):
            said["tool_calls"] = self._called(f"{where}.tool_calls", calls)
        if role == "tool":
            self._answered(where, said, fields)
        self.messages.append(said)

    def _called(self, where: str, calls: Any) -> list[Body]:
        if not isinstance(calls, list):
            raise wrong(where, "a list")
        self._open.clear()
        self._named.clear()
        return [self._call(f"{where}[{place}]", call) for place, call in enumerate(cast("list[Any]", calls))]

    def _call(self, where: str, call: Any) -> Body:
        function: Any = cast(Body, call).get("function") if isinstance(call, dict) else None
        name = cast(Body, function).get("name") if isinstance(function, dict) else None
        if not isinstance(name, str) or not name:
            raise wrong(f"{where}.function", "an object with 'name' and 'arguments'")
        arguments = cast(Body, function).get("arguments")
        if arguments is not None and not isinstance(arguments, dict):
            raise wrong(f"{where}.function.arguments", "an object")
        named = cast(Body, call).get("id")
        self._calls += 1
        call_id = named if isinstance(named, str) and named else f"call_{self._calls}"
        self._open.setdefault(call_id, deque()).append(name)
        for known_as in (name, ""):
            self._named.setdefault(known_as, deque()).append(call_id)
        return {
            "id": call_id, "type": "function",
            "function": {"name": name, "arguments": orjson.dumps(arguments or {}).decode()},
        }  # fmt: skip

    def _answered(self, where: str, said: Body, fields: Body) -> None:
        """The call that a message of a tool answers: the one that it names, or the first that is open."""
        named, name = fields.get("tool_call_id"), fields.get("tool_name") or fields.get("name")
        if name is not None and not isinstance(name, str):
            raise wrong(f"{where}.tool_name", "a text")
        if named is not None and not isinstance(named, str):
            raise wrong(f"{where}.tool_call_id", "a text")
        found = named if named else self._first(name)
        if found and self._open.get(found):
            named, called = found, self._open[found].popleft()
            name = name or called
        if not named:
            self._calls += 1
            named = f"call_{self._calls}"
        said["tool_call_id"] = named
        if name:
            said["name"] = name

    def _first(self, name: str | None) -> str | None:
        """The id of the first call that is open, of those with this name where there is one."""
        waiting = self._named.get(name or "", ())
        while waiting:
            found = waiting.popleft()
            if self._open.get(found):  # else it was answered by another way
                return found
        return None


def translated(messages: list[Any]) -> list[Body]:
    """All messages of a chat. BadRequest, naming the place, for what is none."""
    conversation = Conversation()
    for place, message in enumerate(messages):
        conversation.add(place, message)
    return conversation.messages
