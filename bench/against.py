#!/usr/bin/env python3
"""This working tree's gateway against that of an earlier commit: CPU per request, in interleaved rounds.

    python bench/against.py 26b3dd7 [--rounds 8] [--seconds 3] [--most 1.05] [--out against.json]

The sources of the commit are exported into a folder of their own and run with the packages installed here. In each
round both gateways are started, warmed up and loaded in turn, by the mock and the load of bench/run.py; who is first
changes from round to round. Compared is the minimum of each; a ratio above `--most` ends with status 1.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SCENARIOS = {
    "json": ("1 KB JSON answer, CPU µs a request", "cpu_us_min"),
    "big": ("64 KB prompt, CPU µs a request", "cpu_us_per_request"),
    "sse": ("SSE, CPU µs an event", "cpu_us_per_event_min"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ref", help="a commit, such as 26b3dd7")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", default="3", help="of load in each round")
    parser.add_argument("--scenarios", default="json", help="of " + ", ".join(SCENARIOS))
    parser.add_argument("--most", type=float, default=1.05, help="the largest ratio allowed")
    parser.add_argument("--nice", default="0")
    parser.add_argument("--quiet", default="4", help="seconds to wait for an idle machine before each run")
    parser.add_argument("--out", type=Path, help="write the result here as JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        gateways = {args.ref: sources_of(args.ref, folder / "before"), "working tree": ROOT / "src"}
        extras = {
            label: prepared(source, folder / f"state-{at}") for at, (label, source) in enumerate(gateways.items())
        }
        rounds: dict[str, list[dict[str, Any]]] = {label: [] for label in gateways}
        for turn in range(args.rounds):
            for label in sorted(gateways, reverse=bool(turn % 2)):
                print(f"round {turn + 1} of {args.rounds}: {label}", file=sys.stderr, flush=True)
                rounds[label].append(measured(label, extras[label], args, folder / "result.json"))
    rows = compared(args.ref, rounds, args.scenarios.split(","))
    print(table(rows, args))
    if args.out:
        args.out.write_text(json.dumps({"rows": rows, "rounds": rounds}, indent=1) + "\n")
    return 0 if all(row["ratio"] <= args.most for row in rows) else 1


def sources_of(ref: str, folder: Path) -> Path:
    """The sources of a commit, exported; the working tree and git's own state stay as they are."""
    packed = subprocess.run(["git", "archive", ref, "src"], cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder / "src"


def prepared(source: Path, state: Path) -> list[str]:
    """A key of its own for each gateway, and what the harness needs to start it."""
    env = {"RINGFENCE_STATE_DIR": str(state), "PYTHONPATH": str(source)}
    ringfence = [sys.executable, "-m", "ringfence"]
    made = subprocess.run(
        [*ringfence, "keys", "create", "bench", "--rpm", "100000000", "--tpm", "100000000000", "--json"],
        env={**os.environ, **env}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    told = [word for name, value in env.items() for word in ("--env", f"{name}={value}")]
    command = f"{' '.join(ringfence)} serve --config {HERE}/ringfence.yaml"
    return ["--key", json.loads(made.stdout)["secret"], "--model", "fast", *told, "--cmd", command]


def measured(label: str, extra: list[str], args: argparse.Namespace, out: Path) -> dict[str, Any]:
    command = [
        sys.executable, str(HERE / "run.py"), "--name", label, "--scenarios", args.scenarios, "--seconds", args.seconds,
        "--repeats", "2", "--warmup", "1", "--quiet", args.quiet, "--nice", args.nice, "--out", str(out), *extra,
    ]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    return json.loads(out.read_text())


def compared(ref: str, rounds: dict[str, list[dict[str, Any]]], scenarios: list[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for scenario in scenarios:
        title, figure = SCENARIOS[scenario]
        values = {label: [result[scenario][figure] for result in results] for label, results in rounds.items()}
        foreign = [result[scenario].get("foreign_cores", 0.0) for results in rounds.values() for result in results]
        before, now = min(values[ref]), min(values["working tree"])
        rows.append({"figure": title, "before": before, "now": now, "ratio": now / before, "foreign_cores": foreign})
    return rows


def table(rows: list[dict[str, Any]], args: argparse.Namespace) -> str:
    lines = [f"| | {args.ref} | working tree | ratio | at most |", "|---|--:|--:|--:|--:|"]
    for row in rows:
        lines.append(
            f"| {row['figure']} | {row['before']:.1f} | {row['now']:.1f} | {row['ratio']:.3f} | {args.most:.2f} |"
        )
    busy = max(cores for row in rows for cores in row["foreign_cores"])
    lines.append(f"\nOther work on the machine meanwhile: {busy:.2f} cores at most. Above 0.15, run it again.")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
