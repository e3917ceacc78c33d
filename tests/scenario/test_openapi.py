"""What the gateway says of itself, tried with whatever it may be sent: no status untold, and no 500."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from whole import ask, made_key

from ringfence.core import errors
from ringfence.core.registry import adapters
from ringfence.gateway import dialects
from ringfence.gateway.openapi import STATUSES

SECONDS = 45
NOT_TRIED = "/events|/mode$|/reload|/leases"
"""Of the control API: a stream without an end, and what would change the gateway under the others' feet."""


@pytest.fixture(scope="module")
def up(start_up: Any) -> Any:
    return start_up()


def fetched(up: Any, path: str, key: str) -> dict[str, Any]:
    reply = ask(up.root_url, "GET", path, None, key)
    assert reply.status == 200, reply.body
    return reply.json


@pytest.mark.slow
def test_every_route_is_described(up: Any) -> None:
    found = fetched(up, "/v1/openapi.json", up.api_key)
    posted = {path for path, methods in found["paths"].items() if "post" in methods}
    every = {path for dialect in adapters(dialects, "DIALECT", "name").values() for path in dialect.paths}
    assert {path for path in every if path.startswith(("/v1/", "/api/"))} | {"/v1/decisions"} <= posted
    assert {"/v1/models", "/v1/models/{model}", "/v1/parked/{ticket}", "/v1/openapi.json"} <= set(found["paths"])
    assert {"/v1/files", "/v1/batches/{batch_id}/cancel", "/v1/responses/{response_id}"} <= set(found["paths"])
    assert {"/v1/messages/count_tokens", "/api/tags", "/v1/health"} <= set(found["paths"])
    told = {status for methods in found["paths"].values() for one in methods.values() if isinstance(one, dict)
            for status in one["responses"]}  # fmt: skip
    assert "500" not in told and {"200", "400", "401", "429"} <= told
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.Failure)]
    assert {kind.status for kind in kinds} - {500, 405, 410} <= set(STATUSES)
    assert ask(up.root_url, "GET", "/v1/openapi.json").status == 401


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize("which", ["/v1", "/control/v1"])
def test_nothing_that_is_sent_ends_in_what_is_not_told_of(up: Any, which: str, tmp_path: Path) -> None:
    program = shutil.which("schemathesis", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        pytest.skip("schemathesis is not installed; it is in the extra dev")
    is_control = which != "/v1"
    key = (up.folder / "admin.token").read_text().strip() if is_control else made_key(up, "fuzz")
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(fetched(up, f"{which}/openapi.json", key)))
    done = subprocess.run(
        [
            program, "run", str(file), "--url", up.root_url, "-H", f"Authorization: Bearer {key}",
            "--checks", "status_code_conformance,not_a_server_error", "--phases", "coverage,fuzzing",
            "--max-examples", "12", "--max-time", str(SECONDS), "--seed", "1", "--no-shrink", "--warnings", "off",
            "--request-timeout", "60",  # a small model on a busy machine
            "--exclude-path-regex", NOT_TRIED,
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "No issues found" in done.stdout
    assert re.search(r"Selected: (\d+)/\d+\n\s+Tested: \1\n", done.stdout), done.stdout[-2000:]
