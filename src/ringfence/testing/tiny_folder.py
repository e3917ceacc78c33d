"""The tiny model as a folder of a hub, for engines that read those: random weights, a tokenizer and a template."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np

from ringfence.testing import tiny_model as tiny

NAMES = {
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip


def tiny_folder(folder: Path, window: int = tiny.WINDOW) -> Path:
    """`window` is what it says that it was trained for."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = tiny.tiny_tokenizer()
    vocabulary = tokenizer.get_vocab_size()
    number = {name: tokenizer.token_to_id(name) for name in (tiny.PAD, tiny.BEGIN, tiny.END)}
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "float32", "hidden_act": "silu",
        "vocab_size": vocabulary, "hidden_size": tiny.WIDTH, "intermediate_size": tiny.INNER,
        "num_hidden_layers": tiny.LAYERS, "num_attention_heads": tiny.HEADS, "num_key_value_heads": tiny.KV_HEADS,
        "head_dim": tiny.HEAD_WIDTH, "max_position_embeddings": window, "rope_theta": 10000.0, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False, "attention_bias": False, "mlp_bias": False,
        "bos_token_id": number[tiny.BEGIN], "eos_token_id": number[tiny.END], "pad_token_id": number[tiny.PAD],
    }  # fmt: skip
    about = {
        "tokenizer_class": "PreTrainedTokenizerFast", "chat_template": tiny.TEMPLATE, "bos_token": tiny.BEGIN,
        "eos_token": tiny.END, "pad_token": tiny.PAD, "add_bos_token": False, "clean_up_tokenization_spaces": False,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    (folder / "tokenizer.json").write_text(tokenizer.to_str())
    _write(folder / "model.safetensors", {_name(name): kept for name, kept in tiny.weights(vocabulary, 0).items()})
    return folder


def _name(told: str) -> str:
    block, layer, part = ("", "", told) if not told.startswith("blk.") else told.split(".")
    return f"model.layers.{layer}.{NAMES[part]}.weight" if block else f"{NAMES[part]}.weight"


def _write(path: Path, weights: tiny.Weights) -> None:
    """A safetensors file: the length of the header, the header, the numbers."""
    header: dict[str, dict[str, object]] = {}
    at = 0
    for name, kept in weights.items():
        header[name] = {"dtype": "F32", "shape": list(kept.shape), "data_offsets": [at, at + kept.nbytes]}
        at += kept.nbytes
    told = json.dumps(header).encode()
    data = b"".join(np.ascontiguousarray(kept).tobytes() for kept in weights.values())
    path.write_bytes(struct.pack("<Q", len(told)) + told + data)
