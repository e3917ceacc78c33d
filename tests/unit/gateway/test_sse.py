"""Events of an engine: whatever the pieces they arrive in, the caller gets the same bytes."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.usage import Usage
from ringfence.gateway.sse import (
    DONE,
    EVENTS_A_TOKEN,
    MAX_EVENT_BYTES,
    MORE_EVENTS,
    MOST_EVENTS,
    MOST_REMARKS,
    EventStream,
    MalformedStream,
    most_events,
    usage_event,
)


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
    "more spaces": (event("a") + event("b") + LAST + DONE).replace(b"data: ", b"data:  "),
    "lines": event("a").replace(b', "choices"', b',\ndata: "choices"') + event("b") + LAST + DONE,
    "null before": b"data:null\n\n" + (event("a") + event("b") + DONE).replace(b"data: ", b"data:"),
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


# -- what is no event, and what has no end ---------------------------------------------------------------------------

RUBBISH = {
    "cut": event("abc")[:40] + b"\n\n",
    "cut behind a brace": b'data: {"choices": [{"delta": {}}\n\n',
    "two that make one": b'data: {"choices": [{"a": 1}\n\ndata: {"b": 2}]}\n\n',
    "half a sign": event("abc").replace(b"abc", b"ab\xe2\x82"),
    "a bare word": b"data: ok\n\n",
    "a list": b"data: [1]\n\n",
    "a page": b"<html>\n\n",
    "a named event that is cut": b'event: x\ndata: {"a": \n\n',
    "more behind it": event("a")[:-2] + b"}\n\n",
    "not a number": b'data: {"logprob": NaN}\n\n',
}


@pytest.mark.parametrize("places", [(), (7,), (60, 100, 150)], ids=str)
@pytest.mark.parametrize("name", RUBBISH)
def test_what_is_no_event_is_not_passed_on(name: str, places: tuple[int, ...]) -> None:
    data = event("first") + event("second") + RUBBISH[name] + event("third") + DONE
    stream, shown = EventStream("fast", hides_usage=True), []
    with pytest.raises(MalformedStream):
        for piece in cut(data, list(places)):
            shown.append(stream.feed(piece))
    assert b"third" not in b"".join(shown)
    assert not stream.is_done


ODD = {
    "named": b"event: message\n" + event("x", model="fast"),
    "numbered": b"id: 7\nretry: 5\n" + event("x", model="fast"),
    "in several lines": b'data: {"model": "fast",\ndata: "choices": []}\n\n',
    "a comment": b": ping\n\n",
    "a name alone": b"event: ping\n\n",
    "other signs": event("\u20ac \u4f60\u597d", model="fast").replace(b"\\u20ac", "\u20ac".encode()),
    "deep": b'data: {"a": %b1%b}\n\n' % (b"[" * 100, b"]" * 100),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_allowed_is_passed_on_as_it_is(name: str) -> None:
    data = event("a", model="fast") + ODD[name] + event("b", model="fast") + DONE
    for places in ([], [7], [60, 100]):
        assert run(EventStream("fast", hides_usage=True), *cut(data, places)) == data


@given(texts=st.lists(st.text(max_size=30), max_size=6), place=st.integers(0, 2000))
def test_a_stream_that_stops_anywhere_is_not_whole(texts: list[str], place: int) -> None:
    data = b"".join(event(text) for text in texts) + DONE
    place %= len(data) - 2  # without its last empty line, the end is an end all the same
    stream = EventStream("fast", hides_usage=True)
    stream.feed(data[:place])
    assert not stream.is_whole
    stream.feed(data[place:])
    assert stream.is_whole


@pytest.mark.parametrize("gap", [b"", b" "])
def test_a_finish_reason_says_that_it_is_whole(gap: bytes) -> None:
    last = event("b").replace(b'"index": 0', b'"index": 0, "finish_reason":%b"stop"' % gap)
    for data in (event("a") + last, event("a") + last + LAST):
        for pieces in ([data], [part + b"\n\n" for part in data.split(b"\n\n") if part]):
            stream = EventStream("fast", hides_usage=True)
            run(stream, *pieces)
            assert stream.is_whole
    for other in (event('"finish_reason":"stop"'), event("b", finish_reason=None), last[:-5]):
        stream = EventStream("fast", hides_usage=True)
        run(stream, event("a"), other)
        assert not stream.is_whole


def test_after_an_end_or_an_error_nothing_is_passed_on() -> None:
    error = b'data: {"error": {"message": "broke"}}\n\n'
    for end in (DONE, error, b"event: error\n" + error, b'error: {"message": "broke"}\n\n'):
        for pieces in ([event("a") + end + event("b") + DONE], [event("a"), end, event("b"), event("c"), DONE]):
            stream = EventStream("fast", hides_usage=True)
            shown = run(stream, *pieces)
            assert (shown.count(b"data: {"), shown.count(DONE)) in ((1, 1), (2, 0), (1, 0))
            assert b'"b"' not in shown and b'"c"' not in shown
            assert (stream.error is None) is (end == DONE)


def test_a_stream_has_no_more_events_than_make_sense() -> None:
    most = most_events(16, {})
    assert most == EVENTS_A_TOKEN * 16 + MORE_EVENTS
    for pieces in ([event("x", model="fast")] * (most + 1), [event("x", model="fast") * 7] * (most // 7 + 1)):
        stream = EventStream("fast", True, None, most)
        with pytest.raises(MalformedStream, match="far more"):
            for piece in pieces:
                stream.feed(piece)
        assert stream.events == most + 1 or stream.events - most <= 7
    stream = EventStream("fast", True, None, most)
    run(stream, *[event("x", model="fast")] * most)
    assert stream.events == most


def test_each_of_several_answers_may_have_so_many() -> None:
    one = EVENTS_A_TOKEN * 16
    assert most_events(16, {"n": 3}) == 3 * one + MORE_EVENTS
    assert most_events(16, {"n": 3, "prompt": ["a", "b"]}) == 6 * one + MORE_EVENTS
    assert most_events(16, {"n_cmpl": 3}) == 3 * one + MORE_EVENTS, "llama.cpp's name for it"
    for odd in ({"n": None}, {"n": True}, {"n": -1}, {"n": "3"}, {"prompt": []}, {"prompt": "long"}):
        assert most_events(16, odd) == one + MORE_EVENTS
    assert most_events(None, {"n": 3}) == MOST_EVENTS


@pytest.mark.parametrize("remark", [b": ping\n\n", b"data: null\n\n", b"\n\n", b"\r\n\r\n"], ids=repr)
def test_comments_alone_are_no_stream(remark: bytes) -> None:
    stream = EventStream("fast", hides_usage=True)
    for _ in range(MOST_REMARKS):
        stream.feed(remark)
    with pytest.raises(MalformedStream, match="comments"):
        stream.feed(remark)
