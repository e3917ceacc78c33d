"""`python -m ringfence`."""

from ringfence.cli.start import main

main()
