"""The few facts of a GGUF file that must be known before an engine is started on it; weights are not read."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
TEXT, ARRAY = 8, 9
FILE_TYPES = (
    "F32", "F16", "Q4_0", "Q4_1", "", "", "", "Q8_0", "Q5_0", "Q5_1", "Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_K_S",
    "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K", "IQ2_XXS", "IQ2_XS", "Q2_K_S", "IQ3_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL",
    "IQ3_S", "IQ3_M", "IQ2_S", "IQ2_M", "IQ4_XS", "IQ1_M", "BF16", "", "", "", "TQ1_0", "TQ2_0", "MXFP4_MOE",
)  # fmt: skip
"""By number, as llama.h of llama.cpp has them (enum llama_ftype); empty ones are no longer in use."""
MAX_KEYS = 10_000
MAX_TENSORS = 1_000_000
MAX_DIMENSIONS = 8
MAX_TEXT_BYTES = 64 * 1024 * 1024
MAX_KEPT = 4096
"""Longer arrays of numbers are told by their length: those of a layer each are kept, those of a vocabulary are not."""


class NotAModel(ValueError):
    """The file is missing, is not GGUF, or ends too early; the message says which, for people."""


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a model says about itself. `trained_window` is tokens; None or 0 where the file does not tell."""

    architecture: str
    trained_window: int | None
    vocabulary: int
    pooling: int | None
    is_causal: bool
    quantisation: str = ""
    """Of most of its weights, such as Q4_K_M; empty where the file does not tell."""


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """One row of the table of tensors: `kind` is ggml's number of its type, `offset` counts from the data's begin."""

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int


@dataclass(frozen=True, slots=True)
class GgufFacts:
    """All that stands before the weights. Arrays of texts, and long ones of numbers, are told by their length."""

    pairs: Mapping[str, Any]
    tensors: tuple[GgufTensor, ...]


def read_header(path: Path) -> GgufHeader:
    """Read the key-value part of `path`. Raises NotAModel."""
    pairs, _ = _read(path, whole=False)
    architecture = str(pairs.get("general.architecture", ""))
    window = pairs.get(f"{architecture}.context_length")
    pooling = pairs.get(f"{architecture}.pooling_type")
    return GgufHeader(
        architecture=architecture,
        trained_window=window if isinstance(window, int) and window > 0 else None,
        vocabulary=pairs.get("tokenizer.ggml.tokens", 0),
        pooling=pooling if isinstance(pooling, int) else None,
        is_causal=pairs.get(f"{architecture}.attention.causal", True) is not False,
        quantisation=_quantisation(pairs.get("general.file_type")),
    )


def read_facts(path: Path) -> GgufFacts:
    """Read the key-value part and the table of tensors of `path`. Raises NotAModel."""
    pairs, tensors = _read(path, whole=True)
    return GgufFacts(pairs, tuple(tensors))


def facts_in(file: BinaryIO) -> tuple[GgufFacts, int]:
    """The same of an open file, which need not lie on this machine, and where its header ends. Raises NotAModel."""
    try:
        pairs, tensors = _header(file, whole=True)
    except (struct.error, EOFError, UnicodeDecodeError, OverflowError):
        raise NotAModel(f"{file.name} is damaged or incomplete: its header ends too early") from None
    return GgufFacts(pairs, tuple(tensors)), file.tell()


def _read(path: Path, whole: bool) -> tuple[dict[str, Any], list[GgufTensor]]:
    try:
        with path.open("rb", buffering=1 << 20) as file:
            return _header(file, whole)
    except OSError as error:
        raise NotAModel(f"cannot read {path}: {error.strerror or error}") from None
    except (struct.error, EOFError, UnicodeDecodeError, OverflowError):
        raise NotAModel(f"{path} is damaged or incomplete: its header ends too early") from None


def _quantisation(file_type: Any) -> str:
    is_known = isinstance(file_type, int) and 0 <= file_type < len(FILE_TYPES)
    return FILE_TYPES[file_type] if is_known else ""


def _header(file: BinaryIO, whole: bool) -> tuple[dict[str, Any], list[GgufTensor]]:
    """All of it; or else the keys up to the vocabulary, which end the part that matters to start an engine."""
    magic = file.read(4)
    if magic != b"GGUF":
        raise NotAModel(f"{file.name} is not a GGUF model file (it starts with {magic!r})")
    version, tensors, count = struct.unpack("<IQQ", _exactly(file, 20))
    if not 2 <= version <= 9 or count > MAX_KEYS or tensors > MAX_TENSORS:
        raise NotAModel(f"{file.name} is a GGUF file of unknown version {version}")
    pairs: dict[str, Any] = {}
    for _ in range(count):
        key = _text(file)
        is_last = not whole and key == "tokenizer.ggml.tokens"
        pairs[key] = _value(file, _number(file, "<I"), skip=is_last)
        if is_last:
            return pairs, []
    return pairs, [_tensor(file) for _ in range(tensors)] if whole else []


def _tensor(file: BinaryIO) -> GgufTensor:
    name, dimensions = _text(file), _number(file, "<I")
    if dimensions > MAX_DIMENSIONS:
        raise NotAModel(f"{file.name} is damaged: a tensor of {dimensions} dimensions")
    shape = struct.unpack(f"<{dimensions}Q", _exactly(file, 8 * dimensions))
    kind, offset = struct.unpack("<IQ", _exactly(file, 12))
    return GgufTensor(name, shape, kind, offset)


def _value(file: BinaryIO, kind: int, skip: bool = False) -> Any:
    if kind in SCALARS:
        return _number(file, SCALARS[kind])
    if kind == TEXT:
        return _text(file)
    if kind != ARRAY:
        raise NotAModel(f"{file.name} is damaged: a value of unknown kind {kind}")
    inner, length = _number(file, "<I"), _number(file, "<Q")
    if skip:
        return length
    if inner in SCALARS:
        size = struct.calcsize(SCALARS[inner])
        if length <= MAX_KEPT:
            return struct.unpack(f"<{length}{SCALARS[inner][1:]}", _exactly(file, size * length))
        file.seek(size * length, 1)
        return length
    if inner != TEXT:
        raise NotAModel(f"{file.name} is damaged: an array of unknown kind {inner}")
    for _ in range(length):
        _text_bytes(file)
    return length


def _text(file: BinaryIO) -> str:
    return _text_bytes(file).decode("utf-8", "replace")


def _text_bytes(file: BinaryIO) -> bytes:
    length = _number(file, "<Q")
    if length > MAX_TEXT_BYTES:
        raise NotAModel(f"{file.name} is damaged: a text of {length} bytes in its header")
    return _exactly(file, length)


def _number(file: BinaryIO, layout: str) -> Any:
    return struct.unpack(layout, _exactly(file, struct.calcsize(layout)))[0]


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise EOFError
    return data
