"""Files of models on disk: what they tell, what is missing, what is broken."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import gguf
import pytest

from ringfence.engines.gguf_header import read_facts
from ringfence.placement.sizing.architecture import NotSized
from ringfence.placement.sizing.read import read_model
from ringfence.placement.sizing.weights import GGML_TYPES, Weights

LLAMA = Path(__file__).parent / "configs" / "llama-3.1-8b.json"


def safetensors(path: Path, **tensors: int) -> None:
    """A file with tensors of so many bytes, all zero."""
    header, at = {}, 0
    for name, size in tensors.items():
        header[name] = {"dtype": "BF16", "shape": [size // 2], "data_offsets": [at, at + size]}
        at += size
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(at))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(LLAMA, tmp_path / "config.json")
    return tmp_path


def index(folder: Path, weight_map: dict[str, str], **metadata: Any) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": metadata, "weight_map": weight_map}))


def test_weights_of_a_gguf_file_are_those_of_its_tensors(tiny_model: Path) -> None:
    told = gguf.GGUFReader(str(tiny_model))
    assert read_model(tiny_model).weights == Weights(sum(int(one.n_bytes) for one in told.tensors))


def test_the_table_of_tensors_is_read_as_the_library_reads_it(tiny_model: Path) -> None:
    told = gguf.GGUFReader(str(tiny_model))
    found = read_facts(tiny_model)
    assert [(one.name, one.shape) for one in found.tensors] == [
        (one.name, tuple(map(int, one.shape))) for one in told.tensors
    ]
    assert found.pairs["llama.rope.freq_base"] == 10_000.0


def test_blocks_are_those_of_the_library() -> None:
    assert {kind.value: size for kind, size in gguf.GGML_QUANT_SIZES.items()}.items() <= GGML_TYPES.items()


def test_a_model_in_several_files(tiny_model: Path, tmp_path: Path) -> None:
    whole = read_model(tiny_model)
    assert whole.weights is not None
    for number in (1, 2):
        shutil.copy(tiny_model, tmp_path / f"big-{number:05}-of-00002.gguf")
    assert read_model(tmp_path / "big-00001-of-00002.gguf").weights == Weights(2 * whole.weights.total_bytes)
    assert read_model(tmp_path).path.name == "big-00001-of-00002.gguf"
    (tmp_path / "big-00002-of-00002.gguf").unlink()
    assert read_model(tmp_path).weights == Weights(whole.weights.total_bytes, is_whole=False)


def test_no_weights_beside_a_configuration(folder: Path) -> None:
    assert read_model(folder).weights is None
    assert read_model(folder / "config.json").architecture.name == "llama"


def test_one_file_of_safetensors(folder: Path) -> None:
    safetensors(folder / "model.safetensors", a=400, **{"mlp.experts.0.up": 600})
    assert read_model(folder).weights == Weights(1000, expert_bytes=600)


def test_an_index_with_its_files_and_without(folder: Path) -> None:
    index(folder, {"a": "one.safetensors", "b": "two.safetensors"}, total_size=5000)
    assert read_model(folder).weights == Weights(5000)
    safetensors(folder / "one.safetensors", a=400)
    safetensors(folder / "two.safetensors", b=200)
    assert read_model(folder).weights == Weights(600)


def test_what_a_token_computes_with() -> None:
    assert Weights(1000, 800).active_bytes(8, 2) == 400
    assert Weights(1000).active_bytes(0, 0) == 1000


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("config.json", "{", "is not JSON"),
        ("config.json", "[]", "not a JSON object"),
        ("config.json", "{}", "how many layers"),
        ("x.gguf", "hello", "is not a GGUF"),
        ("y.txt", "hello", "is not JSON"),
    ],
)
def test_what_is_no_model(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(NotSized, match=said):
        read_model(tmp_path / name)


def test_folders_that_do_not_say_which(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(NotSized, match=r"neither config\.json nor a GGUF"):
        read_model(tmp_path)
    for name in ("a.gguf", "b.gguf"):
        shutil.copy(tiny_model, tmp_path / name)
    with pytest.raises(NotSized, match="several GGUF files"):
        read_model(tmp_path)


def test_what_cannot_be_read(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(NotSized, match="No such file"):
        read_model(tmp_path / "none.json")
    (folder / "model.safetensors").write_bytes(b"\x10")
    with pytest.raises(NotSized, match="has no header"):
        read_model(folder)
