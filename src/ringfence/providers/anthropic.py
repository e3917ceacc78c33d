"""Anthropic: chat completions as its messages and back. The parts are in the files beside this one."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from ringfence.core.catalog import Ability
from ringfence.core.errors import Failure
from ringfence.providers import anthropic_answer, anthropic_request, failures
from ringfence.providers.anthropic_batches import MessageBatches
from ringfence.providers.anthropic_errors import STATUSES
from ringfence.providers.anthropic_marks import mark
from ringfence.providers.anthropic_stream import MessageStream
from ringfence.providers.fields import header_value, joined_path

VERSION = "2023-06-01"
"""The API as of this day still takes temperature and top_p, which 2026-10-21 refuses:
https://platform.claude.com/docs/en/api/migration-2026-10-21"""

OVERFLOWS = (
    re.compile(r"prompt is too long: (?P<tokens>\d+) tokens > (?P<window>\d+) maximum"),
    re.compile(r"input length and `max_tokens` exceed context limit"),
    re.compile(r"prompt is too long"),
)
UNPAID = re.compile(r"credit balance is too low|specified (?:API|workspace API) usage limits")
"""What it says, with status 400, of an account without credit or at its spend limit."""


@dataclass(frozen=True, slots=True)
class Anthropic:
    kind: str = "anthropic"
    title: str = "Anthropic"
    abilities: frozenset[Ability] = frozenset((Ability.CHAT,))
    marks: bool = False
    """Whether it is told up to where prompts are to be kept, where callers do not say."""

    def path(self, ability: Ability, url: str) -> str:
        if ability is not Ability.CHAT:
            raise ValueError(f"Anthropic has no {ability}")
        return joined_path(url, "/messages")

    def batches(self, url: str) -> MessageBatches:
        return MessageBatches(joined_path(url, "/messages/batches"))

    def headers(self, api_key: str) -> bytes:
        return f"x-api-key: {header_value(api_key)}\r\nanthropic-version: {VERSION}\r\n".encode("ascii")

    def request(self, ability: Ability, body: dict[str, Any], url: str, max_tokens: int) -> dict[str, Any]:
        if ability is not Ability.CHAT:
            raise ValueError(f"Anthropic has no {ability}")
        asked = anthropic_request.translated(body, max_tokens)
        if self.marks:
            mark(asked)
        return asked

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        if body.get("type") == "error":
            raise self.failure(500, body)
        return anthropic_answer.translated(body)

    def stream(self, include_usage: bool) -> MessageStream:
        return MessageStream(include_usage, self.failure)

    def failure(self, status: int, body: Any, retry_after_s: float | None = None) -> Failure:
        told = failures.read_error(body)
        if status == 500 and told.type in STATUSES:
            status = STATUSES[told.type]
        if status == 400 and UNPAID.search(told.message):
            told = replace(told, type="billing_error")
        return failures.failure(status, told, OVERFLOWS, retry_after_s)


ADAPTER = Anthropic()
