"""What a dialect is, and the checks that several share. One file per dialect; the site finds them by `DIALECT`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from ringfence.core.catalog import Ability
from ringfence.core.errors import BadRequest

Body = dict[str, Any]

REFUSED_FIELDS = frozenset(
    (
        "fallbacks",
        "api_base",
        "base_url",
        "api_key",
        "custom_llm_provider",
        "extra_headers",
        "mock_response",
        "deployment_id",
        "kv_transfer_params",
        "bootstrap_host",
        "bootstrap_port",
    )
)
"""Fields with which other gateways, and engines that share their work, let a client choose where its text goes. Here
the operator does that."""


CUTTING_FIELDS = frozenset(
    ("truncate_prompt_tokens", "pad_prompt_tokens", "truncate", "truncation", "truncation_strategy", "auto_truncate")
)
"""Fields with which an engine is told to cut a prompt that is too long, or to fill it up, and says nothing of it."""
NOT_CUT = ("disabled", "none", "NONE")
"""Values with which some of them ask for the opposite, as with false."""

NOTHING = type(None)
EXPECTED = {
    "stream": "true or false",
    **dict.fromkeys(("stream_options", "response_format"), "an object"),
    "tools": "a list",
    **dict.fromkeys(("max_tokens", "max_completion_tokens", "n"), "a whole number of at least 1"),
    **dict.fromkeys(("min_tokens", "min_new_tokens"), "a whole number"),
    **dict.fromkeys(("temperature", "top_p", "frequency_penalty", "presence_penalty"), "a number"),
}
BY_EXPECTED: dict[str, tuple[type, ...]] = {
    "true or false": (bool, NOTHING),
    "an object": (dict, NOTHING),
    "a list": (list, NOTHING),
    "a whole number of at least 1": (int, NOTHING),
    "a whole number": (int, NOTHING),
    "a number": (int, float, NOTHING),
}
TYPES: dict[str, tuple[type, ...]] = {
    **{name: BY_EXPECTED[expected] for name, expected in EXPECTED.items()},
    **dict.fromkeys(REFUSED_FIELDS, ()),
    **dict.fromkeys(CUTTING_FIELDS, (NOTHING,)),
}
"""By field: the types that it may have; none, or nothing alone, for a field that is refused."""
CHECKED = frozenset(TYPES)


class Shape(Enum):
    """What an answer is made of that comes in one piece; a sound is sent on while it is made."""

    JSON = "json"
    TEXT = "text"
    SOUND = "sound"


def _never(_body: Body) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Passed:
    """How sounds and pictures go to an engine and back: as they are."""

    shape: Callable[[Body], Shape]
    """Of an answer to this body."""
    events: Callable[[Body], bool] = _never
    """Whether this body asks for events in its place."""
    field: str = ""
    """Of an answer in JSON: what holds what was asked for."""
    item: str = ""
    """Where that is a list: what each of it has."""
    is_form: bool = False
    """It comes as multipart/form-data, with a sound in it that nobody can read."""


class Dialect(Protocol):
    """One way of asking: its paths, its checks, and how its answers are finished."""

    @property
    def name(self) -> str: ...
    @property
    def paths(self) -> tuple[str, ...]: ...
    @property
    def engine_path(self) -> str: ...
    @property
    def ability(self) -> Ability: ...
    @property
    def generates(self) -> bool:
        """True when output tokens are asked for, so that the window's cap applies."""
        ...

    @property
    def rewrites(self) -> bool:
        """True when `finish` may have something to change; else an answer may go as the engine wrote it."""
        ...

    @property
    def passed(self) -> Passed | None:
        """None for what is asked and answered in texts."""
        ...

    def check(self, body: Body) -> bool:
        """Raise BadRequest, naming the parameter, when the body is not of this dialect. True where its messages were
        seen to be roles and texts, and nothing else."""
        ...

    def prepare(self, body: Body) -> None:
        """Change what the engine must see otherwise; `body` is a copy made for this target."""
        ...

    def finish(self, asked: Body, answer: Body) -> None:
        """Change a whole JSON answer in place before it goes to the caller."""
        ...


def wrong(param: str, expected: str) -> BadRequest:
    return BadRequest(f"'{param}' must be {expected}.", param=param, code="invalid_type")


def check_shared(body: Body) -> None:
    """Fields that mean the same in every OpenAI-shaped dialect."""
    for name in CHECKED.intersection(body):
        if type(body[name]) not in TYPES[name]:
            if name in REFUSED_FIELDS:
                refuse_fields(body, REFUSED_FIELDS, "the operator of this gateway chooses where a request goes")
            if name in CUTTING_FIELDS:
                if not name.endswith("_tokens") and (body[name] is False or body[name] in NOT_CUT):
                    continue
                why = "what is too long is shortened here, and x-ringfence-window says so, or it is refused"
                refuse_fields(body, frozenset((name,)), why)
            raise wrong(name, EXPECTED[name])


def refuse_fields(body: Body, refused: frozenset[str], why: str) -> None:
    """BadRequest naming the first refused field that the body has."""
    present = sorted(refused.intersection(body))
    if present:
        raise BadRequest(f"'{present[0]}' is not accepted: {why}.", param=present[0], code="unsupported_parameter")
