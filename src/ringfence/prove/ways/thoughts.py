"""What is asked for the sake of a call that may think: it goes no further than that call."""

from __future__ import annotations

from ringfence.config.routing import THINKS
from ringfence.prove.house import House
from ringfence.prove.temptations import LOCAL_MODEL
from ringfence.prove.way import Tried, Way
from ringfence.prove.ways.callers import PRIVATE_KEY_TEXT
from ringfence.testing.fake_engine import Behaviour
from ringfence.testing.fake_turns import Says

ORDER = 2
HARD = "high"
"""The effort that a caller names, so that the model gets the tool."""


async def _answered(house: House, text: str) -> Tried | None:
    """The model answers by itself. It is one of this machine."""
    return await _asked(house, text, Says("It is so."))


async def _thought(house: House, text: str) -> Tried | None:
    """It calls the tool, with the text as its question; what would think is rented."""
    return await _asked(house, "Is it so?", Says("", (("think", {"question": text}),)), Says("It is so."))


async def _thought_of_secret(house: House, text: str) -> Tried | None:
    """The question says nothing of what must stay, and yet was made of it."""
    asks = Says("", (("think", {"question": text}),))
    return await _asked(house, f"Is it so?\n{PRIVATE_KEY_TEXT}", asks, Says("It is so."))


async def _asked(house: House, text: str, *turns: Says) -> Tried | None:
    if house.models.keys() & {THINKS} or LOCAL_MODEL not in house.models:
        return None
    before = len(house.engine.calls)
    house.engine.once(*(Behaviour(twist=turn) for turn in turns))
    said = await house.chat(text, THINKS, reasoning_effort=HARD)
    house.engine.as_usual()
    return Tried.by(said, is_tried=said.is_refused or len(house.engine.calls) - before == len(turns))


WAYS = (
    Way(
        "thinking-model", "asks a model that may think, and does not", _answered,
        ("call gateway/within.py:Within.ask",), stays=True,
    ),
    Way("thought", "asks a model that has a rented one think about the text", _thought, reaches=True),
    Way(
        "thought-of-secret", "has a rented model think about what is in a text that stays", _thought_of_secret,
        stays=True,
    ),
)  # fmt: skip
