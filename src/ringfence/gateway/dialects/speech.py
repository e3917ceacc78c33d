"""POST /v1/audio/speech: a text in, a sound out, sent on while it is made."""

from __future__ import annotations

from ringfence.core.catalog import Ability
from ringfence.gateway.dialects.dialect import Body, Passed, Shape, wrong
from ringfence.gateway.dialects.passed import PassedOn


class Speech(PassedOn):
    name = "speech"
    paths = ("/v1/audio/speech", "/audio/speech")
    engine_path = "/v1/audio/speech"
    ability = Ability.SPEECH
    passed = Passed(lambda _: Shape.SOUND, lambda body: body.get("stream_format") == "sse")
    texts = frozenset(("input", "instructions"))
    words = frozenset(("voice", "response_format", "stream_format", "language", "lang_code"))

    def check(self, body: Body) -> bool:
        if not body.get("input"):
            raise wrong("input", "the text that is to be spoken, not empty")
        return super().check(body)


DIALECT = Speech()
