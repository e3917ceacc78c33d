"""One gateway before a real llama.cpp and fakes that answer by script, and the clients of other ecosystems.

What a check in another process returns comes back as JSON; see python/checks.py and node/checks.mjs.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from coder import Coder
from rented import CLOUDS, behave, providers, rented_models
from renting import SECRET, HeardCloud, beside, clouds

from ringfence.testing.fake_cloud import Certificate, make_certificate
from ringfence.testing.fake_dialects import Dialect, FakeModel
from ringfence.testing.fake_engine import Behaviour, FakeEngine, Fault

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
KINDS = ("llamacpp", "vllm", "ollama", "lmstudio")
CUT_OFF = tuple(
    f"fakes/cut-{client}"
    for client in ("openai", "ai-sdk", "langchain", "llamaindex", "ollama", "litellm", "llm", "aider", "open-webui")
)
BUSY = tuple(f"fakes/busy-{client}" for client in ("litellm", "llm", "aider", "open-webui"))
CHECKS_TAKE_S = 200
ARGUMENTS = ('{"ci', 'ty": "Pa', 'ris"}')
WEATHER = '{"city": "Paris", "degrees": 21}'
EDIT = ("greet.py\n", "```\n", "def hello():\n", '    return "hi"\n', "```\n")
"""A file as Aider wants it back: `fakes/edits` answers every request with it."""
NOWHERE = "http://127.0.0.1:9"
"""The proxy of everything that is not on loopback: nobody listens there, so that no client reaches beyond it."""
WHOLE = "whole"
"""The profile that rather has a long prompt refused than shortened."""
RENTING = "renting"
"""The profile whose calls may go to clouds."""
TOO_LONG: dict[str, tuple[str, str, Any]] = {
    "vllm": (
        "vllm",
        "vllm",
        {
            "error": {
                "message": "This model's maximum context length is 4096 tokens. However, your prompt contains at least "
                "4097 input tokens, which exceeds this limit even without any output tokens. Please reduce the length "
                "of the input prompt.",
                "type": "BadRequestError",
                "param": "input_tokens",
                "code": 400,
            }
        },
    ),
    "llamacpp": (
        "llamacpp",
        "llamacpp",
        {
            "error": {
                "code": 400,
                "type": "exceed_context_size_error",
                "message": "request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it",
                "n_prompt_tokens": 5000,
                "n_ctx": 4096,
            }
        },
    ),
    "sglang": (
        "vllm",
        "openai_compatible",
        {
            "object": "error",
            "message": "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
            "type": "BadRequestError",
            "code": 400,
        },
    ),
    "ollama": (
        "ollama",
        "ollama",
        {
            "error": "the prompt is longer than the context length currently available to the model; shorten it or "
            "raise the context length"
        },
    ),
}
"""By whom: the fake that speaks, the engine it is taken for, and what it says to a prompt that is too long."""


@dataclass(frozen=True, slots=True)
class Scripted(Dialect):
    """A fake engine's dialect that also calls tools, keeps to schemas, tells logprobs, echoes, and answers n times."""

    def answer(self, route: str, model: FakeModel, body: dict[str, Any]) -> dict[str, Any]:
        answer = Dialect.answer(self, route, model, body)
        if route == "embeddings":
            return answer
        choice = answer["choices"][0]
        if route == "completions":
            choice["text"] = "".join(_echoed(body) + _said(self, body))
            choice["logprobs"] = _completion_logprobs(_said(self, body)) if body.get("logprobs") is not None else None
        elif _calls_a_tool(body):
            choice["message"] = {
                "role": "assistant",
                "content": None,
                "tool_calls": [_tool_call(body, "".join(ARGUMENTS))],
            }
            choice["finish_reason"] = "tool_calls"
        else:
            choice["message"]["content"] = "".join(_said(self, body))
            if body.get("logprobs"):
                choice["logprobs"] = {"content": [_token(word) for word in _said(self, body)]}
        answer["choices"] = [{**choice, "index": index} for index in range(body.get("n") or 1)]
        return answer

    def events(self, route: str, model: FakeModel, body: dict[str, Any]) -> Iterator[bytes]:
        is_chat = route != "completions"
        frame = {"id": "answer-1", "object": "chat.completion.chunk" if is_chat else "text_completion"}
        frame |= {"created": 1_790_000_000, "model": model.name}
        finish = "stop"
        if not is_chat:
            for word in _echoed(body) + _said(self, body):
                told = _completion_logprobs((word,)) if body.get("logprobs") is not None else None
                yield _event(frame, {"text": word, "logprobs": told})
        elif _calls_a_tool(body):
            finish = "tool_calls"
            yield from (_event(frame, {"delta": delta}) for delta in self._tool_deltas(body))
        else:
            yield _event(frame, {"delta": {"role": "assistant", "content": None if self.kind == "llamacpp" else ""}})
            for word in _said(self, body):
                told = {"logprobs": {"content": [_token(word)]}} if body.get("logprobs") else {}
                yield _event(frame, {"delta": {"content": word}, **told})
        yield _event(frame, {"delta": {}} if is_chat else {"text": ""}, finish)
        if (body.get("stream_options") or {}).get("include_usage"):
            yield _data({**frame, "choices": [], "usage": self._usage(route, model, body)})
        yield b"data: [DONE]\n\n"

    def _tool_deltas(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Ollama and LM Studio send a call in one piece, the others its arguments bit by bit."""
        if self.kind in ("ollama", "lmstudio"):
            yield {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"index": 0, **_tool_call(body, "".join(ARGUMENTS))}],
            }
            return
        yield {"role": "assistant", "content": None, "tool_calls": [{"index": 0, **_tool_call(body, "")}]}
        for piece in ARGUMENTS:
            yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}


def _said(dialect: Dialect, body: dict[str, Any]) -> tuple[str, ...]:
    last = (body.get("messages") or [{}])[-1]
    if last.get("role") == "tool":
        return ("It", " is", " 21", " degrees", ".")
    if (body.get("response_format") or {}).get("type") == "json_schema":
        return (WEATHER[:9], WEATHER[9:])
    stops = [body["stop"]] if isinstance(body.get("stop"), str) else body.get("stop") or []
    words = dialect._spoken(body)
    return next((words[:place] for place, word in enumerate(words) if word.strip() in stops), words)


def _calls_a_tool(body: dict[str, Any]) -> bool:
    return bool(body.get("tools")) and body["messages"][-1]["role"] != "tool" and body.get("tool_choice") != "none"


def _tool_call(body: dict[str, Any], arguments: str) -> dict[str, Any]:
    name = body["tools"][0]["function"]["name"]
    given = arguments and WEATHER if "degrees" in json.dumps(body["tools"][0]) else arguments
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": given}}


def _echoed(body: dict[str, Any]) -> tuple[str, ...]:
    return (str(body["prompt"]),) if body.get("echo") else ()


def _token(word: str) -> dict[str, Any]:
    return {"token": word, "logprob": -0.5, "bytes": list(word.encode()), "top_logprobs": []}


def _completion_logprobs(words: tuple[str, ...]) -> dict[str, Any]:
    return {
        "tokens": list(words),
        "token_logprobs": [-0.5] * len(words),
        "top_logprobs": None,
        "text_offset": [0] * len(words),
    }


def _event(frame: dict[str, Any], choice: dict[str, Any], finish: str | None = None) -> bytes:
    return _data({**frame, "choices": [{"index": 0, **choice, "finish_reason": finish}]})


def _data(body: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


# -- engines and gateways -------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def start_engine() -> Iterator[Callable[..., FakeEngine]]:
    """Starts fake engines on a loop of their own, so that clients that block do not stop them."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    started: list[FakeEngine] = []

    def start(kind: str, speaks: type[Dialect] = Scripted, **more: Any) -> FakeEngine:
        engine = FakeEngine(kind, **more)
        was = engine.dialect
        engine.dialect = speaks(was.kind, was.models, was.slots, was.words)
        asyncio.run_coroutine_threadsafe(engine.start(), loop).result(5)
        started.append(engine)
        return engine

    yield start
    for engine in started:
        asyncio.run_coroutine_threadsafe(engine.stop(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


@pytest.fixture(scope="session")
def engines(start_engine: Callable[..., FakeEngine]) -> dict[str, FakeEngine]:
    """By model id: `fakes/KIND` for each kind, `fakes/embedder`, `fakes/coder` for programs that code, and those that
    are always at fault in one way: `fakes/slow` has a second between two words, `fakes/cut-CLIENT` breaks off after two
    (one for each client, because an engine that does nothing else is set aside), `fakes/busy-CLIENT` is overloaded,
    `fakes/failing` fails, and `fakes/full-ENGINE` says of every prompt that it is too long, in that engine's words."""
    fakes = {f"fakes/{kind}": start_engine(kind) for kind in KINDS}
    fakes |= {
        "fakes/embedder": start_engine("vllm", models=(FakeModel(embeds=True),)),
        "fakes/slow": start_engine("vllm"),
        "fakes/coder": start_engine("vllm", Coder, models=(FakeModel(window=200_000),)),
        "fakes/edits": start_engine("vllm", words=EDIT),
    }
    fakes |= {name: start_engine("vllm") for name in (*CUT_OFF, *BUSY, "fakes/failing")}
    for name, (kind, _, said) in TOO_LONG.items():
        full = fakes[f"fakes/full-{name}"] = start_engine(kind)
        full.always = Behaviour(Fault.STATUS, status=400, body=said)
    fakes["fakes/slow"].always = Behaviour(between_s=1.0)
    for name in CUT_OFF:
        fakes[name].always = Behaviour(Fault.CUT, after_events=3)
    for name in BUSY:
        fakes[name].always = Behaviour(Fault.STATUS, status=503, headers="Retry-After: 7\r\n")
    fakes["fakes/failing"].always = Behaviour(Fault.STATUS, status=500)
    return fakes


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="session")
def rented(certificate: Certificate) -> Iterator[dict[str, HeardCloud]]:
    """The clouds, by the names of their models."""
    with clouds(certificate, CLOUDS) as made:
        behave(made)
        yield made


@pytest.fixture(scope="session")
def gateway(
    start_up: Any, engines: dict[str, FakeEngine], rented: dict[str, HeardCloud], certificate: Certificate,
    tiny_model: Path, tmp_path_factory: pytest.TempPathFactory,
) -> Any:  # fmt: skip
    """A real llama.cpp with a random model as `tiny` (also `auto` and `local/fast`), the fakes, and rented clouds."""
    models: dict[str, Any] = {"tiny": {"source": str(tiny_model), "aliases": ["auto", "local/fast"], "threads": 2}}
    taken_for = {f"fakes/full-{name}": engine for name, (_, engine, _) in TOO_LONG.items()}
    models |= {
        name: {
            "url": f"http://127.0.0.1:{engine.port}",
            "engine": taken_for.get(name, engine.kind),
            "engine_model": "fake-model",
        }
        for name, engine in engines.items()
    }
    models["fakes/embedder"]["aliases"] = ["text-embedding-3-small"]  # llm embeds under OpenAI's names only
    profiles = {WHOLE: {"overlong": "refuse"}, RENTING: {"tier": "T3", "chain": ["clouds/openai"]}}
    config = {"models": models | rented_models(rented), "profiles": profiles, "providers": providers(rented)}
    file = _written(tmp_path_factory, config)
    return start_up("--config", str(file), program=beside(certificate), env={"RENTED_KEY": SECRET})


@pytest.fixture(scope="session")
def impatient(start_up: Any, start_engine: Callable[..., FakeEngine], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A gateway that asks its one engine once and waits half a second: a vLLM that misbehaves as told (`.engine`)."""
    engine = start_engine("vllm", models=(FakeModel(window=64),))
    models = {"fragile": {"url": f"http://127.0.0.1:{engine.port}", "engine": "vllm", "engine_model": "fake-model"}}
    timeouts = {"first_byte_s": 0.5, "answer_s": 0.5, "between_bytes_s": 0.5, "retries": 0}
    up = start_up("--config", str(_written(tmp_path_factory, {"models": models, "timeouts": timeouts})))
    up.engine = engine
    return up


def _written(tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any]) -> Path:
    path = tmp_path_factory.mktemp("config") / "ringfence.yaml"
    path.write_text(json.dumps(config))  # YAML reads JSON
    return path


@pytest.fixture(scope="session")
def make_key(gateway: Any) -> Callable[..., str]:
    """`ringfence keys create`: the secret of a new key."""

    def make(name: str, *options: str) -> str:
        return str(json.loads(gateway.run("keys", "create", name, *options, "--json").stdout)["secret"])

    return make


@pytest.fixture(scope="session")
def whole_key(make_key: Callable[..., str]) -> str:
    """The secret of a key whose long prompts are refused, not shortened."""
    return make_key("whole", "--profile", WHOLE)


@pytest.fixture(scope="session")
def cloud_key(make_key: Callable[..., str]) -> str:
    """The secret of a key whose calls may go to clouds."""
    return make_key("renting", "--profile", RENTING)


# -- clients in other processes -------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def clients_python() -> str:
    """The interpreter that has the Python clients; skips without one."""
    return _python_in(Path(os.environ.get("RINGFENCE_CLIENTS_VENV") or ROOT / ".venv-clients"))


@pytest.fixture(scope="session")
def aider_python() -> str:
    """The interpreter that has Aider, which needs old versions of what other clients need too; skips without one."""
    return _python_in(Path(os.environ.get("RINGFENCE_AIDER_VENV") or ROOT / ".venv-aider"))


def _python_in(folder: Path) -> str:
    python = folder / "bin" / "python"
    if not python.exists():
        pytest.skip(f"no Python clients in {folder}; tests/clients/install.sh installs them")
    return str(python)


@pytest.fixture(scope="session")
def clients_node() -> str:
    """Node, where the npm clients are installed; skips without."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on the PATH")
    if not (HERE / "node" / "node_modules").is_dir():
        pytest.skip("no npm clients in tests/clients/node/node_modules; tests/clients/install.sh installs them")
    return node


@pytest.fixture(scope="session")
def run_checks(
    gateway: Any, make_key: Callable[..., str], whole_key: str, cloud_key: str
) -> Callable[[list[str], Path], dict[str, Any]]:
    """Runs a script of checks once; what each returned, or `{"failed": why}`."""
    told: dict[Path, dict[str, Any]] = {}

    def environment(script: Path) -> dict[str, str]:
        spent = make_key(script.stem, "--rpm", "1")
        known = {"RINGFENCE_KEY_FOR_ONE_REQUEST": spent, "RINGFENCE_KEY_THAT_REFUSES": whole_key}
        known["RINGFENCE_KEY_FOR_CLOUDS"] = cloud_key
        known["RINGFENCE_SETTINGS"] = (
            gateway.run("connect", script.stem.removesuffix("_checks"), "--json").stdout or "{}"
        )
        return client_environment(gateway.base_url, gateway.api_key) | known

    def run(command: list[str], script: Path) -> dict[str, Any]:
        if script not in told:
            done = subprocess.run(
                [*command, str(script)],
                env=environment(script),
                capture_output=True,
                text=True,
                timeout=CHECKS_TAKE_S,
                check=False,
            )
            last = done.stdout.strip().rpartition("\n")[2]
            assert last.startswith("{"), f"{script.name} did not finish:\n{done.stdout[-2000:]}\n{done.stderr[-9000:]}"
            if done.returncode:
                warnings.warn(f"{script.name} told all and ended with {done.returncode}: {done.stderr}", stacklevel=1)
            told[script] = json.loads(last)
        return told[script]

    return run


def client_environment(base_url: str, api_key: str) -> dict[str, str]:
    """What a client's process is told: nothing of this machine's own keys and addresses."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    quiet = {"LANGSMITH_TRACING": "false", "AI_SDK_LOG_WARNINGS": "false", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    quiet |= {"HF_HUB_OFFLINE": "1", "HTTP_PROXY": NOWHERE, "HTTPS_PROXY": NOWHERE, "NO_PROXY": "127.0.0.1,localhost"}
    return kept | quiet | {"RINGFENCE_URL": base_url, "RINGFENCE_KEY": api_key}
