"""A caller that waits for a model or for a place hears on its stream that it is not forgotten, and about how long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from ringfence.gateway.request import Request

SOON_S = 5.0
"""What is here within this time needs no words, and its status can still tell of an error."""
COMMENT_EVERY_S = 10.0


class ToldMeanwhile:
    """While this is entered: if it takes longer than a moment the stream is begun, with comments, which clients pass
    over. `words` are asked for each time."""

    __slots__ = ("_call_id", "_request", "_timer", "_words")

    def __init__(self, request: Request, call_id: str, words: Callable[[], bytes]) -> None:
        self._request = request
        self._call_id = call_id
        self._words = words
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(SOON_S, self._tell)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _tell(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(COMMENT_EVERY_S, self._tell)
        self._request.begin_events(b"x-request-id: %b\r\n" % self._call_id.encode())
        self._request.write(b": %b\n\n" % self._words())


def seconds(estimate_s: float | None) -> bytes:
    """As comments say them."""
    return b"unknown" if estimate_s is None else b"%d" % round(estimate_s)
