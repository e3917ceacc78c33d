"""OpenAI's dialect and how single clouds differ: addresses, names of fields, what is refused before it leaves."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from ringfence.core.catalog import Ability
from ringfence.core.errors import BadRequest, EngineFailed, RateLimited
from ringfence.providers.anthropic import ADAPTER as ANTHROPIC
from ringfence.providers.openai import ADAPTER, CLOUDS, cloud_of

OPENAI = "https://api.openai.com/v1"
GROQ = "https://api.groq.com/openai/v1"
GEMINI = "https://generativelanguage.googleapis.com/v1beta/openai/"
MISTRAL = "https://api.mistral.ai/v1"
KIMI = "https://api.moonshot.ai/v1"
ELSEWHERE = "https://llm.example.net/v1"


def ask(url: str = OPENAI, *, cap: int = 512, ability: Ability = Ability.CHAT, **fields: Any) -> dict[str, Any]:
    body = {"model": "m", **fields}
    if ability is Ability.CHAT:
        body.setdefault("messages", [{"role": "user", "content": "hi"}])
    before = copy.deepcopy(body)
    asked = ADAPTER.request(ability, body, url, cap)
    assert body == before
    return asked


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://api.openai.com", "/v1/chat/completions"),
        ("https://api.openai.com/v1", "/v1/chat/completions"),
        ("https://api.openai.com/v1/", "/v1/chat/completions"),
        ("https://api.groq.com", "/openai/v1/chat/completions"),
        ("https://api.groq.com/openai", "/openai/v1/chat/completions"),
        (GROQ, "/openai/v1/chat/completions"),
        ("https://openrouter.ai", "/api/v1/chat/completions"),
        ("https://openrouter.ai/api", "/api/v1/chat/completions"),
        (GEMINI, "/v1beta/openai/chat/completions"),
        ("https://generativelanguage.googleapis.com", "/v1beta/openai/chat/completions"),
        ("https://api.deepseek.com", "/v1/chat/completions"),
        ("https://api.deepseek.com/beta", "/beta/v1/chat/completions"),
        ("https://gateway.example/proxy/v2", "/proxy/v2/chat/completions"),
        ("https://gateway.example:8443", "/v1/chat/completions"),
    ],
)
def test_any_address_with_or_without_a_version(url: str, path: str) -> None:
    assert ADAPTER.path(Ability.CHAT, url) == path


def test_other_abilities_have_their_own_paths() -> None:
    assert ADAPTER.path(Ability.EMBEDDINGS, OPENAI) == "/v1/embeddings"
    assert ADAPTER.path(Ability.COMPLETIONS, OPENAI) == "/v1/completions"
    assert ANTHROPIC.path(Ability.CHAT, "https://api.anthropic.com/v1") == "/v1/messages"
    assert ANTHROPIC.path(Ability.CHAT, "https://api.deepseek.com/anthropic") == "/anthropic/v1/messages"


def test_hosts_are_told_apart_by_their_whole_name() -> None:
    assert cloud_of("https://API.Mistral.ai./v1").title == "Mistral"
    assert cloud_of("https://api.mistral.ai.example.net/v1").title == "OpenAI-compatible"
    hosts = [host for cloud in CLOUDS for host in cloud.hosts]
    assert len(hosts) == len(set(hosts))


class TestKeys:
    def test_each_dialect_has_its_header(self) -> None:
        assert ADAPTER.headers("k-1") == b"authorization: Bearer k-1\r\n"
        assert ANTHROPIC.headers("k-1") == b"x-api-key: k-1\r\nanthropic-version: 2023-06-01\r\n"

    @pytest.mark.parametrize("key", ["", "a b", "a\r\nx-evil: 1", "a\n", "schlüssel", "\x00"])
    @pytest.mark.parametrize("adapter", [ADAPTER, ANTHROPIC])
    def test_a_key_that_no_header_holds_is_refused_without_being_shown(self, adapter: Any, key: str) -> None:
        with pytest.raises(ValueError, match="the provider's key") as refused:
            adapter.headers(key)
        assert not key or key not in str(refused.value)


class TestOutput:
    @pytest.mark.parametrize(
        ("url", "name"),
        [
            (OPENAI, "max_completion_tokens"), (GROQ, "max_completion_tokens"), (KIMI, "max_completion_tokens"),
            (MISTRAL, "max_tokens"), (GEMINI, "max_tokens"), ("https://openrouter.ai/api/v1", "max_tokens"),
            ("https://api.deepseek.com", "max_tokens"), (ELSEWHERE, "max_tokens"),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("given", ["max_tokens", "max_completion_tokens"])
    def test_each_cloud_gets_the_name_it_takes_and_only_that(self, url: str, name: str, given: str) -> None:
        asked = ask(url, **{given: 30})
        assert {key: asked[key] for key in asked if key.startswith("max_")} == {name: 30}

    def test_the_cap_holds_for_all_answers_together(self) -> None:
        assert ask(cap=100)["max_completion_tokens"] == 100
        assert ask(cap=100, max_tokens=500)["max_completion_tokens"] == 100
        assert ask(cap=100, max_tokens=500, n=4)["max_completion_tokens"] == 25
        with pytest.raises(BadRequest) as refused:
            ask(cap=3, n=4)
        assert refused.value.param == "n"

    def test_completions_count_what_is_made_not_what_is_shown(self) -> None:
        asked = ask(ability=Ability.COMPLETIONS, prompt="a", cap=100, best_of=10, n=1)
        assert asked["max_tokens"] == 10

    def test_embeddings_have_no_output(self) -> None:
        assert ask(ability=Ability.EMBEDDINGS, input="a") == {"model": "m", "input": "a"}


class TestFields:
    def test_what_the_dialect_has_passes_unchanged(self) -> None:
        fields = {
            "temperature": 1.7, "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required",
            "seed": 3, "logit_bias": {"1": 2}, "n": 2, "stream": True, "stream_options": {"include_usage": True},
        }  # fmt: skip
        asked = ask(**fields)
        assert {name: asked[name] for name in fields} == fields

    @pytest.mark.parametrize(
        ("url", "name", "asks", "nothing"),
        [
            (GROQ, "logprobs", True, False), (GROQ, "n", 2, 1), (GROQ, "logit_bias", {"1": 1}, {}),
            (GEMINI, "frequency_penalty", 0.5, 0), (GEMINI, "presence_penalty", 0.1, 0.0),
            (MISTRAL, "logit_bias", {"1": 1}, {}), (KIMI, "functions", [{"name": "f"}], []),
        ],
    )  # fmt: skip
    def test_what_a_cloud_refuses_never_leaves(self, url: str, name: str, asks: Any, nothing: Any) -> None:
        with pytest.raises(BadRequest) as refused:
            ask(url, **{name: asks})
        assert (refused.value.param, refused.value.code) == (name, "unsupported_parameter")
        assert name not in ask(url, **{name: nothing})
        assert name in ask(OPENAI, **{name: asks})

    def test_mistral_has_its_own_name_for_a_seed_and_always_tells_usage(self) -> None:
        asked = ask(MISTRAL, seed=7, stream=True, stream_options={"include_usage": True})
        assert (asked["random_seed"], "seed" in asked, "stream_options" in asked) == (7, False, False)

    def test_names_in_messages(self) -> None:
        named = [{"role": "user", "name": "ann", "content": "hi"}]
        assert ask(messages=named)["messages"] == named
        with pytest.raises(BadRequest, match=r"messages\[0\].name"):
            ask(GROQ, messages=named)

    @pytest.mark.parametrize(
        ("url", "role"), [(OPENAI, "developer"), (MISTRAL, "system"), (ELSEWHERE, "system"), (GEMINI, "system")]
    )
    def test_developer_is_system_where_that_role_is_not_known(self, url: str, role: str) -> None:
        assert ask(url, messages=[{"role": "developer", "content": "x"}])["messages"] == [
            {"role": role, "content": "x"}
        ]

    @pytest.mark.parametrize("name", ["models", "plugins", "provider", "route", "web_search_options", "mcp_servers"])
    def test_nothing_is_carried_beyond_the_chosen_model(self, name: str) -> None:
        with pytest.raises(BadRequest) as refused:
            ask("https://openrouter.ai/api/v1", **{name: ["x"]})
        assert refused.value.param == name

    @pytest.mark.parametrize(
        ("name", "dear", "usual"),
        [
            ("service_tier", ["priority", "fast", "ultrafast", "scale", "performance", {}], ["default", "flex"]),
            ("speed", ["fast"], ["standard"]),
            ("enable_search", [True, "true"], [False]),
            *((name, [{}], []) for name in ("search_parameters", "search_options", "search_settings", "preset")),
        ],
    )
    def test_what_costs_beside_the_known_price_never_leaves(self, name: str, dear: list[Any], usual: list[Any]) -> None:
        for url in (OPENAI, "https://openrouter.ai/api/v1", "https://api.x.ai/v1", ELSEWHERE):
            for value in dear:
                with pytest.raises(BadRequest, match=name):
                    ask(url, **{name: value})
            assert [ask(url, **{name: value})[name] for value in usual] == usual

    def test_the_provider_is_not_asked_to_keep_the_conversation(self) -> None:
        with pytest.raises(BadRequest):
            ask(store=True)
        assert "store" not in ask(store=False)

    def test_tools_that_the_provider_would_run_are_refused(self) -> None:
        with pytest.raises(BadRequest, match=r"tools\[1\].type"):
            ask(tools=[{"type": "function", "function": {"name": "f"}}, {"type": "web_search"}])


class TestAnswers:
    def test_an_answer_and_a_stream_pass_as_they_are(self) -> None:
        body = {"id": "x", "choices": [{"index": 0}], "usage": {}}
        assert ADAPTER.answer(body) is body
        stream = ADAPTER.stream(True)
        assert stream.feed(b"data: {") == b"data: {"
        assert (stream.end(), stream.failure) == (b"", None)

    def test_an_error_under_a_200_is_an_error(self) -> None:
        with pytest.raises(RateLimited):
            ADAPTER.answer({"error": {"code": 429, "message": "slow down"}})
        with pytest.raises(EngineFailed):
            ADAPTER.answer({"error": {"message": json.dumps({"x": 1})}})


@pytest.mark.parametrize(
    ("prompt", "limit"), [("a", 100), (["a"] * 50, 2), ([1, 2, 3], 100), ([[1, 2], [3]], 50), (["a", 1, 2, [3]], 33)]
)
def test_all_prompts_together_stay_within_the_cap(prompt: Any, limit: int) -> None:
    asked = ADAPTER.request(Ability.COMPLETIONS, {"model": "m", "prompt": prompt}, "https://api.openai.com/v1", 100)
    assert asked["max_tokens"] == limit
    body = {"model": "m", "prompt": ["a"] * 50, "n": 3}
    with pytest.raises(BadRequest) as refused:
        ADAPTER.request(Ability.COMPLETIONS, body, "https://api.openai.com/v1", 100)
    assert refused.value.param == "prompt"
