"""Predicted until it was loaded once, observed from then on; and how far to trust a prediction."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.footprint import Footprint, Setup
from ringfence.placement.footprint import MOST_SCALED, UNTRIED, Basis, Footprints, bars, figure

MIB = 1024**2
SETUP = Setup("llamacpp", "b1", "sha-a", 4096, 2, "Q4_K_M", "f16", "RTX 4090")
AMOUNT = st.integers(1, 2**50)


def other(number: int, engine: str = "llamacpp") -> Setup:
    return replace(SETUP, model=f"other-{number}", engine=engine)


def test_nothing_is_known_of_what_was_never_seen() -> None:
    assert Footprints().figure(SETUP) is None


def test_before_it_was_loaded_the_prediction_rules_with_bars() -> None:
    book = Footprints()
    book.predict(SETUP, "qwen3", 1000 * MIB)
    found = book.figure(SETUP)
    assert found is not None
    assert (found.bytes, found.basis, found.samples) == (1000 * MIB, Basis.PREDICTED, 0)
    assert (found.low_bytes, found.high_bytes) == (750 * MIB, 1250 * MIB)


def test_once_it_was_loaded_what_was_observed_rules() -> None:
    book = Footprints()
    book.predict(SETUP, "qwen3", 1000)
    book.load(SETUP)
    for held, at_s in ((300, 1.0), (1400, 2.0), (1300, 3.0)):
        book.observe(SETUP, held, at_s)
    found = book.figure(SETUP)
    assert found is not None
    assert (found.bytes, found.basis, found.samples) == (1400, Basis.OBSERVED, 1)
    book.predict(SETUP, "qwen3", 99_999)
    assert book.figure(SETUP) == found


def test_another_window_or_card_is_another_setup() -> None:
    book = Footprints()
    book.observe(SETUP, 1000, 1.0)
    for changed in ({"window": 8192}, {"device": "A2"}, {"build": "b2"}, {"kv_type": "q8_0"}, {"parallel": 4}):
        assert book.figure(replace(SETUP, **changed)) is None


def test_one_load_that_went_wrong_is_forgotten_after_two_good_ones() -> None:
    book = Footprints()
    figures: list[int] = []
    for held in (9000, 1000, 1010):
        book.load(SETUP)
        book.observe(SETUP, held, 1.0)
        found = book.figure(SETUP)
        assert found is not None
        figures.append(found.bytes)
    assert figures == [9000, 9000, 1010]
    book.load(SETUP)  # it has not been seen in this load
    found = book.figure(SETUP)
    assert found is not None
    assert (found.bytes, found.low_bytes, found.high_bytes) == (1010, 1010, 1010)


def test_bars_come_from_models_that_are_alike() -> None:
    book = Footprints()
    for number, (engine, architecture, held) in enumerate(
        [("llamacpp", "qwen3", 1040), ("llamacpp", "qwen3", 1100), ("llamacpp", "mamba", 2000), ("vllm", "qwen3", 9000)]
    ):
        book.predict(other(number, engine), architecture, 1000)
        book.observe(other(number, engine), held, 1.0)
    known = [book.of(other(number, engine)) for number, engine in enumerate(["llamacpp"] * 3 + ["vllm"])]
    assert bars(3000, known, "llamacpp", "qwen3") == (3000 - 3000 * UNTRIED / 3, 3300, 2)
    assert bars(3000, known, "llamacpp", "never seen") == (3000 - 3000 * UNTRIED, 6000, 3)
    assert bars(3000, known, "sglang", "qwen3") == (2250, 3750, 0)


def test_what_an_engine_takes_besides_a_tiny_model_is_not_carried_over_to_a_large_one() -> None:
    tiny = Footprint(other(1), "llama", 5 * MIB, peak_bytes=205 * MIB, loads=1)
    _low, high, samples = bars(20_000 * MIB, [tiny], "llamacpp", "llama")
    assert (high, samples) == (20_000 * MIB * (1 + UNTRIED / 2), 1)
    assert bars(10 * MIB, [tiny], "llamacpp", "llama")[1] == 410 * MIB


def test_only_what_was_changed_is_written_down() -> None:
    book = Footprints([Footprint(SETUP, peak_bytes=500, loads=1, seen_s=1.0)])
    assert book.take_changed() == []
    book.observe(SETUP, 400, 2.0)
    assert book.take_changed() == []
    book.observe(SETUP, 600, 3.0)
    assert [(one.peak_bytes, one.seen_s) for one in book.take_changed()] == [(600, 3.0)]
    assert book.take_changed() == []


@given(predicted=AMOUNT, past=st.lists(st.tuples(AMOUNT, AMOUNT), max_size=6))
def test_bars_hold_the_prediction_and_every_error_of_the_past(predicted: int, past: list[tuple[int, int]]) -> None:
    known = [
        Footprint(other(number), "qwen3", was_predicted, peak_bytes=held, loads=1)
        for number, (was_predicted, held) in enumerate(past)
    ]
    found = figure(Footprint(SETUP, "qwen3", predicted), known)
    assert found is not None
    assert 0 <= found.low_bytes <= found.bytes <= found.high_bytes
    for was_predicted, held in past:
        if predicted <= was_predicted * MOST_SCALED:
            would_take = predicted * held / was_predicted
            assert found.low_bytes <= would_take * (1 + 1e-9) + 1
            assert found.high_bytes >= would_take * (1 - 1e-9) - 1


@given(st.integers(0, 8))
def test_each_load_that_was_as_predicted_makes_the_bars_smaller(count: int) -> None:
    known = [Footprint(other(number), "qwen3", 1000, peak_bytes=1000, loads=1) for number in range(count)]
    one_more = Footprint(other(99), "qwen3", 1000, peak_bytes=1000, loads=1)
    low, high, _ = bars(10**6, [*known, one_more], "llamacpp", "qwen3")
    wide_low, wide_high, _ = bars(10**6, known, "llamacpp", "qwen3")
    assert wide_low < low <= 10**6 <= high < wide_high


@given(
    st.lists(st.sampled_from(["load", "observe", "predict"]), max_size=20), st.lists(AMOUNT, min_size=20, max_size=20)
)
def test_what_was_observed_is_never_less_than_the_last_load_took(acts: list[str], amounts: list[int]) -> None:
    book, peak = Footprints(), 0
    for act, amount in zip(acts, amounts, strict=False):
        if act == "load":
            book.load(SETUP)
            peak = 0
        elif act == "observe":
            book.observe(SETUP, amount, 1.0)
            peak = max(peak, amount)
        else:
            book.predict(SETUP, "qwen3", amount)
        found = book.figure(SETUP)
        assert (found.high_bytes if found else 0) >= peak
