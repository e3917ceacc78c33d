"""The one error of the store: something on disk is wrong, and here is what to do about it."""

from __future__ import annotations

import errno
import os
from pathlib import Path


class StoreFailed(Exception):
    """State on disk cannot be used. `what` and `what_to_do` are for people and never hold secrets or text."""

    def __init__(self, path: Path | str, what: str, what_to_do: str) -> None:
        super().__init__(f"{path} {what}; {what_to_do}")
        self.path = path
        self.what = what
        self.what_to_do = what_to_do

    @classmethod
    def of(cls, path: Path | str, error: OSError) -> StoreFailed:
        """What the operating system said, in words."""
        what_to_do = ADVICE.get(error.errno or 0, "check that the disk is well and that this user may write there")
        return cls(path, f"cannot be used ({os.strerror(error.errno) if error.errno else error})", what_to_do)


class StoreGone(StoreFailed):
    """The server of the database does not answer, or the line to it broke.

    `in_doubt`: it was gone while it was told to commit, so the transaction may stand and may not. `may_be_back`: a new
    line may do at once.
    """

    in_doubt = False

    def __init__(self, name: str, what: str, what_to_do: str, *, may_be_back: bool = False) -> None:
        super().__init__(name, what, what_to_do)
        self.may_be_back = may_be_back


ADVICE = {
    errno.ENOSPC: "free some space on that disk",
    errno.EDQUOT: "free some space: the quota is used up",
    errno.EACCES: "make the folder belong to the user that runs Ringfence, or choose another one",
    errno.EPERM: "make the folder belong to the user that runs Ringfence, or choose another one",
    errno.EROFS: "mount that disk for writing, or choose another folder",
    errno.ENOTDIR: "a part of this path is a file; choose another folder",
    errno.EISDIR: "there is a folder in the place of a file; move it away",
    errno.EMFILE: "raise the limit of open files",
}
