"""What a coordinator can do in the name of others: its keys may call as its delegates, each as far as that one may."""

from __future__ import annotations

from ringfence.prove.house import House
from ringfence.prove.temptations import CLOUD_MODEL
from ringfence.prove.way import Tried, Way

ORDER = 4


async def _as_delegate(house: House, text: str, delegate: str) -> Tried:
    return Tried.by(await house.chat(text, CLOUD_MODEL, {"x-ringfence-profile": delegate}))


WAYS = (Way("delegates", "calls as each profile that it may call as", attempt_as=_as_delegate, reaches=True),)
