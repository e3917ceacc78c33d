"""Events of an engine: whatever the pieces they arrive in, the caller gets the same bytes."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.usage import Usage
from ringfence.gateway.sse import DONE, MAX_EVENT_BYTES, EventStream, MalformedStream, usage_event


def event(text: str = "x", *, model: str = "engine/name", **more: object) -> bytes:
    chunk = {"id": "1", "model": model, "choices": [{"index": 0, "delta": {"content": text}}]} | more
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
LAST = b'data: {"model": "engine/name", "choices": [], "usage": ' + json.dumps(USAGE).encode() + b"}\n\n"


def run(stream: EventStream, *pieces: bytes) -> bytes:
    return b"".join(stream.feed(piece) for piece in pieces) + stream.ending()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(bounds)]


SHAPES = {
    "plain": event("a") + event("data: [DONE]\n\n") + event("b") + LAST + DONE,
    "crlf": (event("a") + event("b") + LAST + DONE).replace(b"\n", b"\r\n"),
    "spaceless": (event("a") + event("b") + LAST + DONE).replace(b"data: ", b"data:"),
    "compact": (event("a") + event("b") + LAST + DONE).replace(b'": ', b'":'),
    "comments": b": ping\n\n" + event("a") + b": ping\n\nevent: x\n" + event("b") + DONE,
    "no end": event("a") + event("b"),
    "usage beside choices": event("a") + event("b", usage=USAGE) + DONE,
    "null usage": event("a", usage=None) + event("b", usage=None) + LAST + DONE,
}


@pytest.mark.parametrize("hides_usage", [True, False])
@pytest.mark.parametrize("name", SHAPES)
@given(places=st.lists(st.integers(0, 2000), max_size=40))
def test_the_pieces_make_no_difference(name: str, hides_usage: bool, places: list[int]) -> None:
    data = SHAPES[name]
    whole, pieces = EventStream("fast", hides_usage), EventStream("fast", hides_usage)
    assert run(pieces, *cut(data, places)) == run(whole, data)
    assert (pieces.events, pieces.usage, pieces.is_done) == (whole.events, whole.usage, whole.is_done)


@pytest.mark.parametrize("hides_usage", [True, False])
@pytest.mark.parametrize("name", SHAPES)
def test_byte_by_byte(name: str, hides_usage: bool) -> None:
    data = SHAPES[name]
    expected = run(EventStream("fast", hides_usage), data)
    assert run(EventStream("fast", hides_usage), *(bytes((byte,)) for byte in data)) == expected
    assert b"engine/name" not in expected
    assert expected.endswith(DONE)
    assert expected.count(DONE) == 1
    for line in expected.decode().splitlines():
        assert line == "" or line.startswith((":", "event:", "data: "))


@given(texts=st.lists(st.text(max_size=30), max_size=6), places=st.lists(st.integers(0, 2000), max_size=20))
def test_the_text_arrives_as_it_was_sent(texts: list[str], places: list[int]) -> None:
    data = b"".join(event(text) for text in texts) + DONE
    shown = run(EventStream("fast", hides_usage=True), *cut(data, places))
    found = [json.loads(line[6:]) for line in shown.decode().split("\n\n") if line.startswith("data: {")]
    assert [chunk["choices"][0]["delta"]["content"] for chunk in found] == texts
    assert {chunk["model"] for chunk in found} <= {"fast"}


@given(data=st.binary(max_size=300), places=st.lists(st.integers(0, 300), max_size=5))
def test_garbage_is_passed_on_or_refused_in_one_way_only(data: bytes, places: list[int]) -> None:
    stream = EventStream("fast", hides_usage=True)
    try:
        for piece in cut(data, places):
            stream.feed(piece)
        stream.ending()
    except MalformedStream:
        pass


def test_usage_is_read_and_hidden() -> None:
    stream = EventStream("fast", hides_usage=True)
    shown = run(stream, event("a"), LAST, DONE)
    assert b"usage" not in shown
    assert stream.usage == Usage(3, 2)


def test_usage_is_kept_when_asked_for() -> None:
    stream = EventStream("fast", hides_usage=False)
    shown = run(stream, event("a"), LAST, DONE)
    assert shown == (event("a") + LAST + DONE).replace(b"engine/name", b"fast")
    assert stream.is_ended


def test_usage_in_an_event_with_text_is_cut_out_of_it() -> None:
    stream = EventStream("fast", hides_usage=True)
    shown = run(stream, event("a", usage=USAGE), DONE)
    found = json.loads(shown.split(b"\n\n")[0][6:])
    assert (found["model"], "usage" in found, found["choices"][0]["delta"]) == ("fast", False, {"content": "a"})
    assert stream.usage == Usage(3, 2)


def test_the_word_usage_in_a_text_is_not_touched() -> None:
    said = '"usage": {"prompt_tokens": 1} data: [DONE] "model": "engine/name"'
    shown = run(EventStream("fast", hides_usage=True), event(said), DONE)
    assert json.loads(shown.split(b"\n\n")[0][6:])["choices"][0]["delta"]["content"] == said


def test_an_end_that_the_engine_forgot_is_added_and_a_tail_dropped() -> None:
    assert (
        run(EventStream("fast", hides_usage=True), event("a", model="fast"), b"data: {")
        == event("a", model="fast") + DONE
    )


def test_the_end_waits_for_a_usage_that_is_owed() -> None:
    stream = EventStream("fast", hides_usage=False)
    assert DONE not in stream.feed(event("a") + DONE)
    assert (stream.is_done, stream.is_ended) == (True, False)
    assert stream.ending() == DONE
    assert stream.ending() == b""


def test_after_an_error_there_is_no_end() -> None:
    stream = EventStream("fast", hides_usage=True)
    error = b'data: {"error": {"message": "broke"}}\n\n'
    assert run(stream, event("a", model="fast"), error) == event("a", model="fast") + error
    assert stream.error == {"message": "broke"}


@pytest.mark.parametrize("places", [(), (12,), (3, 30, 60)], ids=str)
def test_events_that_say_nothing_are_left_out(places: tuple[int, ...]) -> None:
    null = b"data: null\n\n"
    data = null + event("a", model="fast") + null + event("null", model="fast") + DONE
    stream = EventStream("fast", hides_usage=True)
    assert run(stream, *cut(data, list(places))) == event("a", model="fast") + event("null", model="fast") + DONE


def test_an_error_is_told_in_our_words() -> None:
    stream = EventStream("fast", True, lambda error: b"data: %b\n\n" % str(error["error"]["message"]).encode())
    error = b'data: {"error": {"message": "broke"}}\n\n'
    assert run(stream, event("a", model="fast"), error) == event("a", model="fast") + b"data: broke\n\n"
    assert stream.error == {"message": "broke"}


def test_a_giant_event_is_passed_and_an_endless_one_refused() -> None:
    stream = EventStream("fast", hides_usage=True)
    giant = event("x" * (MAX_EVENT_BYTES - 1000), model="fast")
    half = len(giant) // 2
    assert run(stream, giant[:half], giant[half:]) == giant + DONE
    with pytest.raises(MalformedStream, match="16 MiB"):
        stream.feed(b"data: " + b"x" * (MAX_EVENT_BYTES + 1))


@pytest.mark.parametrize("first", [b"data: {nothing\n\n", b"data: [1]\n\n", b"data: 1\n\n", b"data:\n\n"])
def test_a_first_event_that_cannot_be_read_is_refused(first: bytes) -> None:
    with pytest.raises(MalformedStream):
        EventStream("fast", hides_usage=True).feed(first)


def test_own_events_are_whole() -> None:
    told = json.loads(usage_event("fast", Usage(1, 2), "id", 7, "chat.completion.chunk")[6:])
    assert (told["usage"]["total_tokens"], told["choices"], told["model"]) == (3, [], "fast")
