"""Making a call fit the window of the target that it goes to: what surely fits, and else what its engine counts.

`surely` comes before anything is taken, and is enough for most requests. `weigh` comes with the lease and its permit:
the engine is asked where the text goes anyway. What is too long is then shortened by a meter that is held against the
engine's count, until the engine itself says that it fits. Where none counts, it is estimated, and one that refuses it
tells how long it is: `refit`. Where an engine would cut it without a word, the bound by bytes has the last word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import ceil
from typing import Any, TypeVar

from ringfence.core.catalog import Ability, Target
from ringfence.core.errors import ContextLengthExceeded
from ringfence.core.markers import MARKER, without_markers
from ringfence.engines.openai_dialect import without_media
from ringfence.gateway.call import Call
from ringfence.gateway.carried import for_engine
from ringfence.gateway.compress import Question, Span, compress
from ringfence.gateway.count import UNMEASURED, WEIGHTY, Count, Meter, Template, byte_length
from ringfence.gateway.dialects.dialect import refuse_fields
from ringfence.gateway.image_rules import Size, tiles
from ringfence.gateway.meters import Ask, Body, Meters, counted, media_bytes, media_tokens
from ringfence.gateway.reported import BOUND, By, Counted
from ringfence.gateway.reported import counted as counted_by
from ringfence.gateway.shrink import SHAPES, Fitted, fit_request
from ringfence.gateway.shrink.ends import Shorten
from ringfence.gateway.shrink.fit import fits_surely
from ringfence.gateway.step import in_task
from ringfence.gateway.window import CLAMPED, COMPRESSED, FIT, RESERVE, TRUNCATED, budget, clamp, set_output
from ringfence.telemetry.events import FITS, Fitting

T = TypeVar("T")
CHAT = Ability.CHAT
"""Looked up once: members of an enumeration are slow to find."""
NONE: dict[str, int] = {}
"""One for all: of what was not shortened."""
BASE, EACH = UNMEASURED.base, UNMEASURED.message
OFF_LOOP_BYTES = 32 * 1024
"""Whether a larger request surely fits is not looked at on the loop, where its length tells that it hardly does."""
QUICK_BYTES = 4 * 1024
"""Larger requests are shortened in a thread: lines of one character cost 5 µs a byte each time that it is tried."""
MOST_ESCAPED = 6
"""Bytes of JSON for one of text: `\\u0061`."""
HUGE_BYTES = 2 * 1024 * 1024
TRIES = 3
SLACK = 1.03
"""What is kept of a text may have more tokens for each byte than all of it."""
LEAST_STEP = 1.02
WELL_USED = 0.85
"""Of the room: below, the guess was too careful, and more of the text may stay."""
USUAL_TOKENS_A_BYTE = 0.3
"""Of prose in English 0.2 to 0.25, of code and JSON 0.3 to 0.4."""
LEAST_TOKENS_A_BYTE = 0.1
UNTOLD = 1.25
"""By how much a prompt is taken to exceed a window where that is not told."""
PLAIN = Template(base=32, message=8, part=4, call=24, tools=64, tool=12)
"""Of a meter that is held against the engine's count, which has the last word."""


def surely(call: Call, target: Target, meters: Meters, *, refuses: bool) -> Fitted | None:
    """The call as it goes on where that needs no closer look, as with a window that is unknown; None where it does."""
    window = target.window
    if window is None or call.dialect.passed is not None:
        return Fitted(call.body, call.output, FIT, 0, 0, is_bound=True)
    body, dialect = call.body, call.dialect
    if call.is_bare and not target.shares_window and WEIGHTY.isdisjoint(body):
        asked = call.output
        shares = budget(window, asked, 0 if refuses else RESERVE)
        bound = BASE + EACH * len(body["messages"]) + call.body_bytes
        if bound <= shares.surely:  # texts are never longer than the JSON that they came in
            call.counted, call.is_rough, output = counted_by((bound, BOUND)), True, shares.output
            state = FIT if asked is None or asked <= output else CLAMPED
            return Fitted(body, output, state, bound, bound, True, 0, NONE)
    call.counted, call.is_rough = None, False
    most_bytes = OFF_LOOP_BYTES + MOST_ESCAPED * window
    if call.body_bytes > most_bytes and call.text_bytes > most_bytes:
        return None  # it may still fit: what is said of that is said off the loop
    shape, is_chat = SHAPES[dialect.name], dialect.ability is CHAT
    fitted = fits_surely(body, shape, window, call.output, meters.of(target), refuses=refuses)
    if fitted is None and is_chat and (measured := meters.measured(target, body)) is not None:
        fitted = fits_surely(body, shape, window, call.output, measured, refuses=refuses)
    if fitted is not None and is_chat:
        call.counted = counted_by((fitted.before, BOUND))
    return fitted


async def weigh(
    call: Call, target: Target, ask: Ask, guess: float, meters: Meters, *, refuses: bool, is_cut: bool
) -> Fitted:
    """What `surely` left open, within the window. Raises ContextLengthExceeded.

    `guess` are the tokens of a byte where nobody counts. `is_cut`: what is too long would be cut without a word, so
    that where nobody counts, only the bound will do; else the engine may be asked, and refuses with its own count.
    """
    assert target.window is not None
    if call.dialect.ability is Ability.CHAT and await meters.measure(target, ask):
        fitted = surely(call, target, meters, refuses=refuses)
        if fitted is not None:
            return fitted
    meter, parts = meters.of(target), without_media(call.body)[1]
    measured = told = await ask(call.body)
    ask = partial(counted, ask, meter)
    if told is None and parts:
        measured = await ask(call.body)
        if not is_cut and _may_fit(call, target.window, parts, meter, measured, guess):
            return _as_it_is(call, target.window)
    exact = meters.exact(target) if measured is None else None
    if exact is not None:
        return await _by_tokenizer(call, target, exact, refuses=refuses)
    by = By.BOUND if parts else By.ENGINE
    if refuses or not call.dialect.generates:
        return await _unshortened(call, target, measured, meter, by, is_cut=is_cut)
    if measured is None and is_cut:
        return await _fitted(call.body, call, target.window, meter)
    return await _shortened(call, target.window, ask, guess, measured, meter, by)


async def _shortened(
    call: Call, window: int, ask: Ask, guess: float, measured: int | None, meter: Meter, by: By
) -> Fitted:
    """By a meter that is held against what the engine counts."""
    scale = guess if measured is None else await _scale(call, call.body, measured, meter)
    is_huge = call.body_bytes > HUGE_BYTES
    body, begun, fitting = call.body, None, None
    for _ in range(TRIES):
        found = await _fitted(body, call, window, _meter(scale, meter), measured=None if begun else measured)
        if is_huge:  # so much is read once: what is left of it may be shortened further
            found = begun = _after(begun, found)
            body = found.body
        tokens = measured if found.body is call.body else await ask(found.body)
        if tokens is None:
            return fitting or found
        is_fitting = tokens + (found.output or 0) <= window
        if is_fitting:
            call.counted = Counted(tokens, by)
            fitting = replace(found, before=measured or found.before, after=tokens, is_bound=False)
        if is_fitting and (measured is not None or is_huge or tokens > found.after * WELL_USED):
            break
        scale *= tokens / max(1, found.after) if is_fitting else max(tokens / max(1, found.after), LEAST_STEP)
    return fitting or _after(begun, await _fitted(body, call, window, meter))


def _after(sent: Fitted | None, found: Fitted) -> Fitted:
    """What was made of a request in two goes."""
    if sent is None or sent.is_whole:
        return found
    kinds = sent.shortened.keys() | found.shortened.keys()
    shortened = {kind: max(sent.shortened.get(kind, 0), found.shortened.get(kind, 0)) for kind in kinds}
    state = TRUNCATED if TRUNCATED in (sent.state, found.state) else COMPRESSED
    return replace(
        found, state=state, before=sent.before, dropped=sent.dropped + found.dropped, shortened=shortened
    )  # fmt: skip


async def _by_tokenizer(call: Call, target: Target, exact: Meter, *, refuses: bool) -> Fitted:
    """By the model's own tokenizer, in a thread whatever the size: it takes a second for a few MB."""
    assert target.window is not None
    fitted = await _fitted(call.body, call, target.window, exact, refuses=refuses, is_slow=True)
    call.counted = Counted(fitted.after, By.TOKENIZER) if call.dialect.ability is Ability.CHAT else None
    return fitted


async def _unshortened(
    call: Call, target: Target, measured: int | None, meter: Meter, by: By, *, is_cut: bool
) -> Fitted:
    """For who wants all of it, or the refusal."""
    assert target.window is not None
    if measured is not None:
        call.counted = Counted(measured, by)
    elif not is_cut:
        return _as_it_is(call, target.window)
    return await _fitted(call.body, call, target.window, meter, measured=measured, refuses=True)


def _may_fit(call: Call, window: int, parts: list[Any], meter: Meter, measured: int | None, guess: float) -> bool:
    """Whether it fits without its images, and not with the most that they can come to: who refuses knows them."""
    media = media_tokens(parts, meter)
    texts = ceil(guess * call.text_bytes) if measured is None else measured - media
    return texts < window <= texts + media


def _as_it_is(call: Call, window: int) -> Fitted:
    """For who refuses what is too long, and tells how long it is."""
    output, state = clamp(call.output, window)
    return Fitted(call.body, output if call.dialect.generates else None, state, 0, 0)


async def refit(
    call: Call, target: Target, sent: Fitted, refused: ContextLengthExceeded, meters: Meters, *, is_last: bool
) -> Fitted:
    """What was sent, and refused as too long by who counts it, shortened by what the refusal tells. Raises
    ContextLengthExceeded: the refusal, where nothing can be made of it."""
    windows = [window for window in (refused.window, target.window) if window is not None]
    if not windows:
        raise refused
    window, meter = min(windows), meters.of(target)  # of one that it tells, a call may have a share
    if is_last:
        try:
            return await _fitted(call.body, call, window, meter)
        except ContextLengthExceeded:
            raise refused from None
    tokens = refused.tokens
    if tokens is None or refused.is_floor:  # by how much it is too long is not told
        size = SHAPES[call.dialect.name].bound(sent.body, meter) or call.body_bytes
        tokens = max(tokens or 0, ceil(window * UNTOLD), ceil(size * USUAL_TOKENS_A_BYTE))
    seen = _seen(call, sent.body, tokens, meter)
    meter = _meter(await _scale(call, sent.body, tokens, seen), seen)
    try:
        found = await _fitted(sent.body, call, window, meter, measured=tokens)
    except ContextLengthExceeded:  # its numbers may be guessed
        raise refused from None
    if found.body is sent.body and found.output == sent.output:
        raise refused
    call.counted, call.is_rough = None, False
    return _after(sent, found)


def _seen(call: Call, body: Body, tokens: int, meter: Meter) -> Meter:
    """The same, where all that was counted leaves its images less than their rule tells."""
    parts = without_media(body)[1]
    left = max(0, tokens - ceil(call.text_bytes * USUAL_TOKENS_A_BYTE))
    return meter if media_tokens(parts, meter) <= left else replace(meter, image=tiles(1, left // len(parts)))


async def _scale(call: Call, body: Body, tokens: int, meter: Meter) -> float:
    """Tokens of a byte, by what an engine counts in a body: of its largest prompt as it is, without the reserve of a
    bound, and without its images and what the template is taken to add."""
    prompts = SHAPES[call.dialect.name].prompts

    def work() -> float:
        size = max([1, *(prompt.tokens for prompt in prompts(body, BARE))])
        around = max([0, *(prompt.tokens for prompt in prompts(body, AROUND))])
        media = media_tokens(without_media(body)[1], meter)
        texts = max(tokens - media, ceil(size * LEAST_TOKENS_A_BYTE)) if media else tokens
        return max(texts - around, texts / 4) / size

    return await _aside(call, work)


async def _fitted(
    body: Body, call: Call, window: int, meter: Meter, *, measured: int | None = None, refuses: bool = False,
    is_slow: bool = False,
) -> Fitted:  # fmt: skip
    work = partial(
        fit_request, body, SHAPES[call.dialect.name], window, call.output, meter,
        shorten=_shortening(), refuses=refuses, measured=measured,
    )  # fmt: skip
    try:
        return await _aside(call, work, is_slow=is_slow)
    except ContextLengthExceeded as refused:
        raise (refused.of(call.said_in, window) if call.said_in else refused) from None


async def _aside(call: Call, work: Callable[[], T], *, is_slow: bool = False) -> T:
    """Off the loop, where it may take longer than others should wait."""
    if call.body_bytes <= QUICK_BYTES and not is_slow:
        return work()
    kept = [work]

    def run() -> T:
        return kept.pop()()

    try:
        return await in_task(asyncio.to_thread(run), id)  # `id`: nothing to give back
    finally:  # of one whose client has left, nothing stays in the queue of the threads
        kept.clear()


def refuse_steering(call: Call, forbidden: frozenset[str]) -> None:
    """Raises BadRequest for a field that would make the engine reach elsewhere."""
    if not forbidden.isdisjoint(call.body):
        refuse_fields(call.body, forbidden, "it would make the engine reach beyond this request")


def prepared(call: Call, target: Target, fitted: Fitted) -> Body:
    """The body for this target: what fits its window, its name for the model, usage always asked for."""
    dialect = call.dialect
    call.fitting = FITS if fitted.state == FIT else _told(call, fitted)
    body = fitted.body
    if body is call.body:
        body = body.copy()
    elif call.media_bytes:  # some of it may be gone
        call.media_bytes = media_bytes(body)
    body["model"] = target.engine_model
    if dialect.generates:
        set_output(body, fitted.output)
    if call.stream and dialect.passed is None:
        body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
    dialect.prepare(body)
    if target.provider or dialect.passed is not None:
        return body
    if call.asked is not None:
        return for_engine(body, target.engine)
    return body if call.is_bare and "tools" not in body and MARKER not in body else without_markers(body)


def _bytes_of(text: str) -> int:
    return byte_length(text)


def _nothing(_text: str) -> int:
    return 0


def _no_image(_size: Size) -> int:
    return 0


BARE = Meter(_bytes_of, Template(base=0, message=0, part=0, call=0, tools=0, tool=0), _no_image)
"""Bytes as they are, and no bound: it is these that an engine has counted."""
AROUND = Meter(_nothing, PLAIN, _no_image)
"""What the template is taken to add."""


def _told(call: Call, fitted: Fitted) -> Fitting:
    """For whoever watches: without the text."""
    before, after = (0, 0) if fitted.is_whole else (fitted.before, fitted.after)
    shortened = {str(kind): count for kind, count in fitted.shortened.items()}
    return Fitting(fitted.state, before, after, fitted.dropped, shortened, call.output, fitted.output)


def _meter(tokens_a_byte: float, of_target: Meter) -> Meter:
    """One that counts as the engine did, on the whole."""
    each = min(1.0, max(tokens_a_byte, 0.01) * SLACK)

    def count(text: str) -> int:
        return ceil(byte_length(text) * each)

    return Meter(count, PLAIN, of_target.image, is_quick=True)


def _shortening() -> Shorten:
    """Of one request: what is asked is read once, for all of its texts."""
    asked: dict[str, Question] = {}

    def shorten(text: str, most: int, count: Count, query: str, part: Span | None) -> str:
        question = asked.get(query) or asked.setdefault(query, Question(query))
        return compress(text, most, count, question, part=part).text

    return shorten
