"""Keys from the first to the last, by the command line with and without a gateway, and what they are bound to."""

from __future__ import annotations

import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from kept_rows import dump
from whole import ask, chat, command, control, until

REVOKED_WITHIN_S = 1.5


def _made(folder: Path, *words: str) -> dict[str, Any]:
    told = command("keys", "create", *words, "--json", folder=folder)
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)


def _listed(folder: Path, *words: str) -> dict[str, dict[str, Any]]:
    told = command("keys", "list", *words, "--json", folder=folder)
    assert told.returncode == 0, told.stderr
    return {row["name"]: row for row in json.loads(told.stdout)}


def test_keys_with_a_gateway(ringfence: Any) -> None:
    made = _made(ringfence.folder, "laptop", "--rpm", "100", "--tpm", "100000", "--expires", "2d")
    assert chat(ringfence, key=made["secret"]).status == 200
    row = _listed(ringfence.folder)["laptop"]
    assert (row["requests_per_minute"], row["tokens_per_minute"], row["revoked_s"]) == (100, 100_000, None)
    assert abs(row["expires_s"] - time.time() - 2 * 86_400) < 60
    until(lambda: _listed(ringfence.folder)["laptop"]["requests"] == 1, 25, "its one request in the list")
    assert "laptop" in command("keys", "list", folder=ringfence.folder, env={"COLUMNS": "200"}).stdout
    ended = command("keys", "revoke", "laptop", folder=ringfence.folder)
    assert (ended.returncode, ended.stdout.strip()) == (0, f"{made['id']} (laptop) is revoked.")
    refused = chat(ringfence, key=made["secret"])
    assert (refused.status, refused.code) == (401, "invalid_api_key")
    assert "laptop" not in _listed(ringfence.folder)
    assert _listed(ringfence.folder, "--all")["laptop"]["revoked_s"]
    again = command("keys", "revoke", "nobody", folder=ringfence.folder)
    assert again.returncode == 1
    assert "There is no key 'nobody'" in again.stderr


@pytest.mark.slow
def test_keys_without_a_gateway(start_up: Any, tmp_path: Path, tiny_model: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    kept, ended = _made(folder, "kept"), _made(folder, "ended")
    assert set(_listed(folder)) == {"kept", "ended"}
    told = command("keys", "revoke", ended["id"], "--json", folder=folder)
    assert json.loads(told.stdout)["revoked_s"]
    assert set(_listed(folder)) == {"kept"}
    for words, message in (
        (("keys", "create", "x", "--profile", "nope"), "There is no profile 'nope'"),
        (("keys", "revoke", "nobody"), "There is no key 'nobody'"),
        (("keys", "create", "x", "--expires", "soon"), "--expires takes a number and a unit"),
    ):
        told = command(*words, folder=folder)
        assert told.returncode in (1, 2)
        assert message in told.stderr
    up = start_up("--model", str(tiny_model), folder=folder)
    assert chat(up, key=kept["secret"]).status == 200
    assert chat(up, key=ended["secret"]).status == 401
    up.stop()


def _listing(up: Any, made: dict[str, Any]) -> int:
    """The status of a request that costs nothing but the look at its key."""
    return ask(up.root_url, "GET", "/v1/models", key=made["secret"]).status


@pytest.mark.timed
def test_a_key_revoked_behind_the_gateways_back_is_refused_soon(start_up: Any, tiny_model: Path) -> None:
    """The command line writes straight to the database when it finds no gateway, as on another machine's mount."""
    up = start_up("--model", str(tiny_model))
    made = _made(up.folder, "laptop")
    assert chat(up, key=made["secret"]).status == 200
    note = up.folder / "run.json"
    hidden = note.rename(up.folder / "hidden.json")
    fresh = _made(up.folder, "fresh")
    assert command("keys", "revoke", "laptop", folder=up.folder).returncode == 0
    until(lambda: _listing(up, made) == 401, REVOKED_WITHIN_S, "the refusal of the revoked key")
    assert chat(up, key=fresh["secret"]).status == 200
    hidden.rename(note)
    up.stop()


def test_a_kept_connection_does_not_outlive_its_key(ringfence: Any) -> None:
    made = _made(ringfence.folder, "kept-connection")
    connection = http.client.HTTPConnection(urlsplit(ringfence.root_url).netloc, timeout=10)
    statuses: list[int] = []
    for revoke in (False, True):
        if revoke:
            command("keys", "revoke", "kept-connection", folder=ringfence.folder)
        connection.request("GET", "/v1/models", headers={"authorization": f"Bearer {made['secret']}"})
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
    connection.close()
    assert statuses == [200, 401]


def test_an_expired_key_is_refused(ringfence: Any) -> None:
    body = {"name": "brief", "profile": "default", "expires_s": int(time.time()) + 6}
    made = control(ringfence, "/keys", "POST", body)
    assert chat(ringfence, key=made["secret"]).status == 200
    until(lambda: chat(ringfence, key=made["secret"]).status == 401, 25, "the end of the key")
    assert "no longer valid" in chat(ringfence, key=made["secret"]).json["error"]["message"]
    assert "brief" not in _listed(ringfence.folder)


def test_requests_per_minute(ringfence: Any) -> None:
    key = _made(ringfence.folder, "slow", "--rpm", "2")["secret"]
    first, second, third = (chat(ringfence, key=key) for _ in range(3))
    assert (first.status, second.status, third.status, third.code) == (200, 200, 429, "rate_limit_exceeded")
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert (first.headers["x-ratelimit-remaining-requests"], second.headers["x-ratelimit-remaining-requests"]) == (
        "1",
        "0",
    )
    assert first.headers["x-ratelimit-reset-requests"].endswith("ms")
    assert 1 <= int(third.headers["retry-after"]) <= 30
    assert third.json["error"]["type"] == "rate_limit_error"
    assert chat(ringfence).status == 200  # others are not held up


def test_tokens_per_minute(ringfence: Any) -> None:
    key = _made(ringfence.folder, "small", "--tpm", "200")["secret"]
    first = chat(ringfence, key=key, max_tokens=20)
    assert first.status == 200
    used = first.json["usage"]["total_tokens"]
    assert first.headers["x-ratelimit-limit-tokens"] == "200"
    refused = chat(ringfence, key=key, max_tokens=190)
    assert (refused.status, refused.code) == (429, "rate_limit_exceeded")
    assert int(refused.headers["retry-after"]) >= 1
    after = chat(ringfence, key=key, max_tokens=1)
    assert after.status == 200  # what was held and not used came back
    assert 200 - used - 40 <= int(after.headers["x-ratelimit-remaining-tokens"]) < 200


def test_limits_hold_for_all_connections_of_a_key_together(ringfence: Any) -> None:
    key = _made(ringfence.folder, "many", "--rpm", "5")["secret"]
    with ThreadPoolExecutor(12) as pool:
        statuses = [reply.status for reply in pool.map(lambda _: chat(ringfence, key=key), range(12))]
    assert sorted(statuses) == [200] * 5 + [429] * 7


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_listening_beyond_this_machine_without_keys_is_refused(tmp_path: Path, tiny_model: Path, host: str) -> None:
    words = ("up", "--json", "--port", "0", "--model", str(tiny_model), "--host", host, "--set", "server.keys=off")
    refused = command(*words, folder=tmp_path)
    assert refused.returncode == 2
    assert "listening beyond loopback without keys is refused" in refused.stdout
    assert not (tmp_path / "run.json").exists()


def test_without_keys_loopback_serves_everyone_here(start_up: Any, tiny_model: Path) -> None:
    up = start_up("--model", str(tiny_model), "--set", "server.keys=off")
    assert ask(up.root_url, "GET", "/v1/models").status == 200
    assert chat(up, key="anything").status == 200
    assert ask(up.root_url, "GET", "/control/v1/status").status == 401
    up.stop()


@pytest.mark.slow
def test_a_secret_is_nowhere_but_in_the_owners_copy(start_up: Any, tiny_model: Path) -> None:
    up = start_up("--model", str(tiny_model))
    made = _made(up.folder, "laptop")
    secret = made["secret"]
    for _ in range(3):
        assert chat(up, key=secret).status == 200
    assert chat(up, key=secret + "x").status == 401
    for words in (("keys", "list"), ("keys", "list", "--all", "--json"), ("status", "--json"), ("config", "show")):
        told = command(*words, folder=up.folder, env={"COLUMNS": "300"})
        assert secret not in told.stdout + told.stderr
        assert up.api_key not in told.stdout + told.stderr
    until(lambda: _listed(up.folder)["laptop"]["requests"] == 3, 25, "the ledger")
    up.stop()
    for path in (path for path in up.folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        assert secret.encode() not in content, path
        assert (up.api_key.encode() in content) == (path.name == "credentials.json"), path
    kept = dump(up.folder / "ringfence.db")
    assert "laptop" in kept and secret.removeprefix("sk-rf-") not in kept
