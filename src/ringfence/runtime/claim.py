"""One gateway for one state folder: two would both write its ledger, and each end the other's record of running."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from ringfence.store.failure import StoreFailed
from ringfence.store.private_file import refuse_writable

NAME = "gateway.lock"


def claim(folder: Path) -> IO[bytes]:
    """Hold `folder` until the file is closed or this process ends, however it ends. Raises StoreFailed, also
    when others may write to it."""
    refuse_writable(folder)
    path = folder / NAME
    try:
        file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "wb")
    except OSError as error:
        raise StoreFailed.of(path, error) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise StoreFailed(
            folder,
            "is in use: another gateway runs with this state",
            "end that one (`ringfence status` shows it), or set RINGFENCE_STATE_DIR to a folder of its own",
        ) from None
    except OSError as error:
        file.close()
        raise StoreFailed.of(path, error) from error
    return file
