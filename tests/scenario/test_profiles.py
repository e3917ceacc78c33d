"""Profiles on the real thing: who may do what, and what the answer says about who answered."""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from whole import Reply, ask, command, control, made_key, question

pytestmark = pytest.mark.slow

DEMO = Path(str(resources.files("ringfence.models") / "demo.gguf"))
DIGEST = hashlib.sha256(DEMO.read_bytes()).hexdigest()
CONFIG = f"""
discovery: {{adopt: false}}
models:
  fast: {{source: demo, aliases: [auto]}}
  near: {{url: "http://127.0.0.1:9", engine: vllm}}
profiles:
  personal: {{tier: T2, chain: [near, fast]}}
  private: {{chain: [near], ending: park}}
  client: {{exact: {{model: fast, quantisation: Q8_0, device: cpu, digest: {DIGEST}}}}}
  strict: {{exact: {{model: fast, quantisation: Q4_K_M}}}}
  conductor: {{tier: T4, delegates: [personal]}}
agents:
  coder: {{profile: personal}}
tools:
  look: {{profile: personal}}
"""
LOOK, OTHER = ({"type": "function", "function": {"name": name, "parameters": {}}} for name in ("look", "other"))


@pytest.fixture(scope="module")
def up(start_up: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    file = tmp_path_factory.mktemp("profiles") / "ringfence.yaml"
    file.write_text(CONFIG)
    return start_up("--config", str(file))


@pytest.fixture(scope="module")
def keys(up: Any) -> dict[str, str]:
    profiles = ("personal", "private", "client", "strict", "conductor")
    return {profile: made_key(up, profile, profile=profile) for profile in profiles}


def chat(up: Any, key: str, headers: dict[str, str] | None = None, **more: Any) -> Reply:
    body = question("hello", **({"model": "auto", "max_tokens": 4} | more))
    return ask(up.root_url, "POST", "/v1/chat/completions", body, key, 30.0, headers)


def test_the_answer_names_who_answered(up: Any, keys: dict[str, str]) -> None:
    reply = chat(up, keys["client"])
    assert reply.status == 200
    assert reply.headers["x-ringfence-model"] == "fast"
    told = reply.headers["x-ringfence-configuration"]
    assert all(part in told for part in ("window=4096", "quantisation=Q8_0", "device=cpu", "digest=")), told


def test_a_client_gets_the_exact_thing_or_an_error(up: Any, keys: dict[str, str]) -> None:
    refused = chat(up, keys["strict"])
    assert (refused.status, refused.code) == (503, "target_unavailable")
    assert "quantisation Q8_0" in refused.json["error"]["message"]
    other = chat(up, keys["client"], model="near")
    assert (other.status, other.code) == (403, "model_not_allowed")


def test_a_chain_goes_on_where_a_private_one_waits(up: Any, keys: dict[str, str]) -> None:
    assert chat(up, keys["personal"]).headers["x-ringfence-target"] == "llamacpp/fast"
    waits = chat(up, keys["private"], {"x-ringfence-deadline-s": "1"})
    assert (waits.status, waits.code, waits.headers["retry-after"]) == (503, "deadline_passed", "15")


def test_agents_and_profiles_that_are_not_listed_are_refused(up: Any, keys: dict[str, str]) -> None:
    named = chat(up, keys["private"], {"x-ringfence-agent": "coder"})
    assert named.headers["x-ringfence-target"] == "llamacpp/fast"  # the agent's chain, within the key's boundary
    for headers, code in (
        ({"x-ringfence-agent": "nobody"}, "agent_unknown"),
        ({"x-ringfence-profile": "nothing"}, "profile_unknown"),
    ):
        refused = chat(up, keys["personal"], headers)
        assert (refused.status, refused.code, refused.json["error"]["type"]) == (403, code, "permission_error")
    assert chat(up, keys["conductor"], {"x-ringfence-profile": "personal"}).status == 200
    refused = chat(up, keys["conductor"], {"x-ringfence-profile": "private"})
    assert (refused.status, refused.code) == (403, "profile_not_delegated")


def test_a_key_of_an_agent_makes_its_calls_and_no_others(up: Any) -> None:
    told = command("keys", "create", "coders", "--agent", "coder", "--json", folder=up.folder)
    made = json.loads(told.stdout)
    assert (made["profile"], made["agent"]) == ("", "coder")
    assert chat(up, made["secret"]).headers["x-ringfence-target"] == "llamacpp/fast"  # the agent's chain
    assert chat(up, made["secret"], {"x-ringfence-agent": "coder"}).status == 200
    refused = chat(up, made["secret"], {"x-ringfence-agent": "other"})
    assert (refused.status, refused.code) == (403, "agent_not_of_key")
    assert "bound to the agent 'coder'" in refused.json["error"]["message"]
    assert chat(up, made["secret"]).status == 200
    shown = command("explain", "auto", "--key", made["secret"], folder=up.folder, env={"COLUMNS": "200"})
    assert "as far as CLOUD (profile 'personal', agent 'coder')" in shown.stdout, shown.stdout + shown.stderr
    refused_too = command("explain", "auto", "--key", made["secret"], "--agent", "other", folder=up.folder)
    assert (refused_too.returncode, "makes no calls as 'other'" in refused_too.stderr) == (1, True)
    rows = command("keys", "list", folder=up.folder, env={"COLUMNS": "200"}).stdout.splitlines()
    assert any("coders" in row and "its agent's" in row and "coder " in row for row in rows), rows


def test_explain_plays_the_headers_and_what_a_request_offers(up: Any, keys: dict[str, str]) -> None:
    def told(*words: str) -> Any:
        return command("explain", "auto", *words, folder=up.folder, env={"COLUMNS": "200"})

    lead = ("--key", keys["conductor"])
    assert "(profile 'conductor')" in told(*lead).stdout
    assert "as far as CLOUD (profile 'personal')" in told(*lead, "--profile", "personal").stdout
    refused = told(*lead, "--profile", "private")
    assert (refused.returncode, "may not make calls under 'private'" in refused.stderr) == (1, True)
    assert "as far as HOST (profile 'personal')" in told("--key", keys["personal"], "--label", "odd").stdout
    assert "as far as CLOUD" in told("--profile", "personal", "--tool", "look").stdout
    assert "as far as HOST" in told("--profile", "personal", "--tool", "look", "--tool", "other").stdout
    slip = told("--profile", "persnal")
    assert (slip.returncode, slip.stderr.count("did you mean 'personal'?")) == (1, 1)
    assert "There is no profile 'persnal'" in slip.stderr


def test_a_key_is_not_bound_to_what_is_not_there(up: Any) -> None:
    for option, message in (
        ("--profile", "There is no profile 'nope'; the configuration has: "),
        ("--agent", "There is no agent 'nope'; the configuration has: coder."),
    ):
        told = command("keys", "create", "x", option, "nope", folder=up.folder)
        assert (told.returncode, message in told.stderr) == (1, True), told.stderr
        outside = up.folder.parent / "no gateway here"
        outside.mkdir(exist_ok=True, mode=0o700)
        config = up.folder / "ringfence.yaml"
        config.write_text(CONFIG)
        told = command("keys", "create", "x", option, "nope", "--config", str(config), folder=outside)
        assert (told.returncode, message in told.stderr) == (1, True), told.stderr


def test_a_key_whose_agent_is_gone_is_refused_until_it_is_back(start_up: Any, tmp_path: Path) -> None:
    file = tmp_path / "ringfence.yaml"
    file.write_text(CONFIG)
    fresh = start_up("--config", str(file))
    secret = json.loads(command("keys", "create", "k", "--agent", "coder", "--json", folder=fresh.folder).stdout)[
        "secret"
    ]
    statuses: list[int] = []
    for text in (CONFIG, CONFIG.replace("coder:", "painter:"), CONFIG):
        file.write_text(text)
        assert control(fresh, "/config/reload", "POST")["ok"]
        reply = chat(fresh, secret)
        statuses.append(reply.status)
        if reply.status != 200:
            assert reply.code == "agent_unknown"
            assert "'coder' that this key is bound to is not configured" in reply.json["error"]["message"]
    assert statuses == [200, 403, 200]
    fresh.stop()


def test_a_tool_that_is_not_classified_keeps_the_call_here(up: Any) -> None:
    def allowed(*tools: Any) -> str:
        asked = {"model": "auto", "profile": "personal", "body": {**question("hi"), "tools": list(tools)}}
        return control(up, "/explain", "POST", asked)["allowed"]

    assert (allowed(LOOK), allowed(LOOK, OTHER), allowed()) == ("CLOUD", "HOST", "CLOUD")


def test_what_each_profile_may_reach_is_shown(up: Any) -> None:
    told = command("profiles", folder=up.folder, env={"COLUMNS": "200"})
    assert told.returncode == 0, told.stderr
    for line in (
        "personal  T2 speed-optional: text may travel as far as CLOUD",
        "auto      near → fast, else an error",
        "auto      near, else wait",
        "calls as  personal",
        "only      model fast",
        "agents    coder",
    ):
        assert line in told.stdout, told.stdout
    rows = {row["name"]: row for row in json.loads(command("profiles", "--json", folder=up.folder).stdout)["profiles"]}
    may = {target["model"]: target["may"] for target in rows["client"]["targets"]}
    assert (may, rows["client"]["idle"]) == ({"fast": True}, ["near"])
    shown = command("explain", "auto", "--profile", "private", "--agent", "nobody", folder=up.folder)
    assert shown.returncode == 1
    assert "not classified" in shown.stderr


def test_who_is_bound_to_a_profile_and_which_keys_die_with_it(start_up: Any, tmp_path: Path) -> None:
    file = tmp_path / "ringfence.yaml"
    file.write_text(CONFIG)
    up = start_up("--config", str(file))
    wide = {"COLUMNS": "200"}

    def run(*words: str) -> Any:
        return command(*words, "--config", str(file), folder=up.folder, env=wide)

    made = [run("keys", "create", name, "--profile", "personal") for name in ("one", "two", "three", "four")]
    assert "may travel as far as CLOUD (profile 'personal')" in made[0].stderr
    assert "as far as CLOUD (agent 'coder')" in run("keys", "create", "five", "--agent", "coder").stderr
    shown = run("profiles").stdout
    assert "keys      5: " in shown
    assert "and 2 more" in shown
    assert "calls as  personal (CLOUD)" in shown
    fewer = CONFIG.replace("  coder: {profile: personal}", "  tester: {profile: personal}")
    file.write_text(fewer.replace("  strict:", "  stricter:"))
    run("keys", "revoke", "four")
    told = run("config", "reload")
    assert told.returncode == 0, told.stderr
    assert told.stderr.count("dead now: key ") == 1
    assert "dead now: key five (key_" in told.stderr
    assert "its agent 'coder' is not configured" in told.stderr
    examined = run("doctor")
    assert (examined.returncode, "Every call with the key five (key_" in examined.stdout) == (1, True)
    without = command("keys", "create", "late", "--config", str(file), folder=tmp_path, env=wide)
    assert "as far as HOST (profile 'default')" in without.stderr
