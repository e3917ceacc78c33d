"""Media come inside a request: no field in which an engine could find an address gets past the check."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.core.errors import BadRequest
from ringfence.gateway.dialects import chat, completions, embeddings

FAR = "http://192.0.2.7/?q=text"


def refused(which: Any, body: dict[str, Any]) -> tuple[str | None, str | None]:
    with pytest.raises(BadRequest) as found:
        which.check(body)
    assert FAR not in found.value.message
    return found.value.code, found.value.param


def said(**message: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "x"}, {"role": "user", "content": "x", **message}]}


@pytest.mark.parametrize(
    ("part", "code"),
    [
        ({"type": "image_url", "image_url": [FAR]}, "invalid_type"),
        ({"type": "image_url", "image_url": {"url": [FAR]}}, "invalid_type"),
        ({"type": "image_url"}, "invalid_type"),
        ({"type": "image_url", "image_url": {"url": "data:,x", "source": "x"}}, "unsupported_parameter"),
        ({"type": "image_url", "image_url": {"url": "data:,x", "detail": FAR}}, "remote_media_refused"),
        ({"type": "image_url", "image_url": "data:,x", "video_url": FAR}, "unsupported_parameter"),
        ({"type": "file", "file": {"file_data": FAR}}, "remote_media_refused"),
        ({"type": "file", "file": {"file_data": " FILE:/etc/passwd"}}, "remote_media_refused"),
        ({"type": "file", "file": {"file_data": "//192.0.2.7/x"}}, "remote_media_refused"),
        ({"type": "input_file", "file_url": FAR}, "remote_media_refused"),
        ({"type": "input_image", "image_url": FAR}, "remote_media_refused"),
        ({"type": "input_audio", "input_audio": {"data": FAR, "format": "wav"}}, "remote_media_refused"),
        ({"type": "image", "image": FAR}, "remote_media_refused"),
        ({"type": "image", "image": "/etc/passwd"}, "unsupported_parameter"),
        ({"type": "image", "source": {"type": "url", "url": FAR}}, "remote_media_refused"),
        ({"type": "video", "video": FAR}, "remote_media_refused"),
        ({"type": "audio", "audio": [[FAR]]}, "remote_media_refused"),
        ({"type": "image_embeds", "image_embeds": "gAS"}, "unsupported_parameter"),
        ({"type": "text", "text": "x", "image": FAR}, "remote_media_refused"),
        ({"type": "text", "text": "x", "image": "x"}, "unsupported_parameter"),
        ({"type": "tool_result", "content": "x"}, "unsupported_parameter"),
    ],
)
def test_a_part_that_could_be_fetched(part: dict[str, Any], code: str) -> None:
    found = refused(chat.DIALECT, said(content=[{"type": "text", "text": "x"}, part]))
    assert found[0] == code
    assert found[1] is not None
    assert found[1].startswith("messages[1].content[1]")


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": FAR, "cache_control": {"type": "ephemeral"}},
        {"type": "image_url", "image_url": "data:image/png;base64,AA=="},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
        {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "auto"},
        {"type": "input_audio", "input_audio": {"data": "//uQZAAAAA", "format": "mp3"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_data": "/9j/4AAQ", "filename": "a.jpg"}},
        {"type": "refusal", "refusal": "file: no"},
    ],
)
def test_a_part_that_lies_in_the_request(part: dict[str, Any]) -> None:
    chat.DIALECT.check(said(content=[part]))


@pytest.mark.parametrize("field", ["images", "image_url", "image_embeds", "video", "audio_url", "multi_modal_data"])
def test_media_beside_the_parts(field: str) -> None:
    for value in ([FAR], ["/etc/passwd"], "AA=="):
        assert refused(chat.DIALECT, said(**{field: value})) == ("unsupported_parameter", f"messages[1].{field}")
    for which, body in (
        (chat.DIALECT, said()), (completions.DIALECT, {"prompt": "x"}), (embeddings.DIALECT, {"input": "x"}),
    ):  # fmt: skip
        assert refused(which, body | {field: [FAR]}) == ("unsupported_parameter", field)


def test_a_field_of_a_message_that_nobody_knows() -> None:
    assert refused(chat.DIALECT, said(shown={"at": [FAR]})) == ("remote_media_refused", "messages[1].shown")
    chat.DIALECT.check(said(shown="x", name="Ann", reasoning_content=FAR, audio={"id": "audio_1"}, images=None))
    call = {"id": "c", "type": "function", "function": {"name": "get", "arguments": FAR}}
    chat.DIALECT.check(said(role="assistant", content=None, tool_calls=[call], annotations=[{"url": FAR}]))


@pytest.mark.parametrize(("which", "param"), [(completions.DIALECT, "prompt"), (embeddings.DIALECT, "input")])
def test_inputs_are_text_or_token_ids(which: Any, param: str) -> None:
    for good in ("x", ["x", "y"], [1, 2], [[1, 2], [3]], ["x", 1, [2]], [FAR], [{"text": FAR, "image": "data:,x"}]):
        which.check({param: good})
    for bad in ([None], [True], [1.5], [["x"]], [[FAR]], [[1, True]], [[[1]]], [{"text": 1}], [{"image": [FAR]}]):
        code, named = refused(which, {param: bad})
        assert code == "invalid_type"
        assert named is not None
        assert named.startswith(f"{param}[0]")
    for name, value in (("image", FAR), ("video", "/etc/passwd"), ("prompt_string", FAR)):
        found = refused(which, {param: ["x", {"text": "x", name: value}]})
        assert found == ("remote_media_refused", f"{param}[1].{name}")


@pytest.mark.parametrize("which", [completions.DIALECT, embeddings.DIALECT])
def test_messages_have_a_path_of_their_own(which: Any) -> None:
    picture = {"type": "image_url", "image_url": {"url": FAR}}
    body = {"prompt": "x", "input": "x", **said(content=[picture])}
    assert refused(which, body) == ("unsupported_parameter", "messages")
