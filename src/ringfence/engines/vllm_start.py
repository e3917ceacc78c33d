"""How a vLLM of the owner's is started, and what its output tells of memory when it does not start. Pure.

It takes its part of a device at once, and sizes the cache of prompts by what is left of it after the weights and a
trial run (vllm/v1/core/kv_cache_utils.py, `_check_enough_kv_cache_memory`; v1/worker/utils.py, `request_memory`). Where
one request of the window does not fit, it says which window would: that is its own measurement, and is taken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import floor

from ringfence.engines.program_process import HOST, PORT

COMMAND = ("vllm",)
KEY_VARIABLE = "VLLM_API_KEY"
ENVIRONMENT: Mapping[str, str] = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_LOGGING_COLOR": "0",
}
SLEEP_ENVIRONMENT: Mapping[str, str] = {"VLLM_SERVER_DEV_MODE": "1"}
"""Opens routes that do more than sleep, without asking for the key: whoever may connect to loopback may use them."""
KV_TYPES = (
    "f16", "bf16", "fp8", "fp8_e4m3", "fp8_e5m2", "turboquant_k8v4", "turboquant_4bit_nc", "turboquant_k3v4_nc",
    "turboquant_3bit_nc",
)  # fmt: skip
"""Those that Ringfence can size (vllm/config/cache.py, `CacheDType`)."""
AS_VLLM_SAYS = {"": "auto", "f16": "auto", "bf16": "auto"}
"""'auto' is that of the weights, of 16 bits; a float16 cache for bfloat16 weights is not what anyone means by f16."""
USUAL_LORA_RANK = 16
LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Those that it takes (vllm/config/lora.py, `MaxLoRARanks`)."""
MOST_OF_A_DEVICE = 0.98
"""Of its memory: the driver and the context take the rest."""
SERVER_MODULE = "api_server"
OURS = frozenset((
    "--model", "--served-model-name", "--host", "--port", "--uds", "--api-key", "--max-model-len", "--max-num-seqs",
    "--gpu-memory-utilization", "--kv-cache-memory-bytes", "--kv-cache-dtype", "--enable-sleep-mode", "--enable-lora",
    "--max-loras", "--max-lora-rank", "--tensor-parallel-size", "-tp", "--enable-prefix-caching",
    "--no-enable-prefix-caching",
))  # fmt: skip
"""Said by the configuration of the model: an argument that says otherwise would make it untrue."""
REACHES_ELSEWHERE = frozenset((
    "--kv-transfer-config", "--ec-transfer-config", "--data-parallel-address", "--data-parallel-hybrid-lb",
    "--data-parallel-external-lb", "--master-addr", "--node-rank", "--nnodes", "--distributed-executor-backend",
    "--otlp-traces-endpoint", "--enable-log-requests", "--enable-log-outputs", "--trust-remote-code",
    "--trust-request-chat-template", "--allowed-media-domains", "--allowed-local-media-path", "--middleware",
    "--tool-server", "--download-dir", "--config", "--enable-auto-update",
))  # fmt: skip
"""It would have text or code come from, or go to, somewhere else, or write down what it is asked."""

NEEDED = re.compile(
    r"max seq len \((?P<window>\d+)\)[^.]*?\(?(?P<needed>[\d.]+) GiB KV cache is needed, which is larger than the "
    r"available KV cache memory \((?P<there>[\d.]+) GiB\)"
)
ESTIMATED = re.compile(r"the estimated maximum model length is (?P<window>\d+)")
STORED = re.compile(
    r"max seq len \(\d+\) is larger than the maximum number of tokens that can be stored in KV cache "
    r"\((?P<window>\d+)\)"
)
TAKEN = re.compile(
    r"(?:Free|Available) memory on (?:device|node)[^(]*\((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\) on startup is less "
    r"than desired (?:GPU|CPU) memory utilization \([\d.]+, (?P<wanted>[\d.]+) GiB\)"
)
OTHERWISE = (
    (
        re.compile(r"No available memory for the cache blocks"),
        "the weights leave nothing of the memory that it was given",
    ),
    (
        re.compile(r"max_model_len \((\d+)\) is greater than the derived max_model_len \(\w+=(\d+)"),
        r"the model goes up to \2 tokens, and its window is to be \1",
    ),
    (
        re.compile(r"(?:CUDA|HIP) out of memory\. Tried to allocate ([\d.]+ [KMG]iB)"),
        r"its device ran out of memory when it wanted \1 more",
    ),
)
"""Reasons that no other window would mend."""
LEAST_WINDOW = 16
"""Tokens of a block: with less it serves nobody."""
BROKEN = (
    (re.compile(r"OutOfMemoryError: (?:CUDA|HIP) out of memory"), "vLLM ran out of its device's memory"),
    (re.compile(r"EngineDeadError|EngineCore encountered a fatal error"), "the engine core of vLLM has stopped"),
    (re.compile(r"(?:CUDA|HIP) error: "), "vLLM met an error of its device"),
)


def arguments(
    model: str,
    alias: str,
    *,
    command: Sequence[str],
    window: int,
    parallel: int,
    share: float | None,
    kv_type: str,
    gpus: int,
    sleeps: bool,
    lora_slots: int,
    lora_rank: int,
) -> list[str]:
    """Everything after the name of the program. `window` 0: as far as the model goes. `share` is the part of each
    device that it may take; None leaves it to vLLM."""
    is_module = any(part.endswith(SERVER_MODULE) for part in command)
    said = ["--model", model] if is_module else ["serve", model]
    said += ["--served-model-name", alias, "--host", HOST, "--port", PORT, "--max-num-seqs", str(parallel)]
    if window:
        said += ["--max-model-len", str(window)]
    if share is not None:
        said += ["--gpu-memory-utilization", f"{share:g}"]
    said += ["--kv-cache-dtype", AS_VLLM_SAYS.get(kv_type, kv_type), "--enable-prefix-caching"]
    said += ["--enable-prompt-tokens-details", "--uvicorn-log-level", "warning"]
    if gpus > 1:
        said += ["--tensor-parallel-size", str(gpus)]
    if sleeps:
        said += ["--enable-sleep-mode"]
    if lora_slots:
        said += ["--enable-lora", "--max-loras", str(lora_slots), "--max-lora-rank", str(lora_rank)]
    return said


def share_of(claimed_bytes: int, total_bytes: int) -> float:
    """The part of a device, never more than was claimed of it."""
    return max(0.001, min(MOST_OF_A_DEVICE, floor(1000 * claimed_bytes / total_bytes) / 1000))


def refused(further: Sequence[str]) -> str:
    """Why these arguments of the owner's cannot be added; empty where they can. Underscores are as good as dashes."""
    for argument in further:
        name = argument.partition("=")[0]
        name = name.replace("_", "-") if name.startswith("--") else name
        if name in OURS:
            return f"{name} is said by the model's own settings"
        if name in REACHES_ELSEWHERE:
            return f"{name} would have text or code come from, or go to, somewhere else"
    return ""


def window_that_fits(lines: Sequence[str]) -> int | None:
    """The window with which it would have started, by what it says of the one with which it did not; None where memory
    for one request is not what it lacks, or where no window would do.

    Older versions tell only how much is needed and how much there is: for a cache that grows with the window, as that
    of most models does, that is as good.
    """
    text = "\n".join(lines)
    told = [int(found["window"]) for pattern in (ESTIMATED, STORED) for found in pattern.finditer(text)]
    if not told:
        for found in NEEDED.finditer(text):
            needed, there = float(found["needed"]), float(found["there"])
            told.append(floor(int(found["window"]) * there / needed) // LEAST_WINDOW * LEAST_WINDOW if needed else 0)
    least = min(told, default=0)
    return least if least >= LEAST_WINDOW else None


def why_not_started(lines: Sequence[str]) -> str | None:
    """vLLM's own reason, in words that say what to do; None where it gives none that is known."""
    text = "\n".join(lines)
    if found := TAKEN.search(text):
        return (
            f"{found['free']} of {found['total']} GiB are free on its device, and it was given {found['wanted']} GiB: "
            "something else holds the rest"
        )
    if found := NEEDED.search(text):
        fits = window_that_fits(lines)
        more = f"; a window of {fits} tokens would fit" if fits else ""
        return (
            f"a window of {found['window']} tokens needs {found['needed']} GiB for keys and values, and "
            f"{found['there']} GiB are left{more}"
        )
    if (fits := window_that_fits(lines)) is not None:
        return f"its memory holds {fits} tokens, which is less than its window"
    found_first = (found.expand(words) for pattern, words in OTHERWISE if (found := pattern.search(text)))
    return next(found_first, None)


def about_itself(line: str) -> str | None:
    """What may be kept of a line that a serving vLLM wrote: that it broke, and never its words."""
    return next((said for pattern, said in BROKEN if pattern.search(line)), None)
