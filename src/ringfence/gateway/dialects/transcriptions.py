"""POST /v1/audio/transcriptions: a form with a sound in, what is said in it out."""

from __future__ import annotations

from ringfence.core.catalog import Ability
from ringfence.gateway.dialects.dialect import Body, Passed, Shape, wrong
from ringfence.gateway.dialects.passed import PassedOn
from ringfence.gateway.form import File

IN_JSON = frozenset((None, "json", "verbose_json", "diarized_json"))
"""Of `response_format`; the others are texts, with times in them or without."""


def _shape(body: Body) -> Shape:
    return Shape.JSON if body.get("response_format") in IN_JSON else Shape.TEXT


class Transcriptions(PassedOn):
    name = "transcriptions"
    paths = ("/v1/audio/transcriptions", "/audio/transcriptions")
    engine_path = "/v1/audio/transcriptions"
    ability = Ability.TRANSCRIPTION
    passed = Passed(_shape, lambda body: body["stream"], field="text", is_form=True)
    texts = frozenset(("prompt",))
    words = frozenset((
        "language", "languages", "response_format", "timestamp_granularities", "include", "chunking_strategy",
        "to_language",
    ))  # fmt: skip

    def check(self, body: Body) -> bool:
        sound = body.get("file")
        if not isinstance(sound, File) or not sound.data:
            raise wrong("file", "the sound, as a file of the form, not empty")
        for name, value in body.items():
            if name != "file" and isinstance(value, File):
                raise wrong(name, "no file: there is one, and it is 'file'")
        super().check(body)
        body["stream"] = body.get("stream") == "true"
        return False

    def prepare(self, body: Body) -> None:
        if not body["stream"]:  # as most engines know nothing of it
            del body["stream"]


DIALECT = Transcriptions()
