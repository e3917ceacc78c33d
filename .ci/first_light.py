"""`make up` as a new user runs it: it must answer a question through the official client, and end on Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
READY_S = 600  # a fresh machine installs its packages first
END_S = 3.0


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        process = subprocess.Popen(
            ["make", "up", "ARGS=--json --port 0"], cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True,
            env={**os.environ, "RINGFENCE_STATE_DIR": str(Path(folder) / "state")},
        )  # fmt: skip
        try:
            ready = wait_ready(process, began + READY_S)
            print(f"ready after {time.monotonic() - began:.1f} s: {', '.join(ready['models'])}")
            print(f"answer: {ask(ready, 'What is Ringfence?')}")
            began = time.monotonic()
            os.killpg(process.pid, signal.SIGINT)
            process.wait(END_S)
            print(f"ended {time.monotonic() - began:.1f} s after Ctrl-C")
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                sys.exit("make up did not end in time")


def wait_ready(process: subprocess.Popen[str], deadline: float) -> dict:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("{"):
            found = json.loads(line)
            if "base_url" in found:
                return found
            sys.exit(f"make up failed: {found}")
        print(f"  {line.rstrip()}")
        if time.monotonic() > deadline:
            break
    sys.exit("make up was not ready in time")


def ask(ready: dict, question: str) -> str:
    body = {"model": ready["models"][0], "messages": [{"role": "user", "content": question}], "temperature": 0}
    request = urllib.request.Request(
        f"{ready['base_url']}/chat/completions",
        json.dumps(body).encode(),
        {"content-type": "application/json", "authorization": f"Bearer {ready['api_key']}"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = json.load(answer)["choices"][0]["message"]["content"]
    assert "Ringfence" in text, text
    return text


if __name__ == "__main__":
    main()
