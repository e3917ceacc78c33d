#!/usr/bin/env python3
"""500 streams at a time, 20 events a second each, beside the same load sent to the engine directly.

    python bench/streams.py [--seconds 20] [--most-ms 5] [--nice 0] [--out streams.json]

The gateway has one core, engine stand-in and load the other. Every event carries the time at which it was written, so
the delay of each is known. Status 1 for any broken stream, or when the gateway adds more than `--most-ms` at p99.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from against import measured, prepared

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", default="20", help="of load, besides the first ten in which it grows")
    parser.add_argument("--most-ms", type=float, default=5.0, help="the most that may be added at p99")
    parser.add_argument("--nice", default="0")
    parser.add_argument("--quiet", default="4", help="seconds to wait for an idle machine")
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    args = parser.parse_args()
    args.scenarios = "streams"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        extra = [*prepared(ROOT / "src", folder / "state"), "--light-seconds", args.seconds]
        told = measured("ringfence", extra, args, folder / "result.json")["streams"]
    print(table(told))
    if args.out:
        args.out.write_text(json.dumps(told, indent=1) + "\n")
    return 0 if told["bad"] == 0 and told["ok"] > 0 and told["added_p99_us"] <= args.most_ms * 1000 else 1


def table(told: dict[str, float]) -> str:
    """The delay of an event on its way, through the gateway and directly."""
    rows = ["| delay of an event, µs | through the gateway | directly | added |", "|---|--:|--:|--:|"]
    rows += [
        f"| {k} | {told[f'{k}_us']:,.0f} | {told[f'direct_{k}_us']:,.0f} | {told[f'added_{k}_us']:,.0f} |"
        for k in ("p50", "p99")
    ]
    whole = f"{told['ok']:,.0f} streams whole, {told['bad']:,.0f} not; {told['events_seen_share']:.2%} of their events"
    cores = f"cores: gateway {told['gateway_cores']}, engine and load {told['harness_cores']}"
    return "\n".join([*rows, "", f"{whole}. {cores}, others {told['foreign_cores']}."])


if __name__ == "__main__":
    sys.exit(main())
