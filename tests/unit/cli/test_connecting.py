"""`ringfence connect`: what each program is told, read as that program reads it."""

from __future__ import annotations

import json
import shlex
import tomllib
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from typer.testing import CliRunner

from ringfence.cli import connect as package
from ringfence.cli.connected import Gateway, Program, Settings
from ringfence.cli.main import app
from ringfence.core.registry import adapters
from ringfence.store.credentials import Credentials, save_credentials
from ringfence.testing.fake_view import FakeView

PROGRAMS: dict[str, Program] = adapters(package, "PROGRAM", "name")
SITE = Gateway("http://127.0.0.1:7464", "sk-rf-some'key", "local/fast", 32_768)
WANTED = {"claude-code", "codex", "open-webui", "cursor", "continue", "aider", "ollama"}


def invoked(*words: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, ["connect", *words])
    assert done.exit_code == code, done.output
    return done


def told(name: str, gateway: Gateway = SITE) -> Settings:
    return PROGRAMS[name].settings(gateway)


def yaml(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def test_the_programs_that_people_have_are_known() -> None:
    assert set(PROGRAMS) >= WANTED
    for program in PROGRAMS.values():
        found = json.dumps(program.settings(SITE).as_dict())
        assert "127.0.0.1:7464" in found and "sk-rf-some" in found, program.name


def test_claude_code_gets_an_address_without_a_version() -> None:
    found = told("claude-code")
    assert found.variables["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:7464"
    assert found.variables["ANTHROPIC_AUTH_TOKEN"] == SITE.key
    models = {value for name, value in found.variables.items() if name.endswith("_MODEL")}
    assert models == {"local/fast"} and "ANTHROPIC_DEFAULT_HAIKU_MODEL" in found.variables
    assert json.loads(found.files[0].text)["env"] == found.variables


def test_claude_code_is_told_the_window_where_it_is_known() -> None:
    found = told("claude-code").variables
    assert (found["CLAUDE_CODE_MAX_CONTEXT_TOKENS"], found["CLAUDE_CODE_MAX_OUTPUT_TOKENS"]) == ("32768", "8192")
    large = told("claude-code", Gateway(SITE.root, "k", "m", 200_000)).variables
    assert large["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] == "32000"
    unknown = told("claude-code", Gateway(SITE.root, "k")).variables
    assert not [name for name in unknown if name.endswith("_TOKENS")]


def test_the_command_lines_of_cline_and_continue() -> None:
    command = shlex.split(told("cline").run)
    assert command[:2] == ["cline", "auth"]
    assert {f"--apikey={SITE.key}", f"--baseurl={SITE.v1}", "--provider=openai-compatible"} < set(command[2:])
    assert told("continue").run == "cn"


def test_codex_speaks_responses() -> None:
    config = tomllib.loads(told("codex").files[0].text)
    assert (config["model"], config["model_provider"], config["model_context_window"]) == (
        "local/fast", "ringfence", 32_768,
    )  # fmt: skip
    provider = config["model_providers"]["ringfence"]
    assert (provider["base_url"], provider["wire_api"]) == ("http://127.0.0.1:7464/v1", "responses")
    assert told("codex").variables == {provider["env_key"]: SITE.key}
    assert "model_context_window" not in told("codex", Gateway(SITE.root, "k")).files[0].text


def test_files_of_the_others_are_what_they_read() -> None:
    (model,) = yaml(told("continue").files[0].text)["models"]
    assert (model["provider"], model["apiBase"], model["apiKey"]) == ("openai", SITE.v1, SITE.key)
    assert model["defaultCompletionOptions"]["contextLength"] == 32_768
    aider = yaml(told("aider").files[0].text)
    assert aider["model"] == aider["weak-model"] == "openai/local/fast"
    assert (aider["check-update"], aider["analytics"]) == (False, False)
    variables = told("aider").variables
    assert (variables["OPENAI_API_BASE"], variables["OPENAI_API_KEY"]) == (SITE.v1, SITE.key)
    assert json.loads(told("aider").files[1].text)["openai/local/fast"]["max_input_tokens"] == 32_768
    assert json.loads(told("aider", Gateway(SITE.root, "k")).files[1].text)["openai/auto"]  # else it fetches a list
    assert not any(SITE.key in file.text for file in told("aider").files)
    (llm,) = yaml(told("llm").files[0].text)
    assert (llm["model_name"], llm["api_base"]) == ("local/fast", SITE.v1)
    opencode = json.loads(told("opencode").files[0].text)
    assert opencode["provider"]["ringfence"]["options"]["baseURL"] == SITE.v1
    assert opencode["model"] == "ringfence/local/fast"
    (entry,) = json.loads(told("vscode").files[0].text)
    assert entry["models"][0]["url"] == f"{SITE.v1}/chat/completions"
    assert entry["models"][0]["maxInputTokens"] + entry["models"][0]["maxOutputTokens"] == 32_768


def test_open_webui_in_a_container_does_not_ask_itself() -> None:
    found = told("open-webui")
    assert "OPENAI_API_BASE_URL=http://host.docker.internal:7464/v1" in found.run
    assert "'OPENAI_API_KEY=sk-rf-some'\"'\"'key'" in found.run
    assert found.variables["ENABLE_OLLAMA_API"] == "false"
    assert Gateway("http://10.0.0.5:7464", "k").from_container == "http://10.0.0.5:7464/v1"


def test_cursor_says_where_text_goes() -> None:
    assert "Cursor's own servers" in " ".join(told("cursor").notes)
    assert told("ollama").variables["OLLAMA_HOST"] == SITE.root


def test_no_key_in_reprs() -> None:
    for program in PROGRAMS.values():
        assert "some'key" not in repr(SITE)
        assert "some'key" not in repr(program.settings(SITE).files)


def test_without_a_gateway_there_are_placeholders(state: Path) -> None:
    found = json.loads(invoked("codex", "--json").stdout)
    assert (found["running"], found["api_key"], found["base_url"]) == (False, "sk-rf-...", "http://127.0.0.1:7464/v1")
    text = invoked("aider")
    assert "export OPENAI_API_KEY=sk-rf-..." in text.stdout and "keys create" in text.stderr
    Path("ringfence.yaml").write_text("server: {host: '::', port: 9000}\n")
    assert json.loads(invoked("codex", "--json").stdout)["base_url"] == "http://[::1]:9000/v1"
    assert "claude-code" in invoked().stdout and len(json.loads(invoked("--json").stdout)) == len(PROGRAMS)
    assert "one of aider, " in invoked("emacs", code=2).stderr
    invoked("codex", "--key", "mine", code=3)
    invoked("codex", "--profile", "x", code=2)


def test_a_running_gateway_is_told_of_with_its_key_and_window(view: FakeView, state: Path) -> None:
    save_credentials(state, Credentials("key_1", "sk-rf-of-the-owner"))
    root = json.loads((state / "run.json").read_text())["base_url"].removesuffix("/v1")
    model = next(iter(view.status()["models"]))
    found = json.loads(invoked("continue", "--model", model["name"], "--json").stdout)
    assert (found["running"], found["base_url"], found["api_key"]) == (True, f"{root}/v1", "sk-rf-of-the-owner")
    assert f"contextLength: {model['window']}" in found["files"][0]["text"]
    assert model["name"] in invoked("codex", "--model", "nobody", code=2).stderr


def test_a_key_of_its_own_is_made_once_all_else_is_right(view: FakeView, state: Path) -> None:
    before = len(view.known_keys)
    invoked("codex", "--key", "codex", "--model", "nobody", code=2)
    assert len(view.known_keys) == before
    found = json.loads(invoked("codex", "--key", "codex", "--json").stdout)
    assert len(view.known_keys) == before + 1 and list(view.known_keys.values())[-1]["name"] == "codex"
    assert found["env"]["RINGFENCE_API_KEY"] == found["api_key"] != "sk-rf-..."
