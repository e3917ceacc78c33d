"""Models from a Hugging Face hub: chosen, fetched with resumption, and checked before anyone opens them.

Blocking; call it from a thread. The bytes are fetched here and not by huggingface_hub, which drops a partial file
when a download fails. Finished files lie in `cache_dir`/owner--repo/, beside a record of what was verified.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, hf_hub_url
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError

from ringfence.placement.hub_pick import HubError, RemoteFile, parse_source, pick, pick_folder

Progress = Callable[[int, int], None]
"""(bytes done, bytes in all), of all files of the model together."""

PIECE_BYTES = 1024 * 1024
TRIES = 5
PAUSE_S = 0.5
STALL_S = 30.0
SPARE_BYTES = 64 * 1024 * 1024
RECORD = "verified.json"
WHOLE = "*"
"""The choice of a whole repository: no file has such a name."""
Choose = Callable[[str, tuple[RemoteFile, ...]], list[RemoteFile]]


def resolve(source: str, cache_dir: Path, token: str | None, on_progress: Progress) -> Path:
    """The local file of 'hf:owner/repo[:quant-or-file]', the first part of a split one. Raises HubError.

    Every file is checked against the hub's SHA-256. When the hub cannot be reached, a copy that was verified before
    is used. HF_ENDPOINT names another hub; `token` is sent to that hub only, not to where it redirects.
    """
    repo, wanted = parse_source(source)

    def choose(repo: str, files: tuple[RemoteFile, ...]) -> list[RemoteFile]:
        return pick(repo, files, wanted)

    return _resolved(repo, wanted or "", cache_dir, token, on_progress, choose)


def resolve_folder(source: str, cache_dir: Path, token: str | None, on_progress: Progress) -> Path:
    """The local folder of 'hf:owner/repo', for an engine that reads all of it; as `resolve` otherwise."""
    repo, wanted = parse_source(source)

    def choose(repo: str, files: tuple[RemoteFile, ...]) -> list[RemoteFile]:
        return pick_folder(repo, files, wanted)

    return _resolved(repo, WHOLE, cache_dir, token, on_progress, choose).parent


def _resolved(
    repo: str, choice: str, cache_dir: Path, token: str | None, on_progress: Progress, choose: Choose
) -> Path:
    """The first of the files that `choose` takes; `choice` is what they are remembered by."""
    constants.HF_HUB_DISABLE_TELEMETRY = True
    folder = cache_dir / repo.replace("/", "--")
    try:
        there = _listed(repo, token)
    except _Unreachable as error:
        return _verified_copy(folder, choice, repo, str(error))
    chosen = choose(repo, there.files)
    _check_room(folder, chosen)
    sizes = sum(file.size_bytes for file in chosen)
    done = 0
    for file in chosen:
        before = done
        _have(folder, file, _url(there, file.path), token, lambda got, before=before: on_progress(before + got, sizes))
        done += file.size_bytes
    _remember(folder, choice, chosen)
    return folder / chosen[0].path


@dataclass(frozen=True, slots=True)
class Repository:
    """One commit of a repository, and its files."""

    name: str
    commit: str
    files: tuple[RemoteFile, ...]


def listed(repo: str, token: str | None) -> Repository:
    """What a repository has now. Raises HubError, also where the hub cannot be reached."""
    constants.HF_HUB_DISABLE_TELEMETRY = True
    try:
        return _listed(repo, token)
    except _Unreachable as error:
        raise HubError(
            f"cannot reach {endpoint()} ({error}); give a file or a folder of this machine instead"
        ) from None


def ranged(there: Repository, path: str, token: str | None, start: int, length: int) -> bytes:
    """So many bytes of a file, and no others. Raises HubError, also where the hub would send the whole file."""
    reason = ""
    for number in range(TRIES):
        if number:
            time.sleep(PAUSE_S)
        try:
            with _asked(_url(there, path), token, f"bytes={start}-{start + length - 1}") as answer:
                if answer.status != 206:
                    raise HubError(f"{endpoint()} sends no parts of files; fetch {path} and size that")
                found = answer.read(length)
        except urllib.error.HTTPError as error:
            reason = f"status {error.code}"
            if error.code in (401, 403):
                raise HubError(_gated(there.name)) from None
            if error.code < 500 and error.code not in (408, 429):
                break
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
        else:
            if len(found) == length:
                return found
            reason = "the connection ended early"
    raise HubError(f"cannot read the header of {path}: {reason}")


class _Unreachable(Exception):
    """The hub did not answer."""


def endpoint() -> str:
    """The hub that is asked."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or constants.ENDPOINT


def _url(there: Repository, path: str) -> str:
    return hf_hub_url(there.name, path, revision=there.commit, endpoint=endpoint())


def _listed(repo: str, token: str | None) -> Repository:
    """Raises HubError and _Unreachable."""
    try:
        api = HfApi(endpoint=endpoint(), token=token or False)
        info = api.model_info(repo, files_metadata=True, timeout=15)
    except GatedRepoError:
        raise HubError(_gated(repo)) from None
    except RepositoryNotFoundError:
        raise HubError(
            f"there is no model {repo} at {endpoint()}, or it is private: check the name, or set HF_TOKEN"
        ) from None
    except OfflineModeIsEnabled:
        raise _Unreachable("HF_HUB_OFFLINE is set") from None
    except HfHubHTTPError as error:
        raise _Unreachable(f"it answered with status {error.response.status_code}") from None
    except Exception as error:  # the client under huggingface_hub differs by version, and so do its network errors
        raise _Unreachable(type(error).__name__) from None
    files = tuple(
        RemoteFile(
            entry.rfilename, (entry.lfs.size if entry.lfs else entry.size) or 0, entry.lfs.sha256 if entry.lfs else None
        )
        for entry in info.siblings or ()
    )
    return Repository(repo, info.sha or "main", files)


def _gated(repo: str) -> str:
    return f"{repo} is gated: accept its terms at {endpoint()}/{repo} and set HF_TOKEN to a token that may read it"


def _check_room(folder: Path, files: list[RemoteFile]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    missing = sum(
        file.size_bytes - _size(folder / file.path) - _size(_partial(folder / file.path, file)) for file in files
    )
    free = shutil.disk_usage(folder).free
    if missing > 0 and missing + SPARE_BYTES > free:
        raise HubError(
            f"the model needs {missing / 1e9:.1f} GB more, but {folder} has {free / 1e9:.1f} GB free; make room"
        )


def _have(folder: Path, file: RemoteFile, url: str, token: str | None, on_bytes: Callable[[int], None]) -> None:
    """Make sure that the verified file is there."""
    path = folder / file.path
    if not path.resolve().is_relative_to(folder.resolve()):
        raise HubError(f"the hub names a file outside of its repository: {file.path}")
    if _is_verified(folder, path, file):
        on_bytes(file.size_bytes)
        return
    if file.size_bytes == 0:
        raise HubError(f"the hub does not tell the size of {file.path}")
    partial = _partial(path, file)
    path.parent.mkdir(parents=True, exist_ok=True)
    if _size(path) == file.size_bytes and not partial.exists():
        path.replace(partial)  # whole, but its check was never recorded
    _fetch(url, partial, file, token, on_bytes)
    if file.sha256 is not None and (found := _sha256(partial)) != file.sha256:
        partial.unlink()
        raise HubError(
            f"{file.path} is not what the hub says it is (SHA-256 {found[:12]}..., expected {file.sha256[:12]}...); "
            "it was deleted, try again"
        )
    partial.replace(path)


def _fetch(url: str, partial: Path, file: RemoteFile, token: str | None, on_bytes: Callable[[int], None]) -> None:
    """Append what is missing, again from where it broke, until it is whole. Gives up after tries without progress."""
    tries = TRIES
    while (have := _size(partial)) < file.size_bytes:
        reason = "the connection ended early"
        try:
            _append(url, partial, have, token, on_bytes)
        except urllib.error.HTTPError as error:
            reason = f"status {error.code}"
            if error.code in (401, 403):
                raise HubError(f"no access to {file.path}: set HF_TOKEN to a token that may read it") from None
            if error.code == 416:
                partial.unlink(missing_ok=True)
            elif error.code < 500 and error.code not in (408, 429):
                raise HubError(f"the hub refused {file.path} with {reason}") from None
        except (OSError, http.client.HTTPException) as error:
            if getattr(error, "errno", None) in (28, 122):
                raise HubError(f"the disk is full at {partial.parent}; make room and run it again") from None
            reason = str(error) or type(error).__name__
        tries = TRIES if _size(partial) > have else tries - 1
        if tries == 0:
            raise HubError(f"cannot fetch {file.path}: {reason}; what was fetched is kept, run it again to resume")
        if _size(partial) < file.size_bytes:
            time.sleep(PAUSE_S if tries < TRIES else 0.0)
    if _size(partial) > file.size_bytes:
        partial.unlink()
        raise HubError(f"{file.path} is longer than the hub said; it was deleted, try again")


def _append(url: str, partial: Path, have: int, token: str | None, on_bytes: Callable[[int], None]) -> None:
    with _asked(url, token, f"bytes={have}-" if have else None) as answer:
        resumes = answer.status == 206
        got = have if resumes else 0
        with partial.open("ab" if resumes else "wb") as out:
            on_bytes(got)
            while piece := answer.read(PIECE_BYTES):
                out.write(piece)
                got += len(piece)
                on_bytes(got)


def _asked(url: str, token: str | None, wanted: str | None) -> Any:
    request = urllib.request.Request(url, headers={"User-Agent": "ringfence", "Accept-Encoding": "identity"})  # noqa: S310
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    if wanted:
        request.add_header("Range", wanted)
    return urllib.request.urlopen(request, timeout=STALL_S)  # noqa: S310 - the endpoint is the owner's choice


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _partial(path: Path, file: RemoteFile) -> Path:
    """Named by content, so that a newer version is never appended to the start of an older one."""
    return path.with_name(f"{path.name}.{(file.sha256 or 'unknown')[:12]}.part")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


# -- what was verified ------------------------------------------------------------------------------------------


def _records(folder: Path) -> dict[str, Any]:
    try:
        read = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _stamp(path: Path) -> list[int]:
    """Size and time of change: enough to notice a file that was touched since."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def _is_verified(folder: Path, path: Path, file: RemoteFile) -> bool:
    known = _records(folder).get("files", {}).get(file.path)
    return path.is_file() and known == [*_stamp(path), file.sha256] and _size(path) == file.size_bytes


def _remember(folder: Path, choice: str, files: list[RemoteFile]) -> None:
    records = _records(folder)
    verified = {file.path: [*_stamp(folder / file.path), file.sha256] for file in files}
    records["files"] = {**records.get("files", {}), **verified}
    records["choices"] = {**records.get("choices", {}), choice: [file.path for file in files]}
    fresh = folder / (RECORD + ".new")
    fresh.write_text(json.dumps(records), encoding="utf-8")
    fresh.replace(folder / RECORD)


def _verified_copy(folder: Path, choice: str, repo: str, reason: str) -> Path:
    records = _records(folder)
    paths = records.get("choices", {}).get(choice, [])
    with suppress(OSError):
        if paths and all(records["files"][name][:2] == _stamp(folder / name) for name in paths):
            return folder / paths[0]
    raise HubError(
        f"cannot reach {endpoint()} ({reason}) and there is no verified copy of {repo}; "
        "check the network, or give a path of this machine instead"
    )
