"""Responses that are made in the background: their callers are answered at once, and look for them later.

Each is a call of the class background and goes the way of every other call. What it comes to is kept as other responses
are; while it is made it can be looked at, followed event by event, and cancelled by its key. A stop of the gateway ends
it, and it is told as failed then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

import orjson

from ringfence.core.errors import BadRequest, EngineFailed, Failure, NothingNow, Overloaded, TargetUnavailable
from ringfence.core.identity import Key
from ringfence.core.route import Urgency
from ringfence.gateway.call import Call
from ringfence.gateway.not_before import NOT_BEFORE
from ringfence.gateway.parked_answer import Paper
from ringfence.gateway.pipeline import Pipeline, fault
from ringfence.gateway.refusal import JSON_HEAD
from ringfence.gateway.request import NO_HEAD, Request
from ringfence.gateway.responses_request import BACKGROUND
from ringfence.gateway.responses_stream import ResponseVoice
from ringfence.gateway.step import Run, Waiter
from ringfence.gateway.voice import EVENT_HEAD

if TYPE_CHECKING:
    from ringfence.gateway.responses_kept import KeptResponses

log = logging.getLogger("ringfence.responses")
MOST_BYTES = 16 * 1024 * 1024
"""Of the events of one response."""
FULL_RETRY_S = 10.0
STOPPED = TargetUnavailable("The gateway was stopped before this response had ended. Ask again.")
TOO_LONG = EngineFailed("The answer is longer than can be kept.")


@dataclass(frozen=True, slots=True)
class BackgroundSettings:
    """How many of one key may be under way, and how large the requests of all may be together."""

    most: int = 32
    most_bytes: int = 48 * 1024 * 1024


class Follower:
    """Somebody who hears the events of one as they come, at the pace of its connection."""

    def __init__(self, going: Going, request: Request, first: int, lead: bytes) -> None:
        """`first` is the number of the first event that is wanted."""
        self._going = going
        self._request = request
        self._next = first
        self._is_paused = False
        request.voice = None  # what comes was told
        request.on_gone, request.on_pause, request.on_resume = self._leave, self._pause, self._resume
        request.begin(200, lead + EVENT_HEAD)
        going.followers[self] = None
        self.more()

    def more(self) -> None:
        going = self._going
        if self._is_paused or self not in going.followers:
            return
        events = going.events[self._next :]
        self._next += len(events)
        self._request.put(b"".join(events))
        if going.voice.is_over:
            self._leave()
            self._request.close()

    def _leave(self) -> None:
        self._going.followers.pop(self, None)

    def _pause(self) -> None:
        self._is_paused = True

    def _resume(self) -> None:
        self._is_paused = False
        self.more()


class Unread(Request):
    """Takes the answer where nobody reads it: what its voice tells is overheard. `done` comes when it has ended."""

    def __init__(self, voice: ResponseVoice) -> None:
        self.voice = voice
        super().__init__(Paper(), NO_HEAD, monotonic())  # type: ignore[arg-type]
        self.done: Waiter[None] = Waiter()

    def answer(self, status: int, head: bytes, body: bytes) -> None:
        self.done.wake(None)

    def begin(self, status: int, head: bytes) -> None:
        self.is_answered = True

    def put(self, data: bytes) -> None:
        pass

    def close(self) -> None:
        self.done.wake(None)

    def abort(self) -> None:
        self.done.wake(None)


class Going:
    """One that is under way, with all that was told of it."""

    def __init__(self, call: Call, voice: ResponseVoice) -> None:
        self.call = call
        self.voice = voice
        self.events: list[bytes] = []
        self.followers: dict[Follower, None] = {}
        self.run: Run | None = None
        self._size = 0
        voice.overhears = self._hear

    def _hear(self, event: bytes) -> None:
        self.events.append(event)
        self._size += len(event)
        if self._size > MOST_BYTES and not self.voice.is_over:
            asyncio.get_running_loop().call_soon(self.stop, TOO_LONG)
        asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        for follower in tuple(self.followers):
            follower.more()

    def fail(self, failure: Failure) -> None:
        """Nothing more comes of it than that."""
        if not self.voice.is_over:
            self.voice.feed(b"data: %b\n\n" % orjson.dumps(failure.envelope()))

    def stop(self, failure: Failure | None = None) -> None:
        """And the work of its engine; without a `failure` its caller wants no more of it."""
        if failure is not None:
            self.fail(failure)
        elif not self.voice.is_over:
            self.voice.cancelled()
        if self.run is not None:
            self.run.cancel()


class Background:
    """Give it a second now and then (`tick`)."""

    def __init__(self, pipeline: Pipeline, kept: KeptResponses) -> None:
        self.settings = BackgroundSettings()
        self.going: dict[str, Going] = {}
        """By the id of the response."""
        self.key_of: Callable[[str], Key | None] | None = None
        """A key by its id, as long as it is valid."""
        self._pipeline = pipeline
        self._kept = kept
        self._is_closed = False

    async def take(self, request: Request, call: Call) -> bool:
        """Whether the call is made in the background: then its caller is answered. Raises Failure."""
        voice = call.voice
        if not isinstance(voice, ResponseVoice) or not voice.is_put_off:
            return False
        pipeline = self._pipeline
        if pipeline.decided(call) is None:  # only for what it is refused for: it is decided when its turn comes
            await pipeline.decided_in_turns(call)
        if voice.keep is None:
            raise BadRequest(
                f"'{BACKGROUND}' is not accepted: what is made in the background is kept until it is asked for, and "
                "nothing is kept with 'store: false' or under a profile that keeps no responses "
                "(profiles.NAME.stores).", param=BACKGROUND, code="unsupported_parameter",
            )  # fmt: skip
        if request.head.not_before:
            raise BadRequest(
                f"'{NOT_BEFORE.decode()}' is not accepted together with '{BACKGROUND}'; 'Prefer: respond-async' is.",
                param=BACKGROUND, code="not_parkable",
            )  # fmt: skip
        self._admit(call)
        going = self.going[voice.id] = Going(call, voice)
        try:
            voice.queued()
            await self._kept.begin(call, voice)
        except BaseException:
            del self.going[voice.id]
            raise
        call.urgency, call.request = Urgency.BACKGROUND, None
        lead = b"x-request-id: %b\r\n" % call.id.encode()
        if (call.asked or {}).get("stream"):
            Follower(going, request, 0, lead)
        else:
            request.voice = None
            request.answer(200, lead + JSON_HEAD, orjson.dumps(voice.shown))
        going.run = Run(self._serve(going))
        going.run.step()
        return True

    def find(self, response_id: str, key_id: str) -> Going | None:
        """Of this key."""
        going = self.going.get(response_id)
        return going if going is not None and going.call.key.id == key_id else None

    async def tick(self) -> None:
        """Every second: those whose key is no longer valid are stopped."""
        for going in list(self.going.values()):
            if self.key_of is not None and self.key_of(going.call.key.id) is None:
                going.stop()

    def close(self) -> None:
        """The gateway stops."""
        self._is_closed = True
        for going in list(self.going.values()):
            going.stop(STOPPED)

    def _admit(self, call: Call) -> None:
        """Raises Overloaded."""
        if self._is_closed:
            raise TargetUnavailable("The gateway is being stopped.", retry_after_s=FULL_RETRY_S)
        mine = sum(going.call.key.id == call.key.id for going in self.going.values())
        size = sum(going.call.body_bytes for going in self.going.values())
        if mine >= self.settings.most or size + call.body_bytes > self.settings.most_bytes:
            raise Overloaded(
                f"{mine} responses of this key are made in the background already, or all of them together take too "
                "much memory (responses.background).", code="too_many_in_background", retry_after_s=FULL_RETRY_S,
            )  # fmt: skip

    async def _serve(self, going: Going) -> None:
        """To its end, whatever that is."""
        call, pipeline, out = going.call, self._pipeline, Unread(going.voice)
        try:
            try:
                reply, head = await pipeline.begin(call)
            except NothingNow as nothing:
                answered = await pipeline.parked(out, call, nothing)
                if answered is None:
                    raise
                reply, head = answered
            reply.send(out, head)
            await out.done
        except asyncio.CancelledError:  # whoever stopped it has said what becomes of it
            if out.on_gone is not None:
                out.on_gone()
            pipeline.record(call, None, 499, "client_gone", None, 0.0)
        except Failure as failure:
            going.fail(failure)
            pipeline.record(call, None, failure.status, failure.code or "error", None, 0.0)
        except Exception:  # a fault of ours
            failure = fault(call, call.id)
            going.fail(failure)
            pipeline.record(call, None, failure.status, failure.code or "error", None, 0.0)
        finally:
            going.fail(EngineFailed("The answer is not complete."))
            self.going.pop(going.voice.id, None)
