"""What goes wrong at a target, and what comes of it: the table that test_matrix.py tries cell by cell.

`python tests/faults/matrix.py` writes it out as docs/faults.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

from ringfence.testing import fake_twists as twists
from ringfence.testing.fake_engine import Behaviour, Fault

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"

WELL = "answered"
OTHER = "the other answers"
FAILED = "502 `engine_failed`"
AGAIN = "502 `engine_failed`, retry-after 2"
BUSY = "503 `overloaded`, retry-after 1"
LATE = "504 `engine_timeout`, retry-after 5"
BREAKS = "error event `engine_failed`"
LATE_BREAKS = "error event `engine_timeout`"
BROKEN_OFF = "its connection breaks"
SAME = ""


@dataclass(frozen=True)
class Ends:
    """How one request ends with its one target, in words: what the caller sees, the outcome in the ledger, and what
    counts against the target. `chain`: what the caller sees where there is a second target that is well."""

    seen: str
    ledger: str
    counts: str
    chain: str = OTHER


def fails(seen: str, counts: str) -> Ends:
    """Before the first byte: every try fails, which counts once, and the ledger has the code that the caller sees."""
    return Ends(seen, seen.split("`")[1], f"{counts} x1")


def breaks(seen: str, outcome: str, usage: str = "estimated") -> Ends:
    """After the first byte: no other target can mend it."""
    counts = "-" if outcome == "engine_error" else outcome
    return Ends(seen, f"{outcome}, usage {usage}", counts, seen)


GOOD = Ends(WELL, "ok, usage told", "-", WELL)
ESTIMATED = Ends(WELL, "ok, usage estimated", "-", WELL)


@dataclass(frozen=True)
class Row:
    """One fault. `whole` and `stream`: how a request ends that asks for an answer in one piece, and for a stream.
    `cloud`: what the caller sees where a rented cloud does it, in one piece and as a stream; None where none can.
    """

    fault: str
    whole: Ends
    stream: Ends
    always: Behaviour = field(default_factory=Behaviour)
    once: tuple[Behaviour, ...] = ()
    is_slow: bool = False
    """It is time that tells: with short time-outs."""
    refuses: bool = False
    """Nothing listens."""
    cloud: tuple[str, str] | None = None
    place: str = ""
    """Where a cloud that has this fault is to be found, if it is not the engine."""
    sound: Ends | None = None
    """How a request ends that asks for a sound; None where a sound cannot have this fault, or nobody could tell it."""
    in_sound: Behaviour | None = None
    """What the target does then, where that is not `always`."""


def both(fault: str, ends: Ends, always: Behaviour, cloud: str | None = None, **more: bool) -> Row:
    return Row(fault, ends, ends, always, cloud=(cloud, cloud) if cloud else None, sound=ends, **more)


def burst(fault: str, reason: str, *behaviours: Behaviour, cloud: str = WELL) -> Row:
    ends = Ends(WELL, "ok, usage told", f"{reason} x1")
    return Row(fault, ends, ends, once=behaviours, cloud=(cloud, cloud), sound=ends)


def twisted(
    fault: str, twist: twists.Twist, whole: Ends, stream: Ends, cloud: tuple[str, str] | None = None,
    *, is_slow: bool = False, sound: Ends | None = None, in_sound: Behaviour | None = None,
) -> Row:  # fmt: skip
    return Row(
        fault, whole, stream, Behaviour(twist=twist), is_slow=is_slow, cloud=cloud, sound=sound, in_sound=in_sound
    )


Status = partial(Behaviour, Fault.STATUS)
LATER = "Retry-After: 7\r\n"
NOT_READ = fails(FAILED, "malformed")
LOST = fails(AGAIN, "lost")
NO_BYTE, STALLED = fails(LATE, "first_byte_timeout"), fails(LATE, "stalled")
CUT, STOPPED, RUBBISH = breaks(BREAKS, "lost"), breaks(LATE_BREAKS, "stalled"), breaks(BREAKS, "malformed")
SOUND_CUT, SOUND_STOPPED = breaks(BROKEN_OFF, "lost"), breaks(BROKEN_OFF, "stalled")
SOUND_ENDLESS = breaks(BROKEN_OFF, "malformed")

ROWS = (
    # -- no connection ----------------------------------------------------------------------------------------------
    both("connection refused", fails(AGAIN, "connect"), Behaviour(), "502 `connect`", refuses=True),
    Row("its name has no address", GOOD, GOOD, cloud=("502 `connect`", "502 `connect`"), place="nowhere"),
    Row("its certificate is not trusted", GOOD, GOOD, cloud=("502 `connect`", "502 `connect`"), place="untrusted"),
    Row("no TLS where TLS was expected", GOOD, GOOD, cloud=("502 `connect`", "502 `connect`"), place="plain"),
    both("TLS where none was expected", NOT_READ, Behaviour(Fault.GARBAGE), "502 `malformed`"),
    # -- before an answer -------------------------------------------------------------------------------------------
    both("reset before an answer", LOST, Behaviour(Fault.RESET, after_events=0), "502 `lost`"),
    both("closed before an answer", LOST, Behaviour(Fault.DROP), "502 `lost`"),
    both("silence", NO_BYTE, Behaviour(Fault.HANG), "502 `first_byte_timeout`", is_slow=True),
    twisted("silence within the head", twists.header_hang, STALLED, STALLED, is_slow=True, sound=STALLED),
    twisted("silence after the head", twists.body_hang, STALLED, STALLED, is_slow=True, sound=STALLED),
    # -- statuses ---------------------------------------------------------------------------------------------------
    both("429", fails(BUSY, "status"), Status(status=429), "429 `provider_rate_limited`, retry-after 20"),
    both(
        "429 with retry-after 7", fails("503 `overloaded`, retry-after 7", "status"),
        Status(status=429, headers=LATER), "429 `provider_rate_limited`, retry-after 7",
    ),
    both("500 for ever", fails(FAILED, "status"), Status(status=500), FAILED),
    both("502 for ever", fails(FAILED, "status"), Status(status=502), FAILED),
    both("503 for ever", fails(BUSY, "status"), Status(status=503), "503 `overloaded`, retry-after 5"),
    both(
        "503 with retry-after 7", fails("503 `overloaded`, retry-after 7", "status"),
        Status(status=503, headers=LATER), "503 `overloaded`, retry-after 7",
    ),
    both("529 for ever", fails(BUSY, "status"), Status(status=529), "503 `overloaded`, retry-after 5"),
    *(burst(f"{s} twice, then well", "status", Status(status=s), Status(status=s)) for s in (429, 500, 502, 503, 529)),
    burst("reset twice, then well", "lost", *[Behaviour(Fault.RESET, after_events=0)] * 2),
    # -- answers that are none --------------------------------------------------------------------------------------
    twisted("200 without a byte", twists.empty, NOT_READ, NOT_READ, (FAILED, FAILED), sound=NOT_READ),
    twisted("200 with nothing in it", twists.nothing_said, NOT_READ, NOT_READ, (FAILED, FAILED), sound=NOT_READ,
            in_sound=Status(status=200, body={})),
    twisted("200 with a page of HTML", twists.page, NOT_READ, NOT_READ, (FAILED, FAILED), sound=NOT_READ),
    twisted("200 with an error in it", twists.error_first, fails(FAILED, "status"), fails(FAILED, "status"),
            (FAILED, FAILED), sound=fails(FAILED, "status"), in_sound=Status(status=200)),
    twisted("JSON cut in the middle (of a stream: its first event)", twists.first_half_json, NOT_READ, NOT_READ,
            (FAILED, FAILED)),
    # -- answers that break off -------------------------------------------------------------------------------------
    Row("cut in the middle", LOST, CUT, Behaviour(Fault.CUT, between_s=0.2), cloud=(AGAIN, BREAKS),
        sound=SOUND_CUT),
    Row("reset in the middle", LOST, CUT, Behaviour(Fault.RESET, between_s=0.2), cloud=(AGAIN, BREAKS),
        sound=SOUND_CUT),
    Row("silence in the middle", STALLED, STOPPED, Behaviour(Fault.STALL, between_s=0.02), is_slow=True,
        sound=SOUND_STOPPED),
    twisted("less than its content-length", twists.short, LOST, CUT, (AGAIN, BREAKS), sound=SOUND_CUT),
    twisted("closed in order before its end", twists.no_end, LOST, CUT, (AGAIN, BREAKS)),
    twisted("an error in the middle", twists.error_midway, fails(FAILED, "status"), breaks(BREAKS, "engine_error"),
            (FAILED, BREAKS)),
    twisted("an event cut in the middle", twists.half_json, NOT_READ, RUBBISH, (FAILED, BREAKS)),
    twisted("what is no event", twists.no_event, NOT_READ, RUBBISH, (FAILED, BREAKS)),
    twisted("half of a character", twists.half_a_sign, NOT_READ, RUBBISH, (FAILED, BREAKS)),
    twisted("without end", twists.endless, STALLED, RUBBISH, is_slow=True, sound=SOUND_ENDLESS),
    twisted("nothing but comments, without end (in one piece: spaces)", twists.comments, STALLED, RUBBISH,
            is_slow=True),
    # -- odd, and whole ---------------------------------------------------------------------------------------------
    twisted("a wrong content type, and the right body", twists.other_type, GOOD, GOOD, (WELL, WELL), sound=GOOD),
    twisted("usage missing", twists.no_usage, ESTIMATED, ESTIMATED, (WELL, WELL)),
    twisted("no [DONE] after the finish_reason", twists.no_done, GOOD, GOOD, (WELL, WELL)),
)  # fmt: skip

LINE_ANSWERED = "answered"
LINE_WAITS = "waits, and is answered when it is well"
LINE_REFUSED = "in the error file: "
QUICK_LINES = frozenset(("429", "500 for ever", "500 twice, then well"))
"""Those whose lines are tried in every run; the others in the long one."""


def of_a_line(row: Row, *, breaks_all: bool) -> str:
    """How a line of a batch ends whose target breaks so: on it alone, or on every line."""
    seen = row.whole.seen
    if seen == WELL:
        return LINE_ANSWERED
    is_away = row.refuses or seen.startswith(("429", "503"))
    return LINE_WAITS if breaks_all or is_away else LINE_REFUSED + seen.partition(",")[0]


HEAD = """\
# What happens when a target breaks

<!-- Written by tests/faults/matrix.py; change the rows there. -->

Every line is tried, with every dialect of `gateway/dialects/`, over real sockets: with the target alone, with a second
one that is well in the same chain, and, where a cloud can do it, with a rented cloud behind the egress process. What is
heard or drawn ends as any other answer; a sound that is spoken has a table of its own.

Three rules are behind the table.

- **Before the first byte** of an answer has gone to the caller, another target may try, and then the same one again, a
  few times. Where none answers, the caller gets an error of [errors.md](errors.md), and no part of an answer.
- **After it** nothing is tried again. A stream that breaks ends with an error event and without `[DONE]`. It is whole
  only where its engine said so: with `[DONE]`, or at least with a `finish_reason` before it closed in order.
- **Every event is checked to be JSON** before it is passed on. One that is none ends the stream with an error event, as
  does a page of HTML in the middle. The first piece is looked at before anything is sent: another target may mend it.

A stream without end is cut off with an error event when it has four times as many events as tokens were asked for (for
each of several answers), and a thousand more; a million where nobody limited its output; ten thousand comments. An
answer in one piece may take `timeouts.answer_s` to begin, as long again to end, and 64 MiB.

An engine's `retry-after`, in seconds, is passed on with the error. What an answer is shows in its status and in what it
says: a content type is not looked at.

"""


def page() -> str:
    """docs/faults.md."""
    return HEAD + _own() + _spoken() + _batched() + _rented()


def _spoken() -> str:
    lines = [
        "## Sounds\n",
        "`/v1/audio/speech` sends a sound on while it is made. After its first byte there is no place in it for an "
        "error: its connection breaks, so that nobody takes it for whole. Of one that an engine closes in order nobody "
        "can tell whether it is. One of more than 128 KiB for each byte that was to be said, and 32 MiB, is "
        "without end.\n",
        "| what breaks | the only target | a second one is well | ledger | counts |",
        "|---|---|---|---|---|",
    ]
    for row in (row for row in ROWS if row.sound is not None and not row.place):
        ends = cast("Ends", row.sound)
        cells = (row.fault, ends.seen, ends.chain, outcome_of(ends), ends.counts)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n\n"


def outcome_of(ends: Ends) -> str:
    """In the ledger, of what has no tokens."""
    return ends.ledger.partition(",")[0]


def _batched() -> str:
    lines = [
        "## Lines of batches\n",
        "A line takes the path of any other call, in one piece; its target may be tried again, and another one may "
        "answer, as above. What is left then: an engine that is away or busy is waited for. One that fails on a line "
        "three times and answers others gives that line its error. One that fails on every line is waited for, until "
        "the window of the batch ends. Each line ends once.\n",
        "| what breaks | on one line | on every line |",
        "|---|---|---|",
    ]
    for row in (row for row in ROWS if not row.place):
        one, every = (of_a_line(row, breaks_all=breaks_all) for breaks_all in (False, True))
        lines.append(f"| {row.fault} | {one} | {every} |")
    return "\n".join(lines) + "\n\n"


def _own() -> str:
    lines = [
        "## Your own engines\n",
        "*Counts*: what is told to the health of the target, and how often; a target that fails several times in a row "
        "is passed over for a while.\n"
        "*Ledger*: the outcome, and whether the usage is what the engine told or an estimate; of sounds and pictures "
        "nothing is estimated.\n",
        "| what breaks | asked for | the only target | a second one is well | ledger | counts |",
        "|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        if row.place:
            continue
        for asked, ends in (("both", row.whole),) if row.whole == row.stream else (
            ("one piece", row.whole), ("a stream", row.stream)
        ):  # fmt: skip
            cells = (row.fault, asked, ends.seen, ends.chain, ends.ledger, ends.counts)
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n\n"


def _rented() -> str:
    lines = [
        "## Rented clouds\n",
        "What is seen where the cloud is the only target; with a second target that is well, that one answers whatever "
        "ends in an error of its own here. Codes such as `connect` are those of the egress process.\n",
        "| what breaks | one piece | a stream |",
        "|---|---|---|",
    ]
    lines += [f"| {row.fault} | {row.cloud[0]} | {row.cloud[1]} |" for row in ROWS if row.cloud]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
