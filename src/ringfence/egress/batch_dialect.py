"""How dialects of batches differ: each says what is asked of its provider, one request after the other, and reads what
is answered. Nothing is sent here, and what a gateway is told is in one form for all of them."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

from ringfence.core.catalog import Ability
from ringfence.egress.lines import Limits, OneLine

JSON = "application/json"
MOST_BYTES = 4 * 1024 * 1024
MOST_RESULT_BYTES = 32 * 1024 * 1024
"""Of the answers of one batch together: a gateway gets them at once."""
T = TypeVar("T")


class Errand(NamedTuple):
    """One request. `path` goes behind `before` of its dialect; with `is_first_line` no more is read of the answer."""

    method: str
    path: str
    body: bytes = b""
    content_type: str = JSON
    most_bytes: int = MOST_BYTES
    is_first_line: bool = False


class Answered(NamedTuple):
    """`head` is what a gateway is told besides, such as when to ask again."""

    status: int
    body: bytes
    head: tuple[tuple[bytes, bytes], ...] = ()


class Declined(Exception):
    """The provider says no: its answer goes to the gateway as it is."""

    def __init__(self, answered: Answered) -> None:
        super().__init__(answered.status)
        self.answered = answered


class Unheard(Exception):
    """Thrown into steps whose request was not answered, with what became of it."""

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class Shown(NamedTuple):
    """What a gateway is told of a batch of a provider, in the words of OpenAI: `status` is one of validating,
    in_progress, finalizing, cancelling, completed, expired, cancelled, failed. Times are Unix seconds."""

    id: str
    status: str
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    created_at: int | None = None
    expires_at: int | None = None


class Sought(NamedTuple):
    """A batch of which a gateway does not know whether it was made: our id of it, and what may be known besides, which
    are when its submission began, in Unix time, and how many lines it has. `known` are batches of this provider and
    our ids of them."""

    call: str
    since_s: float | None = None
    lines: int | None = None
    known: Mapping[str, str] = {}


class Found(NamedTuple):
    """`is_leaving`: there is none, but it may be on its way there, or nobody can tell yet which one it is."""

    shown: Shown | None = None
    is_leaving: bool = False


Steps: TypeAlias = Generator[Errand, Answered, T]
"""Yields what is to be asked, and is sent what was answered. Raises Declined, and ValueError or Refused where an answer
cannot be read."""


class BatchDialect(Protocol):
    """One for each form of batches that is spoken."""

    @property
    def before(self) -> str:
        """What stands before the path of every errand."""
        ...

    @property
    def abilities(self) -> frozenset[Ability]: ...
    @property
    def limits(self) -> Limits: ...
    def submit(self, call: str, ability: Ability, lines: Sequence[OneLine]) -> Steps[Shown]: ...
    def find(self, sought: Sought) -> Steps[Found]: ...
    def look(self, batch: str) -> Steps[Shown]: ...
    def cancel(self, batch: str) -> Steps[Shown]: ...
    def lines(self, file: str) -> Steps[bytes]:
        """JSON lines in OpenAI's form: custom_id, which is the hold, and `response` with status_code and body, or
        `error` with a code. The body is the provider's own, as an ordinary call to it gets it."""
        ...

    def forget(self, file: str) -> Steps[str]:
        """What was forgotten."""
        ...


def good(answered: Answered) -> bytes:
    """The body of what went well. Raises Declined."""
    if answered.status != 200:
        raise Declined(answered)
    return answered.body


def told(shown: Shown | None) -> dict[str, Any] | None:
    return None if shown is None else shown._asdict()
