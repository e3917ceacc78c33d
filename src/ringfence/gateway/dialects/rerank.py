"""POST /v1/rerank: documents in the order in which they answer a query, as Jina, Cohere, vLLM and llama.cpp have it.

Engines are asked for numbers alone, and by texts: who wants its documents back gets them from its own request.
"""

from __future__ import annotations

from typing import Any, cast

from ringfence.core.catalog import Ability
from ringfence.core.errors import EngineFailed
from ringfence.gateway.dialects.dialect import Body, check_shared, refuse_fields, wrong
from ringfence.gateway.dialects.media import refuse_media

OTHERS_FIELDS = frozenset(("messages", "prompt", "input"))
CUTS = frozenset(("max_tokens_per_doc", "max_chunks_per_doc"))
SELECTS = frozenset(("rank_fields",))
OURS = ("return_documents", "stream")
UNREADABLE = "The engine answered with results that cannot be read."


class Rerank:
    name = "rerank"
    paths = ("/v1/rerank", "/rerank", "/v2/rerank")
    engine_path = "/v1/rerank"
    ability = Ability.RERANK
    generates = False
    rewrites = True
    passed = None

    def check(self, body: Body) -> bool:
        query, given = body.get("query"), body.get("documents")
        if not isinstance(query, str) or not query:
            raise wrong("query", "a text, not empty")
        if not isinstance(given, list) or not given:
            raise wrong("documents", "a list of texts, or of objects with 'text', not empty")
        for place, document in enumerate(cast("list[Any]", given)):
            _check_document(f"documents[{place}]", document)
        refuse_fields(body, OTHERS_FIELDS, "what is ranked stands in 'query' and 'documents'")
        refuse_fields(body, CUTS, "no document is cut here; one that is too long is refused")
        refuse_fields(body, SELECTS, "a document is one text")
        refuse_media(body)
        most = body.get("top_n")
        if most is not None and (type(most) is not int or most < 1):
            raise wrong("top_n", "a whole number of at least 1")
        if not isinstance(body.get("return_documents") or False, bool):
            raise wrong("return_documents", "true or false")
        if body.get("stream"):
            raise wrong("stream", "absent: a ranking is not streamed")
        check_shared(body)
        return False

    def prepare(self, body: Body) -> None:
        body["documents"] = texts(body)
        for name in OURS:
            body.pop(name, None)

    def finish(self, asked: Body, answer: Body) -> None:
        """Sorted, the best first: not every engine does that, nor leaves out what is beyond `top_n`."""
        given, rows = texts(asked), answer.get("results")
        found = [_read(row, len(given)) for row in cast("list[Any]", rows)] if isinstance(rows, list) else []
        most: int = min(asked.get("top_n") or len(given), len(given))
        if len({index for index, _ in found}) != len(found) or len(found) < most:
            raise EngineFailed(UNREADABLE)
        found.sort(key=lambda one: (-one[1], one[0]))
        with_text = asked.get("return_documents") is True
        usage = cast(Body, answer.get("usage") or {})
        told: Body = {"id": answer["id"]} if isinstance(answer.get("id"), str) else {}
        told |= {"object": "list", "model": answer.get("model")}
        told["results"] = [
            {"index": index, "relevance_score": score, **({"document": {"text": given[index]}} if with_text else {})}
            for index, score in found[:most]
        ]
        tokens = usage.get("prompt_tokens", usage.get("total_tokens", 0))
        told["usage"] = {"prompt_tokens": tokens, "total_tokens": usage.get("total_tokens", tokens)}
        answer.clear()
        answer.update(told)


def texts(body: Body) -> list[str]:
    """The documents as texts."""
    given: list[Any] = body["documents"]
    return [one if isinstance(one, str) else one["text"] for one in given]


def _check_document(where: str, document: Any) -> None:
    if isinstance(document, str):
        return
    if not isinstance(document, dict):
        raise wrong(where, "a text, or an object with 'text'")
    fields = cast(Body, document)
    if not isinstance(fields.get("text"), str):
        raise wrong(f"{where}.text", "a text")
    if others := sorted(fields.keys() - {"text"}):
        refuse_fields(fields, frozenset(others), f"{where} is ranked by its 'text' alone")


def _read(row: Any, count: int) -> tuple[int, float]:
    fields: Body = cast(Body, row) if isinstance(row, dict) else {}
    index, score = fields.get("index"), fields.get("relevance_score", fields.get("score"))
    if type(index) is not int or not 0 <= index < count or type(score) not in (int, float):
        raise EngineFailed(UNREADABLE)
    return index, cast(float, score)


DIALECT = Rerank()
