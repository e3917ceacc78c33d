"""A model's architecture and weights out of its files: a GGUF file, a config.json, or the folder of either.

Headers only: of a GGUF file its keys and its table of tensors, of safetensors files their headers or their index.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ringfence.engines.gguf_header import NotAModel, read_facts
from ringfence.placement.sizing.architecture import Architecture, NotSized
from ringfence.placement.sizing.gguf_model import from_gguf
from ringfence.placement.sizing.hf_config import from_config
from ringfence.placement.sizing.weights import Weights, added, of_gguf, of_safetensors

PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
INDEX, ONE_FILE = "model.safetensors.index.json", "model.safetensors"
MOST_HEADER_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """What the files of one model tell. `weights` is None where there are none beside a config.json."""

    path: Path
    architecture: Architecture
    weights: Weights | None


def read_model(path: Path) -> ModelFiles:
    """Raises NotSized, with the reason for people."""
    try:
        found = _found(path)
        return _gguf(found) if found.suffix == ".gguf" else _config(found)
    except NotAModel as error:
        raise NotSized(str(error)) from None
    except OSError as error:
        raise NotSized(f"cannot read {error.filename or path}: {error.strerror or error}") from None


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


def _gguf(path: Path) -> ModelFiles:
    paths = _parts(path)
    there = [one for one in paths if one.is_file()] or [path]
    facts = [read_facts(one) for one in there]
    # every part has tensors, only the first one has the keys
    tensors = tuple(tensor for one in facts for tensor in one.tensors)
    first = next((one for one in facts if "general.architecture" in one.pairs), facts[0])
    weights = added(of_gguf(one.tensors, file.stat().st_size) for one, file in zip(facts, there, strict=True))
    if len(there) < len(paths):
        weights = Weights(weights.total_bytes, weights.expert_bytes, is_whole=False)
    return ModelFiles(path, from_gguf(type(first)(first.pairs, tensors)), weights)


def _parts(path: Path) -> list[Path]:
    """All files of a model that is split over several."""
    part = PART.search(path.name)
    if not part:
        return [path]
    stem, count = path.name[: part.start()], int(part[2])
    return [path.with_name(f"{stem}-{number:05}-of-{count:05}.gguf") for number in range(1, count + 1)]


def _config(path: Path) -> ModelFiles:
    return ModelFiles(path, from_config(_json(path)), _safetensors(path.parent))


def _json(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise NotSized(f"{path} is not JSON") from None
    if not isinstance(found, dict):
        raise NotSized(f"{path} is not a JSON object")
    return cast("dict[str, Any]", found)


def _safetensors(folder: Path) -> Weights | None:
    if not (folder / INDEX).is_file():
        return of_safetensors(_tensors(folder / ONE_FILE)) if (folder / ONE_FILE).is_file() else None
    index = _json(folder / INDEX)
    files = sorted({str(name) for name in cast("dict[str, Any]", index.get("weight_map") or {}).values()})
    if files and all((folder / name).is_file() for name in files):
        return added(of_safetensors(_tensors(folder / name)) for name in files)
    total = cast("dict[str, Any]", index.get("metadata") or {}).get("total_size")
    return Weights(int(total)) if isinstance(total, int | float) else None


def _tensors(path: Path) -> Mapping[str, Any]:
    """The header of a safetensors file: its length in 8 bytes, then JSON."""
    with path.open("rb") as file:
        try:
            (length,) = struct.unpack("<Q", file.read(8))
            found = json.loads(file.read(min(length, MOST_HEADER_BYTES)))
        except (struct.error, ValueError):
            raise NotSized(f"{path} is damaged or incomplete: it has no header") from None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
