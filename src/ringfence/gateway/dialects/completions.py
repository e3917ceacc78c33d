"""POST /v1/completions: plain text continuation."""

from __future__ import annotations

from ringfence.core.catalog import Ability
from ringfence.gateway.dialects.dialect import Body, check_shared, refuse_fields
from ringfence.gateway.dialects.media import check_prompts, refuse_media

CHAT_FIELDS = frozenset(("messages",))


class Completions:
    name = "completions"
    paths = ("/v1/completions", "/completions")
    engine_path = "/v1/completions"
    ability = Ability.COMPLETIONS
    generates = True
    rewrites = False
    passed = None

    def check(self, body: Body) -> bool:
        check_prompts("prompt", body.get("prompt"))
        refuse_fields(body, CHAT_FIELDS, "a prompt is continued; messages go to /v1/chat/completions")
        refuse_media(body)
        check_shared(body)
        return False

    def prepare(self, body: Body) -> None:
        pass

    def finish(self, asked: Body, answer: Body) -> None:
        pass


DIALECT = Completions()
