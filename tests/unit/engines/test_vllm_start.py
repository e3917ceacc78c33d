"""vLLM's arguments, and what its output tells of memory. The lines are those that its versions wrote."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.engines.vllm_start import about_itself, arguments, refused, share_of, why_not_started, window_that_fits

NEEDED = "To serve at least one request with the model{} max seq len ({}), ({} GiB KV cache is needed, which is larger "
THERE = "than the available KV cache memory ({} GiB). "
FITS = (
    "Based on the available memory, the estimated maximum model length is {}. Try increasing `gpu_memory_utilization` "
)


def lacks(before: str, models: str, window: int, needed: str, there: str, fits: int | None) -> str:
    told = NEEDED.format(models, window, needed) + THERE.format(there)
    return f"{before}ValueError: {told}{FITS.format(fits) if fits else 'Try increasing `gpu_memory_utilization` '}or"


V32 = lacks("(EngineCore pid=1402) ERROR 11-22 [core.py:1316] ", "'s", 4000000, "3.81", "0.73", 769024)
V10 = lacks("ERROR 07-11 06:23:05 [core.py:390] ", "s's", 118000, "6.30", "6.11", 114432)
V8 = lacks("ERROR 04-05 01:12:55 [core.py:390] ", "s's", 1048576, "24.00", "9.97", None)
V2 = (
    "ValueError: The model's max seq len (32768) is larger than the maximum number of tokens that can be stored in KV "
    "cache (7344). Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing the engine."
)
TAKEN = (
    "(EngineCore pid=17635) ValueError: Free memory on device cuda:0 (15.32/22.04 GiB) on startup is less than desired "
    "GPU memory utilization (0.88, 19.39 GiB). Decrease GPU memory utilization or reduce GPU memory used by others."
)
TAKEN_BEFORE = (
    "ValueError: Free memory on device (3.27/15.98 GiB) on startup is less than desired GPU memory utilization (0.9, "
    "14.39 GiB)."
)
TAKEN_OF_RAM = (
    "ValueError: Available memory on node 0 (1.5/11.96 GiB) on startup is less than desired CPU memory utilization "
    "(0.92, 11.0 GiB). On the CPU backend, the `--gpu-memory-utilization` flag controls the fraction of CPU memory"
)
NOTHING = (
    "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing"
)
RAN_OUT = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.16 GiB. GPU 0 has a total capacity of 22.04"
TRAINED = (
    "  Value error, User-specified max_model_len (99999) is greater than the derived max_model_len "
    "(max_position_embeddings=2048.0 or model_max_length=None in model's config.json). To allow overriding this maximum"
)


@pytest.mark.parametrize(("line", "window"), [(V32, 769024), (V10, 114432), (V2, 7344)])
def test_the_window_that_fits_is_the_one_that_it_tells(line: str, window: int) -> None:
    assert window_that_fits(["before", line, "Traceback", line]) == window


def test_versions_that_tell_no_window_tell_how_much_is_missing() -> None:
    window = window_that_fits([V8])
    assert window is not None
    assert 1048576 * 9.96 / 24 < window <= 1048576 * 9.97 / 24
    assert window % 16 == 0


@pytest.mark.parametrize("line", [TAKEN, TAKEN_BEFORE, TAKEN_OF_RAM, NOTHING, RAN_OUT, TRAINED, "", "max seq len (x)"])
def test_nothing_is_asked_again_where_a_window_would_not_help(line: str) -> None:
    assert window_that_fits([line]) is None


def test_a_window_that_serves_nobody_is_none() -> None:
    assert window_that_fits(["the estimated maximum model length is 15."]) is None


@given(st.lists(st.text()))
def test_any_output_can_be_read(lines: list[str]) -> None:
    assert window_that_fits(lines) is None
    assert why_not_started(lines) is None


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            V32,
            "a window of 4000000 tokens needs 3.81 GiB for keys and values, and 0.73 GiB are left; a window of 769024",
        ),
        (V8, "9.97 GiB are left; a window of"),
        (V2, "7344 tokens"),
        (TAKEN, "15.32 of 22.04 GiB are free on its device, and it was given 19.39 GiB"),
        (TAKEN_BEFORE, "3.27 of 15.98 GiB"),
        (TAKEN_OF_RAM, "1.5 of 11.96 GiB"),
        (NOTHING, "the weights leave nothing"),
        (RAN_OUT, "ran out of memory when it wanted 1.16 GiB more"),
        (TRAINED, "goes up to 2048 tokens, and its window is to be 99999"),
    ],
)
def test_its_reason_is_told_in_plain_words(line: str, told: str) -> None:
    assert told in (why_not_started([line]) or "")


def said(**changes: object) -> list[str]:
    usual = {
        "command": ("vllm",), "window": 8192, "parallel": 4, "share": 0.5, "kv_type": "", "gpus": 1, "sleeps": False,
        "lora_slots": 0, "lora_rank": 16,
    }  # fmt: skip
    return arguments("/models/m", "coder", **(usual | changes))  # type: ignore[arg-type]


def after(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


def test_it_is_told_what_was_claimed_for_it() -> None:
    words = said(kv_type="fp8", gpus=2, sleeps=True, lora_slots=3, lora_rank=32)
    assert words[:2] == ["serve", "/models/m"]
    expected = {
        "--served-model-name": "coder", "--host": "127.0.0.1", "--port": "{port}", "--max-num-seqs": "4",
        "--max-model-len": "8192", "--gpu-memory-utilization": "0.5", "--kv-cache-dtype": "fp8",
        "--tensor-parallel-size": "2", "--max-loras": "3", "--max-lora-rank": "32",
    }  # fmt: skip
    assert {name: after(words, name) for name in expected} == expected
    assert {"--enable-sleep-mode", "--enable-lora", "--enable-prefix-caching"} <= set(words)


def test_what_is_not_asked_for_is_left_to_it() -> None:
    words = said(window=0, share=None)
    assert not {"--max-model-len", "--gpu-memory-utilization", "--enable-sleep-mode", "--enable-lora"} & set(words)
    assert "--tensor-parallel-size" not in words
    assert after(words, "--kv-cache-dtype") == "auto" == after(said(kv_type="f16"), "--kv-cache-dtype")


def test_a_build_without_the_command_is_started_as_a_module() -> None:
    assert said(command=("python", "-m", "vllm.entrypoints.openai.api_server"))[:2] == ["--model", "/models/m"]
    assert said(command=("python", "-m", "vllm.entrypoints.cli.main"))[0] == "serve"


@given(st.integers(0, 1 << 41), st.integers(1 << 30, 1 << 41))
def test_its_share_is_never_more_than_was_claimed(claimed: int, total: int) -> None:
    share = share_of(claimed, total)
    assert 0 < share < 1
    assert share * total <= claimed or share == 0.001


@pytest.mark.parametrize(
    "further",
    [
        ["--port", "1"], ["--gpu_memory_utilization=0.9"], ["--api-key", "x"], ["--kv-transfer-config", "{}"],
        ["--dtype", "half", "--enable_log_requests"], ["--trust-remote-code"],
    ],
)  # fmt: skip
def test_arguments_that_would_make_the_settings_untrue_are_refused(further: list[str]) -> None:
    assert refused(further)


def test_other_arguments_are_the_owners() -> None:
    assert refused(["--dtype", "float32", "--enforce-eager", "--tool-call-parser", "hermes"]) == ""


def test_of_what_it_writes_while_it_serves_only_its_end_is_kept() -> None:
    canary = "canary-7f3a91"
    assert about_itself(f"INFO Received request chatcmpl-1: prompt: {canary}") is None
    kept = about_itself(f"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1 GiB {canary}")
    assert kept is not None
    assert canary not in kept
    assert about_itself("vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue.")
