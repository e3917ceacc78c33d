"""python -m ringfence.simulation --seed 7 --hours 20 --busy"""

from __future__ import annotations

import argparse
import sys

from ringfence.simulation.run import simulate


def main() -> int:
    """Status 1 where something did not hold."""
    parser = argparse.ArgumentParser(prog="python -m ringfence.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="which run; the same seed, the same run")
    parser.add_argument("--hours", type=float, default=20.0, help="simulated hours")
    parser.add_argument("--busy", action="store_true", help="more than one request a second, not one in 40 s")
    asked = parser.parse_args()
    outcome = simulate(asked.seed, asked.hours, asked.busy)
    sys.stdout.write(outcome.told() + "\n")
    return 1 if outcome.problems else 0


if __name__ == "__main__":
    sys.exit(main())
