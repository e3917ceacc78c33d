"""A model as a whole: its terms add up, weights by kind of layer, quantisations, LoRA slots, the table of what fits."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from many_models import MODELS, Kind

from ringfence.placement.sizing.footprint import OVERHEAD_BYTES, Use, footprint, table, windows_asked
from ringfence.placement.sizing.kv import bytes_per_sequence
from ringfence.placement.sizing.kv_types import F16, TYPES
from ringfence.placement.sizing.lora import lora_bytes
from ringfence.placement.sizing.quantised import QUANTISATIONS, quantised_bytes
from ringfence.placement.sizing.read import ModelFiles, read_model
from ringfence.placement.sizing.weights import Part, Tensor, Weights
from ringfence.testing.made_models import made_model

CONFIGS = Path(__file__).parent / "configs"
BY_NAME = {one.name: one for one in QUANTISATIONS}


def of_llama(folder: Path) -> ModelFiles:
    """Llama 3.1 8B: its configuration, and a header with its tensors and without their bytes."""
    shapes: dict[str, list[int]] = {"model.embed_tokens.weight": [128_256, 4096], "lm_head.weight": [128_256, 4096]}
    for layer in range(32):
        name = f"model.layers.{layer}"
        shapes |= {
            f"{name}.self_attn.q_proj.weight": [4096, 4096], f"{name}.self_attn.k_proj.weight": [1024, 4096],
            f"{name}.self_attn.v_proj.weight": [1024, 4096], f"{name}.self_attn.o_proj.weight": [4096, 4096],
            f"{name}.mlp.gate_proj.weight": [14_336, 4096], f"{name}.mlp.up_proj.weight": [14_336, 4096],
            f"{name}.mlp.down_proj.weight": [4096, 14_336], f"{name}.input_layernorm.weight": [4096],
            f"{name}.post_attention_layernorm.weight": [4096],
        }  # fmt: skip
    shapes["model.norm.weight"] = [4096]
    at, header = 0, {}
    for name, shape in shapes.items():
        size = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)
    (folder / "config.json").write_text((CONFIGS / "llama-3.1-8b.json").read_text())
    return read_model(folder)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    return of_llama(tmp_path_factory.mktemp("llama"))


def test_the_terms_add_up(llama: ModelFiles) -> None:
    use = Use(32_768, 4, TYPES["q8_0"], lora_slots=8)
    found = footprint(llama, use)
    assert found.weights_bytes == 16_060_522_496
    assert found.kv_bytes == 4 * bytes_per_sequence(llama.architecture, TYPES["q8_0"], 32_768)
    assert found.bytes_per_token == 69_632
    assert found.lora_bytes is not None
    terms = (found.weights_bytes, found.kv_bytes, found.state_bytes, found.compute.total_bytes, found.lora_bytes)
    assert found.total_bytes == sum(terms) + OVERHEAD_BYTES
    assert footprint(llama, use, weights_bytes=5).total_bytes == found.total_bytes - found.weights_bytes + 5


def test_weights_by_kind_of_layer(llama: ModelFiles) -> None:
    assert llama.weights is not None
    parts = llama.weights.by_part()
    assert parts[Part.FEED_FORWARD] == 32 * 3 * 14_336 * 4096 * 2
    assert parts[Part.ATTENTION] == 32 * ((4096 + 4096 + 1024 + 1024) * 4096 + 4096) * 2
    assert parts[Part.EMBEDDING] == parts[Part.OUTPUT] == 128_256 * 4096 * 2
    assert sum(parts.values()) == llama.weights.total_bytes
    assert llama.weights.parameters == 8_030_261_248


def test_states_are_not_keys_and_values(tmp_path: Path) -> None:
    files = read_model(MODELS["states and attention"]().write(tmp_path / "model.gguf", Kind.Q6_K))
    one, four = (footprint(files, Use(4096, parallel)) for parallel in (1, 4))
    assert 4 * one.state_bytes == four.state_bytes > 0
    assert one.kv_bytes == 6 * 2 * 4 * 64 * 2 * 4096
    assert files.weights is not None
    assert {Part.STATE, Part.ATTENTION, Part.FEED_FORWARD} <= set(files.weights.by_part())


def test_experts_in_all_and_at_work(tmp_path: Path) -> None:
    files = read_model(MODELS["many experts"]().write(tmp_path / "model.gguf", Kind.Q8_0))
    weights, experts = files.weights, (files.architecture.experts, files.architecture.experts_used)
    assert weights is not None and experts == (64, 8)
    of_experts = 6 * 64 * 3 * 384 * 1024
    assert weights.parameters is not None
    assert weights.active_parameters(*experts) == weights.parameters - of_experts * 7 // 8
    assert weights.by_part()[Part.EXPERTS] == weights.expert_bytes == of_experts * 34 // 32


@pytest.mark.parametrize(
    ("name", "size"),
    [
        # llama.cpp's own table of Llama 3.1 8B (tools/quantize/README.md), in GiB
        ("Q8_0", 7.95), ("Q6_K", 6.14), ("Q5_K_M", 5.33), ("Q4_K_M", 4.58), ("F16", 14.96),
    ],
)  # fmt: skip
def test_quantisations_of_a_known_model(llama: ModelFiles, name: str, size: float) -> None:
    assert llama.weights is not None
    found = quantised_bytes(llama.weights, BY_NAME[name])
    assert found is not None and found / 2**30 == pytest.approx(size, abs=0.01)


def test_a_file_is_as_large_as_its_own_quantisation(tmp_path: Path) -> None:
    shapes = {"token_embd.weight": (640, 256), "output.weight": (640, 256), "output_norm.weight": (256,)}
    shapes |= {f"blk.{layer}.ffn_down.weight": (256, 512) for layer in range(4)}
    own = {"block_count": 4, "embedding_length": 256, "attention.head_count": 4}
    path = made_model(tmp_path / "model.gguf", "llama", own, shapes, vocabulary=640, kind=Kind.Q8_0)
    weights = read_model(path).weights
    assert weights is not None
    assert quantised_bytes(weights, BY_NAME["Q8_0"]) == weights.total_bytes


def test_rows_that_do_not_fill_a_block_fall_back() -> None:
    weights = Weights(0, tensors=(Tensor("blk.0.ffn_up.weight", (10, 96), 0), Tensor("output.weight", (10, 40), 0)))
    assert quantised_bytes(weights, BY_NAME["Q4_K_M"]) == 10 * 3 * 22 + 10 * 40 * 2


def test_eight_experts_keep_their_keys_and_values_whole() -> None:
    name = "model.layers.1.block_sparse_moe.experts.{}.w1.weight"
    for count, size in ((8, 34 * 8), (9, 144)):
        experts = tuple(Tensor(name.format(number), (0, 256), 0) for number in range(count))
        weights = Weights(0, tensors=(Tensor("model.layers.1.self_attn.k_proj.weight", (1, 256), 0), *experts))
        assert quantised_bytes(weights, BY_NAME["Q4_K_M"]) == size


def test_lora_slots_stand_beside_every_linear_layer(llama: ModelFiles) -> None:
    assert llama.weights is not None
    each = 32 * (2 * (4096 + 4096) + 2 * (4096 + 1024) + 3 * (4096 + 14_336))
    assert lora_bytes(llama.weights, 8, 64) == 8 * 64 * each * 2
    assert lora_bytes(llama.weights, 0) == 0


def test_what_is_packed_is_not_guessed() -> None:
    packed = Weights(100, tensors=(Tensor("model.layers.0.mlp.up_proj.qweight", (), 100),))
    assert packed.parameters is None
    assert lora_bytes(packed, 1) is None
    assert {quantised_bytes(packed, one) for one in QUANTISATIONS} == {None}


def test_the_table_has_the_engines_that_have_the_kv_type(llama: ModelFiles) -> None:
    names = {kv: [row.name for row in table(llama, Use(8192, 1, TYPES[kv]))] for kv in ("q8_0", "fp8", "f16")}
    assert names["q8_0"] == ["as it is", "F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0"]
    assert names["fp8"] == ["as it is", "BF16", "FP8", "INT4"]
    assert len(names["f16"]) == 10


def test_the_table_grows_with_the_window_and_shrinks_with_the_bits(llama: ModelFiles) -> None:
    use = Use(10_000, 2, F16)
    windows = windows_asked(use, 131_072)
    assert windows == (4096, 8192, 10_000, 16_384, 32_768, 65_536, 131_072)
    rows = {row.name: row for row in table(llama, use)}
    for row in rows.values():
        assert list(row.totals) == sorted(row.totals)
        assert row.totals[2] == footprint(llama, use, row.weights_bytes).total_bytes
    assert rows["Q4_K_M"].totals < rows["Q8_0"].totals < rows["F16"].totals


def test_weights_that_are_not_known_are_not_counted() -> None:
    files = read_model(CONFIGS / "llama-3.1-8b.json")
    found = footprint(files, Use(8192, lora_slots=1))
    assert (found.weights_bytes, found.lora_bytes, table(files, Use(8192))) == (None, None, ())
    assert [row.name for row in table(files, Use(8192), weights_bytes=1)] == ["as it is"]
