"""[pure] A request that fits its window, or the refusal that says how far it is from that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import cast

from ringfence.core.errors import ContextLengthExceeded
from ringfence.gateway.count import BOUNDS, Count, Meter, byte_length
from ringfence.gateway.shrink.ends import CHARS_A_TOKEN, QUERY_CHARS, Shorten, cut, head_and_tail, keep_ends
from ringfence.gateway.shrink.pieces import Body, Kind, Place, Prompt, Shape, written
from ringfence.gateway.shrink.plan import Plan, plan
from ringfence.gateway.window import CLAMPED, COMPRESSED, FIT, RESERVE, TRUNCATED, Budget, budget

KEEPS_ENDS = frozenset((Kind.SYSTEM, Kind.USER, Kind.ASSISTANT))
"""What people and models wrote keeps its beginning and its end; of the rest, the relevant parts stay."""
METER = Meter()
EMPTY = cast("Callable[[], dict[str, int]]", dict)
"""`dict[str, int]` makes one too, and takes five times as long."""


@dataclass(slots=True)  # not frozen: one is made for every call, and a frozen one takes four times as long to make
class Fitted:
    """The request as it goes on. `before` and `after` are tokens of its largest prompt; where `is_bound`, at most so
    many. The body is the caller's own where nothing had to change; its output still stands as it was asked for."""

    body: Body = field(repr=False)
    output: int | None
    state: str
    before: int
    after: int
    is_bound: bool = False
    dropped: int = 0
    """Messages and documents that were left out."""
    shortened: dict[str, int] = field(default_factory=EMPTY)
    """How many texts were shortened, by kind."""

    @property
    def weight(self) -> int:
        """Tokens in and out, at most."""
        return self.after + (self.output or 0)

    @property
    def is_whole(self) -> bool:
        """Nothing of the input was given up."""
        return self.state in (FIT, CLAMPED)

    @property
    def told(self) -> str:
        """As the header `x-ringfence-window` says it."""
        if self.is_whole:
            return self.state
        return f"{self.state}; before={self.before}; after={self.after}"


def fit_request(
    body: Body,
    shape: Shape,
    window: int,
    asked: int | None,
    meter: Meter = METER,
    *,
    shorten: Shorten = head_and_tail,
    refuses: bool = False,
    measured: int | None = None,
) -> Fitted:
    """`body` within `window`, or ContextLengthExceeded. `asked` is `output_asked(body)`.

    What surely fits is not looked at any closer. `refuses`: nothing is shortened, and nothing kept in reserve.
    `measured` are the tokens that the engine itself counts in `body`: then it is not left to the meter whether it fits.
    """
    fitting = fits_surely(body, shape, window, asked, meter, refuses=refuses) if measured is None else None
    if fitting is not None:
        return fitting
    shares = shares_of(shape, window, asked, refuses)
    if measured is not None and measured <= shares.most_input:
        return _fitted(body, shape, shares, asked, measured, measured)
    prompts = shape.prompts(body, _hurried(meter, window))
    if measured is not None and len(prompts) == 1:  # what the meter did not see stays, whatever is given up
        prompts[0].fixed += max(0, measured - prompts[0].tokens)
    if all(prompt.tokens <= _most(prompt, shares) for prompt in prompts):
        before = max((prompt.tokens for prompt in prompts), default=0)
        return _fitted(body, shape, shares, asked, before, before)
    if refuses:
        tokens, param = max((prompt.tokens, prompt.param) for prompt in prompts)
        raise _refused(shares, tokens if measured is None else measured, param)
    try:
        shrunk = _shrunk(body, shape, shares, asked, meter, shorten, prompts)
    except ContextLengthExceeded as refused:
        raise refused if measured is None else _refused(shares, measured, refused.param or "") from None
    return shrunk if measured is None else replace(shrunk, before=measured)


def fits_surely(
    body: Body, shape: Shape, window: int, asked: int | None, meter: Meter = METER, *, refuses: bool = False
) -> Fitted | None:
    """`body` as it is, where its bound fits beside all the output that is asked for; None where that is not so sure."""
    shares = budget(window, asked if shape.generates else 0, RESERVE if shape.generates and not refuses else 0)
    bound = shape.bound(body, meter)
    if bound is None or bound > shares.surely:
        return None
    output = shares.output
    if not shape.generates:
        return Fitted(body, None, CLAMPED if asked is not None and asked > output else FIT, bound, bound, True)
    return Fitted(body, output, FIT if asked is None or asked <= output else CLAMPED, bound, bound, True)


def shares_of(shape: Shape, window: int, asked: int | None, refuses: bool) -> Budget:
    """How the window is shared for a request of this shape."""
    return budget(window, asked, 0 if refuses else RESERVE) if shape.generates else budget(window, 0, 0)


def _hurried(meter: Meter, window: int) -> Meter:
    """The same meter, but texts far beyond the window count by their bytes: tokenizers read a few MB a second."""
    if meter.is_quick or meter.count in BOUNDS:
        return meter
    exact, most = meter.count, window * CHARS_A_TOKEN

    def count(text: str) -> int:
        return exact(text) if len(text) <= most else byte_length(text)

    return replace(meter, count=count)


def _most(prompt: Prompt, shares: Budget) -> int:
    """The room for a prompt. So that the user's last message stays whole, the reserve is given up."""
    least = prompt.fixed + prompt.last.tokens
    return shares.utmost_input if shares.most_input < least <= shares.utmost_input else shares.most_input


def _shrunk(
    body: Body, shape: Shape, shares: Budget, asked: int | None, meter: Meter, shorten: Shorten, prompts: list[Prompt]
) -> Fitted:
    """The plans of all prompts, carried out on one copy of the body."""
    texts: dict[Place, str] = {}
    dropped: list[Place] = []
    shortened: dict[str, int] = {}
    before = after = 0
    for prompt in prompts:
        tokens = prompt.tokens
        before = max(before, tokens)
        most = _most(prompt, shares)
        if tokens > most:
            made = plan(prompt, most)
            if made is None:
                raise _refused(shares, tokens, prompt.param)
            _carry_out(prompt, made, meter.count, shorten, texts)
            dropped += made.dropped
            for piece, _ in made.rooms:
                shortened[piece.kind] = shortened.get(piece.kind, 0) + 1
            left = _remaining(prompt, made)
            if left > most or _is_silent(prompt, texts):
                raise _refused(shares, tokens, prompt.param)
            tokens = left
        after = max(after, tokens)
    fresh = written(body, texts, dropped)
    return _fitted(fresh, shape, shares, asked, before, after, len(dropped), shortened)


def _carry_out(prompt: Prompt, made: Plan, count: Count, shorten: Shorten, texts: dict[Place, str]) -> None:
    """Shorten what the plan says; the pieces then weigh what they weigh."""
    query = _query(prompt)
    last = {piece.place for piece in prompt.last.pieces}
    for piece, room in made.rooms:
        if piece.kind in KEEPS_ENDS:
            text = keep_ends(piece.text, room, count, shorten, "" if piece.place in last else query)
        else:
            text = shorten(piece.text, room, count, query, None)
        tokens = count(text)
        if tokens > room or not text:  # a counter for which two texts together weigh more than both
            text = cut(piece.text, room, count)
            tokens = count(text)
        piece.text, piece.tokens = text, tokens
        texts[piece.place] = text


def _query(prompt: Prompt) -> str:
    """What is asked: the beginning and the end of the user's last message."""
    text = "\n".join(piece.text for piece in prompt.last.pieces)
    return text if len(text) <= 2 * QUERY_CHARS else f"{text[:QUERY_CHARS]}\n{text[-QUERY_CHARS:]}"


def _remaining(prompt: Prompt, made: Plan) -> int:
    gone = set(made.dropped)
    kept = (unit for unit in prompt.units if not unit.places or unit.places[0] not in gone)
    return prompt.fixed + sum(unit.tokens for unit in kept)


def _is_silent(prompt: Prompt, texts: dict[Place, str]) -> bool:
    """True when nothing is left of what the user said."""
    cut_down = [piece for piece in prompt.last.pieces if piece.place in texts]
    return bool(cut_down) and not any(piece.text.strip() for piece in prompt.last.pieces)


def _fitted(
    body: Body,
    shape: Shape,
    shares: Budget,
    asked: int | None,
    before: int,
    after: int,
    dropped: int = 0,
    shortened: dict[str, int] | None = None,
) -> Fitted:
    output = shares.output_beside(after)
    if dropped or (shortened and Kind.SYSTEM in shortened):
        state = TRUNCATED
    elif shortened:
        state = COMPRESSED
    else:
        state = CLAMPED if asked is not None and shape.generates and asked > output else FIT
    return Fitted(body, _output(shape, output), state, before, after, False, dropped, shortened or {})


def _output(shape: Shape, output: int) -> int | None:
    return output if shape.generates else None


def _refused(shares: Budget, tokens: int, param: str) -> ContextLengthExceeded:
    return ContextLengthExceeded(shares.window, tokens, output=shares.least, param=param)
