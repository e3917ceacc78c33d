"""What each layer of a config.json is: full attention, a sliding window, a state, several of them, or none.

Written by many hands: each family has a key of its own for the same thing, and some have none, so that only their
code knows. Those few stand here by name; what is not known is counted as full attention, with a note.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Flag, auto

from ringfence.placement.sizing.numbers import Facts, inner, number, numbers, words


class Holds(Flag):
    """What a layer has; NOTHING for a layer that is only a feed-forward net."""

    NOTHING = 0
    FULL = auto()
    SLIDING = auto()
    STATE = auto()
    UNKNOWN = auto()


WORDS = {
    "full_attention": Holds.FULL,
    "attention": Holds.FULL,
    "global_attention": Holds.FULL,
    "global": Holds.FULL,
    "sliding_attention": Holds.SLIDING,
    "sliding_window": Holds.SLIDING,
    "local_attention": Holds.SLIDING,
    "local": Holds.SLIDING,
    "chunked_attention": Holds.SLIDING,
    "linear_attention": Holds.STATE,
    "lightning_attention": Holds.STATE,
    "mamba": Holds.STATE,
    "mamba2": Holds.STATE,
    "recurrent": Holds.STATE,
    "conv": Holds.STATE,
    "hybrid": Holds.FULL | Holds.STATE,
    "moe": Holds.NOTHING,
    "mlp": Holds.NOTHING,
}
"""Of transformers' `layer_types` and `layers_block_type`."""
LETTERS = {"M": Holds.STATE, "*": Holds.FULL, "-": Holds.NOTHING, "E": Holds.NOTHING}
"""Of Nemotron-H's `hybrid_override_pattern`."""
EVERY_NTH_IS_FULL = {"gemma2": 2, "gemma3": 6, "gemma3_text": 6, "cohere2": 4, "gpt_oss": 2}
"""Families whose older config.json does not tell which layers slide; their code in transformers does."""
ALL_SLIDE = frozenset(("mistral", "mixtral", "phi3", "phimoe", "starcoder2"))
ONLY_STATES = ("mamba", "falcon_mamba")
SIDE_BY_SIDE = frozenset(("falcon_h1", "hymba"))
LISTS = ("layer_types", "layers_block_type", "block_types", "_block_types")


def layer_kinds(config: Facts, layers: int) -> tuple[list[Holds], list[str]]:
    """Each layer in order, and notes for people where it is not known."""
    for find in (_by_list, _by_pattern, _by_indices, _by_interval, _by_window):
        found = find(config, layers)
        if found is not None:
            return found
    model_type = str(config.get("model_type", ""))
    if model_type.startswith(ONLY_STATES):
        return [Holds.STATE] * layers, []
    if model_type in SIDE_BY_SIDE:
        return [Holds.FULL | Holds.STATE] * layers, []
    return [Holds.FULL] * layers, []


Found = tuple[list[Holds], list[str]] | None


def _by_list(config: Facts, layers: int) -> Found:
    for name in LISTS:
        listed = words(config, name)
        if listed:  # a shorter list is repeated, as RecurrentGemma's is
            kinds = [WORDS.get(listed[layer % len(listed)], Holds.UNKNOWN) for layer in range(layers)]
            strange = sorted({one for one in listed if one not in WORDS})
            return kinds, [f"layers of the unknown kind {one} are counted as full attention" for one in strange]
    return None


def _by_pattern(config: Facts, layers: int) -> Found:
    pattern = config.get("hybrid_override_pattern")
    if isinstance(pattern, str) and len(pattern) >= layers:
        kinds = [LETTERS.get(letter, Holds.UNKNOWN) for letter in pattern[:layers]]
        is_strange = Holds.UNKNOWN in kinds
        return kinds, ["layers of an unknown kind are counted as full attention"] if is_strange else []
    for name, if_zero, if_one in (
        ("attn_type_list", Holds.STATE, Holds.FULL),
        ("hybrid_layer_pattern", Holds.FULL, Holds.SLIDING),
        ("no_rope_layers", Holds.FULL, Holds.SLIDING),
    ):
        listed = numbers(config, name)
        if listed and len(listed) >= layers and (name != "no_rope_layers" or number(config, "attention_chunk_size")):
            return [if_one if one else if_zero for one in listed[:layers]], []
    return None


def _by_indices(config: Facts, layers: int) -> Found:
    for source, name, first in (
        (config, "attn_layer_indices", 0),
        (config, "full_attn_idxs", 0),
        (inner(config, "linear_attn_config"), "full_attn_layers", 1),
    ):
        listed = numbers(source, name)
        if listed is not None:
            full = {one - first for one in listed}
            return [Holds.FULL if layer in full else Holds.STATE for layer in range(layers)], []
    return None


def _by_interval(config: Facts, layers: int) -> Found:
    def every(is_full: Callable[[int], bool], other: Holds) -> Found:
        return [Holds.FULL if is_full(layer) else other for layer in range(layers)], []

    if interval := number(config, "full_attention_interval"):
        return every(lambda layer: (layer + 1) % interval == 0, Holds.STATE)
    if period := number(config, "attn_layer_period"):
        offset = number(config, "attn_layer_offset")
        return every(lambda layer: layer % period == offset, Holds.STATE)
    if number(config, "attention_chunk_size") and (interval := number(config, "no_rope_layer_interval")):
        return every(lambda layer: (layer + 1) % interval == 0, Holds.SLIDING)
    return None


def _by_window(config: Facts, layers: int) -> Found:
    if not number(config, "sliding_window", "sliding_window_size") or config.get("use_sliding_window") is False:
        return None
    model_type = str(config.get("model_type", ""))
    letters = config.get("sliding_window_pattern")
    if isinstance(letters, str) and letters and set(letters) <= {"L", "G"}:
        kinds = [Holds.SLIDING if letters[layer % len(letters)] == "L" else Holds.FULL for layer in range(layers)]
        return kinds, []
    nth = number(config, "sliding_window_pattern", "_sliding_window_pattern") or EVERY_NTH_IS_FULL.get(model_type, 0)
    if nth:
        return [Holds.FULL if (layer + 1) % nth == 0 else Holds.SLIDING for layer in range(layers)], []
    if config.get("use_sliding_window") is True:
        first = number(config, "max_window_layers")
        return [Holds.SLIDING if layer >= first else Holds.FULL for layer in range(layers)], []
    if model_type in ALL_SLIDE:
        return [Holds.SLIDING] * layers, []
    note = "it has a sliding window, but does not tell in which layers: all are counted as full attention"
    return [Holds.FULL] * layers, [note]
