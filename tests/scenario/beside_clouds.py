"""`ringfence` with rented clouds on loopback: `beside_clouds.py CERTIFICATE WORDS...` runs `ringfence WORDS`.

The one difference from the product: the egress process may reach loopback, and trusts this certificate. The settings of
a user cannot say either.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ringfence.cli import main, outside
from ringfence.config.schema import Config


def run(certificate: str) -> None:
    as_ever = outside.egress_settings

    def on_loopback(config: Config) -> dict[str, Any]:
        return as_ever(config) | {"allow_insecure_loopback": True, "ca_file": certificate}

    outside.egress_settings = on_loopback
    main.main()


if __name__ == "__main__":
    sys.path.remove(str(Path(__file__).parent))  # this folder's names are not for the product to find
    run(sys.argv.pop(1))
