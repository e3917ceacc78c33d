"""`ringfence serve` beside an egress process of its own, whose clouds are stand-ins."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ringfence.egress.child import EgressProcess


@asynccontextmanager
async def served(folder: Path, file: Path, *providers: dict[str, Any]) -> AsyncIterator[tuple[str, EgressProcess]]:
    """With the state in `folder`, which is made unless it is there, and the configuration in `file`: its address
    without /v1, and what rents."""
    for made in (folder, folder / "egress"):
        made.mkdir(mode=0o700, exist_ok=True)
    egress = EgressProcess({
        "socket": str(folder / "egress" / "egress.sock"), "journal": str(folder / "journal"),
        "providers": [*providers], "allow_insecure_loopback": True,
    })  # fmt: skip
    await asyncio.to_thread(egress.start)
    try:
        command = [sys.executable, "-m", "ringfence", "serve", "--config", str(file), "--port", "0"]
        environment = os.environ | {"RINGFENCE_STATE_DIR": str(folder)}
        gateway = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            yield await asyncio.to_thread(_ready, gateway), egress
        finally:
            gateway.terminate()
            gateway.wait(25)
    finally:
        await asyncio.to_thread(egress.stop)


def _ready(gateway: subprocess.Popen[str]) -> str:
    assert gateway.stdout is not None
    for line in gateway.stdout:
        ready = json.loads(line).get("ready")
        if ready:
            return str(ready["base_url"]).removesuffix("/v1")
    raise AssertionError("the gateway did not start")
