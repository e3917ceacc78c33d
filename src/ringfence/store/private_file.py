"""Files that only their owner may read: written whole or not at all, refused when others could have read them."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from ringfence.store.failure import StoreFailed

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_private_folder(folder: Path) -> None:
    """Creates it for the owner only (0700); one that exists keeps its mode. Raises StoreFailed."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreFailed.of(folder, error) from error


def refuse_writable(folder: Path) -> None:
    """Whoever may write a folder may put another file, or another socket, in the place of one. Raises StoreFailed."""
    try:
        mode = stat.S_IMODE(folder.stat().st_mode)
    except OSError as error:
        raise StoreFailed.of(folder, error) from error
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StoreFailed(folder, f"can be written by others (mode {mode:04o})", f"run: chmod go-w {folder}")


def read_private(path: Path, most_bytes: int) -> bytes | None:
    """Its content, None when it does not exist. Raises StoreFailed when others may read it or it is too long."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            content = file.read(most_bytes + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreFailed.of(path, error) from error
    if (fault := badly_kept(path, found, os.geteuid())) is not None:
        raise fault
    if len(content) > most_bytes:
        raise StoreFailed(path, "is longer than it can be", "restore it from a backup, or move it away")
    return content


def badly_kept(path: Path, found: os.stat_result, owner: int) -> StoreFailed | None:
    """What is wrong with how a secret of `owner` is kept; None when nothing is."""
    if found.st_mode & OTHERS:
        mode = f"{stat.S_IMODE(found.st_mode):04o}"
        return StoreFailed(
            path, f"can be read by others (mode {mode})", f"replace the secret if need be, then: chmod 600 {path}"
        )
    if found.st_uid not in (owner, 0):
        return StoreFailed(path, "belongs to another user", "give it to the user that runs Ringfence (chown)")
    return None


def create_private(path: Path, content: bytes) -> bool:
    """Creates it with mode 0600. False, and nothing is changed, when it exists already. Raises StoreFailed."""
    make_private_folder(path.parent)
    try:
        draft = _draft(path, content)
        try:
            # A link appears whole or not at all and never replaces: a crash cannot leave half a secret behind.
            os.link(draft, path)
        except FileExistsError:
            return False
        finally:
            draft.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise StoreFailed.of(path, error) from error
    return True


def replace_private(path: Path, content: bytes) -> None:
    """Writes it anew with mode 0600: readers see the old content or the new one. Raises StoreFailed."""
    make_private_folder(path.parent)
    try:
        draft = _draft(path, content)
        try:
            draft.replace(path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise StoreFailed.of(path, error) from error


def _draft(path: Path, content: bytes) -> Path:
    """A synced file beside `path`; nothing is left behind when the disk is full."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    return draft


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
