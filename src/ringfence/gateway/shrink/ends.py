"""[pure] Shortening a text so that its beginning and its end stay, within a number of tokens by any counter."""

from __future__ import annotations

from collections.abc import Callable

from ringfence.gateway.count import Count

Span = tuple[int, int]
Shorten = Callable[[str, int, Count, str, "Span | None"], str]
"""A text, its tokens at most, the counter, what is asked about it, and which part of the text is meant (None: all of
it, so that a long one need not be copied); what is kept of the text, in its order."""
GAP = "\n[…]\n"
QUERY_CHARS = 2_000
CHARS_A_TOKEN = 16
"""A text of more than this for each token there is room for is too long, and is not counted to learn by how much. Only
runs of one character come to more."""
STEPS = 24


def keep_ends(text: str, most: int, count: Count, shorten: Shorten, query: str = "") -> str:
    """Of a text that is too long: a quarter for the beginning, a quarter for the end, and between them what `shorten`
    picks; "" where nothing fits.

    What is asked about is, without a query, the beginning and the end themselves: there the question stands.
    """
    head = cut(text, most // 4, count)
    tail = cut(text, most // 4, count, from_end=True, beside=len(head))
    gap = count(GAP)
    middle = len(head), len(text) - len(tail)
    left = most - count(head) - count(tail) - 2 * gap
    if left > gap and middle[0] < middle[1]:
        asked = query or f"{head[-QUERY_CHARS:]}\n{tail[-QUERY_CHARS:]}"
        picked = shorten(text, left, count, asked, middle)
        joined = f"{head}{GAP}{picked}{GAP}{tail}" if picked else ""
        if joined and count(joined) <= most:
            return joined
    return head_and_tail(text, most, count)


def head_and_tail(text: str, most: int, count: Count, query: str = "", part: Span | None = None) -> str:
    """The beginning and the end with a mark between, without a look at what stands there; a `Shorten`."""
    if part:
        text = text[part[0] : part[1]]
    if len(text) <= most * CHARS_A_TOKEN and count(text) <= most:
        return text
    room = most - count(GAP)
    if room >= 8:
        head = cut(text, room // 2, count)
        joined = f"{head}{GAP}{cut(text, room - count(head), count, from_end=True, beside=len(head))}"
        if count(joined) <= most:
            return joined
    return cut(text, most, count)


def cut(text: str, most: int, count: Count, from_end: bool = False, beside: int = 0) -> str:
    """The longest beginning (or end) of `most` tokens that is found in a few steps; "" where no character fits.
    `beside` characters of the other end are not taken."""
    whole, size = len(text), len(text) - beside
    fits, over, kept = 0, size + 1, ""
    guess = min(size, 3 * most)
    for _ in range(STEPS if most > 0 else 0):
        part = text[whole - guess :] if from_end else text[:guess]
        tokens = count(part)
        if tokens <= most:
            fits, kept = guess, part
            if guess == size or tokens * 32 >= most * 31:
                break
            aimed = min(size, 8 * guess, guess * most // max(tokens, 1))
        else:
            over = guess
            aimed = guess * most * 63 // (tokens * 64)
        if over - fits <= 1:
            break
        guess = aimed if fits < aimed < over else (fits + min(over, size + 1)) // 2
    return kept
