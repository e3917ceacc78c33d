"""What comes before a body: read once where a client repeats it, refused where it could be read two ways."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from ringfence.core.errors import BadRequest, Failure
from ringfence.core.route import Urgency
from ringfence.gateway.not_before import NOT_BEFORE
from ringfence.gateway.urgency import PRIORITY, read_priority

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 128
MAX_LENGTH_DIGITS = 12
HOST_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]")
SINGLE_HEADERS = (
    b"host", b"transfer-encoding", b"authorization", b"x-api-key", b"content-type", b"x-ringfence-agent",
    b"x-ringfence-profile",
)  # fmt: skip


class Head:
    """Everything before the body. A client that keeps its connection says the same each time: then it is read once."""

    __slots__ = (
        "agent", "expects", "failure", "grant", "headers", "is_http11", "keep_alive", "labels", "method", "not_before",
        "path", "profile", "query", "request_id", "secret", "urgency",
    )  # fmt: skip

    def __init__(self, method: bytes, headers: list[tuple[bytes, bytes]], *, is_http11: bool, keep_alive: bool) -> None:
        self.method = method
        self.headers = headers
        self.is_http11 = is_http11
        self.keep_alive = keep_alive
        self.path = ""
        self.query = b""
        self.secret = b""
        self.request_id = ""
        self.agent = self.profile = self.labels = ""
        self.urgency: Urgency | None = Urgency.USER
        """None where what it says of it cannot be understood."""
        self.not_before = b""
        """Before when it is not to be begun, as it says it."""
        self.expects = False
        self.failure: Failure | None = None
        self.grant: Any = None
        """The site's: what it found out about this head, so that it need not find it out again."""

    def header(self, name: bytes) -> bytes | None:
        """The first header of this lower-case name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


NO_HEAD = Head(b"GET", [], is_http11=True, keep_alive=False)


class Mould:
    """A head that was read, as bytes, with a gap for its content-length: most clients send the same again and again.

    It is only ever made of a head that the parser has accepted, with one content-length and a body that followed it;
    so bytes that differ from it in the digits alone would be read the same way.
    """

    __slots__ = ("_after", "_before", "_gap_end", "_gap_start")

    def __init__(self, before: bytes, after: bytes) -> None:
        self._before = before
        self._after = after
        self._gap_start = len(before)
        self._gap_end = len(before) + MAX_LENGTH_DIGITS + 1

    def read(self, data: bytes) -> tuple[int, bytes | None]:
        """The content-length, and what follows the head; None there when the head is another."""
        if not data.startswith(self._before):
            return 0, None
        at = data.find(b"\r", self._gap_start, self._gap_end)
        digits = data[self._gap_start : at]
        if not digits.isdigit() or not data.startswith(self._after, at):
            return 0, None
        return int(digits), data[at + len(self._after) :]


NO_MOULD = Mould(b"\0", b"\0")  # reads nothing: what follows the digits would have to be CR and NUL at once
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)\r\n", re.IGNORECASE)


def mould_of(data: bytes, body_bytes: int) -> Mould:
    """Of a piece that holds exactly one head, and of its body `body_bytes`; NO_MOULD when it holds anything else."""
    end = data.find(b"\r\n\r\n") + 4
    length = _LENGTH.search(data, 0, end)
    if length is None or end + body_bytes != len(data):
        return NO_MOULD
    return Mould(data[: length.start(1)], data[length.end(1) : end])


def read_head(method: bytes, version: str, target: bytes, rows: list[tuple[bytes, bytes]], keep_alive: bool) -> Head:
    """What the head says. `failure` is set where it says something that must not be acted on."""
    headers = [(name.lower(), value) for name, value in rows]
    is_http11 = version == "1.1"  # an older client would have to be told that its connection stays: it does not
    head = Head(method, headers, is_http11=is_http11, keep_alive=keep_alive and is_http11)
    try:
        _check_size(version, target, rows)
        head.path, head.query = _split_target(target, method)
        _check_headers(head)
    except BadRequest as failure:
        head.failure = failure
        return head
    found = dict(headers)
    secret = found.get(b"authorization")
    if secret is None:
        secret = found.get(b"x-api-key") or found.get(b"api-key") or b""
    elif secret[:7].lower() == b"bearer ":
        secret = secret[7:]
    head.secret = secret.strip()
    head.request_id = _clean_id(found.get(b"x-request-id", b""))
    head.agent = found.get(b"x-ringfence-agent", b"").decode("latin-1")
    head.profile = found.get(b"x-ringfence-profile", b"").decode("latin-1")
    head.labels = ",".join(value.decode("latin-1") for name, value in headers if name == b"x-ringfence-label")
    head.urgency = read_priority(found.get(PRIORITY))
    head.not_before = found.get(NOT_BEFORE, b"")
    head.expects = found.get(b"expect", b"").lower() == b"100-continue" or b"upgrade" in found
    return head


def _check_size(version: str, target: bytes, rows: list[tuple[bytes, bytes]]) -> None:
    if version not in ("1.1", "1.0"):
        raise BadRequest("Only HTTP/1.1 and HTTP/1.0 are spoken here.", code="malformed_http")
    if len(target) + sum(len(name) + len(value) + 4 for name, value in rows) > MAX_HEAD_BYTES:
        raise BadRequest(f"The request head is larger than {MAX_HEAD_BYTES} bytes.", code="malformed_http")


def _check_headers(head: Head) -> None:
    """Headers that say what a request is must not be said twice: two readers could believe two different ones."""
    if len(head.headers) > MAX_HEADERS:
        raise BadRequest(f"More than {MAX_HEADERS} headers.", code="malformed_http")
    names = [name for name, _ in head.headers]
    for name in SINGLE_HEADERS:
        if names.count(name) > 1:
            raise BadRequest(f"The header '{name.decode()}' is given more than once.", code="malformed_http")
    if not head.is_http11 and b"transfer-encoding" in names:
        raise BadRequest("HTTP/1.0 has no transfer encodings.", code="malformed_http")
    host = head.header(b"host")
    if host is None:
        if head.is_http11:
            raise BadRequest("A Host header is needed.", code="malformed_http")
    elif not HOST_BYTES.issuperset(host) or not 0 < len(host) <= 255:
        raise BadRequest("The Host header is not a host name or address.", code="malformed_http")


def _split_target(target: bytes, method: bytes) -> tuple[str, bytes]:
    """Path (percent-decoded) and query of an origin-form target; anything else is refused."""
    if method == b"OPTIONS" and target == b"*":
        return "*", b""
    if not target.startswith(b"/") or method == b"CONNECT":
        raise BadRequest(
            "Only paths such as /v1/models can be asked for; this server is not a proxy for other addresses.",
            code="malformed_http",
        )
    path, _, query = target.partition(b"?")
    try:
        return (unquote(path, errors="strict") if b"%" in path else path.decode("ascii")), query
    except UnicodeDecodeError:
        raise BadRequest("The path is not valid UTF-8.", code="malformed_http") from None


def host_name(head: Head) -> str:
    """The name or address part of the Host header, lower case, without the port."""
    value = (head.header(b"host") or b"").decode("ascii", "replace").lower()
    if value.startswith("["):
        return value[1 : value.find("]")] if "]" in value else value
    return value.rpartition(":")[0] if ":" in value else value


_ID_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
MOST_ID_BYTES = 64
"""Of a caller's own id: it stands in permits, the journal and logs, which are no place for text."""


def _clean_id(value: bytes) -> str:
    return value.decode() if 0 < len(value) <= MOST_ID_BYTES and _ID_BYTES.issuperset(value) else ""
