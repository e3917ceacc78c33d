"""`python -m ringfence`, and the program `ringfence`."""

from ringfence.interrupts import end_at_once


def main() -> None:
    """Ctrl-C works from here on: what the command line loads takes longer than all before it."""
    end_at_once()
    from ringfence.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
