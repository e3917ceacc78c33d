"""Error answers of clouds as our errors: read from every shape in use, then mapped by status, type and code.

The text of a provider's error may quote the prompt: it goes to the caller inside a Failure and must not be logged. What
a provider says of a key is never passed on, for some quote part of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ringfence.core.errors import (
    ContextLengthExceeded,
    EngineFailed,
    EngineRefused,
    EngineTimedOut,
    Failure,
    ModelNotFound,
    Overloaded,
    RateLimited,
    TooLarge,
)

MAX_MESSAGE_CHARS = 2000
OVERLOADED_AGAIN_S = 5.0
LIMITED_AGAIN_S = 20.0

KEY = re.compile(r"\b(?:sk|gsk|csk|pk|key|xai)[-_][-_A-Za-z0-9*.]{6,}|\bAIza[-_A-Za-z0-9*.]{6,}")
"""What keys of the usual clouds look like, whole or masked."""

DAILY = re.compile(r"per[ _-]?day|daily", re.IGNORECASE)
"""In the words of a limit of the day, such as GenerateRequestsPerDayPerProject and tokens per day (TPD)."""

MODEL_CODES = frozenset(("model_not_found", "model_not_available", "model_decommissioned"))
MOST_DIGITS = 12
"""Of a count of tokens, with commas; more of them are none."""
OVERFLOW_CODES = frozenset(("context_length_exceeded", "string_above_max_length"))
UNPAID_CODES = frozenset(
    ("insufficient_quota", "billing_error", "billing_hard_limit_reached", "exceeded_current_quota_error")
)


@dataclass(frozen=True, slots=True)
class Told:
    """An error as the provider told it."""

    message: str = ""
    type: str | None = None
    code: str | None = None
    param: str | None = None


def read_error(body: Any) -> Told:
    """{"error": {...} or "text"}, in a list as Gemini has it, or {"message" or "detail": ...} as Mistral."""
    if isinstance(body, list):
        return read_error(body[0]) if body else Told()
    if not isinstance(body, dict):
        return Told(_clean(body)) if isinstance(body, str) else Told()
    inner = body.get("error")
    if isinstance(inner, dict | list):
        return read_error(inner)
    if isinstance(inner, str):
        return Told(_clean(inner), _word(body.get("type")), _word(body.get("code")))
    message, field = _message(body)
    return Told(
        _clean(message),
        _word(body.get("type")) or _word(body.get("status")),
        _word(body.get("code")),
        _word(body.get("param")) or field,
    )


def _clean(message: str) -> str:
    """Without what looks like a key; shortened afterwards, or a piece of one could be left at the end."""
    return KEY.sub("[key]", message)[:MAX_MESSAGE_CHARS]


def _message(body: dict[str, Any]) -> tuple[str, str | None]:
    """The words of an error, and the field that a list of validation errors is about."""
    said = body.get("message") or body.get("detail") or body.get("msg")
    if isinstance(said, dict):
        said = said.get("detail") or said.get("message")
    if isinstance(said, list) and said and isinstance(said[0], dict):
        places = said[0].get("loc")
        names = [str(place) for place in places if place != "body"] if isinstance(places, list) else []
        field = ".".join(names) or None
        return f"{field or 'the request'}: {said[0].get('msg', 'not accepted')}", field
    return (said if isinstance(said, str) else ""), None


def _word(value: Any) -> str | None:
    """Codes are words for OpenAI's clients; some providers put the status there."""
    return value if isinstance(value, str) and value and not value.isdigit() else None


def failure(
    status: int, told: Told, overflows: tuple[re.Pattern[str], ...], retry_after_s: float | None = None
) -> Failure:
    """`overflows` find a prompt that is too long, with groups tokens and window. 3xx is a failure: none is followed."""
    if status < 400:
        return EngineFailed(
            "The provider answered with a redirect, which is never followed.", code="provider_redirected"
        )
    if told.code in UNPAID_CODES or told.type in UNPAID_CODES or status == 402:
        return EngineFailed("The provider says that the account's credit or quota is used up.", code="provider_unpaid")
    if status in (401, 403):
        return EngineFailed(
            "The provider refused the key that the gateway has for it, or what that key may use.",
            code="provider_key_refused",
        )
    return (
        _overflow(status, told, overflows) or _refusal(status, told, retry_after_s) or _breakdown(status, retry_after_s)
    )


def _overflow(status: int, told: Told, overflows: tuple[re.Pattern[str], ...]) -> Failure | None:
    if status not in (400, 413, 422):
        return None
    for pattern in overflows:
        found = pattern.search(told.message)
        if found:
            numbers = found.groupdict()
            return ContextLengthExceeded(
                _number(numbers.get("window")), _number(numbers.get("tokens")), said=told.message
            )
    return ContextLengthExceeded(None, None, said=told.message) if told.code in OVERFLOW_CODES else None


def _number(text: str | None) -> int | None:
    return int(text.replace(",", "")) if text and len(text) <= MOST_DIGITS else None


def _refusal(status: int, told: Told, retry_after_s: float | None) -> Failure | None:
    if status == 404 or told.code in MODEL_CODES:
        return ModelNotFound(told.message or "The provider does not know this model.", param="model")
    if status == 408:
        return EngineTimedOut("The provider waited too long for the request.", retry_after_s=retry_after_s)
    if status == 429 or told.code == "rate_limit_exceeded":
        return _limited(told, LIMITED_AGAIN_S if retry_after_s is None else retry_after_s)
    if status == 413:
        return TooLarge("The request is larger than the provider takes.")
    if 400 <= status < 498:
        message = told.message or f"The provider refused the request with status {status}."
        return EngineRefused(400 if status == 422 else status, message, code=told.code or told.type, param=told.param)
    return None


def _limited(told: Told, again_s: float) -> Failure:
    if DAILY.search(told.message):
        return RateLimited(
            "The provider's limit of the day for the gateway's account is reached.", code="provider_quota_used_up",
            retry_after_s=again_s,
        )  # fmt: skip
    return RateLimited(
        "The provider's rate limit for the gateway's account is reached.", code="provider_rate_limited",
        retry_after_s=again_s,
    )  # fmt: skip


def _breakdown(status: int, retry_after_s: float | None) -> Failure:
    if status in (498, 503, 529):  # 498: Groq's flexible tier is full; 529: Anthropic is overloaded
        again_s = OVERLOADED_AGAIN_S if retry_after_s is None else retry_after_s
        return Overloaded("The provider is overloaded; try again shortly.", retry_after_s=again_s)
    if status in (504, 524):  # 524: Cloudflare, in front of it
        return EngineTimedOut("The provider did not finish in time.", retry_after_s=retry_after_s)
    return EngineFailed(f"The provider failed with status {status}.", retry_after_s=retry_after_s)
