"""`python -m ringfence`."""

from ringfence.cli.main import main

main()
