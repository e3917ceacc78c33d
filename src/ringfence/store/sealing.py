"""Text at rest, sealed: AES-256-GCM, with a key that lies beside the database and never in it."""

from __future__ import annotations

import secrets
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ringfence.store.failure import StoreFailed
from ringfence.store.private_file import create_private, read_private

KEY_FILE = "parking.key"
KEY_BYTES = 32
NONCE_BYTES = 12
"""As NIST SP 800-38D recommends; by chance, which is safe for 2**32 seals under one key."""


class Unreadable(Exception):
    """What was sealed cannot be opened: it has another key, or is not what was sealed."""


class Seal:
    """Seals and opens with one key. `about` is bound to the text: it opens with the same words alone."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self.key_id = sha256(b"ringfence parking key" + key).hexdigest()[:16]
        """Which key it is, without telling anything of it."""

    def __repr__(self) -> str:
        return f"<Seal {self.key_id}>"

    def close(self, text: bytes, about: bytes) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, text, about)

    def open(self, sealed: bytes, about: bytes) -> bytes:
        """Raises Unreadable."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], about)
        except (InvalidTag, ValueError):
            raise Unreadable from None


def find_seal(state_dir: Path) -> Seal:
    """With the key in `<state_dir>/parking.key`, which is made where there is none. Raises StoreFailed."""
    path = state_dir / KEY_FILE
    key = read_private(path, KEY_BYTES)
    if key is None:
        create_private(path, secrets.token_bytes(KEY_BYTES))
        key = read_private(path, KEY_BYTES)  # another process may have been first: what lies there counts
    if key is None or len(key) != KEY_BYTES:
        raise StoreFailed(path, "is damaged", "restore it from a backup, or move it away: a new one is made")
    return Seal(key)
