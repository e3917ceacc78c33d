"""The first thing that the program `ringfence` runs: loads nothing but how to end."""

from ringfence.interrupts import end_at_once


def main() -> None:
    """Ctrl-C works from here on: what the command line loads takes longer than all before it."""
    end_at_once()
    from ringfence.cli.main import main as run

    run()
