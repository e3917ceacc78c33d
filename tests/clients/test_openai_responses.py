"""The openai package, unchanged, over responses: against a real llama.cpp for structure, against fakes for answers."""

from __future__ import annotations

import json
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

HERE = Path(__file__).parent
EVENT = TypeAdapter(ResponseStreamEvent)
FAKES = ("fakes/llamacpp", "fakes/vllm", "fakes/ollama", "fakes/lmstudio")
EVERY_MODEL = ("tiny", *FAKES)
SENTENCE = "The quick brown fox jumps."
TOOL = {
    "type": "function",
    "name": "look_up",
    "description": "The weather of a city.",
    "strict": None,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}},
        "required": ["city"],
    },
}
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 12},
        "degrees": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["city", "degrees"],
    "additionalProperties": False,
}
SPACE = {"type": "namespace", "name": "mcp__weather__", "description": "Weather.", "tools": [TOOL]}
PATCH = {"type": "custom", "name": "patch", "description": "Changes a file."}


class Weather(BaseModel):
    city: str
    degrees: int


@pytest.fixture(scope="module")
def client(gateway: Any) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=gateway.base_url, api_key=gateway.api_key, max_retries=0, timeout=30) as client:
        yield client


@pytest.mark.parametrize("model", EVERY_MODEL)
def test_answers(client: openai.OpenAI, model: str) -> None:
    answer = client.responses.create(model=model, input="Say something.", max_output_tokens=8)
    assert Response.model_validate(answer.to_dict()).id == answer.id
    assert answer.model == model and answer.status in ("completed", "incomplete")
    assert answer.usage is not None and answer.usage.output_tokens > 0
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens


@pytest.mark.parametrize("model", EVERY_MODEL)
def test_streams(client: openai.OpenAI, model: str) -> None:
    with client.responses.stream(model=model, input="Say something.", max_output_tokens=8) as stream:
        events: list[Any] = list(stream)
    final = events[-1].response
    numbers = [event.sequence_number for event in events]
    assert numbers == list(range(len(events)))
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[-1].type in ("response.completed", "response.incomplete")
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert said == final.output_text and final.usage is not None
    if model in FAKES:
        assert said == SENTENCE


@pytest.mark.parametrize("model", FAKES)
def test_a_tool_is_called_and_its_result_is_read(client: openai.OpenAI, model: str) -> None:
    asked: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
    stream = client.responses.create(model=model, input=asked, tools=[TOOL], stream=True)  # type: ignore[call-overload]
    events = list(stream)
    (call,) = events[-1].response.output
    assert (call.type, call.name, call.status) == ("function_call", "look_up", "completed")
    deltas = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
    assert json.loads("".join(deltas)) == json.loads(call.arguments) == {"city": "Paris"}
    asked += [call.to_dict(), {"type": "function_call_output", "call_id": call.call_id, "output": "21 degrees"}]
    told = client.responses.create(model=model, input=asked, tools=[TOOL])  # type: ignore[call-overload]
    assert told.output_text == "It is 21 degrees."


def test_tools_of_a_namespace_and_tools_that_take_a_text(client: openai.OpenAI) -> None:
    for tool, kind, more in (
        (SPACE, "function_call", {"name": "look_up", "namespace": "mcp__weather__"}),
        (PATCH, "custom_tool_call", {"name": "patch", "input": '{"city": "Paris"}'}),
    ):
        for is_stream in (False, True):
            asked: Any = {"model": "fakes/vllm", "input": "Do.", "tools": [tool, {"type": "web_search"}]}
            got = client.responses.create(**asked, stream=is_stream)
            answer: Any = list(got)[-1].response if is_stream else got
            (call,) = answer.to_dict()["output"]
            assert call["type"] == kind and more.items() <= call.items()
            assert [one["type"] for one in answer.to_dict()["tools"]] == [tool["type"]], "what was in force"


@pytest.mark.parametrize("model", FAKES)
def test_a_type_is_asked_for_and_read(client: openai.OpenAI, model: str) -> None:
    answer = client.responses.parse(model=model, input="The weather?", text_format=Weather)
    assert answer.output_parsed == Weather(city="Paris", degrees=21)


def test_a_schema_is_kept_by_a_real_engine(client: openai.OpenAI) -> None:
    form: Any = {"format": {"type": "json_schema", "name": "weather", "schema": SCHEMA, "strict": True}}
    answer = client.responses.create(model="tiny", input="The weather?", text=form, max_output_tokens=200)
    told = json.loads(answer.output_text)
    assert set(told) == {"city", "degrees"} and answer.status == "completed"


def test_log_probabilities(client: openai.OpenAI) -> None:
    answer = client.responses.create(
        model="fakes/vllm", input="Say.", include=["message.output_text.logprobs"], top_logprobs=2
    )
    part: Any = answer.output[0].content[0]  # type: ignore[union-attr]
    assert "".join(one.token for one in part.logprobs) == SENTENCE and part.logprobs[0].logprob == -0.5


@pytest.mark.parametrize("model", EVERY_MODEL)
def test_tokens_are_counted(client: openai.OpenAI, model: str) -> None:
    counted = client.responses.input_tokens.count(model=model, input="Say something.")
    assert counted.input_tokens > 0
    if model == "tiny":
        answer = client.responses.create(model=model, input="Say something.", max_output_tokens=1)
        assert answer.usage is not None and counted.input_tokens == answer.usage.input_tokens


def test_codex(gateway: Any, client: openai.OpenAI) -> None:
    """The first request of Codex 0.169, as it was sent with the settings that we show; its texts are cut short."""
    told = tomllib.loads((HERE / "snippets" / "codex.toml").read_text())
    provider = told["model_providers"][told["model_provider"]]
    assert provider["wire_api"] == "responses"
    url = provider["base_url"].replace("http://127.0.0.1:7464/v1", gateway.base_url) + "/responses"
    asked = json.loads((HERE / "codex_first_request.json").read_text())
    assert {tool["type"] for tool in asked["tools"]} == {"function", "namespace", "web_search"}
    head = {"authorization": f"Bearer {gateway.api_key}", "content-type": "application/json"}
    *_, space, web = sorted(asked["tools"], key=lambda tool: tool["type"])
    few = [space | {"tools": space["tools"][:1]}, web]  # its window is small
    for model, more in (("fakes/vllm", {}), ("tiny", {"tools": few, "max_output_tokens": 8})):
        body = json.dumps(asked | {"model": model} | more).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body, head), timeout=30) as answer:
                assert answer.headers["content-type"].startswith("text/event-stream")
                blocks = answer.read().decode().strip().split("\n\n")
        except urllib.error.HTTPError as refused:
            raise AssertionError(refused.read()) from refused
        events = [EVENT.validate_json(block.partition("data: ")[2]) for block in blocks]
        assert events[-1].type in ("response.completed", "response.incomplete")
    assert events[-1].response.status in ("completed", "incomplete")
