"""llm, the command line, unchanged: with the file and the key that `ringfence connect llm` prints."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

HOME = os.environ["HOME"] = tempfile.mkdtemp()

import llm
import openai
from checks import (
    CLOUDS,
    KEY,
    KEY_FOR_CLOUDS,
    KEY_FOR_ONE_REQUEST,
    KEY_THAT_REFUSES,
    SENTENCE,
    SETTINGS,
    URL,
    raised,
    run,
)
from click.testing import CliRunner, Result
from llm.cli import cli

FAKES = ("fakes/llamacpp", "fakes/vllm", "fakes/ollama", "fakes/lmstudio")
RENTED = (*CLOUDS, "clouds/cut-llm", "clouds/full-llm")
OTHERS = (*FAKES, *RENTED, "fakes/full-vllm", "fakes/cut-llm", "fakes/busy-llm", "fakes/failing", "tiny", "gpt-9")
BY_RESPONSES = ("fakes/vllm", "fakes/ollama", "fakes/full-vllm", "tiny")
LOOK_UP = 'def look_up(city: str) -> str:\n    "The weather of a city."\n    return f"21 in {city}"\n'
MODELS: dict[str, Any] = {}


def check_settings() -> None:
    """What `ringfence connect llm` prints is done; further models are told in the same form."""
    (file,) = SETTINGS["files"]
    path = Path(file["path"]).expanduser()
    path.parent.mkdir(parents=True)
    text, named, called = file["text"], "model_name: auto\n", "model_id: ringfence\n"
    assert text.count(named) == text.count(called) == 1, text
    more = [text.replace(named, f"model_name: {name}\n").replace(called, f"model_id: {name}\n") for name in OTHERS]
    for name in BY_RESPONSES:
        other = text.replace(named, f"model_name: {name}\n").replace(called, f"model_id: responses/{name}\n")
        more.append(other + "  responses: true\n")
    path.write_text(text + "".join(more))
    for step in SETTINGS["steps"]:
        program, *words = shlex.split(step)
        assert program == "llm" and typed(*words).exit_code == 0, step
    MODELS.update({model.model_id: model for model in llm.get_models()})


def typed(*words: str, **more: Any) -> Result:
    """A command line, without a process of its own."""
    return CliRunner().invoke(cli, words, **more)


def shell(*words: str, **more: Any) -> str:
    program = str(Path(sys.executable).with_name("llm"))
    done = subprocess.run([program, *words], capture_output=True, text=True, timeout=60, check=False, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def every() -> list[tuple[str, bool]]:
    """Model and whether it streams; the long names by responses, the others by chats."""
    names = [*FAKES, *(f"responses/{name}" for name in BY_RESPONSES if name in FAKES)]
    return [(name, stream) for name in names for stream in (True, False)]


def check_what_connect_prints_works() -> None:
    program, *words = shlex.split(SETTINGS["run"])
    assert program == "llm" and "ringfence" in words
    assert shell(*words, "-o", "max_tokens", "8").strip()


def check_prompt_at_a_terminal() -> None:
    told = typed("-m", "fakes/vllm", "-u", "Say something.", "-s", "Be brief.", "-o", "temperature", "0", "--no-stream")
    assert told.stdout == SENTENCE + "\n", told.output
    assert typed("-m", "fakes/vllm", "Say something.").stdout == SENTENCE + "\n"
    assert typed("-c", "Again.").stdout == SENTENCE + "\n"


def check_chat() -> None:
    told = shell("chat", "-m", "fakes/vllm", input="Say something.\nAgain.\nexit\n")
    assert told.count(SENTENCE) == 2, told


def check_prompts() -> None:
    for name, stream in every():
        answer = MODELS[name].prompt("Say something.", stream=stream)
        assert (answer.text(), answer.usage().output) == (SENTENCE, 6), (name, stream, answer.usage())


def check_real_answers() -> None:
    for stream in (True, False):
        answer = MODELS["tiny"].prompt("Say something.", stream=stream, max_tokens=8)
        assert answer.text()
        assert 0 < answer.usage().output <= 8, (stream, answer.usage())
        assert MODELS["responses/tiny"].prompt("Say something.", stream=stream, max_tokens=8).text(), stream


def check_async() -> None:
    async def said() -> str:
        return await llm.get_async_model("fakes/vllm").prompt("Say something.").text()

    assert asyncio.run(said()) == SENTENCE


def check_schema() -> None:
    told = typed("-m", "fakes/vllm", "--schema", "city, degrees int", "Paris?")
    assert json.loads(told.stdout) == {"city": "Paris", "degrees": 21}, told.output
    for name, stream in every():
        answer = MODELS[name].prompt("Paris?", schema=llm.schema_dsl("city, degrees int"), stream=stream)
        assert json.loads(answer.text()) == {"city": "Paris", "degrees": 21}, (name, stream)
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 99, "minimum": 0}}}
    schema |= {"required": ["n"], "additionalProperties": False}
    assert 0 <= json.loads(MODELS["tiny"].prompt("A number.", schema=schema, max_tokens=100).text())["n"] <= 99


def look_up(city: str) -> str:
    """The weather of a city."""
    return f"21 in {city}"


def check_tools() -> None:
    told = typed("-m", "fakes/vllm", "--functions", LOOK_UP, "How is the weather in Paris?", "--td")
    assert told.stdout.strip().endswith("It is 21 degrees.") and "21 in Paris" in told.output, told.output
    for name, stream in every():
        answers = list(MODELS[name].chain("How is the weather in Paris?", tools=[look_up], stream=stream).responses())
        calls = [(call.name, call.arguments) for answer in answers for call in answer.tool_calls()]
        assert calls == [("look_up", {"city": "Paris"})], (name, stream, calls)
        assert answers[-1].text() == "It is 21 degrees.", (name, stream)


def check_embeddings() -> None:
    """Only under OpenAI's own names: an alias of ours is one of them."""
    told = typed("embed", "-m", "3-small", "-c", "Hello", env={"OPENAI_BASE_URL": URL, "OPENAI_API_KEY": KEY})
    assert len(json.loads(told.stdout)) == 8, told.output


def check_the_list() -> None:
    told = typed("openai", "endpoint", URL, "--models", "--key", KEY)
    assert told.exit_code == 0 and "fakes/vllm" in told.stdout, told.output


def refused(name: str, waits: bool = False, **more: Any) -> openai.APIStatusError:
    """The package behind llm tries again twice; how long it would wait, it is only asked."""
    asked = MODELS[name].prompt("Say something.", **more)
    with patch.object(time, "sleep") as slept:
        error = raised(openai.APIStatusError, asked.text)
    assert bool(slept.call_count) is waits, (name, slept.call_args_list)
    assert all(wait.args[0] <= 60 for wait in slept.call_args_list)
    return error


def check_errors() -> None:
    told = typed("-m", "gpt-9", "Say something.")
    assert told.exit_code == 1 and told.stderr.startswith("Error: ") and "gpt-9" in told.stderr, told.output
    assert refused("tiny", key="sk-rf-wrong").status_code == 401
    assert refused("gpt-9").code == "model_not_found"
    assert refused("fakes/failing", waits=True).status_code >= 500
    busy = refused("fakes/busy-llm", waits=True)
    assert busy.status_code == 503 and int(busy.response.headers["retry-after"]) >= 1


def check_limits() -> None:
    assert MODELS["fakes/vllm"].prompt("Say something.", key=KEY_FOR_ONE_REQUEST).text() == SENTENCE
    error = refused("fakes/vllm", waits=True, key=KEY_FOR_ONE_REQUEST)
    assert error.status_code == 429 and int(error.response.headers["retry-after"]) > 30


def check_what_is_too_long() -> None:
    for name in ("tiny", "fakes/vllm", "fakes/ollama", "responses/tiny", "responses/fakes/vllm"):
        asked = MODELS[name].prompt("word " * 6000, key=KEY_THAT_REFUSES)
        assert raised(openai.BadRequestError, asked.text).code == "context_length_exceeded", name
    for name in ("fakes/full-vllm", "responses/fakes/full-vllm"):
        assert refused(name).code == "context_length_exceeded"
    told = typed("-m", "fakes/full-vllm", "Say something.")
    assert told.exit_code == 1 and "maximum context length" in told.stderr, told.output


def check_a_stream_that_breaks() -> None:
    told = typed("-m", "fakes/cut-llm", "Say something.")
    assert told.exit_code == 1 and "Error: " in told.stderr, told.output
    assert told.stdout.strip() and SENTENCE.startswith(told.stdout.strip()), told.output


def check_rented_clouds() -> None:
    for name in CLOUDS:
        for stream in (True, False):
            assert MODELS[name].prompt("Say something.", stream=stream, key=KEY_FOR_CLOUDS).text() == SENTENCE, name
    error = refused("clouds/full-llm", waits=True, key=KEY_FOR_CLOUDS)
    assert (error.status_code, error.code) == (429, "provider_rate_limited")
    told = typed("-m", "clouds/cut-llm", "--key", KEY_FOR_CLOUDS, "Say something.")
    assert told.exit_code == 1 and "Error: " in told.stderr, told.output
    assert told.stdout.strip() and SENTENCE.startswith(told.stdout.strip()), told.output


if __name__ == "__main__":
    run(globals())
