"""GGUF files of any architecture and width, with random weights: to see what an engine allocates for them.

Needs gguf and tokenizers (the extra `test`). The tokens are those of the tiny model, and unused ones up to the
vocabulary that is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import gguf
import numpy as np

from ringfence.testing.tiny_model import add_vocabulary, tiny_tokenizer

F16, F32 = gguf.GGMLQuantizationType.F16, gguf.GGMLQuantizationType.F32
STAYS_WHOLE = ("norm.weight", "conv1d.weight", "ssm_a", "ssm_d", "gate_inp.weight", "shortconv.conv.weight")
ALIGNMENT = 32
PIECE_BYTES = 8 * 1024 * 1024

Shapes = Mapping[str, tuple[int, ...]]


def made_model(
    path: Path,
    name: str,
    own: Mapping[str, Any],
    tensors: Shapes,
    *,
    vocabulary: int | None = None,
    kind: gguf.GGMLQuantizationType = F16,
) -> Path:
    """`own` are the keys of its architecture without the name before them; matrices are of `kind` where they can be.

    The values are random bytes: what such a model answers means nothing.
    """
    writer = gguf.GGUFWriter(str(path), name)
    tokenizer = tiny_tokenizer()
    count = vocabulary or tokenizer.get_vocab_size()
    writer.add_vocab_size(count)
    for key, value in own.items():
        add = {int: writer.add_uint32, float: writer.add_float32, list: writer.add_array, bool: writer.add_bool}
        add[type(value)](f"{name}.{key}", value)
    add_vocabulary(writer, tokenizer, count)
    sizes = [_announce(writer, key, shape, kind) for key, shape in tensors.items()]
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    assert writer.fout is not None
    file = writer.fout[0]
    writer.write_padding(file, file.tell())
    _fill(file, sum(sizes))
    writer.close()
    return path


def _announce(writer: gguf.GGUFWriter, key: str, shape: tuple[int, ...], kind: gguf.GGMLQuantizationType) -> int:
    """Put one tensor into the table; its bytes, with what follows up to the next one."""
    if len(shape) == 1 or key.endswith(STAYS_WHOLE):
        kind = F32
    elif shape[-1] % gguf.GGML_QUANT_SIZES[kind][0]:
        kind = F16
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    total = int(np.prod(shape)) // elements * size
    if kind in (F16, F32):
        writer.add_tensor_info(key, shape, np.dtype(np.float32 if kind is F32 else np.float16), total)
    else:
        packed = (*shape[:-1], shape[-1] // elements * size)
        writer.add_tensor_info(key, packed, np.dtype(np.uint8), total, raw_dtype=kind)
    return -(-total // ALIGNMENT) * ALIGNMENT


def _fill(file: BinaryIO, size: int) -> None:
    chance = np.random.default_rng(0).bytes(PIECE_BYTES)
    while size > 0:
        file.write(chance[:size])
        size -= PIECE_BYTES
