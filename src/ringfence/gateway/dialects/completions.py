"""POST /v1/completions: plain text continuation."""

from __future__ import annotations

from ringfence.core.catalog import Ability
from ringfence.gateway.dialects.dialect import Body, check_shared, wrong


class Completions:
    name = "completions"
    paths = ("/v1/completions", "/completions")
    engine_path = "/v1/completions"
    ability = Ability.COMPLETIONS
    generates = True
    rewrites = False

    def check(self, body: Body) -> None:
        prompt = body.get("prompt")
        if not isinstance(prompt, str | list):
            raise wrong("prompt", "a string, or a list of strings or token ids")
        check_shared(body)

    def prepare(self, body: Body) -> None:
        pass

    def finish(self, asked: Body, answer: Body) -> None:
        pass


DIALECT = Completions()
