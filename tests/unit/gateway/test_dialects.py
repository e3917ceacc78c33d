"""What a dialect takes and refuses: each wrong field is a 400 that names it."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.errors import BadRequest
from ringfence.gateway.dialects import chat, completions, dialect, embeddings

USER = {"role": "user", "content": "hi"}
GOOD: dict[Any, dict[str, Any]] = {
    chat.DIALECT: {"messages": [USER]},
    completions.DIALECT: {"prompt": "hi"},
    embeddings.DIALECT: {"input": "hi"},
}
WRONG_SHARED: list[tuple[str, list[Any]]] = [
    ("stream_options", ["x", [], 1, True]),
    ("response_format", ["json", []]),
    ("tools", [{}, "x"]),
    ("max_tokens", ["5", 1.5, True, []]),
    ("max_completion_tokens", ["5", 2.0, False]),
    ("n", ["1", 1.0, True]),
    ("temperature", ["0.5", True, {}]),
    ("top_p", ["1", [], False]),
    ("frequency_penalty", ["0"]),
    ("presence_penalty", [{}]),
]


def refused(which: Any, body: dict[str, Any]) -> BadRequest:
    with pytest.raises(BadRequest) as found:
        which.check(body)
    assert found.value.status == 400
    return found.value


@pytest.mark.parametrize("which", GOOD, ids=lambda which: which.name)
@pytest.mark.parametrize(("field", "values"), WRONG_SHARED, ids=[field for field, _ in WRONG_SHARED])
def test_a_shared_field_of_the_wrong_type(which: Any, field: str, values: list[Any]) -> None:
    for value in values:
        failure = refused(which, GOOD[which] | {field: value})
        assert (failure.param, failure.code) == (field, "invalid_type")
        which.check(GOOD[which] | {field: None})


@pytest.mark.parametrize("which", [chat.DIALECT, completions.DIALECT], ids=lambda which: which.name)
@pytest.mark.parametrize("value", ["true", 1, 0, [], {}])
def test_stream_is_true_or_false(which: Any, value: Any) -> None:
    assert refused(which, GOOD[which] | {"stream": value}).param == "stream"


@pytest.mark.parametrize("which", GOOD, ids=lambda which: which.name)
@pytest.mark.parametrize("field", sorted(dialect.REFUSED_FIELDS))
def test_where_it_goes_is_not_for_callers_to_say(which: Any, field: str) -> None:
    for value in (None, "http://127.0.0.1/", {}):
        failure = refused(which, GOOD[which] | {field: value})
        assert (failure.param, failure.code) == (field, "unsupported_parameter")


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        (None, "messages"), ([], "messages"), ({}, "messages"), ("hi", "messages"), (["hi"], "messages[0]"),
        ([USER, 1], "messages[1]"), ([[]], "messages[0]"), ([None], "messages[0]"), ([{}], "messages[0].role"),
        ([{"role": "robot", "content": "x"}], "messages[0].role"), ([{"role": [], "content": "x"}], "messages[0].role"),
        ([{"role": {}, "content": "x"}], "messages[0].role"), ([USER, {"role": "user"}], "messages[1].content"),
        ([{"role": "user", "content": None}], "messages[0].content"),
        ([{"role": "user", "content": 1}], "messages[0].content"),
        ([{"role": "assistant", "content": {}}], "messages[0].content"),
        ([{"role": "user", "content": ["x"]}], "messages[0].content[0]"),
        ([{"role": "user", "content": [{"type": "text", "text": "x"}, {}]}], "messages[0].content[1]"),
        ([{"role": "user", "content": [{"type": 1}]}], "messages[0].content[0]"),
    ],
)  # fmt: skip
def test_a_wrong_message(messages: Any, param: str) -> None:
    assert refused(chat.DIALECT, {"messages": messages}).param == param


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "assistant"},
        {"role": "tool", "content": "x", "tool_call_id": "1"},
        {"role": "developer", "content": "x"},
        {"role": "user", "content": []},
        {"role": "user", "content": [{"type": "text", "text": "x"}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}]},
    ],
)
def test_messages_that_are_right(message: dict[str, Any]) -> None:
    chat.DIALECT.check({"messages": [message]})
    chat.DIALECT.check({"messages": [USER, message, USER]})


@pytest.mark.parametrize(
    "url", ["http://a/", "https://a/", "file:///etc/passwd", "//a/x", "", "ftp://a", " data:x", "DATA:x"]
)
@pytest.mark.parametrize("kind", ["image_url", "video_url", "audio_url"])
def test_media_elsewhere_is_refused(kind: str, url: str) -> None:
    for media in (url, {"url": url}):
        part = {"type": kind, kind: media}
        failure = refused(chat.DIALECT, {"messages": [USER, {"role": "user", "content": [part]}]})
        assert (failure.code, failure.param) == ("remote_media_refused", f"messages[1].content[0].{kind}")
        assert url == "" or url not in failure.message


@pytest.mark.parametrize("prompt", [None, 1, {}, True])
def test_a_wrong_prompt(prompt: Any) -> None:
    assert refused(completions.DIALECT, {"prompt": prompt}).param == "prompt"


@pytest.mark.parametrize("given_input", [None, "", [], 1, {}])
def test_a_wrong_input(given_input: Any) -> None:
    assert refused(embeddings.DIALECT, {"input": given_input}).param == "input"


def test_embeddings_are_not_streamed_and_have_two_encodings() -> None:
    assert refused(embeddings.DIALECT, {"input": "x", "stream": True}).param == "stream"
    assert refused(embeddings.DIALECT, {"input": "x", "encoding_format": "int8"}).param == "encoding_format"
    assert refused(embeddings.DIALECT, {"input": "x", "encoding_format": []}).param == "encoding_format"
    embeddings.DIALECT.check({"input": "x", "stream": False, "encoding_format": "base64"})


@given(vector=st.lists(st.floats(width=32, allow_nan=False), max_size=20))
def test_base64_is_made_of_little_endian_floats(vector: list[float]) -> None:
    body: dict[str, Any] = {"encoding_format": "base64"}
    embeddings.DIALECT.prepare(body)
    assert body["encoding_format"] == "float"
    answer: dict[str, Any] = {"data": [{"embedding": list(vector)}, {"embedding": "as it was"}]}
    embeddings.DIALECT.finish({"encoding_format": "base64"}, answer)
    packed = base64.b64decode(answer["data"][0]["embedding"])
    assert list(struct.unpack(f"<{len(vector)}f", packed)) == vector
    assert answer["data"][1]["embedding"] == "as it was"


def test_a_body_is_looked_at_each_time() -> None:
    body = {"messages": [USER], "max_tokens": 5, "temperature": 1}
    chat.DIALECT.check(body)
    chat.DIALECT.check(body)
    assert refused(chat.DIALECT, body | {"max_tokens": True}).param == "max_tokens"
    assert refused(chat.DIALECT, body | {"api_base": "x"}).param == "api_base"
