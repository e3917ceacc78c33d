"""TLS towards clouds: the system's authorities, the name checked, nothing older than TLS 1.2."""

from __future__ import annotations

import ssl
from pathlib import Path


def context(ca_file: Path | None = None) -> ssl.SSLContext:
    """For every connection to a cloud. `ca_file` takes the place of the system's authorities.

    Raises OSError (ssl.SSLError is one) when the file cannot be read as certificates.
    """
    made = ssl.create_default_context(cafile=str(ca_file) if ca_file is not None else None)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    return made
