#!/usr/bin/env python3
"""What the type of keys and values costs in quality, measured: the shift of the mean log-probability of greedy answers.

    python bench/kv_types.py [--model demo] [--tokens 2000] [--write]

llama.cpp is started as the product starts it, once for each type. With f16 it answers the held-out questions of the demo
model greedily, six questions in a conversation. Each answer is then read to every type again, token by token, and the
log-probability that it gives to the very token of the answer is noted: so the text is the same for all of them, and a
type that is surer of something worse gains nothing. The row f16 is a second reading by a second start, and shows what
the method itself adds. `--write` keeps the figures in src/ringfence/placement/sizing/measured.json.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import math
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ringfence.engines.gguf_header import read_facts
from ringfence.engines.llamacpp_process import KV_TYPES
from ringfence.placement.launch import environment, llamacpp

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "src/ringfence/models/demo.gguf"
MEASURED = ROOT / "src/ringfence/placement/sizing/measured.json"
KEY = "bench"
TURNS = 6
WINDOW = 2048
TOP, ALL = 20, 1_000_000


class Engine:
    """One llama.cpp, asked in turn."""

    def __init__(self, address: str) -> None:
        self.address = address.removeprefix("http://")

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        connection = http.client.HTTPConnection(self.address, timeout=60)
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {text[:300]!r}")
        return json.loads(text)

    def tokens(self, text: str) -> list[int]:
        return self.ask("/tokenize", {"content": text, "add_special": True, "parse_special": True})["tokens"]


@contextmanager
def engine(path: Path, kv_type: str) -> Iterator[Engine]:
    """As the supervisor starts it: a line of JSON in, a line of JSON out, gone when its input ends."""
    launch = llamacpp(path, "measured", window=WINDOW, threads=1)
    launch.spec["kv_type"] = kv_type  # type: ignore[index]
    process = subprocess.Popen(
        launch.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment()
    )
    assert process.stdin and process.stdout
    process.stdin.write(launch.spec_line(KEY))
    process.stdin.flush()
    told = json.loads(process.stdout.readline() or b'{"error": "it ended"}')
    if "error" in told:
        raise SystemExit(f"{kv_type}: {told['error']}")
    try:
        yield Engine(told["ready"])
    finally:
        process.stdin.close()
        process.wait(20)


@dataclass
class Answer:
    """Tokens up to the answer, and the answer's own."""

    prompt: list[int]
    answer: list[int]


@dataclass
class Reading:
    """What a type gives to the tokens of the answers, and how often its own first choice is another."""

    log_probabilities: list[float] = field(default_factory=list)
    others: int = 0


def answers(asked: Engine, questions: list[str], at_least: int) -> list[Answer]:
    """Greedy, in conversations; each answer stands in the prompt of the next."""
    found: list[Answer] = []
    for start in range(0, len(questions), TURNS):
        messages: list[dict[str, str]] = []
        for question in questions[start : start + TURNS]:
            messages.append({"role": "user", "content": question})
            body = {"messages": messages, "temperature": 0, "max_tokens": 120, "model": "measured"}
            text = asked.ask("/v1/chat/completions", body)["choices"][0]["message"]["content"]
            prompt = asked.tokens(asked.ask("/apply-template", {"messages": messages})["prompt"])
            said = asked.tokens(text)
            if said:
                found.append(Answer(prompt, said))
            messages.append({"role": "assistant", "content": text})
        if sum(len(one.answer) for one in found) >= at_least:
            break
    return found


def read(asked: Engine, told: list[Answer]) -> Reading:
    """Every token of every answer, after all tokens before it; the cache holds those as this type keeps them."""
    reading = Reading()
    for one in told:
        for place, token in enumerate(one.answer):
            chosen, value = _probability(asked, one.prompt + one.answer[:place], token)
            reading.log_probabilities.append(value)
            reading.others += chosen != token
    return reading


def _probability(asked: Engine, tokens: list[int], token: int) -> tuple[int, float]:
    for count in (TOP, ALL):
        body = {"prompt": tokens, "n_predict": 1, "temperature": 0, "n_probs": count, "cache_prompt": True}
        top = asked.ask("/completion", body)["completion_probabilities"][0]["top_logprobs"]
        for entry in top:
            if entry["id"] == token and entry["logprob"] is not None:
                return top[0]["id"], entry["logprob"]
    raise SystemExit(f"the engine tells no probability of token {token}")


def compared(reference: Reading, other: Reading) -> dict[str, float | int]:
    """The mean shift of a token, with its standard error over the tokens, and how much of it changed the choice."""
    shifts = [b - a for a, b in zip(reference.log_probabilities, other.log_probabilities, strict=True)]
    mean = statistics.fmean(shifts)
    return {
        "shift": round(mean, 6),
        "error": round(statistics.stdev(shifts) / math.sqrt(len(shifts)), 6),
        "mean_logprob": round(statistics.fmean(other.log_probabilities), 6),
        "mean_size": round(statistics.fmean(abs(one) for one in shifts), 6),
        "worst": round(min(shifts), 4),
        "other_choice": other.others,
    }


def questions() -> list[str]:
    return [one["question"] for one in json.loads((ROOT / "training/demo/heldout.json").read_text())]


def main() -> None:
    """Measure each type, print the table, and keep it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo", help="a GGUF file; default: the demo model")
    parser.add_argument("--tokens", type=int, default=2000, help="at least so many tokens of answers, if there are")
    parser.add_argument("--write", action="store_true", help="keep the figures beside the command that shows them")
    given = parser.parse_args()
    path = DEMO if given.model == "demo" else Path(given.model)
    started = time.monotonic()
    with engine(path, "f16") as asked:
        told = answers(asked, questions(), given.tokens)
        reference = read(asked, told)
    count = len(reference.log_probabilities)
    longest = max(len(one.prompt) + len(one.answer) for one in told)
    print(
        f"{count} tokens of {len(told)} answers, up to {longest} tokens held; mean {statistics.fmean(reference.log_probabilities):.6f}"
    )
    print("| type | shift of the mean log-probability | mean size of a shift | worst token | other first choice |")
    print("|---|---|---|---|---|")
    rows: dict[str, dict[str, float | int]] = {}
    for kv_type in ("f16", *(name for name in KV_TYPES if name not in ("f16", "f32"))):
        with engine(path, kv_type) as asked:
            row = rows[kv_type] = compared(reference, read(asked, told))
        print(
            f"| {kv_type} | {row['shift']:+.6f} ± {row['error']:.6f} | {row['mean_size']:.6f} | {row['worst']:+.4f} "
            f"| {row['other_choice']} of {count} |",
            flush=True,
        )
    print(f"{time.monotonic() - started:.0f} s")
    if given.write:
        keep(path, count, longest, rows)


def about(path: Path) -> str:
    """What kind of model it is, as it stands beside its figures."""
    millions = sum(math.prod(tensor.shape) for tensor in read_facts(path).tensors) / 1e6
    return (
        f"a tiny model of {millions:.1f} M parameters" if millions < 100 else f"a model of {millions:,.0f} M parameters"
    )


def keep(path: Path, count: int, longest: int, rows: dict[str, dict[str, float | int]]) -> None:
    """In place of what was kept of the same file before."""
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    kept = [one for one in json.loads(MEASURED.read_text()) if one["sha256"] != digest] if MEASURED.exists() else []
    kept.append(
        {
            "model": path.name,
            "about": about(path),
            "bytes": len(content),
            "sha256": digest,
            "engine": f"xllamacpp {version('xllamacpp')}",
            "tokens": count,
            "longest": longest,
            "types": rows,
        }
    )
    MEASURED.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
