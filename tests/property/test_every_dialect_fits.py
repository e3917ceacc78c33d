"""In whichever dialect it is asked: what an engine is sent fits its window, output and all, or it is refused.

Over real sockets, in front of engines whose tokens are bytes: calls, lines of batches, thoughts in between, and
responses that follow one another. A refusal is the dialect's own, and names the field that its caller knows.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from functools import partial
from random import Random
from typing import Any

import orjson
import pytest
from any_dialect import IN_BATCHES, MAKES, THINKING, Asked, Drawn
from byte_engine import SEATS, Seat, Thinker, overflows
from composed import Reply
from every_dialect_site import Site
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spoken import SPOKEN

from ringfence.core.registry import adapters
from ringfence.core.route import Overlong
from ringfence.gateway import dialects
from ringfence.gateway.route import Foreign
from ringfence.testing.fake_engine import Behaviour, FakeEngine
from ringfence.testing.fake_turns import Says
from share import share_of

EXAMPLES = int(os.environ.get("RINGFENCE_EXAMPLES", "0"))
"""How many examples; 0 for those of each test."""
QUICK = partial(settings, deadline=None, database=None, suppress_health_check=list(HealthCheck))
SEEDS = st.integers(0, 2**64)
WINDOWS = st.one_of(st.integers(512, 2048), st.integers(9, 13).map(lambda power: 1 << power))
OVERLONG = st.sampled_from((Overlong.SHRINK, Overlong.SHRINK, Overlong.REFUSE))
LINES = 8
SPOKEN_BY_OPENAI = [seat for seat in SEATS if seat.engine != "ollama"]
MOST_DRAWN = 2048
"""Texts are a few times as long as this window at most, however large the window is."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    yield site
    site.close()


# -- one call -----------------------------------------------------------------------------------------------------


def check(asked: Asked, reply: Reply, seat: Seat, engine: FakeEngine, window: int) -> str:
    """What became of it; 'not taken' of what an engine has no place for, whatever its size."""
    sent, too_long = engine.calls, refused_by(engine, seat, window)
    spoken = SPOKEN[asked.dialect]
    if reply.status != 200 and seat.engine == "ollama" and spoken.refused(reply) == (400, "unsupported_value"):
        assert not sent
        return "not taken"
    if reply.status != 200:
        assert spoken.refused(reply) == (400, "context_length_exceeded"), reply.body[:400]
        assert says(asked.field, reply), (asked.field, reply.body[:400])
        assert too_long == len(sent), "what fits is answered"
        return "refused"
    assert too_long == len(sent) - 1, "an engine took it that does not have the room"
    if asked.body.get("stream") and spoken.piece is not None:
        told = spoken.streamed(reply)
        assert told.is_whole or told.events[-1]["type"] == "response.incomplete", reply.body[-400:]
    return reply.head["x-ringfence-window"].partition(";")[0]


def refused_by(engine: FakeEngine, seat: Seat, window: int) -> int:
    """How many calls were too long for an engine: only one may be sent them that says so."""
    too_long = sum(overflows(call.body, window) for call in engine.calls)
    assert not too_long or not seat.cuts, "it would have been cut without a word"
    return too_long


def says(field: str, reply: Reply) -> bool:
    """Whether a refusal names the field, or one of those in it, in the words of its dialect."""
    error: Any = reply.json["error"]
    if isinstance(error, str):  # Ollama's errors have no field for it
        return f" {field}" in error
    if "param" not in error:  # nor have Anthropic's
        return "prompt is too long" in error["message"] or "exceed context limit" in error["message"]
    return error["param"].partition("[")[0] == field and f" {field}" in error["message"]


def tried(site: Site, dialect: str, seed: int, seat: Seat, window: int, overlong: Overlong) -> str:
    if dialect == "rerank" and seat.engine == "ollama":  # none ranks there
        return "not taken"
    engine = site.seated(seat, window, overlong)
    asked = Drawn(seed, min(window, MOST_DRAWN)).ask(dialect)
    return check(asked, site.ask(asked), seat, engine, window)


CALLS = given(
    dialect=st.sampled_from(sorted(MAKES)), seed=SEEDS, seat=st.sampled_from(SEATS), window=WINDOWS, overlong=OVERLONG,
)  # fmt: skip


def test_every_dialect_is_drawn() -> None:
    """Sounds and pictures have no window."""
    routes = adapters(dialects, "DIALECT", "name")
    fitted = {name for name, route in routes.items() if isinstance(route, Foreign) or route.passed is None}
    assert set(MAKES) - {"cursor"} == fitted


@QUICK(max_examples=EXAMPLES or 100)
@CALLS
def test_what_an_engine_is_sent_fits_its_window(
    site: Site, dialect: str, seed: int, seat: Seat, window: int, overlong: Overlong
) -> None:
    tried(site, dialect, seed, seat, window, overlong)


def test_all_that_can_happen_happens(site: Site) -> None:
    draw = Random(11)
    for dialect in sorted(MAKES):
        seen: Counter[str] = Counter()
        while draw.random() < 0.96 or not {"fit", "refused"} <= seen.keys():
            seat, window = draw.choice(SPOKEN_BY_OPENAI), draw.choice((512, 1024, 2048))
            seen[tried(site, dialect, draw.getrandbits(64), seat, window, Overlong.SHRINK)] += 1
            assert seen.total() < 200, (dialect, seen)


# -- lines of batches ---------------------------------------------------------------------------------------------


def batched(site: Site, dialect: str, seed: int, seat: Seat, window: int, overlong: Overlong) -> None:
    """Each line is answered or refused, once, as if it were asked by itself."""
    if dialect == "rerank" and seat.engine == "ollama":
        return
    engine = site.seated(seat, window, overlong)
    drawn = Drawn(seed, min(window, MOST_DRAWN))
    lines = [drawn.ask(dialect) for _ in range(LINES)]
    for asked in lines:
        asked.body.pop("stream", None)
    answered, refused = site.batch(lines)
    assert sorted([*answered, *refused]) == list(range(LINES))
    too_long = refused_by(engine, seat, window)
    assert len(answered) == len(engine.calls) - too_long
    for number, response in refused.items():
        reply = Reply(response["status_code"], {"content-type": "application/json"}, orjson.dumps(response["body"]))
        status, code = SPOKEN[dialect].refused(reply)
        assert (status, code) == (400, "context_length_exceeded") or code == "unsupported_value", response
        assert code == "unsupported_value" or says(lines[number].field, reply)


BATCHES = given(
    dialect=st.sampled_from(IN_BATCHES), seed=SEEDS, seat=st.sampled_from(SEATS), window=WINDOWS, overlong=OVERLONG
)


@QUICK(max_examples=EXAMPLES or 6)
@BATCHES
def test_lines_of_batches_fit(site: Site, dialect: str, seed: int, seat: Seat, window: int, overlong: Overlong) -> None:
    batched(site, dialect, seed, seat, window, overlong)


# -- thoughts -----------------------------------------------------------------------------------------------------


def thought(
    site: Site, dialect: str, seed: int, small: Seat, deep: Seat, windows: tuple[int, int], overlong: Overlong
) -> str:
    """The turns of the model that answers and those of the one that thinks: each fits the window of its own."""
    drawn = Drawn(seed, min(*windows, MOST_DRAWN))
    answers, thinks = site.thinking(small, deep, windows, overlong)
    answers.always = Behaviour(twist=Thinker(answers, [drawn.text() for _ in range(drawn.random.randint(1, 3))]))
    thinks.always = Behaviour(twist=Says(drawn.text()))
    asked = drawn.thinks(dialect)
    try:
        reply = site.ask(asked)
    finally:
        answers.always = thinks.always = Behaviour()
    refused_by(answers, small, windows[0])
    refused_by(thinks, deep, windows[1])
    spoken = SPOKEN[asked.dialect]
    if reply.status != 200:
        assert spoken.refused(reply) == (400, "context_length_exceeded"), reply.body[:400]
        assert says(asked.field, reply), reply.body[:400]
        return "refused"
    if asked.body.get("stream"):
        told = spoken.streamed(reply)
        assert told.is_whole or told.code == "context_length_exceeded", reply.body[-400:]
    return "thought" if thinks.calls else "answered"


THOUGHTS = given(
    dialect=st.sampled_from(THINKING), seed=SEEDS, small=st.sampled_from(SPOKEN_BY_OPENAI),
    deep=st.sampled_from(SPOKEN_BY_OPENAI), windows=st.tuples(WINDOWS, WINDOWS), overlong=OVERLONG,
)  # fmt: skip


@QUICK(max_examples=EXAMPLES or 25)
@THOUGHTS
def test_thoughts_fit(
    site: Site, dialect: str, seed: int, small: Seat, deep: Seat, windows: tuple[int, int], overlong: Overlong
) -> None:
    thought(site, dialect, seed, small, deep, windows, overlong)


def test_thoughts_are_had(site: Site) -> None:
    seen = Counter(
        thought(site, dialect, seed, SEATS[0], SEATS[1], (4096, 4096), Overlong.SHRINK)
        for dialect in THINKING
        for seed in range(3)
    )
    assert seen["thought"] >= len(THINKING), seen


# -- responses that follow one another ----------------------------------------------------------------------------


def followed(site: Site, seed: int, seat: Seat, window: int, overlong: Overlong) -> int:
    """How many were answered; each was sent with all that was said before it."""
    engine = site.seated(seat, window, overlong)
    drawn, previous, count = Drawn(seed, window), "", 0
    while count < MOST_FOLLOWED:
        text = "and so on " * drawn.random.randint(window // 100, window // 60)
        body = {"model": "fast", "input": text, "max_output_tokens": drawn.random.choice((16, 64))}
        asked = Asked(
            "responses", "/v1/responses", body | ({"previous_response_id": previous} if count else {}), "input"
        )
        engine.requests.clear()
        reply = site.ask(asked)
        if check(asked, reply, seat, engine, window) == "refused":
            break
        if overlong is Overlong.REFUSE:
            said = [message["content"] for message in engine.calls[-1].body["messages"]]
            assert len(said) == 2 * count + 1, "all of it, or none"
        previous, count = reply.json["id"], count + 1
    return count


MOST_FOLLOWED = 12


@QUICK(max_examples=EXAMPLES or 4)
@given(seed=SEEDS, seat=st.sampled_from(SPOKEN_BY_OPENAI), window=st.integers(1536, 4096))
def test_responses_grow_until_they_do_not_fit(site: Site, seed: int, seat: Seat, window: int) -> None:
    assert 0 < followed(site, seed, seat, window, Overlong.REFUSE) < MOST_FOLLOWED
    assert followed(site, seed, seat, window, Overlong.SHRINK) == MOST_FOLLOWED


# -- the same, for longer -----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(300)
@QUICK(max_examples=EXAMPLES or share_of(1500))
@CALLS
def test_many_calls(site: Site, dialect: str, seed: int, seat: Seat, window: int, overlong: Overlong) -> None:
    tried(site, dialect, seed, seat, window, overlong)


@pytest.mark.slow
@pytest.mark.timeout(300)
@QUICK(max_examples=EXAMPLES or share_of(60))
@BATCHES
def test_many_batches(site: Site, dialect: str, seed: int, seat: Seat, window: int, overlong: Overlong) -> None:
    batched(site, dialect, seed, seat, window, overlong)


@pytest.mark.slow
@pytest.mark.timeout(300)
@QUICK(max_examples=EXAMPLES or share_of(300))
@THOUGHTS
def test_many_thoughts(
    site: Site, dialect: str, seed: int, small: Seat, deep: Seat, windows: tuple[int, int], overlong: Overlong
) -> None:
    thought(site, dialect, seed, small, deep, windows, overlong)
