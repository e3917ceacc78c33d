"""How a llama-server of the owner's is started, instead of the one in the wheel. Pure.

What every build knows is said by arguments, for one that it does not know ends it. What some builds lack is said in the
environment, where it is passed over (common/arg.cpp, `set_env`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ringfence.engines.llamacpp import started_with_peers
from ringfence.engines.llamacpp_process import load_error
from ringfence.engines.program_process import HOST, PORT

COMMAND = ("llama-server",)
KEY_VARIABLE = "LLAMA_API_KEY"
ENVIRONMENT: Mapping[str, str] = {
    "LLAMA_ARG_OFFLINE": "1",
    "LLAMA_ARG_ENDPOINT_METRICS": "1",
    "LLAMA_ARG_ENDPOINT_SLOTS": "1",
    "LLAMA_ARG_KV_UNIFIED": "0",
    "LLAMA_ARG_UI": "0",
    "LLAMA_ARG_WEBUI": "0",
    "LLAMA_ARG_CORS_ORIGINS": "",
    "LLAMA_ARG_LOG_VERBOSITY": "1",
    "LLAMA_ARG_LOG_COLORS": "off",
}
"""No look at a hub, no pages, no other origins, for each slot its own part of the context, only errors written."""
ALL_LAYERS = 999
"""More than any model has: every build takes a number, not every one takes 'all'."""
OURS = frozenset((
    "-m", "--model", "-a", "--alias", "--host", "--port", "-c", "--ctx-size", "-np", "--parallel", "--api-key",
    "--api-key-file", "-ctk", "--cache-type-k", "-ctv", "--cache-type-v", "-ngl", "--gpu-layers", "--n-gpu-layers",
    "-ts", "--tensor-split", "-kvu", "--kv-unified",
))  # fmt: skip
"""Said by the configuration of the model: an argument that says otherwise would make it untrue."""
REACHES_ELSEWHERE = frozenset((
    "-mu", "--model-url", "-hf", "-hfr", "--hf-repo", "-dr", "--docker-repo", "-mmu", "--mmproj-url", "--models-dir",
    "--models-preset", "--ui-mcp-proxy", "--webui-mcp-proxy", "--mcp-servers-config", "--mcp-servers-json", "--agent",
    "--tools", "--reuse-port", "--path", "--slot-save-path", "-v", "--verbose", "--log-verbose", "--log-file",
))  # fmt: skip
"""It would fetch something, act for a caller, serve or write files, or write down what it is asked."""

INVALID = re.compile(r"^error: (?P<what>(?:invalid argument|while handling argument|unknown argument).*)$", re.M)
OUT_OF_MEMORY = re.compile(
    r"allocating (?P<wanted>[\d.]+ MiB) on device (?P<device>\d+): (?:cuda|hip)Malloc failed: out of memory"
)


def arguments(
    model_path: str,
    alias: str,
    *,
    window: int,
    parallel: int,
    batch: int,
    threads: int,
    embeddings: bool,
    ranks: bool,
    mean_pooling: bool,
    kv_type: str,
    gpu_layers: int | None,
    split: Sequence[int],
) -> list[str]:
    """Everything after the name of the program. `window` is tokens per request; `split` bytes on each visible GPU."""
    said = [
        "--model", model_path, "--alias", alias, "--host", HOST, "--port", PORT,
        "--ctx-size", str(window * parallel), "--parallel", str(parallel),
        "--batch-size", str(batch), "--ubatch-size", str(batch), "--threads", str(threads), "--no-webui",
    ]  # fmt: skip
    if kv_type:
        said += ["--cache-type-k", kv_type, "--cache-type-v", kv_type]
    if gpu_layers is not None:
        said += ["--n-gpu-layers", str(gpu_layers)]
    if len(split) > 1:
        said += ["--tensor-split", ",".join(map(str, proportions(split)))]
    if ranks:
        said.append("--reranking")
    elif embeddings:
        said += ["--embeddings", *(("--pooling", "mean") if mean_pooling else ())]
    return said


def refused(further: Sequence[str]) -> str:
    """Why these arguments of the owner's cannot be added; empty where they can."""
    for argument in further:
        name = argument.partition("=")[0]
        if name in OURS:
            return f"{name} is said by the model's own settings"
        if name in REACHES_ELSEWHERE:
            return f"{name} would have it reach, write or do more than answer"
    return "--rpc names another machine, and the text would go there" if started_with_peers(further, {}) else ""


def why_not_started(lines: Sequence[str]) -> str | None:
    """Its own reason, out of what it wrote before it served anyone."""
    text = "\n".join(lines)
    if found := OUT_OF_MEMORY.search(text):
        return f"its device {found['device']} ran out of memory when it wanted {found['wanted']} more"
    if found := INVALID.search(text):
        return found["what"]
    return load_error(lines)


def proportions(split: Sequence[int]) -> list[float]:
    """Shares of one, with three digits: the numbers in bytes are beyond what some builds read."""
    whole = sum(split)
    return [round(share / whole, 3) for share in split] if whole else []
