"""Presidio in a process of its own: `python -m ringfence.runtime.presidio_process`.

One line of JSON on standard input says what to look for; the answer is one line, `ready` or `error`. Then each line is
a text, and each answer the entities found in it. It ends when its input does, or with the gateway. It opens no
connection: what Presidio would fetch (lists of domains, models) is refused, as is starting a program.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any, TextIO

from ringfence.tether import die_with_parent

PIECE_CHARS = 8192
OVERLAP_CHARS = 256
"""A long text is read in pieces, so that the first find may end it; nothing that is looked for is longer than this."""
WAYS_OUT = (
    "socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostby", "subprocess.Popen",
    "os.system", "os.exec", "os.posix_spawn", "os.fork",
)  # fmt: skip
WARM_UP = "Mail jane.doe@example.com or call +1 212 555 0142."


class WayOutRefused(OSError):
    """Something in here tried to reach out."""


def refuse_ways_out(event: str, _args: tuple[Any, ...]) -> None:
    """An audit hook: it cannot be taken away again."""
    if event.startswith(WAYS_OUT):
        raise WayOutRefused(event)


class Finder:
    """The recognisers of each language. Raises ValueError, naming them, for entities that none of them finds."""

    def __init__(self, languages: list[str], entities: list[str], models: dict[str, str], score: float) -> None:
        engines = import_module("presidio_analyzer.nlp_engine")
        analyzer = import_module("presidio_analyzer").AnalyzerEngine
        domains: Any = import_module("tldextract")
        domains.extract = domains.TLDExtract(cache_dir=None, suffix_list_urls=())  # its own list, never a fetched one
        self._score = score
        self._readers: list[tuple[Any, str, list[str]]] = []
        missing = set(entities)
        for language in languages:
            model = [{"lang_code": language, "model_name": models.get(language, "none")}]
            kind = engines.SpacyNlpEngine if language in models else engines.NoOpNlpEngine
            reader = analyzer(nlp_engine=kind(model), supported_languages=[language])
            known = set(reader.get_supported_entities(language))
            self._readers.append((reader, language, [entity for entity in entities if entity in known]))
            missing -= known
        if missing:
            raise ValueError(
                f"nothing finds {', '.join(sorted(missing))} in {', '.join(languages)}; "
                "names of persons and places need a model of the language"
            )

    def find(self, text: str, decisive: frozenset[str]) -> set[str]:
        """The entities in a text; no further than to the first of those that decide."""
        found: set[str] = set()
        for piece in pieces(text):
            for reader, language, entities in self._readers:
                if entities:
                    told = reader.analyze(piece, language, entities=entities, score_threshold=self._score)
                    found.update(result.entity_type for result in told)
                if found & decisive:
                    return found
        return found


def pieces(text: str) -> Iterator[str]:
    """The text in pieces that overlap."""
    for start in range(0, max(1, len(text) - OVERLAP_CHARS), PIECE_CHARS - OVERLAP_CHARS):
        yield text[start : start + PIECE_CHARS]


def serve(spec: dict[str, Any], out: TextIO) -> None:
    """Until the input ends. Of what goes wrong with a text nothing is told: it could quote it."""

    def tell(**row: Any) -> None:
        out.write(json.dumps(row) + "\n")
        out.flush()

    try:
        finder = Finder(spec["languages"], spec["entities"], spec["models"], spec["score"])
        decisive = frozenset(spec["decisive"])
        finder.find(WARM_UP, decisive)  # the first text takes half a second
    except Exception as error:
        tell(error=f"{type(error).__name__}: {error}"[:500])
        return
    tell(ready=True)
    for line in sys.stdin:
        try:
            tell(found=sorted(finder.find(json.loads(line), decisive)))
        except Exception:
            tell(failed=True)


def main() -> None:
    spec = json.loads(sys.stdin.readline())
    die_with_parent(spec["parent_pid"])
    sys.addaudithook(refuse_ways_out)
    out, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    serve(spec, out)
    os._exit(0)  # threads of libraries must not hold up the end


if __name__ == "__main__":
    main()
