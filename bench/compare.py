#!/usr/bin/env python3
"""Ringfence beside its peers, in one run: nginx (the floor), vllm-router (the budget), and Ringfence with key check,
rate limits, usage and metrics on. Rounds are interleaved and the least disturbed figure of each is taken.

    python bench/compare.py [--rounds 3] [--scenarios json,sse,big,mid] [--vllm-router PATH] [--out bench/results]

Needs a C compiler; nginx and vllm-router (`pip install vllm-router`, in a venv of its own) are left out when missing.
Everything stays on 127.0.0.1 and every load is bounded in time. As root on a shared machine add --nice -18.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log /dev/null;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder}; client_max_body_size 64m; client_body_buffer_size 1m;
  upstream mock {{ server 127.0.0.1:9100; keepalive 256; keepalive_requests 10000000; }}
  server {{
    listen 127.0.0.1:8080; keepalive_requests 10000000;
    location / {{ proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }}
  }}
}}
"""
FIGURES = (
    ("1 KB JSON answer, CPU µs a request", "json", "cpu_us_min", "vllm-router", 1.0),
    ("SSE, CPU µs an event", "sse", "cpu_us_per_event_min", "vllm-router", 1.5),
    ("64 KB prompt, CPU µs a request", "big", "cpu_us_per_request", "vllm-router", 1.25),
    ("added p99 at 1,000/s, µs", "mid", "added_p99_us", "vllm-router", 1.25),
    ("memory after load, MB", "after_load", "rss_mb", None, 90),
    ("start to the first answer, s", "startup_s", None, None, 0.7),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scenarios", default="json,sse,big,mid")
    parser.add_argument("--seconds", default="3")
    parser.add_argument("--nice", default="0")
    parser.add_argument(
        "--vllm-router", default=shutil.which("vllm-router") or str(HERE / ".venv-peers/bin/vllm-router")
    )
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        peers = _peers(Path(folder), args.vllm_router)
        results: dict[str, list[dict]] = {name: [] for name in peers}
        for turn in range(args.rounds):
            for name, extra in peers.items():
                print(f"round {turn + 1} of {args.rounds}: {name}", file=sys.stderr, flush=True)
                results[name].append(_measure(name, extra, args, args.out / f"{name}-{turn}.json"))
    print(table(results))


def _peers(folder: Path, vllm_router: str) -> dict[str, list[str]]:
    """Name -> what the harness needs to start it."""
    peers: dict[str, list[str]] = {}
    nginx = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if nginx:
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder))
        peers["nginx"] = ["--no-auth-check", "--cmd", f"{nginx} -p {folder} -c {folder}/nginx.conf"]
    if Path(vllm_router).exists():
        peers["vllm-router"] = [
            "--no-auth-check", "--cmd",
            f"{vllm_router} --worker-urls http://127.0.0.1:9100 --host 127.0.0.1 --port 8080 --policy round_robin "
            "--log-level error --prometheus-port 29112",
        ]  # fmt: skip
    state = folder / "state"
    env = {**os.environ, "RINGFENCE_STATE_DIR": str(state)}
    ringfence = [sys.executable, "-m", "ringfence"]
    # As an installation does: a checkout may hold no compiled modules, and would compile them at each start.
    compileall.compile_dir(str(next(iter(find_spec("ringfence").submodule_search_locations))), quiet=1)
    made = subprocess.run(
        [*ringfence, "keys", "create", "bench", "--rpm", "100000000", "--tpm", "100000000000", "--json"],
        env=env, check=True, capture_output=True, text=True,
    )  # fmt: skip
    peers["ringfence"] = [
        "--key", json.loads(made.stdout)["secret"], "--model", "fast", "--env", f"RINGFENCE_STATE_DIR={state}",
        "--cmd", f"{' '.join(ringfence)} serve --config {HERE}/ringfence.yaml",
    ]  # fmt: skip
    return peers


def _measure(name: str, extra: list[str], args: argparse.Namespace, out: Path) -> dict:
    command = [
        sys.executable, str(HERE / "run.py"), "--name", name, "--scenarios", args.scenarios, "--seconds", args.seconds,
        "--repeats", "2", "--warmup", "1", "--light-seconds", "6", "--quiet", "4", "--nice", args.nice, "--out", str(out), *extra,
    ]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return json.loads(out.read_text())


def _value(result: dict, scenario: str, figure: str | None) -> float | None:
    found = result.get(scenario)
    return found if figure is None else (found or {}).get(figure)


def table(results: dict[str, list[dict]]) -> str:
    """A row per figure: each peer's least disturbed value, the ratio that the budget names, and the budget."""
    names = list(results)
    lines = ["| | " + " | ".join(names) + " | ratio | budget |", "|---|" + "--:|" * (len(names) + 2)]
    for title, scenario, figure, beside, budget in FIGURES:
        best = {}
        for name in names:
            values = [v for r in results[name] if (v := _value(r, scenario, figure)) is not None]
            best[name] = min(values) if values else None
        if best.get("ringfence") is None:
            continue
        cells = ["-" if best[name] is None else f"{best[name]:,.1f}" for name in names]
        ratio = f"{best['ringfence'] / best[beside]:.2f} x {beside}" if beside and best.get(beside) else "-"
        limit = f"{budget} x {beside}" if beside else f"{budget}"
        lines.append(f"| {title} | " + " | ".join(cells) + f" | {ratio} | ≤ {limit} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
