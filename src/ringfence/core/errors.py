"""The one tree of failures that a caller can see.

    Failure
    ├── BadRequest            400  the body or a parameter is wrong
    │   └── ContextLengthExceeded  the prompt does not fit the window
    ├── NotAuthenticated      401  no key, or not a valid one
    ├── BoundaryRefused       403  the text may not travel that far
    ├── Forbidden             403  not allowed for other reasons (host name, console session)
    ├── NotFound              404  no such route
    │   └── ModelNotFound     404  no such model
    ├── MethodNotAllowed      405
    ├── TimedOut              408  the client was too slow
    ├── Gone                  410  a parked request that will not be answered any more
    ├── TooLarge              413  the body is too large
    ├── RateLimited           429  this key asks too often
    ├── BudgetExceeded        429  it may cost more than is left of a budget
    ├── EngineRefused         4xx  the engine answered with an error of its own
    ├── EngineFailed          502  the engine broke, after every retry
    │   └── UnreadableAnswer  502  it answered, and what it said cannot be read
    ├── Overloaded            503  a queue or a buffer is full
    │   └── Crowded           503  the requests under way do not fit the engine's context together
    ├── LedgerUnavailable     503  nothing can be written down, so nothing is paid for
    ├── PriceUnknown          503  nobody knows what it costs, and it is under a budget
    ├── TargetUnavailable     503  no target can serve this now
    │   └── NothingNow        503  the same, and its profile rather waits than goes further
    └── EngineTimedOut        504  the engine did not answer in time

The OpenAI envelope is `envelope()`; gateway/refusal.py has that of Anthropic. Messages never hold prompt or
answer text. TargetFailed is not in the tree: it never reaches a caller, it makes the walk try the next target.
"""

from __future__ import annotations

from typing import Any, ClassVar


class Failure(Exception):
    """Something the caller is told. `retry_after_s` becomes a `retry-after` header (seconds, rounded up)."""

    status: int = 500
    type: ClassVar[str] = "api_error"
    code: str | None = "internal_error"
    should_retry: ClassVar[bool | None] = None
    to_anthropic: str | None = None
    """The message for a client of Anthropic, where that API has words of its own which clients look for."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        self.headers = headers
        if code is not None:
            self.code = code

    def envelope(self) -> dict[str, Any]:
        """The OpenAI error object, as every SDK expects it."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


class BadRequest(Failure):
    status = 400
    type = "invalid_request_error"
    code = "invalid_request"


class ContextLengthExceeded(BadRequest):
    """The prompt does not fit the window, in the words that OpenAI and Anthropic use and clients look for.

    In tokens; None where a number is not known. `output` is what was asked for beside them, where the prompt alone
    would fit. `is_floor`: there are at least so many, which is said: who takes it for the size shortens the prompt by
    one token at a time. `said` is what an engine says, for where the numbers are missing. `told_window` is set where
    the engine itself named its window in a way that no caller can feign: it may be learned.
    """

    code = "context_length_exceeded"

    def __init__(
        self,
        window: int | None,
        tokens: int | None,
        *,
        output: int = 0,
        is_floor: bool = False,
        param: str = "messages",
        said: str = "",
        told_window: int | None = None,
    ) -> None:
        self.window, self.tokens, self.is_floor, self.told_window = window, tokens, is_floor, told_window
        self.output = output
        self.said = said
        part = param.partition("[")[0]
        beside = window is not None and tokens is not None and tokens <= window and output > 0
        message = f"This model's maximum context length is {window} tokens. However, "
        if window is None:
            message = f"This model's maximum context length is exceeded. {said}".strip()
            to_anthropic = f"prompt is too long. {message}"
        elif tokens is None:
            message += f"your request asks for more. Please reduce the length of the {part}."
            to_anthropic = f"prompt is too long: more than {window} tokens"
        elif beside:
            message += (
                f"you requested {tokens + output} tokens ({tokens} in the {part}, {output} in the completion). Please "
                f"reduce the length of the {part} or completion."
            )
            to_anthropic = (
                f"input length and `max_tokens` exceed context limit: {tokens} + {output} > {window}, decrease input "
                "length or `max_tokens` and try again"
            )
        else:
            floor = "at least " if is_floor else ""
            message += f"your {part} resulted in {floor}{tokens} tokens. Please reduce the length of the {part}."
            to_anthropic = (
                f"prompt is too long: more than {window} tokens"
                if is_floor
                else f"prompt is too long: {tokens} tokens > {window} maximum"
            )
        # The code as well: OpenAI's library shows the message alone, and LangChain looks for the code in what it shows.
        super().__init__(f"{message} ({self.code})", param=param)
        self.to_anthropic = to_anthropic

    def of(self, param: str, window: int | None) -> ContextLengthExceeded:
        """The same of another parameter, with the window that is known where the engine names none."""
        if self.tokens is not None and window is not None and self.tokens <= window:
            window = None
        return ContextLengthExceeded(
            self.window or window, self.tokens, output=self.output, is_floor=self.is_floor, param=param,
            said=self.said, told_window=self.told_window,
        )  # fmt: skip


class NotAuthenticated(Failure):
    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"


class BoundaryRefused(Failure):
    status = 403
    type = "permission_error"
    code = "boundary_refused"


class Forbidden(Failure):
    status = 403
    type = "permission_error"
    code = "forbidden"


class NotFound(Failure):
    status = 404
    type = "invalid_request_error"
    code = "not_found"


class ModelNotFound(NotFound):
    code = "model_not_found"


class MethodNotAllowed(Failure):
    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class TimedOut(Failure):
    status = 408
    type = "invalid_request_error"
    code = "request_timeout"


class Gone(Failure):
    status = 410
    type = "invalid_request_error"
    code = "parked_cancelled"


class TooLarge(Failure):
    status = 413
    type = "invalid_request_error"
    code = "request_too_large"


class RateLimited(Failure):
    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class BudgetExceeded(Failure):
    """As OpenAI says it of an account without money: libraries do not ask again."""

    status = 429
    type = "insufficient_quota"
    code = "insufficient_quota"
    should_retry = False


class LedgerUnavailable(Failure):
    status = 503
    code = "ledger_unavailable"


class PriceUnknown(Failure):
    status = 503
    code = "price_unknown"
    should_retry = False


class EngineRefused(Failure):
    """The engine understood the request and said no (4xx). Status, type and code are mapped by its adapter."""

    type = "invalid_request_error"

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message, param=param)
        self.status = status
        self.code = code


class EngineFailed(Failure):
    status = 502
    code = "engine_failed"


class UnreadableAnswer(EngineFailed):
    """It is no error either: who takes money may want it for this."""


class Overloaded(Failure):
    status = 503
    type = "overloaded_error"
    code = "overloaded"


class Crowded(Overloaded):
    """Each of the requests under way fits the engine's context, and all of them together do not."""


class TargetUnavailable(Failure):
    status = 503
    code = "target_unavailable"


class NothingNow(TargetUnavailable):
    """The profile ends in `park`: the request waits, where there is something that lets it wait."""

    broke: Failure | None = None
    """What an engine that was reached made of it, where one was."""


class EngineTimedOut(Failure):
    status = 504
    code = "engine_timeout"


class TargetFailed(Exception):
    """One target could not answer and nothing has been sent to the caller yet: the next may try.

    `reason` is one of connect, lost, first_byte_timeout, stalled, status, malformed, loading, crowded, elsewhere,
    set_aside, over_budget, unpriced, no_ledger; it is a metric label.
    `failure` is what the caller is told when no other target answers, `later_s` for how long the target itself asks not
    to be asked.
    """

    def __init__(self, target: str, reason: str, failure: Failure, later_s: float | None = None) -> None:
        super().__init__(f"{target}: {reason}")
        self.target = target
        self.reason = reason
        self.failure = failure
        self.later_s = later_s
