"""POST /v1/audio/translations: a form with a sound in, what is said in it out, in English."""

from __future__ import annotations

from ringfence.core.catalog import Ability
from ringfence.gateway.dialects.transcriptions import Transcriptions


class Translations(Transcriptions):
    name = "translations"
    paths = ("/v1/audio/translations", "/audio/translations")
    engine_path = "/v1/audio/translations"
    ability = Ability.TRANSLATION


DIALECT = Translations()
