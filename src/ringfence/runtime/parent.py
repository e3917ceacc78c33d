"""The gateway's word with `ringfence up`, which reads the keys of providers and keeps the egress process.

The gateway says `{"egress": "check"}` or `{"egress": "change"}` on standard output, and is told on standard input what
stands in the way, and which providers have another key than before. It is asked for nothing but to look at the
configuration itself: no key is passed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ringfence.runtime.instances import NotServable

ANSWER_S = 30.0


class Parent:
    """One question at a time. `tell` writes a line for it."""

    def __init__(self, tell: Callable[[dict[str, Any]], None]) -> None:
        self._tell = tell
        self._asked: asyncio.Future[tuple[str, list[str]]] | None = None

    async def check(self) -> None:
        """Can the providers of the configuration be used? Raises NotServable."""
        await self._ask("check")

    async def change(self) -> list[str]:
        """Have the egress process serve the providers of the configuration; those of them whose key is another one than
        before, behind the same reference. Raises NotServable."""
        return await self._ask("change")

    def said(self, line: str) -> None:
        """A line from standard input, on any thread."""
        asked = self._asked
        try:
            row = json.loads(line)
            answer = str(row["egress"]), [str(name) for name in row.get("renewed", ())]
        except (ValueError, KeyError, TypeError):
            return
        if asked is not None:
            with suppress(RuntimeError):  # the loop was closed: nobody waits any more
                asked.get_loop().call_soon_threadsafe(_answer, asked, answer)

    async def _ask(self, what: str) -> list[str]:
        self._asked = asyncio.get_running_loop().create_future()
        self._tell({"egress": what})
        try:
            reason, renewed = await asyncio.wait_for(self._asked, ANSWER_S)
        except TimeoutError:
            reason, renewed = "`ringfence up` does not answer", []
        finally:
            self._asked = None
        if reason:
            raise NotServable(reason)
        return renewed


def _answer(asked: asyncio.Future[tuple[str, list[str]]], answer: tuple[str, list[str]]) -> None:
    if not asked.done():
        asked.set_result(answer)
