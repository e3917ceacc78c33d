"""Secrets by reference. The configuration says where a secret stands; the secret itself is read when it is needed."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from ringfence.config.problems import ConfigError
from ringfence.config.values import refused

EXPECTED = "a secret is given by reference: env:NAME, file:/path or credential:NAME"
_PATTERN = r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+|credential:[A-Za-z0-9_][A-Za-z0-9._-]*)$"
_REFERENCE = re.compile(_PATTERN)
_SENDABLE = re.compile(r"[\x21-\x7e]+")
_LARGEST_BYTES = 64 * 1024


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
        kind, _, name = self.reference.partition(":")
        if kind == "env":
            return self._checked(env.get(name), f"environment variable {name}")
        if kind == "file":
            return self._checked(self._read(Path(name), is_private=True), f"file {name}")
        directory = env.get("CREDENTIALS_DIRECTORY")
        if not directory:
            raise self._error("$CREDENTIALS_DIRECTORY is not set; systemd sets it for a unit with LoadCredential=")
        # systemd keeps others out by the directory, and may show a group bit that stands for an access list.
        return self._checked(self._read(Path(directory) / name, is_private=False), f"credential {name}")

    def _read(self, path: Path, *, is_private: bool) -> str:
        try:
            # Without O_NONBLOCK, opening a pipe would wait for someone to write into it.
            with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
                held = os.fstat(file.fileno())
                if not stat.S_ISREG(held.st_mode):
                    raise self._error(f"{path} is not a file")
                if is_private and held.st_mode & 0o077:
                    raise self._error(f"{path} can be read or written by others; run: chmod 600 {path}")
                content = file.read(_LARGEST_BYTES + 1)
        except OSError as error:
            raise self._error(f"{path}: {error.strerror or 'cannot be read'}") from None
        if len(content) > _LARGEST_BYTES:
            raise self._error(f"{path} is too large for a secret")
        # Undecodable bytes turn into characters that the check for sendable ones refuses.
        return content.decode("ascii", "replace").strip()

    def _checked(self, secret: str | None, origin: str) -> str:
        if secret is None:
            raise self._error(f"{origin} is not set")
        if not secret:
            raise self._error(f"{origin} is empty")
        if not _SENDABLE.fullmatch(secret):
            raise self._error(f"{origin} holds spaces or characters that cannot be sent in a header")
        return secret

    def _error(self, message: str) -> ConfigError:
        return ConfigError(f"{self._where}: {message}" if self._where else message)

    @classmethod
    def _validate(cls, given: Any) -> SecretRef:
        if isinstance(given, SecretRef):
            return given
        if not isinstance(given, str) or not _REFERENCE.fullmatch(given):
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
