"""What a path leads to beside a dialect that engines speak: a dialect that is translated, or a desk.

Both tell failures in the shape that their callers read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ringfence.core.errors import Failure
from ringfence.gateway.dialects.dialect import Body, Dialect
from ringfence.gateway.head import Head
from ringfence.gateway.refusal import told
from ringfence.gateway.voice import Voice

if TYPE_CHECKING:
    from ringfence.gateway.call import Call
    from ringfence.gateway.request import Request

LOOK = (b"GET", b"HEAD")


class Route:
    """Has a shape of its own for what went wrong; this one is OpenAI's, or Anthropic's for a client that says so."""

    def told(self, failure: Failure, head: Head, call_id: str) -> tuple[int, bytes, bytes]:
        """Status, header lines and body of an error answer. `head` is that of the request."""
        return told(failure, head, call_id)


@dataclass(frozen=True, slots=True)
class Heard:
    """A request as an engine can be asked, and who tells its answer."""

    body: Body
    voice: Voice
    dialect: Dialect | None = None
    """Where this one goes as another than most."""
    said_in: str = ""
    """The field in which its caller said what is asked, where the translation has another name for that."""


class Foreign(Route):
    """A dialect that no engine is asked in: what is said in it is translated, and so is the answer. One file each in
    `dialects/`, with a `DIALECT`."""

    name: str
    paths: tuple[str, ...]
    goes_as: Dialect
    """The dialect that it is translated to, with its checks, its ability and its route at the engine."""

    def heard(self, body: Body, head: Head) -> Heard:
        """Translate; BadRequest names the field, as its caller knows it, that is wrong or cannot be carried. `body`
        stays as it is: a parked request is translated again when its turn comes, with no head to look at."""
        raise NotImplementedError

    async def fetch(self, request: Request) -> None:
        """Before it is read: put what it builds on into its body, where that is kept here. Raises Failure."""

    def made(self, call: Call) -> None:
        """The call that came of it, before anything is decided about it."""

    async def takes(self, request: Request, call: Call) -> bool:
        """Whether the call is answered by now, and runs on without its caller. Raises Failure."""
        return False


class Desk(Route):
    """Answers what is no call of a model: a list, a ticket, a file. One that needs a decision asks the pipeline."""

    def methods(self, path: str) -> tuple[bytes, ...]:
        """What it takes at this path; empty where the path is none of its own."""
        raise NotImplementedError

    def serve(self, request: Request) -> None:
        """Start answering; must not block."""
        raise NotImplementedError

    def described(self) -> Mapping[str, Any]:
        """Its paths as OpenAPI has them, for GET /v1/openapi.json; none, unless it says otherwise."""
        return {}
