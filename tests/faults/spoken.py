"""Each dialect as the matrix speaks it: how one asks, and how a good answer reads. A new dialect joins by being listed.

One that is found in gateway/dialects/ and is not listed here fails the suite.
"""

from __future__ import annotations

import base64
import importlib
import json
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import forms
from composed import Reply

from ringfence.gateway import dialects
from ringfence.testing import fake_media

SAID = "The quick brown fox jumps."
MOST_TOKENS = 16
SOUND = b"RIFF" + bytes(100)


@dataclass(frozen=True)
class Streamed:
    """A stream as it was read: its events, whether it came to its end, and the code of the error that ended it."""

    events: list[Any]
    is_whole: bool
    code: str = ""


def _refused(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.error["code"]


def _streamed(reply: Reply) -> Streamed:
    *events, last = [event for event in reply.events if not event.startswith(":")]
    told = [json.loads(event) for event in events if event != "[DONE]"]
    if last == "[DONE]":
        return Streamed(told, len(told) == len(events))
    return Streamed(told, False, (json.loads(last).get("error") or {}).get("code", ""))


@dataclass(frozen=True)
class Spoken:
    """`said` finds the text in an answer in one piece, `piece` that in an event of a stream; None: no streams.
    `refused` reads an error in place of an answer, as status and code; `streamed` reads a stream. `sound` goes along in
    a form; `is_sound`: an answer is one. Of what `counts` no tokens, no usage is told."""

    path: str
    body: dict[str, Any]
    said: Callable[[Any], str]
    piece: Callable[[Any], str] | None = None
    refused: Callable[[Reply], tuple[int, str]] = _refused
    streamed: Callable[[Reply], Streamed] = _streamed
    sound: bytes = b""
    is_sound: bool = False
    counts: bool = True

    def asked(self, more: dict[str, Any]) -> tuple[bytes, bytes]:
        """Header lines and the body of a request."""
        told = self.body | more
        if not self.sound:
            return b"", json.dumps(told).encode()
        fields = [(name, str(value).lower().encode()) for name, value in told.items()]
        head = f"content-type: {forms.FORM}\r\n".encode()
        return head, forms.form(*fields, file=self.sound, filename="a.wav", kind="audio/wav")


def _heard_streamed(reply: Reply) -> Streamed:
    """Whole where OpenAI's last event has come, whether or not [DONE] follows."""
    told = [json.loads(event) for event in reply.events if event != "[DONE]" and not event.startswith(":")]
    if told[-1].get("type") == "transcript.text.done":
        return Streamed(told, "error" not in told[-1])
    return _streamed(reply)


def _heard(answer: Any) -> str:
    return SAID if answer["text"].startswith(f"heard {len(SOUND)} bytes") else ""


def _heard_piece(event: Any) -> str:
    """All of it is in the last event, and the words before it are its beginning."""
    return _heard(event) if event["type"] == "transcript.text.done" else ""


def _anthropic_refused(reply: Reply) -> tuple[int, str]:
    """Its 529 is the 503 of the others."""
    told = reply.json
    assert told["type"] == "error" and set(told["error"]) == {"type", "message", "details"}
    return 503 if reply.status == 529 else reply.status, told["error"]["details"]["error_code"]


def _anthropic_streamed(reply: Reply) -> Streamed:
    told = [block.partition("\n") for block in reply.body.decode().split("\n\n")[:-1]]
    events = [json.loads(data.removeprefix("data: ")) for _, _, data in told]
    assert [name for name, _, _ in told] == [f"event: {event['type']}" for event in events]
    events = [event for event in events if event["type"] != "ping"]
    last = events[-1]
    if last["type"] == "error":
        return Streamed(events[:-1], False, last["error"]["details"]["error_code"])
    return Streamed(events, last["type"] == "message_stop")


def _anthropic_piece(event: Any) -> str:
    return event["delta"].get("text", "") if event["type"] == "content_block_delta" else ""


def _lines(reply: Reply) -> Streamed:
    """As Ollama has it: a line is a JSON object, and the last one says that it is done."""
    assert reply.head["content-type"] == "application/x-ndjson" and reply.body.endswith(b"\n")
    *events, last = [json.loads(line) for line in reply.body.splitlines()]
    if "error" in last:
        return Streamed(events, False, _line_refused(reply.status, last)[1])
    return Streamed([*events, last], last["done"] is True and not any(event["done"] for event in events))


def _line_refused(status: int, told: Any) -> tuple[int, str]:
    assert isinstance(told["error"], str)
    return status, told["code"]


def _ollama_refused(reply: Reply) -> tuple[int, str]:
    return _line_refused(reply.status, reply.json)


def _response_streamed(reply: Reply) -> Streamed:
    """Events with names. One that breaks is told twice: as an error, and as a response that failed."""
    *blocks, rest = reply.body.decode().split("\n\n")
    told = [json.loads(block.partition("data: ")[2]) for block in blocks if not block.startswith(":")]
    errors = [event["code"] for event in told if event["type"] == "error"]
    last = told[-1]["type"]
    is_told = len(errors) == 1 and last == "response.failed"
    return Streamed(told, last == "response.completed" and not errors and not rest, errors[0] if is_told else "")


def _summary(encoded: str) -> str:
    """Behind its mark."""
    return base64.urlsafe_b64decode(encoded.rpartition(".")[2]).decode()


def _choice(answer: Any) -> Any:
    return answer["choices"][0] if answer["choices"] else {}


SPOKEN = {
    "chat": Spoken(
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": "hello there"}], "max_tokens": MOST_TOKENS},
        lambda answer: _choice(answer)["message"]["content"],
        lambda event: _choice(event).get("delta", {}).get("content") or "",
    ),
    "completions": Spoken(
        "/v1/completions",
        {"prompt": "hello there", "max_tokens": MOST_TOKENS},
        lambda answer: _choice(answer)["text"],
        lambda event: _choice(event).get("text", ""),
    ),
    "embeddings": Spoken(
        "/v1/embeddings",
        {"input": "hello there"},
        lambda answer: SAID if len(answer["data"][0]["embedding"]) == 8 else "",
    ),
    "messages": Spoken(
        "/v1/messages",
        {"messages": [{"role": "user", "content": "hello there"}], "max_tokens": MOST_TOKENS},
        lambda answer: "".join(block["text"] for block in answer["content"]),
        _anthropic_piece,
        _anthropic_refused,
        _anthropic_streamed,
    ),
    "responses": Spoken(
        "/v1/responses",
        {"input": "hello there", "max_output_tokens": MOST_TOKENS},
        lambda answer: answer["output"][0]["content"][0]["text"],
        lambda event: event["delta"] if event["type"] == "response.output_text.delta" else "",
        streamed=_response_streamed,
    ),
    "responses_compact": Spoken(
        "/v1/responses/compact",
        {"input": "hello there"},
        lambda answer: _summary(answer["output"][-1]["encrypted_content"]),
    ),
    "rerank": Spoken(
        "/v1/rerank",
        {"query": "hello there", "documents": ["hello", "hello there"]},
        lambda answer: SAID if [one["index"] for one in answer["results"]] == [1, 0] else "",
    ),
    "ollama_chat": Spoken(
        "/api/chat",
        {"messages": [{"role": "user", "content": "hello there"}], "options": {"num_predict": MOST_TOKENS}},
        lambda answer: answer["message"]["content"],
        lambda event: event["message"]["content"],
        _ollama_refused,
        _lines,
    ),
    "ollama_generate": Spoken(
        "/api/generate",
        {"prompt": "hello there", "options": {"num_predict": MOST_TOKENS}},
        lambda answer: answer["response"],
        lambda event: event["response"],
        _ollama_refused,
        _lines,
    ),
    "ollama_embed": Spoken(
        "/api/embed",
        {"input": "hello there"},
        lambda answer: SAID if len(answer["embeddings"][0]) == 8 else "",
        refused=_ollama_refused,
    ),
    "transcriptions": Spoken(
        "/v1/audio/transcriptions", {}, _heard, _heard_piece, streamed=_heard_streamed, sound=SOUND, counts=False
    ),
    "translations": Spoken("/v1/audio/translations", {}, _heard, sound=SOUND, counts=False),
    "images": Spoken(
        "/v1/images/generations",
        {"prompt": "hello there"},
        lambda answer: SAID if base64.b64decode(answer["data"][0]["b64_json"]) == fake_media.PICTURE else "",
        counts=False,
    ),
    "speech": Spoken(
        "/v1/audio/speech",
        {"input": SAID, "voice": "alloy"},
        lambda sound: SAID if sound == fake_media.sound(SAID) else "",
        is_sound=True,
        counts=False,
    ),
}
OF_TEXT = {name for name, spoken in SPOKEN.items() if spoken.counts}


def found() -> set[str]:
    """The dialects that the gateway has."""
    modules = [
        importlib.import_module(f"{dialects.__name__}.{one.name}") for one in pkgutil.iter_modules(dialects.__path__)
    ]
    return {module.DIALECT.name for module in modules if hasattr(module, "DIALECT")}


WAYS = [(name, is_stream) for name, one in SPOKEN.items() for is_stream in (False, True) if one.piece or not is_stream]
"""Every way of asking: a dialect, and whether for a stream."""
