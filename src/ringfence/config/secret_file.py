"""Reading one secret from its file. Loads nothing: the egress process reads its keys again with this alone."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

_SENDABLE = re.compile(r"[\x21-\x7e]+")
_ASSIGNED = re.compile(r"[A-Z][A-Z0-9_]*(KEY|TOKEN|SECRET)=.*")
_LARGEST_BYTES = 64 * 1024


class Unusable(Exception):
    """The text says what is wrong with the secret and how to mend it, and holds nothing of it."""


def open_to_others(path: Path) -> Path | None:
    """The first folder on the way to `path` in which others may put another file in its place; None when there is none.

    Both as it is written and as its links lead. In a folder with the sticky bit, such as /tmp, nobody replaces what is
    another's. Raises OSError.
    """
    ways = (path.absolute(), path.resolve())
    for folder in dict.fromkeys(folder for way in ways for folder in reversed(way.parents)):
        mode = folder.stat().st_mode
        if mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
            return folder
    return None


def read(path: Path, *, is_private: bool) -> str:
    """What a file holds, without the space around it; `is_private` where others must not reach it. Raises Unusable."""
    try:
        # Without O_NONBLOCK, opening a pipe would wait for someone to write into it.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            held = os.fstat(file.fileno())
            if not stat.S_ISREG(held.st_mode):
                raise Unusable(f"{path} is not a file")
            if is_private and held.st_mode & 0o077:
                raise Unusable(f"{path} can be read or written by others; run: chmod 600 {path}")
            if is_private and (folder := open_to_others(path)) is not None:
                raise Unusable(
                    f"others may put another file in the place of {path}: they may write to {folder}; "
                    f"run: chmod go-w {folder}"
                )
            content = file.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror or 'cannot be read'}") from None
    if len(content) > _LARGEST_BYTES:
        raise Unusable(f"{path} is too large for a secret")
    # Undecodable bytes turn into characters that the check for sendable ones refuses.
    return content.decode("ascii", "replace").strip()


def checked(secret: str | None, origin: str) -> str:
    """What can be sent as a key. Raises Unusable; `origin` says where it stands, and nothing of it is shown."""
    if secret is None:
        raise Unusable(f"{origin} is not set")
    if not secret:
        raise Unusable(f"{origin} is empty")
    if "\n" in secret or "\r" in secret:
        raise Unusable(f"{origin} holds more than one line; the key alone may stand there")
    if not _SENDABLE.fullmatch(secret):
        raise Unusable(f"{origin} holds spaces or characters that cannot be sent in a header")
    if secret[0] in "\"'" or secret[-1] in "\"'":
        raise Unusable(f"{origin} holds quotes around the key, which would be sent with it; take them away")
    if _ASSIGNED.fullmatch(secret):
        raise Unusable(f"{origin} holds NAME=KEY; the key alone may stand there")
    return secret
