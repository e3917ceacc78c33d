"""A model's architecture and weights out of its files: a GGUF file, a config.json, or the folder of either.

Headers only: of a GGUF file its keys and its table of tensors, of safetensors files their headers or their index. The
files may lie here or elsewhere: whatever lists them and opens them is a `Folder`.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar, cast

from ringfence.engines.gguf_header import NotAModel, facts_in
from ringfence.placement.sizing.architecture import Architecture, NotSized
from ringfence.placement.sizing.gguf_model import from_gguf
from ringfence.placement.sizing.hf_config import from_config
from ringfence.placement.sizing.weights import Weights, added, of_gguf, of_safetensors
from ringfence.placement.sizing.widths import Widths, widths_of_config, widths_of_gguf

PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
INDEX, ONE_FILE = "model.safetensors.index.json", "model.safetensors"
MOST_HEADER_BYTES = 256 * 1024 * 1024
MOST_JSON_BYTES = 64 * 1024 * 1024
T = TypeVar("T")


class Folder(Protocol):
    """Files of a model."""

    @property
    def at_once(self) -> int:
        """How many may be read side by side."""
        ...

    def size(self, name: str) -> int | None:
        """Bytes of a file, None where there is none of this name."""
        ...

    def open(self, name: str) -> BinaryIO:
        """To be read from its begin; what is not read need not be fetched. Raises OSError."""
        ...


@dataclass(frozen=True, slots=True)
class LocalFolder:
    """A folder of this machine."""

    path: Path
    at_once: int = 1

    def size(self, name: str) -> int | None:
        found = self.path / name
        return found.stat().st_size if found.is_file() else None

    def open(self, name: str) -> BinaryIO:
        return (self.path / name).open("rb", buffering=1 << 20)


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """What the files of one model tell. `weights` is None where there are none beside a config.json."""

    path: Path
    architecture: Architecture
    weights: Weights | None
    widths: Widths


def read_model(path: Path) -> ModelFiles:
    """Raises NotSized, with the reason for people."""
    try:
        found = _found(path)
    except OSError as error:
        raise NotSized(_unread(error, path)) from None
    return replace(read_files(LocalFolder(found.parent), found.name), path=found)


def read_files(folder: Folder, name: str) -> ModelFiles:
    """The model that this GGUF file or config.json of a folder begins. Raises NotSized."""
    try:
        return _gguf(folder, name) if name.endswith(".gguf") else _config(folder, name)
    except NotAModel as error:
        raise NotSized(str(error)) from None
    except OSError as error:
        raise NotSized(_unread(error, name)) from None


def _unread(error: OSError, name: str | Path) -> str:
    return f"cannot read {error.filename or name}: {error.strerror or error}"


def _found(path: Path) -> Path:
    if not path.is_dir():
        return path
    if (path / "config.json").is_file():
        return path / "config.json"
    files = sorted(path.glob("*.gguf"))
    firsts = [file for file in files if not (part := PART.search(file.name)) or int(part[1]) == 1]
    if len(firsts) != 1:
        what = "several GGUF files; name one of them" if firsts else "neither config.json nor a GGUF file"
        raise NotSized(f"{path} has {what}")
    return firsts[0]


def _gguf(folder: Folder, name: str) -> ModelFiles:
    names = _parts(name)
    there = [one for one in names if folder.size(one) is not None] or [name]
    facts = _each(folder, there, facts_in)
    # every part has tensors, only the first one has the keys
    tensors = tuple(tensor for one, _ in facts for tensor in one.tensors)
    first = next((one for one, _ in facts if "general.architecture" in one.pairs), facts[0][0])
    weights = added(
        of_gguf(one.tensors, (folder.size(part) or 0) - end) for (one, end), part in zip(facts, there, strict=True)
    )
    if len(there) < len(names):
        weights = replace(weights, is_whole=False)
    whole = type(first)(first.pairs, tensors)
    return ModelFiles(Path(name), from_gguf(whole), weights, widths_of_gguf(whole))


def _each(folder: Folder, names: Sequence[str], read: Callable[[BinaryIO], T]) -> list[T]:
    """Read several files, side by side where they are far away."""

    def one(name: str) -> T:
        with folder.open(name) as file:
            return read(file)

    if folder.at_once == 1 or len(names) == 1:
        return [one(name) for name in names]
    with ThreadPoolExecutor(folder.at_once) as pool:
        return list(pool.map(one, names))


def _parts(name: str) -> list[str]:
    """All files of a model that is split over several."""
    part = PART.search(name)
    if not part:
        return [name]
    stem, count = name[: part.start()], int(part[2])
    return [f"{stem}-{number:05}-of-{count:05}.gguf" for number in range(1, count + 1)]


def _config(folder: Folder, name: str) -> ModelFiles:
    config = _json(folder, name)
    return ModelFiles(Path(name), from_config(config), _safetensors(folder), widths_of_config(config))


def _json(folder: Folder, name: str) -> Mapping[str, Any]:
    with folder.open(name) as file:
        try:
            found = json.loads(file.read(MOST_JSON_BYTES).decode("utf-8"))
        except ValueError:
            raise NotSized(f"{file.name} is not JSON") from None
        if not isinstance(found, dict):
            raise NotSized(f"{file.name} is not a JSON object")
    return cast("dict[str, Any]", found)


def _safetensors(folder: Folder) -> Weights | None:
    if folder.size(INDEX) is None:
        return of_safetensors(_each(folder, [ONE_FILE], _header)[0]) if folder.size(ONE_FILE) is not None else None
    index = _json(folder, INDEX)
    files = sorted({str(name) for name in cast("dict[str, Any]", index.get("weight_map") or {}).values()})
    if files and all(folder.size(name) is not None for name in files):
        return added(of_safetensors(one) for one in _each(folder, files, _header))
    total = cast("dict[str, Any]", index.get("metadata") or {}).get("total_size")
    return Weights(int(total)) if isinstance(total, int | float) else None


def _header(file: BinaryIO) -> Mapping[str, Any]:
    """The header of a safetensors file: its length in 8 bytes, then JSON."""
    try:
        (length,) = struct.unpack("<Q", file.read(8))
        found = json.loads(file.read(min(length, MOST_HEADER_BYTES)))
    except (struct.error, ValueError):
        raise NotSized(f"{file.name} is damaged or incomplete: it has no header") from None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
