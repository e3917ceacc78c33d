"""What llama.cpp itself says that it allocates for a cache is what is computed here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from llamacpp_log import log_of

from ringfence.placement.sizing.kv import bytes_per_sequence
from ringfence.placement.sizing.kv_types import TYPES
from ringfence.placement.sizing.read import read_model
from ringfence.testing import tiny_model as tiny
from ringfence.testing.made_models import made_model

MIB = 2**20
WIDTH, TOKENS, STEP = 128, 4096, 512
DEMO = Path(tiny.__file__).parents[1] / "models" / "demo.gguf"


def allocated(path: Path, kv_type: str, tokens: int = TOKENS, parallel: int = 1) -> float:
    """MiB of all its caches, as its log tells them."""
    return log_of(path, kv_type, tokens, parallel, STEP).kept


def written(
    path: Path, name: str, layers: int, own: Mapping[str, Any], blocks: Callable[[int], Mapping[str, Any]]
) -> Path:
    """A small model: `blocks` gives the shapes of each layer's tensors."""
    last = "token_embd_norm.weight" if name == "lfm2" else "output_norm.weight"
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (640, WIDTH), last: (WIDTH,)}
    shapes |= {f"blk.{layer}.{key}": shape for layer in range(layers) for key, shape in blocks(layer).items()}
    usual = {
        "context_length": 8192, "embedding_length": WIDTH, "block_count": layers, "feed_forward_length": 256,
        "attention.layer_norm_rms_epsilon": 1e-5,
    }  # fmt: skip
    return made_model(path, name, usual | dict(own), shapes, vocabulary=640)


HEAD = 64
ATTENTION = {
    "attn_q.weight": (2 * HEAD, WIDTH), "attn_k.weight": (HEAD, WIDTH), "attn_v.weight": (HEAD, WIDTH),
    "attn_output.weight": (WIDTH, 2 * HEAD), "attn_q_norm.weight": (HEAD,), "attn_k_norm.weight": (HEAD,),
    "attn_norm.weight": (WIDTH,), "ffn_norm.weight": (WIDTH,), "ffn_gate.weight": (256, WIDTH),
    "ffn_up.weight": (256, WIDTH), "ffn_down.weight": (WIDTH, 256),
}  # fmt: skip
GEMMA = ATTENTION | {"post_attention_norm.weight": (WIDTH,), "post_ffw_norm.weight": (WIDTH,)}
HEADS = {
    "attention.head_count": 2, "attention.head_count_kv": 1, "attention.key_length": HEAD,
    "attention.value_length": HEAD, "rope.freq_base": 10000.0,
}  # fmt: skip
INNER, STATE, KERNEL, RANK = 256, 16, 4, 8
MAMBA = {
    "attn_norm.weight": (WIDTH,), "ssm_in.weight": (2 * INNER, WIDTH), "ssm_conv1d.weight": (INNER, KERNEL),
    "ssm_conv1d.bias": (INNER,), "ssm_x.weight": (RANK + 2 * STATE, INNER), "ssm_dt.weight": (INNER, RANK),
    "ssm_dt.bias": (INNER,), "ssm_a": (INNER, STATE), "ssm_d": (INNER,), "ssm_out.weight": (WIDTH, INNER),
}  # fmt: skip
SSM = {
    "ssm.conv_kernel": KERNEL, "ssm.inner_size": INNER, "ssm.state_size": STATE, "ssm.time_step_rank": RANK,
}  # fmt: skip


NOPE, ROPE, RANK_OF_KEYS, RANK_OF_QUERIES = 32, 32, 96, 64
FEED_FORWARD = {name: shape for name, shape in ATTENTION.items() if name.startswith("ffn")}
LATENT = FEED_FORWARD | {
    "attn_norm.weight": (WIDTH,), "attn_q_a.weight": (RANK_OF_QUERIES, WIDTH),
    "attn_q_a_norm.weight": (RANK_OF_QUERIES,), "attn_q_b.weight": (2 * (NOPE + ROPE), RANK_OF_QUERIES),
    "attn_kv_a_mqa.weight": (RANK_OF_KEYS + ROPE, WIDTH),
    "attn_kv_a_norm.weight": (RANK_OF_KEYS,), "attn_k_b.weight": (2, RANK_OF_KEYS, NOPE),
    "attn_v_b.weight": (2, NOPE, RANK_OF_KEYS), "attn_output.weight": (WIDTH, 2 * NOPE),
}  # fmt: skip
MLA = {
    "attention.head_count": 2, "attention.head_count_kv": 1, "attention.q_lora_rank": RANK_OF_QUERIES,
    "attention.kv_lora_rank": RANK_OF_KEYS, "attention.key_length": RANK_OF_KEYS + ROPE,
    "attention.value_length": RANK_OF_KEYS, "attention.key_length_mla": NOPE + ROPE, "attention.value_length_mla": NOPE,
    "rope.dimension_count": ROPE, "rope.freq_base": 10000.0, "leading_dense_block_count": 6, "expert_count": 2,
    "expert_used_count": 1, "expert_feed_forward_length": 32, "expert_shared_count": 1, "expert_weights_scale": 1.0,
}  # fmt: skip
SHORT_CONVOLUTION = FEED_FORWARD | {
    "attn_norm.weight": (WIDTH,), "shortconv.conv.weight": (WIDTH, 3), "shortconv.in_proj.weight": (3 * WIDTH, WIDTH),
    "shortconv.out_proj.weight": (WIDTH, WIDTH),
}  # fmt: skip
LFM = HEADS | {"attention.head_count_kv": [0, 0, 0, 1] * 4, "shortconv.l_cache": 3}


def models(folder: Path) -> dict[str, Path]:
    return {
        "grouped heads": written(folder / "qwen3.gguf", "qwen3", 4, HEADS, lambda _layer: ATTENTION),
        "sliding windows": written(
            folder / "gemma3.gguf", "gemma3", 12, {**HEADS, "attention.sliding_window": 512}, lambda _layer: GEMMA
        ),
        "states": written(folder / "mamba.gguf", "mamba", 24, SSM, lambda _layer: MAMBA),
        "latent attention": written(folder / "deepseek2.gguf", "deepseek2", 6, MLA, lambda _layer: LATENT),
        "a hybrid": written(
            folder / "lfm2.gguf", "lfm2", 16, LFM, lambda layer: ATTENTION if layer % 4 == 3 else SHORT_CONVOLUTION
        ),
        "the demo model": DEMO,
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return models(tmp_path_factory.mktemp("sized"))


@pytest.mark.parametrize(
    ("name", "kv_type", "parallel"),
    [
        ("grouped heads", "f16", 1), ("grouped heads", "q8_0", 1), ("grouped heads", "q5_1", 1),
        ("grouped heads", "q4_0", 3), ("the demo model", "f16", 1), ("the demo model", "iq4_nl", 1),
        ("sliding windows", "f16", 1), ("sliding windows", "q8_0", 2), ("states", "f16", 1), ("states", "f16", 4),
        ("latent attention", "f16", 1), ("latent attention", "q8_0", 2), ("a hybrid", "f16", 2),
        ("a hybrid", "q4_0", 1),
    ],
)  # fmt: skip
def test_a_cache_is_as_large_as_llama_cpp_says(files: dict[str, Path], name: str, kv_type: str, parallel: int) -> None:
    found = read_model(files[name]).architecture
    computed = parallel * bytes_per_sequence(found, TYPES[kv_type], TOKENS, step=STEP)
    assert allocated(files[name], kv_type, TOKENS, parallel) == pytest.approx(computed / MIB, abs=0.011)
