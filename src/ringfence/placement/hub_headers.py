"""The headers of a model's files on a hub: enough to size it, and none of its weights.

A GGUF file tells nowhere how long its header is, so that it is read in pieces that grow; the last one may reach into
the weights. A safetensors file begins with the length of its header.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

from ringfence.placement.hub import Repository, endpoint, listed, ranged
from ringfence.placement.hub_pick import HubError, RemoteFile, from_url, parse_source, pick
from ringfence.placement.sizing.architecture import NotSized
from ringfence.placement.sizing.read import ModelFiles, read_files

FIRST_PIECE_BYTES = 64 * 1024
LARGEST_PIECE_BYTES = 4 * 1024 * 1024
AT_ONCE = 8


def model_on_hub(source: str, token: str | None) -> ModelFiles:
    """The model of 'hf:owner/repo[:quant-or-file]' or of the address of its page. Raises HubError and NotSized.

    Without a quantisation, what transformers reads is taken where it is there, and a GGUF file else.
    """
    repo, wanted = parse_source(from_url(source, endpoint()))
    there = listed(repo, token)
    files = {file.path: file for file in there.files}
    name = "config.json" if wanted is None and "config.json" in files else _gguf(repo, there, wanted)
    try:
        found = read_files(HubFolder(there, files, token), name)
    except NotSized as error:
        raise NotSized(f"{repo}: {error}") from None
    return replace(found, path=Path(repo) / name)


def _gguf(repo: str, there: Repository, wanted: str | None) -> str:
    try:
        return pick(repo, there.files, wanted)[0].path
    except HubError as error:
        if wanted is None:
            raise HubError(f"{repo} has neither config.json nor a GGUF file") from None
        raise error


@dataclass(frozen=True, slots=True)
class HubFolder:
    """The files of one commit of a repository; what is read of them is fetched."""

    there: Repository
    files: dict[str, RemoteFile]
    token: str | None
    at_once: int = AT_ONCE

    def size(self, name: str) -> int | None:
        return self.files[name].size_bytes if name in self.files else None

    def open(self, name: str) -> BinaryIO:
        if name not in self.files:
            raise FileNotFoundError(2, "there is no such file on the hub", name)
        return cast("BinaryIO", Pieces(self.there, self.files[name], self.token))


class Pieces(io.RawIOBase):
    """A file that is fetched as it is read. A read of GGUF's small fields is served from pieces of growing size; where
    the file is not GGUF, what is asked for is fetched and no more."""

    def __init__(self, there: Repository, file: RemoteFile, token: str | None) -> None:
        super().__init__()
        self.name = f"{there.name}/{file.path}"
        self._there, self._file, self._token = there, file, token
        self._grows = file.path.endswith(".gguf")
        self._piece = FIRST_PIECE_BYTES
        self._held, self._held_at, self._at = b"", 0, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            raise io.UnsupportedOperation("its end is where the weights are")
        self._at = offset if whence == io.SEEK_SET else self._at + offset
        return self._at

    def read(self, size: int = -1) -> bytes:
        rest = max(self._file.size_bytes - self._at, 0)
        wanted = rest if size < 0 else min(size, rest)
        found = self._in_hand(wanted)
        while len(found) < wanted:
            self._fetch(self._at + len(found), wanted - len(found))
            at = self._at + len(found) - self._held_at
            found += self._held[at : at + wanted - len(found)]
        self._at += len(found)
        return found

    def _in_hand(self, wanted: int) -> bytes:
        at = self._at - self._held_at
        return self._held[at : at + wanted] if 0 <= at < len(self._held) else b""

    def _fetch(self, at: int, missing: int) -> None:
        length = min(max(missing, self._piece) if self._grows else missing, self._file.size_bytes - at)
        self._held, self._held_at = ranged(self._there, self._file.path, self._token, at, length), at
        self._piece = min(2 * self._piece, LARGEST_PIECE_BYTES)
