"""A real model of 0.8 MB with random weights, made on the spot. It answers gibberish, and always the same: its file
says that it is to be asked without chance (temperature 0).

Needs gguf, tokenizers and numpy (the extra `test`).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

Weights = dict[str, NDArray[np.float32]]

WINDOW = 2048
WIDTH, LAYERS, HEADS, KV_HEADS, INNER = 128, 2, 4, 2, 256
HEAD_WIDTH = WIDTH // HEADS
PAD, BEGIN, END = "<|pad|>", "<|im_start|>", "<|im_end|>"
TEXT = (
    "The night watch walks from gate to gate and writes down what it sees. "
    "A question comes in, the answer goes out, one token after the other. "
    '{"name": "look_up", "arguments": {"place": "harbour"}} 0 1 2 3 4 5 6 7 8 9'
)
TEMPLATE = (
    "{%- if tools %}<|im_start|>system\n<tools>{% for tool in tools %}\n{{ tool | tojson }}{% endfor %}\n</tools>\n"
    'Answer a call as <tool_call>\n{"name": ..., "arguments": ...}\n</tool_call><|im_end|>\n{% endif -%}'
    "{%- for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content or '' }}"
    "{%- for call in message.tool_calls or [] %}<tool_call>\n"
    '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}\n</tool_call>'
    "{% endfor %}<|im_end|>\n{% endfor -%}"
    "{%- if add_generation_prompt %}<|im_start|>assistant\n{% endif -%}"
)


def tiny_model(folder: Path, seed: int = 0) -> Path:
    """The path of the model in `folder`; made there when it is missing (0.2 s). Safe from several processes at once."""
    path = folder / f"tiny-{seed}.gguf"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / f"tiny-{seed}.{os.getpid()}.new"
        _write(fresh, tiny_tokenizer(), seed)
        fresh.replace(path)
    return path


def tiny_tokenizer() -> Tokenizer:
    """Byte-level pairs, split as GPT-2 does: what llama.cpp knows as 'gpt-2'."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=640,
        special_tokens=[PAD, BEGIN, END],
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    return tokenizer


def weights(vocabulary: int, seed: int) -> Weights:
    chance = np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> NDArray[np.float32]:
        return (chance.standard_normal((rows, columns)) / np.sqrt(columns)).astype(np.float32)

    ones = np.ones(WIDTH, np.float32)
    made: Weights = {
        "token_embd": matrix(vocabulary, WIDTH),
        "output_norm": ones,
        "output": matrix(vocabulary, WIDTH),
    }
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        made |= {
            block + "attn_norm": ones,
            block + "attn_q": matrix(WIDTH, WIDTH),
            block + "attn_k": matrix(KV_HEADS * HEAD_WIDTH, WIDTH),
            block + "attn_v": matrix(KV_HEADS * HEAD_WIDTH, WIDTH),
            block + "attn_output": matrix(WIDTH, WIDTH),
            block + "ffn_norm": ones,
            block + "ffn_gate": matrix(INNER, WIDTH),
            block + "ffn_up": matrix(INNER, WIDTH),
            block + "ffn_down": matrix(WIDTH, INNER),
        }
    return made


def _write(path: Path, tokenizer: Tokenizer, seed: int) -> None:
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("tiny")
    writer.add_sampling_temp(0.0)
    writer.add_vocab_size(tokenizer.get_vocab_size())
    writer.add_context_length(WINDOW)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(HEAD_WIDTH)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(1)
    add_vocabulary(writer, tokenizer, tokenizer.get_vocab_size())
    writer.add_chat_template(TEMPLATE)
    for name, values in weights(tokenizer.get_vocab_size(), seed).items():
        kept = gguf.GGMLQuantizationType.F32 if values.ndim == 1 else gguf.GGMLQuantizationType.F16
        writer.add_tensor(f"{name}.weight", gguf.quants.quantize(values, kept), raw_dtype=kept)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_vocabulary(writer: gguf.GGUFWriter, tokenizer: Tokenizer, count: int) -> None:
    """Its tokens, and unused ones up to `count`."""
    spec = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(spec["vocab"], key=spec["vocab"].__getitem__)
    tokens += [f"<|unused{number}|>" for number in range(count - len(tokens))]
    special = {PAD, BEGIN, END}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL if token in special else gguf.TokenType.NORMAL for token in tokens])
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in spec["merges"]])
    writer.add_bos_token_id(spec["vocab"][BEGIN])
    writer.add_eos_token_id(spec["vocab"][END])
    writer.add_pad_token_id(spec["vocab"][PAD])
    writer.add_add_bos_token(False)
