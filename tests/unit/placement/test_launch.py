"""How engines are started: what they are told, and where they are put."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ringfence.core.catalog import Ability
from ringfence.core.errors import TargetFailed
from ringfence.placement.launch import NotLaunched, Seat, environment, llama_server, llamacpp
from ringfence.placement.launch_vllm import vllm
from ringfence.testing.llama_program import llama_server_program
from ringfence.testing.tiny_model import WINDOW

GIB = 1 << 30
CARD, OTHER = "GPU-6f3a0c1e-0000-4000-8000-000000000001", "GPU-6f3a0c1e-0000-4000-8000-000000000002"
ON_CPU = Seat(("cpu",), (4 * GIB,), (16 * GIB,))
ON_CARD = Seat((CARD,), (20 * GIB,), (24 * GIB,))
ON_BOTH = Seat((CARD, OTHER, "cpu"), (18 * GIB, 6 * GIB, GIB), (24 * GIB, 8 * GIB, 64 * GIB))
TOLD = "To serve at least one request with the model's max seq len ({}), (9.00 GiB KV cache is needed, which is larger than the available KV cache memory (1.00 GiB). Based on the available memory, the estimated maximum model length is {}."  # noqa: E501


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model as a hub has it, as far as it is looked at."""
    (tmp_path / "config.json").write_text(json.dumps({"torch_dtype": "bfloat16"}))
    (tmp_path / "model-1.safetensors").write_bytes(b"x" * 700)
    (tmp_path / "model-2.safetensors").write_bytes(b"x" * 300)
    return tmp_path


def word_after(launch: Any, name: str) -> str | None:
    words = launch.spec["command"]
    return words[words.index(name) + 1] if name in words else None


# -- llama.cpp of the wheel -------------------------------------------------------------------------------------------


def test_the_window_is_known_before_it_runs(model: Path) -> None:
    assert llamacpp(model, "tiny").window == WINDOW
    assert llamacpp(model, "tiny", window=300).window == 300


@pytest.mark.parametrize(
    ("seat", "asked", "layers", "seen"),
    [
        (None, None, None, None),
        (None, 0, 0, ""),
        (None, 7, 7, None),
        (ON_CPU, None, 0, ""),
        (ON_CPU, 20, 0, ""),
        (ON_CARD, None, 999, CARD),
        (ON_CARD, 20, 20, CARD),
        (ON_CARD, 0, 0, ""),
        (ON_BOTH, None, 999, f"{CARD},{OTHER}"),
        (Seat(("gpu0",), (GIB,), (24 * GIB,)), None, 0, ""),
    ],
)
def test_layers_are_where_the_model_was_put(
    model: Path, seat: Seat | None, asked: int | None, layers: int | None, seen: str | None
) -> None:
    launch = llamacpp(model, "tiny", gpu_layers=asked, seat=seat)
    assert launch.spec["gpu_layers"] == layers
    assert launch.environment.get("CUDA_VISIBLE_DEVICES") == seen
    server = llama_server(["llama-server"], model, "tiny", gpu_layers=asked, seat=seat)
    assert word_after(server, "--n-gpu-layers") == (None if layers is None else str(layers))
    assert server.environment == launch.environment
    assert server.spec["device"] == {None: "gpu" if seat else "", "": "cpu"}.get(seen, "gpu") or seen is None


def test_several_cards_share_it_by_what_was_claimed(model: Path) -> None:
    assert llamacpp(model, "tiny", seat=ON_BOTH).spec["split"] == [18 * GIB, 6 * GIB]
    assert llamacpp(model, "tiny", seat=ON_CARD).spec["split"] == []
    assert word_after(llama_server(["llama-server"], model, "tiny", seat=ON_BOTH), "--tensor-split") == "0.75,0.25"


@pytest.mark.parametrize("start", [llamacpp, lambda *told, **more: llama_server(["x"], *told, **more)])
def test_a_type_of_keys_and_values_that_it_does_not_have_is_refused(model: Path, start: Any) -> None:
    with pytest.raises(NotLaunched, match=r"kv_type: llama\.cpp keeps .* not as fp8"):
        start(model, "tiny", kv_type="fp8")


async def test_with_everything_set_it_serves(supervise: Any, model: Path) -> None:
    keeper = supervise(llamacpp(model, "tiny", window=256, threads=1, kv_type="q8_0", gpu_layers=0, seat=ON_BOTH))
    keeper.start()
    await keeper.wait_ready(20)
    assert [(offer.window, offer.device) for offer in keeper.offers] == [(256, "cpu")]


# -- a llama-server of the owner's ------------------------------------------------------------------------------------


def test_it_is_told_what_the_model_needs(model: Path) -> None:
    launch = llama_server(["nice", "llama-server"], model, "tiny", further=["--mlock"], window=512, parallel=3)
    assert launch.spec["command"][:2] == ["nice", "llama-server"]
    assert launch.spec["command"][-1] == "--mlock"
    assert (word_after(launch, "--ctx-size"), launch.window) == ("1536", 512)
    assert launch.abilities == {Ability.CHAT, Ability.COMPLETIONS}
    assert launch.quantisation == "F16"
    assert "api_key" not in json.dumps(launch.spec)


def test_embeddings_are_asked_for(model: Path) -> None:
    launch = llama_server(["llama-server"], model, "tiny", embeddings=True)
    assert "--embeddings" in launch.spec["command"]
    assert launch.abilities == {Ability.CHAT, Ability.COMPLETIONS, Ability.EMBEDDINGS}


def test_one_that_ranks_does_nothing_else(model: Path) -> None:
    launch = llama_server(["llama-server"], model, "tiny", ranks=True, embeddings=True)
    assert "--reranking" in launch.spec["command"] and "--embeddings" not in launch.spec["command"]
    assert launch.abilities == {Ability.RERANK}
    assert llamacpp(model, "tiny", ranks=True).abilities == {Ability.RERANK}
    assert llamacpp(model, "tiny").spec["ranks"] is False


def test_an_argument_that_is_not_its_owners_is_refused(model: Path) -> None:
    with pytest.raises(NotLaunched, match="args: --port is said by the model's own settings"):
        llama_server(["llama-server"], model, "tiny", further=["--port", "1"])


async def test_a_reason_of_the_program_is_told(supervise: Any, model: Path, tmp_path: Path) -> None:
    program = llama_server_program(tmp_path)
    keeper = supervise(llama_server([str(program)], model, "tiny", further=["--nonsense"]))
    keeper.start()
    with pytest.raises(TargetFailed):
        await keeper.wait_ready(20)
    assert keeper.reason == ("llama-server ended with exit status 1 before it was ready (invalid argument: --nonsense)")


# -- vLLM -------------------------------------------------------------------------------------------------------------


def test_it_takes_the_part_of_the_card_that_was_claimed(folder: Path) -> None:
    launch = vllm([], folder, "coder", window=32768, seat=ON_CARD)
    assert launch.spec["command"][:3] == ["vllm", "serve", str(folder)]
    assert word_after(launch, "--gpu-memory-utilization") == "0.833"
    assert (launch.model_bytes, launch.quantisation, launch.window) == (1000, "bfloat16", 32768)
    assert launch.environment["CUDA_VISIBLE_DEVICES"] == CARD
    assert launch.start_s > 0


def test_of_several_cards_it_takes_the_part_that_was_claimed_of_each(folder: Path) -> None:
    seat = Seat((CARD, OTHER, "cpu"), (12 * GIB, 20 * GIB, GIB), (24 * GIB, 24 * GIB, 64 * GIB))
    launch = vllm(["vllm"], folder, "coder", seat=seat)
    assert word_after(launch, "--gpu-memory-utilization") == "0.5"
    assert word_after(launch, "--tensor-parallel-size") == "2"


@pytest.mark.parametrize(
    ("sleeps", "seat", "does"),
    [(None, ON_CARD, True), (None, ON_CPU, False), (None, None, False), (False, ON_CARD, False), (True, None, True)],
)
def test_its_dangerous_routes_are_open_only_where_it_sleeps(
    folder: Path, sleeps: bool | None, seat: Seat | None, does: bool
) -> None:
    launch = vllm(["vllm"], folder, "coder", sleeps=sleeps, seat=seat)
    assert ("--enable-sleep-mode" in launch.spec["command"]) is launch.sleeps is does
    assert ("VLLM_SERVER_DEV_MODE" in launch.spec["environment"]) is does


def test_it_is_started_again_with_the_window_that_fits_and_with_less_each_time(folder: Path) -> None:
    launch = vllm(["vllm"], folder, "coder", window=100_000, further=["--dtype", "half"], seat=ON_CARD)
    again = launch.retry([TOLD.format(100_000, 40_000)])
    assert again is not None
    assert (again.window, word_after(again, "--max-model-len")) == (40_000, "40000")
    assert again.note == "a window of 40000 tokens instead of 100000: no more fits the memory that it was given"
    assert again.spec["command"][-2:] == ["--dtype", "half"]
    assert (again.model_bytes, again.environment, again.engine) == (1000, launch.environment, "vllm")
    assert again.retry([TOLD.format(100_000, 40_000)]) is None, "what it said before is not said anew"
    third = again.retry([TOLD.format(40_000, 39_984)])
    assert third is not None
    assert third.window == 39_984
    assert launch.retry(["CUDA out of memory"]) is None


def test_one_without_a_window_gets_the_one_that_fits(folder: Path) -> None:
    again = vllm(["vllm"], folder, "coder").retry([TOLD.format(262_144, 34_736)])
    assert again is not None
    assert again.note == "a window of 34736 tokens: no more fits the memory that it was given"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"kv_type": "q8_0"}, "kv_type: vLLM keeps"),
        ({"lora_slots": 2, "lora_rank": 12}, "adapters of the ranks 1, 8, 16"),
        ({"further": ["--trust-remote-code"]}, "args: --trust-remote-code"),
    ],
)
def test_what_it_does_not_take_is_refused_before_it_is_started(folder: Path, more: dict[str, Any], told: str) -> None:
    with pytest.raises(NotLaunched, match=told):
        vllm(["vllm"], folder, "coder", **more)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotLaunched, match=r"no config\.json"):
        vllm(["vllm"], tmp_path, "coder")


def test_a_quantised_model_says_how(folder: Path) -> None:
    (folder / "config.json").write_text(
        json.dumps({"dtype": "bfloat16", "quantization_config": {"quant_method": "fp8"}})
    )
    assert vllm(["vllm"], folder, "coder").quantisation == "fp8"
    (folder / "config.json").write_text("[]")
    assert vllm(["vllm"], folder, "coder").quantisation == ""


# -- all of them ------------------------------------------------------------------------------------------------------


async def test_an_engine_really_sees_the_devices_that_it_was_put_on(supervise: Any, model: Path) -> None:
    told = "print(json.dumps({'error': 'it sees ' + os.environ['CUDA_VISIBLE_DEVICES']}))"
    says = (sys.executable, "-c", f"import json, os, sys; sys.stdin.readline(); {told}")
    keeper = supervise(replace(llamacpp(model, "tiny", seat=ON_BOTH), command=says))
    keeper.start()
    with pytest.raises(TargetFailed):
        await keeper.wait_ready(20)
    assert keeper.reason == f"it sees {CARD},{OTHER}"


def test_a_spec_and_an_environment_are_not_shown(folder: Path) -> None:
    assert "spec" not in repr(vllm(["vllm"], folder, "coder"))


def test_nothing_of_ours_that_is_secret_is_handed_on() -> None:
    ours = {"PATH": "/bin", "VLLM_API_KEY": "k", "LLAMA_ARG_RPC": "10.0.0.1:1", "HTTPS_PROXY": "p", "HF_TOKEN": "t"}
    assert environment(ours) == {"PATH": "/bin", "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
