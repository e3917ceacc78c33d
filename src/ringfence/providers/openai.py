"""OpenAI's dialect, as OpenAI and the many that follow it speak it. Single clouds differ by a row of a table."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from ringfence.core.catalog import Ability
from ringfence.core.errors import Failure
from ringfence.core.markers import without_markers
from ringfence.providers import failures
from ringfence.providers.fields import (
    header_value,
    is_neutral,
    joined_path,
    output_tokens,
    refuse_what_reaches_beyond,
    refused,
)
from ringfence.providers.openai_batches import FileBatches

ROUTES = {
    Ability.CHAT: "/chat/completions",
    Ability.COMPLETIONS: "/completions",
    Ability.EMBEDDINGS: "/embeddings",
}

OVERFLOWS = (
    re.compile(
        r"maximum context length is (?P<window>\d+) tokens.*?"
        r"(?:resulted in|you requested(?: about)?|a total of) (?P<tokens>\d+)",
        re.S,
    ),
    re.compile(
        r"input token count \(?(?P<tokens>\d+)\)? exceeds the maximum number of tokens allowed \(?(?P<window>\d+)"
    ),
    re.compile(r"[Pp]rompt contains (?P<tokens>\d+) tokens.*?too large for model with (?P<window>\d+)", re.S),
    re.compile(r"exceeded model token limit"),
    re.compile(r"maximum context length"),
)
"""As OpenAI, DeepSeek and OpenRouter, then Gemini, Mistral and Kimi say that a prompt is too long."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """How one cloud differs. `prefix` is its path when the address has none; `output` its name for the output limit.

    `refuses` are fields that it answers with an error unless they ask for nothing; `drops` are left out, for what they
    ask for is done anyway; `renames` are fields of another name. `has_developer` says that it knows that role.
    """

    title: str = "OpenAI-compatible"
    hosts: tuple[str, ...] = ()
    prefix: str = ""
    output: str = "max_tokens"
    has_developer: bool = False
    has_names: bool = True
    refuses: frozenset[str] = frozenset()
    drops: frozenset[str] = frozenset()
    renames: dict[str, str] = field(default_factory=dict[str, str])
    keeps_marks: bool = False
    """It passes on up to where a prompt is to be kept, to clouds of Anthropic."""
    has_batches: bool = True
    """It takes batches in OpenAI's form. OpenRouter, Gemini and Mistral have them in forms of their own:
    https://openrouter.ai/docs/batch-quickstart, https://ai.google.dev/gemini-api/docs/batch-api,
    https://docs.mistral.ai/studio-api/batch-processing; DeepSeek is not known to have any."""


CLOUDS = (
    # max_tokens is refused by its reasoning models, max_completion_tokens is taken by all of its chat models.
    Cloud("OpenAI", ("api.openai.com",), "/v1", "max_completion_tokens", has_developer=True),
    # https://console.groq.com/docs/openai lists what is not supported.
    Cloud(
        "Groq", ("api.groq.com",), "/openai/v1", "max_completion_tokens", has_names=False,
        refuses=frozenset(("logprobs", "top_logprobs", "logit_bias", "n")),
    ),
    # https://openrouter.ai/docs/api/reference/parameters: unknown parameters are ignored for the model at hand.
    Cloud("OpenRouter", ("openrouter.ai",), "/api/v1", has_developer=True, keeps_marks=True, has_batches=False),
    # https://ai.google.dev/gemini-api/docs/openai; 'Unknown name "frequency_penalty"' is 400 there.
    Cloud(
        "Gemini", ("generativelanguage.googleapis.com",), "/v1beta/openai", has_batches=False,
        refuses=frozenset(("frequency_penalty", "presence_penalty")),
    ),
    # 'unknown variant `developer`' is 400: https://github.com/earendil-works/pi/issues/1048
    Cloud("DeepSeek", ("api.deepseek.com",), "/v1", has_batches=False),
    # Extra fields are 422 there; usage comes with every stream; a seed is called random_seed.
    # https://github.com/avante-corp/avante.nvim/issues/2347, https://docs.mistral.ai/api/
    Cloud(
        "Mistral", ("api.mistral.ai",), "/v1", drops=frozenset(("stream_options",)), renames={"seed": "random_seed"},
        refuses=frozenset(("logit_bias", "logprobs", "top_logprobs")), has_batches=False,
    ),
    # https://platform.kimi.ai/docs/guide/migrating-from-openai-to-kimi: the older functions are not supported.
    Cloud(
        "Kimi", ("api.moonshot.ai", "api.moonshot.cn"), "/v1", "max_completion_tokens",
        refuses=frozenset(("functions", "function_call")),
    ),
)  # fmt: skip
ANY = Cloud()


@lru_cache(64)
def cloud_of(url: str) -> Cloud:
    """The row for the host of `url`; the plain dialect for one that is not listed."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    return next((cloud for cloud in CLOUDS if host in cloud.hosts), ANY)


class PassedOn:
    """A stream that is in OpenAI's dialect already."""

    failure: Failure | None = None
    reported: dict[str, Any] | None = None

    def feed(self, data: bytes) -> bytes:
        return data

    def end(self) -> bytes:
        return b""


@dataclass(frozen=True, slots=True)
class OpenAI:
    kind: str = "openai"
    title: str = "OpenAI"
    abilities: frozenset[Ability] = frozenset(ROUTES)

    def path(self, ability: Ability, url: str) -> str:
        return joined_path(url, ROUTES[ability], cloud_of(url).prefix)

    def batches(self, url: str) -> FileBatches | None:
        cloud = cloud_of(url)
        return FileBatches(joined_path(url, "", cloud.prefix)) if cloud.has_batches else None

    def headers(self, api_key: str) -> bytes:
        return f"authorization: Bearer {header_value(api_key)}\r\n".encode("ascii")

    def request(self, ability: Ability, body: dict[str, Any], url: str, max_tokens: int) -> dict[str, Any]:
        refuse_what_reaches_beyond(body)
        cloud = cloud_of(url)
        if not cloud.keeps_marks:
            body = without_markers(body)
        asked = {name: value for name, value in body.items() if value is not None and name not in cloud.drops}
        asked.pop("store", None)  # false, or it would have been refused; not every cloud knows the field
        for name in sorted(cloud.refuses.intersection(asked)):
            if not is_neutral(name, asked.pop(name)):
                raise refused(name, f"{cloud.title} does not support it")
        for name, theirs in cloud.renames.items():
            if name in asked:
                asked[theirs] = asked.pop(name)
        if ability is not Ability.EMBEDDINGS:
            limit = output_tokens(body, max_tokens)
            asked.pop("max_tokens", None)
            asked.pop("max_completion_tokens", None)
            asked[cloud.output if ability is Ability.CHAT else "max_tokens"] = limit
        if ability is Ability.CHAT:
            asked["messages"] = [_message(place, given, cloud) for place, given in enumerate(body["messages"])]
        return asked

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """OpenRouter answers 200 with an error inside when the model behind it broke."""
        error = body.get("error")
        if error and not body.get("choices"):
            raise self.failure(_status_in(error), body)
        return body

    def stream(self, include_usage: bool) -> PassedOn:
        """Usage comes because the body asks for it, in `stream_options`."""
        return PassedOn()

    def failure(self, status: int, body: Any, retry_after_s: float | None = None) -> Failure:
        return failures.failure(status, failures.read_error(body), OVERFLOWS, retry_after_s)


def _message(place: int, message: dict[str, Any], cloud: Cloud) -> dict[str, Any]:
    if message.get("role") == "developer" and not cloud.has_developer:
        message = {**message, "role": "system"}
    if not cloud.has_names and message.get("name") is not None and message.get("role") != "tool":
        raise refused(f"messages[{place}].name", f"{cloud.title} does not support it")
    return message


def _status_in(error: Any) -> int:
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code <= 599 else 502


ADAPTER = OpenAI()
