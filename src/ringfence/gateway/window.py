"""[pure] How a window is shared between what goes in and what comes out, and how much output a request asks for.

Usable alone; `ringfence.gateway.shrink` makes a request fit its share.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, cast

from ringfence.core.errors import BadRequest

FIT, CLAMPED, COMPRESSED, TRUNCATED = "fit", "clamped", "compressed", "truncated"
"""What was done: nothing; the output was lowered; texts were shortened; whole messages were left out."""
RESERVE = 512
"""Tokens that stay free between input and output, for what no counter foresees."""
LEAST_INPUT = 256
"""Where a window is so small that the terms collide, this much input takes of the reserve, and then of the output."""

OUTPUT_NAMES = ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens")
"""Names for the most tokens of one answer, as OpenAI's dialects and some engines have them."""
ENDLESS_NAMES = ("num_predict", "n_predict")
"""Names of Ollama and llama.cpp, where less than nothing (-1, -2) asks for as much as there is room."""
ALL_OUTPUT_NAMES = OUTPUT_NAMES + ENDLESS_NAMES
EVERY_OUTPUT_NAME = frozenset(ALL_OUTPUT_NAMES)
USUAL_NAME = "max_tokens"
"""The one name that every engine knows, and that most callers use."""
LEAST_NAMES = ("min_tokens", "min_new_tokens")
"""Names for the least tokens of one answer."""
NESTED = frozenset(("options", "extra_body", "parameters", "sampling_params", "generation_config"))
"""Objects within a body from which some engine or proxy takes such names as well."""
WITHIN_NESTED = EVERY_OUTPUT_NAME.union(LEAST_NAMES, ("num_ctx",))
"""What is taken out of them: `num_ctx` would have Ollama load the model with another window."""
UNUSUAL = NESTED.union(EVERY_OUTPUT_NAME, LEAST_NAMES) - {USUAL_NAME}
"""Fields besides the usual one that have to do with the output."""


@lru_cache(1024)
def hard_cap(window: int) -> int:
    """The most output tokens any request may ask for: 60 % of the window, but at least 256 where there is room.

    Below a window of 257 the window itself rules: one token is left for the prompt.
    """
    return max(1, min(max(256, int(window * 0.60)), window - 1))


@lru_cache(1024)
def least_output(window: int) -> int:
    """What a request that names no output is left with at least, before its input is shortened: an eighth, or 256."""
    return min(hard_cap(window), max(256, window // 8))


def clamp(asked: int | None, window: int | None) -> tuple[int | None, str]:
    """Output tokens to ask the engine for, and what was done. An unknown window leaves the request as it is."""
    if window is None:
        return asked, FIT
    cap = hard_cap(window)
    if asked is None:
        return cap, FIT
    return (asked, FIT) if asked <= cap else (cap, CLAMPED)


@dataclass(frozen=True, slots=True)
class Budget:
    """The shares of one window, in tokens. `output` is asked for when nothing stands against it; `least` of it stays
    beside the largest input."""

    window: int
    output: int
    least: int
    reserve: int
    surely: int = field(init=False)
    """Input up to here leaves the output whole, and the reserve."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "surely", self.window - self.output - self.reserve)

    @property
    def most_input(self) -> int:
        """`window - output - 512`. Below about 1.9K, where that leaves next to nothing, the reserve shrinks, and then
        the output, so that 256 go in."""
        return max(self.window - self.least - self.reserve, min(LEAST_INPUT, self.window - 1) if self.output else 0)

    @property
    def utmost_input(self) -> int:
        """Without the reserve: only for a last message that would have to be shortened otherwise."""
        return max(self.most_input, self.window - self.least)

    def output_beside(self, tokens: int) -> int:
        """Output beside so much input, which is not above `utmost_input`: both are never more than the window."""
        room = self.window - tokens
        return min(self.output, max(room - self.reserve, min(self.least, room)))


@lru_cache(4096)
def budget(window: int, asked: int | None, reserve: int = RESERVE) -> Budget:
    """The shares for a request that asks for so much output; None when it does not say, 0 when nothing is generated.

    An output that was asked for is kept; one that was not may shrink to `least_output` before anything is left out.
    """
    if asked is None:
        return Budget(window, hard_cap(window), least_output(window), reserve)
    output = min(asked, hard_cap(window))
    return Budget(window, output, output, reserve)


def output_asked(body: dict[str, Any]) -> int | None:
    """What the caller asked for, under any of its names; the tightest when there are several. None: it does not say.

    It is a whole number of at least 1, as the official APIs want it: a string, a decimal number, even 16.0, true or
    less than 1 is BadRequest. `n` answers share the prompt, and each has the window for itself.
    """
    if UNUSUAL.isdisjoint(body):
        usual = body.get(USUAL_NAME)
        if usual is None or (type(usual) is int and usual >= 1):
            return usual
    tightest = _tightest(body, "")
    for name in NESTED.intersection(body):
        if type(body[name]) is dict and (asked := _tightest(body[name], f"{name}.")) is not None:
            tightest = asked if tightest is None else min(asked, tightest)
    return tightest


def _tightest(body: dict[str, Any], within: str) -> int | None:
    tightest: int | None = None
    for name in ALL_OUTPUT_NAMES:
        asked = body.get(name)
        if asked is None:
            continue
        if type(asked) is not int:
            param = within + name
            raise BadRequest(f"'{param}' must be a whole number of at least 1.", param=param, code="invalid_type")
        if asked < 1:
            if asked < 0 and name in ENDLESS_NAMES:
                continue
            # the older name stands for both
            blamed = within + (USUAL_NAME if name == "max_completion_tokens" else name)
            raise BadRequest(f"'{blamed}' must be at least 1.", param=blamed, code="invalid_value")
        if tightest is None or asked < tightest:
            tightest = asked
    return tightest


def set_output(body: dict[str, Any], output: int | None) -> None:
    """Ask for so much under the one name that every engine knows, and under no other: some engines let theirs win.

    `body` is a copy made for one target. A least output above it would be refused by the engine, and is lowered.
    """
    if output is not None and UNUSUAL.isdisjoint(body):
        body[USUAL_NAME] = output
        return
    for name in EVERY_OUTPUT_NAME.intersection(body):
        del body[name]
    for name in NESTED.intersection(body):
        nested = body[name]
        if type(nested) is dict and not WITHIN_NESTED.isdisjoint(cast("dict[str, Any]", nested)):
            kept = cast("dict[str, Any]", nested).items()
            body[name] = {name: value for name, value in kept if name not in WITHIN_NESTED}
    if output is None:
        return
    body[USUAL_NAME] = output
    for name in LEAST_NAMES:
        least = body.get(name)
        if type(least) is int and least > output:
            body[name] = output
