"""[pure] A failure as its caller can read it: in OpenAI's shape, or in Anthropic's for a client of Anthropic.

Such a client says so in each request, with the header `anthropic-version`; only a failure looks for it.
"""

from __future__ import annotations

from typing import Any

import orjson

from ringfence.core.errors import Failure
from ringfence.gateway.head import Head

JSON_HEAD = b"content-type: application/json\r\n"
OVERLOADED = 529
ANTHROPIC: dict[int, tuple[int, str]] = {
    401: (401, "authentication_error"),
    403: (403, "permission_error"),
    404: (404, "not_found_error"),
    408: (408, "timeout_error"),
    413: (413, "request_too_large"),
    429: (429, "rate_limit_error"),
    503: (OVERLOADED, "overloaded_error"),
    504: (504, "timeout_error"),
}
"""Status and type by our status. Others keep their status: they are invalid_request_error below 500, else api_error."""


def told(failure: Failure, head: Head, call_id: str = "") -> tuple[int, bytes, bytes]:
    """Status, header lines and body of an error answer. `head` is that of the request."""
    if _is_anthropic(head):
        return told_as_anthropic(failure, head, call_id)
    return failure.status, _with_id(failure, call_id), orjson.dumps(failure.envelope())


def told_as_anthropic(failure: Failure, head: Head, call_id: str = "") -> tuple[int, bytes, bytes]:
    """The same in Anthropic's shape, for paths that only its clients ask for."""
    request_id, lines = call_id or head.request_id, _with_id(failure, call_id)
    if request_id:
        lines += b"request-id: %b\r\n" % request_id.encode()
    return _status_and_type(failure)[0], lines, orjson.dumps(anthropic_error(failure, request_id))


def retold(status: int, lines: bytes, body: bytes, head: Head) -> tuple[int, bytes, bytes]:
    """An answer that was kept. An error is kept in OpenAI's shape."""
    if status < 400 or not _is_anthropic(head):
        return status, lines, body
    error = orjson.loads(body)["error"]
    failure = Failure(error["message"], code=error["code"])
    failure.status = status
    return _status_and_type(failure)[0], lines, orjson.dumps(anthropic_error(failure, ""))


def told_midway(failure: Failure, head: Head, call_id: str) -> bytes:
    """The event with which a stream ends that broke."""
    if _is_anthropic(head):
        return b"event: error\ndata: %b\n\n" % orjson.dumps(anthropic_error(failure, call_id))
    return b"data: %b\n\n" % orjson.dumps(failure.envelope())


def _is_anthropic(head: Head) -> bool:
    return head.header(b"anthropic-version") is not None


def anthropic_error(failure: Failure, request_id: str) -> dict[str, Any]:
    """As https://docs.claude.com/en/api/errors has it; our code stands where that API puts a cause's stable name."""
    message = failure.to_anthropic or failure.message
    error: dict[str, Any] = {"type": _status_and_type(failure)[1], "message": message}
    if failure.code is not None:
        error["details"] = {"error_code": failure.code}
    return {"type": "error", "error": error, "request_id": request_id or None}


def _status_and_type(failure: Failure) -> tuple[int, str]:
    known = ANTHROPIC.get(failure.status)
    if known is not None:
        return known
    return failure.status, "api_error" if failure.status >= 500 else "invalid_request_error"


def _with_id(failure: Failure, call_id: str) -> bytes:
    lines = _lines(failure)
    return b"x-request-id: %b\r\n%b" % (call_id.encode(), lines) if call_id else lines


def _lines(failure: Failure) -> bytes:
    """The header lines that go with an error."""
    lines = [JSON_HEAD]
    if failure.retry_after_s is not None:
        lines.append(b"retry-after: %d\r\n" % max(1, -int(-failure.retry_after_s // 1)))
    if failure.should_retry is not None:
        lines.append(b"x-should-retry: %b\r\n" % (b"true" if failure.should_retry else b"false"))
    lines += [f"{name}: {value}\r\n".encode("latin-1") for name, value in failure.headers]
    return b"".join(lines)
