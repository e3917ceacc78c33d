"""What keeps the prompts that an engine has cached for one key apart from those of all others.

An engine that shares its cache answers sooner what another has asked before, and so tells that it was asked. With a
salt of its own a key shares with itself alone. The salt is a keyed digest: nobody who knows a key's id can work it out.
"""

from __future__ import annotations

import hmac
import secrets

MOST_KEPT = 10_000
PURPOSE = b"cache salt\0"
SALT_BYTES = 64 + len('"":"",')
"""Of JSON, beside the name of its field."""


class Salts:
    """By the id of a key; the same until the secret of this installation changes."""

    __slots__ = ("_kept", "_secret")

    def __init__(self) -> None:
        self._kept: dict[str, str] = {}
        self._secret = secrets.token_bytes(32)  # until the one of the installation is known

    def use(self, secret: bytes) -> None:
        """From now on by this one, so that what is cached outlives a restart of the gateway."""
        self._kept, self._secret = {}, secret

    def of(self, key_id: str) -> str:
        """Text, never empty."""
        if (known := self._kept.get(key_id)) is not None:
            return known
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        salt = self._kept[key_id] = hmac.digest(self._secret, PURPOSE + key_id.encode(), "sha256").hex()
        return salt
