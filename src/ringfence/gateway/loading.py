"""A caller that waits for a model to be loaded hears on its stream that it is not forgotten, and about how long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from ringfence.core.ports import Leased
from ringfence.gateway.relay import EVENT_HEAD
from ringfence.gateway.request import Request

SOON_S = 5.0
"""What is here within this time needs no words, and its status can still tell of an error."""
COMMENT_EVERY_S = 10.0


async def told_meanwhile(
    request: Request, call_id: str, lease: Coroutine[Any, Any, Leased], estimate_s: Callable[[], float | None]
) -> Leased:
    """The lease. If it takes longer than a moment the stream is begun, with comments, which clients pass over."""
    task = asyncio.get_running_loop().create_task(lease)
    try:
        wait_s = SOON_S
        while not (await asyncio.wait((task,), timeout=wait_s))[0]:
            request.begin(200, b"x-request-id: %b\r\n%b" % (call_id.encode(), EVENT_HEAD))
            left_s = estimate_s()
            told = b"unknown" if left_s is None else b"%d" % round(left_s)
            request.write(b": loading estimate_s=%b\n\n" % told)
            wait_s = COMMENT_EVERY_S
        return task.result()
    except asyncio.CancelledError:
        task.cancel()
        task.add_done_callback(lambda done: None if done.cancelled() or done.exception() else done.result().release())
        raise
