"""What the owner's own command line needs to talk to the gateway: the first key, and the token of the control API."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringfence.store.failure import StoreFailed
from ringfence.store.private_file import create_private, read_private, replace_private

CREDENTIALS = "credentials.json"
ADMIN_TOKEN = "admin.token"  # noqa: S105 - the name of a file
MOST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Credentials:
    """The owner's key in clear, so that `ringfence chat` works without asking."""

    key_id: str
    api_key: str = field(repr=False)


def load_credentials(state_dir: Path) -> Credentials | None:
    """None when none were saved. Raises StoreFailed when the file is broken or readable by others."""
    path = state_dir / CREDENTIALS
    content = read_private(path, MOST_BYTES)
    if content is None:
        return None
    try:
        saved: Any = json.loads(content)
    except ValueError:
        saved = None
    match saved:
        case {"api_key": str(api_key), "key_id": str(key_id)}:
            return Credentials(key_id=key_id, api_key=api_key)
        case _:
            # Not chained: the message of a JSON error can quote the file.
            raise StoreFailed(path, "cannot be understood", "delete it and create a new key") from None


def save_credentials(state_dir: Path, credentials: Credentials) -> None:
    """Replaces what was saved. Raises StoreFailed."""
    content = json.dumps({"api_key": credentials.api_key, "key_id": credentials.key_id})
    replace_private(state_dir / CREDENTIALS, content.encode() + b"\n")


def admin_token(state_dir: Path) -> str:
    """The token of the control API: 43 characters, created on first use. Raises StoreFailed."""
    path = state_dir / ADMIN_TOKEN
    content = read_private(path, MOST_BYTES)
    if content is None:
        create_private(path, secrets.token_urlsafe(32).encode() + b"\n")
        content = read_private(path, MOST_BYTES)  # another process may have been first: what lies there counts
    token = (content or b"").decode("ascii", "replace").strip()
    if len(token) < 43 or not token.isascii():
        raise StoreFailed(path, "does not hold a token", "delete it and restart Ringfence: a new one will be made")
    return token
