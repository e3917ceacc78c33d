"""The arguments of a llama-server of the owner's, and its reasons for not starting."""

from __future__ import annotations

import pytest

from ringfence.engines.llama_server_start import ENVIRONMENT, arguments, proportions, refused, why_not_started


def said(**changes: object) -> list[str]:
    usual = {
        "window": 4096, "parallel": 2, "batch": 512, "threads": 4, "embeddings": False, "ranks": False,
        "mean_pooling": True, "kv_type": "", "gpu_layers": None, "split": (),
    }  # fmt: skip
    return arguments("/models/m.gguf", "fast", **(usual | changes))  # type: ignore[arg-type]


def after(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


def test_the_context_holds_the_window_of_every_request() -> None:
    words = said()
    assert (after(words, "--ctx-size"), after(words, "--parallel")) == ("8192", "2")
    assert (after(words, "--host"), after(words, "--port")) == ("127.0.0.1", "{port}")
    assert not {"--cache-type-k", "--n-gpu-layers", "--tensor-split", "--embeddings"} & set(words)
    assert ENVIRONMENT["LLAMA_ARG_KV_UNIFIED"] == "0"


def test_layers_types_and_shares_are_told() -> None:
    words = said(kv_type="q8_0", gpu_layers=20, split=(24 << 30, 8 << 30), embeddings=True)
    assert after(words, "--cache-type-k") == after(words, "--cache-type-v") == "q8_0"
    assert (after(words, "--n-gpu-layers"), after(words, "--tensor-split")) == ("20", "0.75,0.25")
    assert after(words, "--pooling") == "mean"
    assert "--pooling" not in said(embeddings=True, mean_pooling=False)
    assert "--tensor-split" not in said(split=(1 << 30,))


def test_shares_of_nothing_are_none() -> None:
    assert proportions((0, 0)) == []


@pytest.mark.parametrize(
    "further",
    [["--host", "0.0.0.0"], ["--api-key=x"], ["-c", "5"], ["-hf", "a/b"], ["--rpc", "10.0.0.5:50052"], ["-v"]],
)
def test_arguments_that_would_make_the_settings_untrue_are_refused(further: list[str]) -> None:
    assert refused(further)


def test_other_arguments_are_the_owners() -> None:
    assert refused(["--flash-attn", "on", "--mlock", "--rpc", "127.0.0.1:50052"]) == ""


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["build 1", "error: invalid argument: --nonsense", ""], "invalid argument: --nonsense"),
        (["llama_model_load: error loading model: tensor x is missing"], "tensor x is missing"),
        (
            [
                "alloc_buffer: allocating 7325.34 MiB on device 1: cudaMalloc failed: out of memory",
                "error loading model: x",
            ],
            "its device 1 ran out of memory when it wanted 7325.34 MiB more",
        ),
        (["all is well"], None),
    ],
)
def test_its_reason_is_found(lines: list[str], told: str | None) -> None:
    assert why_not_started(lines) == told
