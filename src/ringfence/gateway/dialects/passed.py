"""What the dialects of sounds and pictures share. Their engines are asked as their callers ask, field by field."""

from __future__ import annotations

import re
from typing import Any, cast

from ringfence.core.catalog import Ability
from ringfence.core.errors import BadRequest
from ringfence.gateway.dialects.dialect import REFUSED_FIELDS, Body, Passed, refuse_fields, wrong
from ringfence.gateway.dialects.media import refuse_address
from ringfence.gateway.form import File

NUMBER = re.compile(r"[+-]?[0-9]{1,18}(?:\.[0-9]{1,18})?")
SWITCHES = frozenset(("true", "false"))
MOST_WORD = 256
"""Characters of a text that is no text for a model."""
PATH = re.compile(r"[/\\~]|.*\.\.")


class PassedOn:
    """`texts` are for the model, `words` say how it is to be done. Every other field is a number or a switch: it could
    name neither a place nor a file."""

    name: str
    paths: tuple[str, ...]
    engine_path: str
    ability: Ability
    passed: Passed
    generates = False
    rewrites = False
    texts: frozenset[str]
    words: frozenset[str]

    def check(self, body: Body) -> bool:
        refuse_fields(body, REFUSED_FIELDS, "the operator of this gateway chooses where a request goes")
        for name, value in body.items():
            if name == "model" or value is None or isinstance(value, File):
                continue
            known = name.partition("[")[0]
            if known in self.texts:
                if not isinstance(value, str):
                    raise wrong(name, "a text")
            elif known in self.words:
                for word in cast("list[Any]", value) if isinstance(value, list) else [value]:
                    check_word(name, word)
            elif not _is_figure(value):
                known = ", ".join(sorted(self.texts | self.words))
                raise BadRequest(
                    f"'{name[:64]}' is not accepted: beside {known}, only numbers and switches go to the engine.",
                    param=name[:64], code="unsupported_parameter",
                )  # fmt: skip
        return False

    def prepare(self, body: Body) -> None:
        pass

    def finish(self, asked: Body, answer: Body) -> None:
        pass


def check_word(name: str, word: Any) -> None:
    """A short text that names neither a place nor a file."""
    if isinstance(word, bool | int | float):
        return
    if not isinstance(word, str) or len(word) > MOST_WORD:
        raise wrong(name, f"a text of up to {MOST_WORD} characters")
    refuse_address(name, word)
    if PATH.match(word):
        raise wrong(name, "a name, and no path of a file")


def _is_figure(value: Any) -> bool:
    """Also as a form writes it."""
    if isinstance(value, str):
        return value in SWITCHES or NUMBER.fullmatch(value) is not None
    return isinstance(value, bool | int | float)
