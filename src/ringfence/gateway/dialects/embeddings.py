"""POST /v1/embeddings. Engines are always asked for floats; base64, which the SDKs prefer, is made here."""

from __future__ import annotations

import sys
from array import array
from base64 import b64encode
from typing import Any, cast

from ringfence.core.catalog import Ability
from ringfence.gateway.dialects.dialect import Body, check_shared, refuse_fields, wrong
from ringfence.gateway.dialects.media import check_prompts, refuse_media

CHAT_FIELDS = frozenset(("messages",))


class Embeddings:
    name = "embeddings"
    paths = ("/v1/embeddings", "/embeddings")
    engine_path = "/v1/embeddings"
    ability = Ability.EMBEDDINGS
    generates = False
    rewrites = True
    passed = None

    def check(self, body: Body) -> bool:
        given = body.get("input")
        if not isinstance(given, str | list) or not given:
            raise wrong("input", "a string, or a list of strings or token ids, not empty")
        check_prompts("input", cast(Any, given))
        refuse_fields(body, CHAT_FIELDS, "what is embedded stands in 'input'")
        refuse_media(body)
        if body.get("encoding_format") not in (None, "float", "base64"):
            raise wrong("encoding_format", "'float' or 'base64'")
        if body.get("stream"):
            raise wrong("stream", "absent: embeddings are not streamed")
        check_shared(body)
        return False

    def prepare(self, body: Body) -> None:
        body["encoding_format"] = "float"

    def finish(self, asked: Body, answer: Body) -> None:
        if asked.get("encoding_format") != "base64":
            return
        rows: Any = answer.get("data")
        for row in cast(list[Body], rows) if isinstance(rows, list) else ():
            vector = row.get("embedding")
            if isinstance(vector, list):
                row["embedding"] = pack(cast(list[float], vector))


def pack(vector: list[float]) -> str:
    """Little-endian 32-bit floats in base64, as OpenAI sends them."""
    floats = array("f", vector)
    if sys.byteorder == "big":
        floats.byteswap()
    return b64encode(floats.tobytes()).decode()


DIALECT = Embeddings()
