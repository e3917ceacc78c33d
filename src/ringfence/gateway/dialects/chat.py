"""POST /v1/chat/completions."""

from __future__ import annotations

from typing import Any, cast

from ringfence.core.catalog import Ability
from ringfence.gateway.dialects.dialect import Body, check_shared, wrong
from ringfence.gateway.dialects.media import check_message_fields, check_part, refuse_media
from ringfence.gateway.responses_request import as_chat

ROLES = frozenset(("system", "developer", "user", "assistant", "tool", "function"))


class Chat:
    name = "chat"
    paths = ("/v1/chat/completions", "/chat/completions")
    engine_path = "/v1/chat/completions"
    ability = Ability.CHAT
    generates = True
    rewrites = False
    passed = None

    def check(self, body: Body) -> bool:
        listed: list[Any] = body.get("messages", [])
        if not listed and "input" in body:  # Cursor sends responses here, and reads chats
            as_chat(body)
            listed = body["messages"]
        if type(listed) is not list or not listed:
            raise wrong("messages", "a list with at least one message")
        is_bare = True
        for index, message in enumerate(listed):
            if message.__class__ is dict and len(message) == 2 and type(message.get("content")) is str:
                role = message.get("role")
                if type(role) is str and role in ROLES:
                    continue
            is_bare = False  # not a role that is known and a text: look closely
            self._check_message(index, message)
        refuse_media(body)
        check_shared(body)
        return is_bare

    def prepare(self, body: Body) -> None:
        pass

    def finish(self, asked: Body, answer: Body) -> None:
        pass

    def _check_message(self, index: int, message: Any) -> None:
        if not isinstance(message, dict):
            raise wrong(f"messages[{index}]", "an object with 'role' and 'content'")
        fields = cast(Body, message)
        role = fields.get("role")
        if not isinstance(role, str) or role not in ROLES:
            raise wrong(f"messages[{index}].role", f"one of {', '.join(sorted(ROLES))}")
        check_message_fields(f"messages[{index}]", fields)
        content = fields.get("content")
        if isinstance(content, str):
            return
        if isinstance(content, list):
            for place, part in enumerate(cast(list[Any], content)):
                check_part(f"messages[{index}].content[{place}]", part)
        elif content is not None:
            raise wrong(f"messages[{index}].content", "a string, a list of parts, or null")
        elif role in ("user", "system", "developer"):
            raise wrong(f"messages[{index}].content", "a string or a list of parts")


DIALECT = Chat()
