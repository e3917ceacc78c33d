"""The names that config.json files have for the same thing, the most usual first."""

from __future__ import annotations

from ringfence.placement.sizing.numbers import Facts, inner

NESTED = ("thinker_config", "text_config", "llm_config", "language_config", "language_model_config", "decoder")
LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers", "num_transformer_layers", "decoder_layers")
HIDDEN = ("hidden_size", "d_model", "n_embd", "dim", "model_dim")
HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads")
KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num", "num_query_groups")
WIDTHS = ("head_dim", "attention_head_dim", "kv_channels", "d_kv", "head_size")
WINDOWS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length", "n_ctx")
EXPERTS = ("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts")
EXPERTS_USED = ("num_experts_per_tok", "moe_top_k", "num_experts_per_token", "moe_topk", "experts_per_token", "moe_k")
FEED_FORWARD = ("intermediate_size", "n_inner", "ffn_dim", "d_ff", "ffn_hidden_size", "decoder_ffn_dim")


def text_part(config: Facts) -> Facts:
    """The part about text of a model that also sees or hears; what only the outside tells counts as well."""
    for name in NESTED:
        if within := inner(config, name):
            return text_part({**{key: value for key, value in config.items() if key not in NESTED}, **within})
    return config
