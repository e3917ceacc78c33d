"""Secrets by reference. The configuration says where a secret stands; the secret itself is read when it is needed."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from ringfence.config.problems import ConfigError
from ringfence.config.secret_file import Unusable, checked, read
from ringfence.config.values import refused

EXPECTED = "a secret is given by reference: env:NAME, file:/path or credential:NAME"
INSTEAD = (
    "this looks like a key itself: put it into a file that only its reader can read (chmod 600) and write file:/path "
    "here; if others may have seen it, replace it where it was issued"
)
_PATTERN = r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+|credential:[A-Za-z0-9_][A-Za-z0-9._-]*)$"
_REFERENCE = re.compile(_PATTERN)
_ISSUED = re.compile(r"(sk|gsk|csk|xai|pplx|nvapi|hf|r8|fw|ghp)[-_][A-Za-z0-9_-]{6,}|AIza[A-Za-z0-9_-]{6,}")
"""How keys begin that are issued by clouds, and our own."""
_UNSPEAKABLE = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9_+/=-]{24,}")
"""So long a word of letters and digits is hardly one that a person wrote."""


def looks_like_a_key(text: str) -> bool:
    """Whether `text` may be a secret itself, and is better not repeated."""
    return bool(_ISSUED.match(text) or _UNSPEAKABLE.fullmatch(text))


@dataclass(frozen=True, slots=True)
class Look:
    """How a secret is kept. Of its value there is nothing here but the length; 0 while there is a `problem`."""

    file: Path | None = None
    mode: int | None = None
    owner: int | None = None
    length: int = 0
    problem: str = ""


class SecretRef:
    """Where a secret stands: `env:NAME`, `file:/path` or `credential:NAME` (systemd's $CREDENTIALS_DIRECTORY)."""

    __slots__ = ("_where", "reference")

    def __init__(self, reference: str, where: str = "") -> None:
        """`where` is the place of the reference, such as 'ringfence.yaml:12', for messages. ValueError if malformed."""
        if not _REFERENCE.fullmatch(reference):
            raise ValueError(EXPECTED)
        self.reference = reference
        self._where = where

    def __repr__(self) -> str:
        return f"SecretRef({self.reference!r})"

    def __str__(self) -> str:
        return self.reference

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretRef) and other.reference == self.reference

    def __hash__(self) -> int:
        return hash(self.reference)

    def found_at(self, where: str) -> None:
        """The loader tells here where the reference stands; it is part of no comparison."""
        self._where = where

    def resolve(self, env: Mapping[str, str] = os.environ) -> str:
        """The secret. Raises ConfigError, naming the place of the reference, when it is missing or badly kept."""
        try:
            return self._value(env)
        except Unusable as error:
            raise ConfigError(f"{self._where}: {error}" if self._where else str(error)) from None

    def look(self, env: Mapping[str, str] = os.environ) -> Look:
        """How it is kept, and what is wrong with that, if anything."""
        file, mode, owner = self._file(env), None, None
        if file is not None:
            try:
                found = file.stat()
                mode, owner = stat.S_IMODE(found.st_mode), found.st_uid
            except OSError:
                pass  # the problem says it
        try:
            return Look(file, mode, owner, len(self._value(env)))
        except Unusable as error:
            return Look(file, mode, owner, problem=str(error))

    def _file(self, env: Mapping[str, str]) -> Path | None:
        """None for one that stands in no file, or in no file that can be found."""
        kind, _, name = self.reference.partition(":")
        if kind == "file":
            return Path(name)
        directory = env.get("CREDENTIALS_DIRECTORY")
        return Path(directory) / name if kind == "credential" and directory else None

    def _value(self, env: Mapping[str, str]) -> str:
        kind, _, name = self.reference.partition(":")
        if kind == "env":
            return checked(env.get(name), f"environment variable {name}")
        file = self._file(env)
        if file is None:
            raise Unusable("$CREDENTIALS_DIRECTORY is not set; systemd sets it for a unit with LoadCredential=")
        # systemd keeps others out by the directory, and may show a group bit that stands for an access list.
        return checked(read(file, is_private=kind == "file"), f"{kind} {name}")

    @classmethod
    def _validate(cls, given: Any) -> SecretRef:
        if isinstance(given, SecretRef):
            return given
        is_reference = isinstance(given, str) and _REFERENCE.fullmatch(given) is not None
        if isinstance(given, str) and _is_a_key(given, is_reference):
            raise refused(f"{INSTEAD}; it was not kept")
        if not is_reference:
            raise refused(f"{EXPECTED}; what stands here was not kept")
        return cls(given)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validate, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "pattern": _PATTERN}


def _is_a_key(given: str, is_reference: bool) -> bool:
    """Also one with `env:` before it, as somebody writes who has not understood; a name may be long, too."""
    if not is_reference:
        return looks_like_a_key(given.removeprefix("env:").removeprefix("credential:"))
    name = given.partition(":")[2]
    return _ISSUED.match(name) is not None and _UNSPEAKABLE.fullmatch(name) is not None
