"""What holds for every model and type: more memory never gives less window, fewer bits never take more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.placement.sizing.architecture import Architecture, Cache, Group, Kind
from ringfence.placement.sizing.hf_config import from_config
from ringfence.placement.sizing.kv import bytes_per_sequence, bytes_per_token, group_bytes, window_that_fits
from ringfence.placement.sizing.kv_types import F16, TYPES, KvType, why_not

KNOWN = {
    path.stem: from_config(json.loads(path.read_text())) for path in (Path(__file__).parent / "configs").glob("*.json")
}
LLAMA = KNOWN["llama-3.1-8b"]

widths = st.sampled_from([32, 64, 128, 256])
caches = st.one_of(
    st.builds(Cache, st.just(Kind.FULL), st.integers(1, 64), widths, widths),
    st.builds(Cache, st.just(Kind.LATENT), st.just(1), st.sampled_from([288, 576])),
    st.builds(
        Cache, st.just(Kind.SLIDING), st.integers(1, 16), st.sampled_from([64, 128]), st.sampled_from([64, 128]),
        st.integers(1, 8192),
    ),
    st.builds(Cache, st.just(Kind.STATE), state_bytes=st.integers(1, 10**7)),
)  # fmt: skip


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
    kept = draw(st.lists(caches, min_size=1, max_size=4))
    each = draw(st.integers(1, 20))
    groups = tuple(Group(cache, tuple(range(place, each * len(kept), len(kept)))) for place, cache in enumerate(kept))
    return Architecture("any", each * len(kept), groups)


sizes = st.integers(0, 2**42)
types = st.sampled_from(list(TYPES.values()))


@given(architectures(), types, sizes, sizes, st.integers(1, 64))
def test_more_memory_never_gives_less_window(
    model: Architecture, kv_type: KvType, one: int, other: int, parallel: int
) -> None:
    less, more = sorted((one, other))
    small, large = (window_that_fits(model, kv_type, size, parallel) for size in (less, more))
    assert large is None or (small is not None and small <= large)


@given(architectures(), types, sizes, st.integers(1, 64))
def test_the_window_fits_and_the_next_does_not(model: Architecture, kv_type: KvType, size: int, parallel: int) -> None:
    window = window_that_fits(model, kv_type, size, parallel)
    if window is None:
        assert bytes_per_token(model, kv_type) == 0
        return
    if window:
        assert parallel * bytes_per_sequence(model, kv_type, window) <= size
    assert parallel * bytes_per_sequence(model, kv_type, window + 256) > size


@given(architectures(), types, st.integers(1, 2**20))
def test_fewer_bits_never_take_more_than_f16(model: Architecture, kv_type: KvType, tokens: int) -> None:
    if not why_not(model, kv_type):
        assert bytes_per_token(model, kv_type) <= bytes_per_token(model, F16)
        assert bytes_per_sequence(model, kv_type, tokens) <= bytes_per_sequence(model, F16, tokens)


@given(architectures(), types, sizes, st.integers(1, 64))
def test_more_requests_at_a_time_never_give_more_window(
    model: Architecture, kv_type: KvType, size: int, parallel: int
) -> None:
    alone, together = (window_that_fits(model, kv_type, size, count) for count in (parallel, parallel + 1))
    assert alone is None or (together is not None and together <= alone)


@given(architectures(), types, st.integers(1, 2**20), st.integers(0, 4096))
def test_longer_never_takes_less_and_the_terms_add_up(
    model: Architecture, kv_type: KvType, tokens: int, more: int
) -> None:
    whole = bytes_per_sequence(model, kv_type, tokens)
    assert whole == sum(one.sequence_bytes for one in group_bytes(model, kv_type, tokens))
    assert whole <= bytes_per_sequence(model, kv_type, tokens + more)
    assert whole <= bytes_per_sequence(model, kv_type, tokens, unseparated=True)


@pytest.mark.parametrize(
    ("kv_type", "size"),
    [
        ("f16", 256), ("fp8", 128), ("q8_0", 136), ("q5_1", 96), ("q5_0", 88), ("q4_1", 80), ("q4_0", 72),
        ("iq4_nl", 72), ("turboquant_k8v4", 196 - 68), ("turboquant_4bit_nc", 66), ("turboquant_k3v4_nc", 50),
        ("turboquant_3bit_nc", 50),
    ],
)  # fmt: skip
def test_bytes_of_one_key_of_128(kv_type: str, size: int) -> None:
    both = TYPES[kv_type].token_bytes(Cache(Kind.FULL, 1, 128, 128))
    value = {"turboquant_3bit_nc": 52}.get(kv_type, 68 if kv_type.startswith("turboquant") else size)
    assert both == size + value


@pytest.mark.parametrize(("width", "gain"), [(64, 3.66), (128, 3.82), (256, 3.91)])
def test_four_bits_on_a_quantised_layer(width: int, gain: float) -> None:
    layer = Cache(Kind.FULL, 8, width, width)
    assert F16.token_bytes(layer) / TYPES["turboquant_4bit_nc"].token_bytes(layer) == pytest.approx(gain, abs=0.005)


@pytest.mark.parametrize(("layers", "gain"), [(32, 2.82), (80, 3.35), (4, 1.0), (2, 1.0)])
def test_four_bits_on_a_whole_dense_model_are_less(layers: int, gain: float) -> None:
    model = Architecture("dense", layers, (Group(Cache(Kind.FULL, 8, 128, 128), tuple(range(layers))),))
    whole = bytes_per_token(model, F16) / bytes_per_token(model, TYPES["turboquant_4bit_nc"])
    assert whole == pytest.approx(gain, abs=0.01)
    assert bool(why_not(model, TYPES["turboquant_4bit_nc"])) == (gain == 1.0)


def test_a_hybrid_has_no_ends_in_sixteen_bits() -> None:
    model = KNOWN["qwen3-next"]
    assert bytes_per_token(model, TYPES["turboquant_4bit_nc"]) == 12 * 2 * 262


@pytest.mark.parametrize(
    ("name", "kv_type", "said"),
    [
        ("deepseek-v3", "turboquant_4bit_nc", "latent attention"),
        ("deepseek-v3", "q8_0", ""),
        ("mamba-2.8b", "q8_0", "no keys and values"),
        ("mistral-7b-v0.1", "turboquant_4bit_nc", "every layer"),
        ("llama-3.1-8b", "turboquant_4bit_nc", ""),
    ],
)
def test_why_a_type_cannot_be_used(name: str, kv_type: str, said: str) -> None:
    assert (said in why_not(KNOWN[name], TYPES[kv_type])) and bool(said) == bool(why_not(KNOWN[name], TYPES[kv_type]))


def test_blocks_need_heads_of_a_multiple_of_32() -> None:
    model = Architecture("phi", 1, (Group(Cache(Kind.FULL, 32, 80, 80), (0,)),))
    assert "multiple of 32, this model's are 80" in why_not(model, TYPES["q8_0"])
    assert why_not(model, TYPES["fp8"]) == ""


def test_a_sliding_window_holds_its_tokens_and_a_step() -> None:
    model = KNOWN["mistral-7b-v0.1"]
    each = 32 * 2 * 8 * 128 * 2
    assert bytes_per_sequence(model, F16, 1000) == 1000 * each
    assert bytes_per_sequence(model, F16, 100_000) == (4096 + 2048) * each
    assert bytes_per_sequence(model, F16, 100_000, step=512) == (4096 + 512) * each
    assert bytes_per_sequence(model, F16, 100_000, unseparated=True) == 100_000 * each


def test_eight_gibibytes_of_llama() -> None:
    assert window_that_fits(LLAMA, F16, 8 << 30) == 65_536
    assert window_that_fits(LLAMA, F16, 8 << 30, parallel=4) == 16_384
    assert window_that_fits(LLAMA, F16, -1) == 0
