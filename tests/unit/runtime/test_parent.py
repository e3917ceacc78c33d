"""The gateway's questions to `ringfence up`, and the answers to them."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from ringfence.runtime import parent as module
from ringfence.runtime.instances import NotServable
from ringfence.runtime.parent import Parent


def _answering(*lines: str) -> tuple[Parent, list[dict[str, Any]]]:
    """A parent that says these lines to each question, from a thread of its own."""
    asked: list[dict[str, Any]] = []

    def tell(row: dict[str, Any]) -> None:
        asked.append(row)
        for line in lines:
            thread = threading.Thread(target=parent.said, args=(line,))
            thread.start()
            thread.join()

    parent = Parent(tell)
    return parent, asked


async def test_it_is_asked_and_agrees() -> None:
    parent, asked = _answering('{"egress": ""}')
    await parent.check()
    await parent.change()
    assert asked == [{"egress": "check"}, {"egress": "change"}]


async def test_it_says_whose_key_is_another_one_now() -> None:
    parent, _asked = _answering('{"egress": "", "renewed": ["rented", "other"]}')
    assert await parent.change() == ["rented", "other"]
    parent, _asked = _answering('{"egress": "", "renewed": 1}', '{"egress": ""}')
    assert await parent.change() == []


async def test_what_is_in_the_way_is_passed_on() -> None:
    parent, _asked = _answering("no JSON", "[]", '{"other": 1}', '{"egress": "the key is missing"}', '{"egress": ""}')
    with pytest.raises(NotServable, match="the key is missing"):
        await parent.check()


async def test_one_that_does_not_answer_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_S", 0.05)
    parent, _asked = _answering()
    with pytest.raises(NotServable, match="does not answer"):
        await parent.change()
    parent.said('{"egress": "too late"}')
    await asyncio.sleep(0)
