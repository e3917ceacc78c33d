"""Task: what a request is about, by its shape and its words. Works from the first day on, without any model.

Pure. docs/routing-signals.md has the rules in words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ringfence.signals.asked import Asked
from ringfence.signals.sentences import add_signs, offers
from ringfence.signals.vocabulary import KINDS, SMALL_TALK, Kind
from ringfence.signals.words import COMMANDED, LAST_VERB, count

END_WEIGHT = 0.9
ASIDE_WEIGHT = 0.15
"""Of the end or the beginning, where the other has said what is wanted."""
LOST_WEIGHT = 0.6
"""Of what lies between, where neither beginning nor end asks for anything."""
SPECIFIED_WEIGHT = 0.5
"""Of what lies between, where something is to be made by it."""
NARROWLY = (
    Kind.SUMMARISE,
    Kind.CLASSIFY,
    Kind.EXTRACT,
    Kind.REWRITE,
    Kind.DESIGN,
    Kind.SOLVE,
    Kind.PROGRAM,
    Kind.A_FORM,
    Kind.A_LINE,
)
TEXTUALLY = (
    Kind.SUMMARISE,
    Kind.CLASSIFY,
    Kind.EXTRACT,
    Kind.REWRITE,
    Kind.ASK,
    Kind.A_CHOICE,
    Kind.A_PICK,
    Kind.A_LINE,
    Kind.A_FORM,
)
ANYHOW = (*range(LAST_VERB + 1), Kind.A_CHOICE, Kind.A_PICK, Kind.A_LINE, Kind.A_FORM)
SHOWN_KINDS = (Kind.NUMBERS, Kind.QUANTITY, Kind.TROUBLE, Kind.A_CHOICE)
"""Of what is shown these say nothing about what is asked."""
LONG_CHARS = 500
LONG_LEAD_CHARS = 250
"""A beginning this long, without a colon, is rather what something is to be done with."""
SYSTEM_WEIGHT = 0.4
BINDING_WEIGHT = 3.0
"""Of a system prompt that leaves the answer no choice: it says what is done with whatever a person writes."""
LITTLE = 1.5
NARROW = ("classification", "extraction", "rewrite", "summary")

BINDING = re.compile(
    r"\b(?:(?:respond|reply|answer|return|output) (?:only |exactly |strictly )?(?:with|in|the|a|json|one|only)|"
    r"output only|return only|only (?:return|output|respond|reply|the)|nothing else|only\.|(?:one|a single) word"
    r"|no explanations?"
    r"|do not (?:explain|answer|follow)|"
    r"never (?:answer|follow)|one of(?: the following| these)?:|you (?:translate|classify|summari[sz]e|extract"
    r"|correct|label|are a (?:translator|classifier))|"
    r"translate (?:everything|all|every|whatever|the user|user|each|any)|(?:each|every|the user'?s?) (?:message"
    r"|input|text)|"
    r"antworte (?:nur|ausschließlich|mit)|gib nur|réponds? (?:uniquement|seulement)|responde (?:solo"
    r"|únicamente))|只(?:输出|返回|回答)"
)
TITLED = re.compile(
    r"\b(?:title|titel|titre|título)\b.{0,60}\b(?:this|the|a|following|our|dieses?|cette"
    r"|esta) (?:\w+ )?(?:conversation|chat|dialogue"
    r"|exchange|gespräch|unterhaltung|thread|discussion)\b|\b(?:conversation|chat|thread) title|chat history>"
    r"|(?:follow[- ]?up (?:questions|prompts)|tags|search quer(?:y|ies)) .{0,60}(?:chat history|conversation"
    r"|web search)|(?:对话|会话).{0,12}标题"
    r"|(?:suggest|generate|propose) [\w ]{0,20}follow-?up|generat\w{1,3} (?:a |an )?(?:search quer|follow-up)"
    r"|standalone (?:question|query)|(?:create|choose|pick|suggest) (?:an?|one) emoji"
    r"|\b(?:words|title|name|label)\b[^.\n]{0,40}\bsidebar\b"
)
MAYBE_TITLED = ("tit", "tags", "follow", "quer", "chat history", "standalone", "emoji", "标题", "sidebar")
PROGRAMMERS = (
    "programmer",
    "coding assistant",
    "coding expert",
    "coding agent",
    "software engineer",
    "developer",
    "programmierer",
    "pair program",
)
PLAYERS = (
    "roleplay", "role-play", "in character", "fictional", "game master", "dungeon master", "narrator",
    "play the role", "you are a pirate",
    "storyteller", "novelist", "poet", "screenwriter", "creative writ", "rollenspiel", "spielst", "jeu de rôle",
    "juego de rol",
)  # fmt: skip


WHATEVER_COMES = Asked(quotes=True)
"""A system prompt speaks of texts that are not there yet."""


def count_asked(asked: Asked) -> tuple[list[float], list[float]]:
    """The words of what is asked, and those of the system prompt, by kind."""
    lead = [0.0] * KINDS
    count(asked.lead, lead)
    end = [0.0] * KINDS
    first = last = 1.0
    if asked.end:
        count(asked.end, end, END_WEIGHT)
        leads, closes = commands(lead), commands(end) or asked.asks
        if closes and (len(asked.lead) >= LONG_LEAD_CHARS or (asked.size_chars > LONG_CHARS and not leads)):
            first = ASIDE_WEIGHT
        elif leads and not closes:
            last = ASIDE_WEIGHT
        elif leads:
            last = 0.5
    said = [one * first + other * last for one, other in zip(lead, end, strict=True)]
    if asked.before and not (is_talk(asked.lead) or commands(said, NARROWLY) or said[Kind.A_TONGUE]):
        count(asked.before, said)
    if asked.rest:
        if not commands(said):
            add_rest(asked.rest, said, LOST_WEIGHT)
        elif not commands(said, TEXTUALLY) and asked.shapes < 3:
            count(asked.rest, said, SPECIFIED_WEIGHT)
    told = [0.0] * KINDS
    if asked.system:
        count(asked.system, told)
        told[Kind.A_LINE] = 0.0  # how long answers are to be is no summary
    return said, told


def commands(had: list[float], kinds: Sequence[int] = ANYHOW) -> bool:
    """Whether something is told to be done, of these kinds."""
    return any(had[kind] >= COMMANDED / 2 for kind in kinds)


def is_talk(text: str) -> bool:
    """Thanks and greetings, which are about nothing."""
    words = text.replace(",", " ").replace("!", " ").replace(".", " ").split()
    return (
        len(words) <= 5
        and bool(words)
        and words[0] in SMALL_TALK
        and not any(word in ("and", "now", "but") for word in words)
    )


def add_rest(text: str, said: list[float], weight: float) -> None:
    """What is said of the task in a text that is rather shown."""
    had = [0.0] * KINDS
    count(text, had, weight)
    for kind in SHOWN_KINDS:
        had[kind] = 0.0
    for kind, points in enumerate(had):
        said[kind] += points


def task_of(asked: Asked, said: list[float], told: list[float]) -> tuple[str, str]:
    """The task, and what spoke for it."""
    if asked.tools and asked.acted:
        return "agent", "tools have been called"
    if is_titled(asked.lead) or is_titled(asked.system[:400]):
        return "title", "asks for the title of a conversation"
    if asked.hole:
        return "code", "a program with a hole"
    if asked.choices:
        return "classification", "the answer is one of a choice"
    add_signs(asked, said)
    points = points_of(said, asked)
    why = "words of the last message"
    if asked.system:
        above = points_of(told, WHATEVER_COMES)
        offered = offers(asked.system)
        above["classification"] += 4.0 * offered
        narrow = max(NARROW, key=above.__getitem__)
        if above[narrow] > LITTLE and (offered or BINDING.search(asked.system)):
            points[narrow] += above[narrow] * BINDING_WEIGHT
            why = "words of the system prompt"
        elif not asked.documents:
            for task in points:
                points[task] += min(above[task] * SYSTEM_WEIGHT, 2.0)
        if any(word in asked.system for word in PROGRAMMERS):
            points["code"] += 4.0
        if any(word in asked.system for word in PLAYERS):
            points["creative"] += 3.0
    if asked.fields or asked.forced:
        points["extraction"] += 3.0
        why = "the form of the answer"
    best = max(points, key=points.__getitem__)
    return best, why


def is_titled(text: str) -> bool:
    """Whether a title of a conversation is asked for, or what else chat programs want of one."""
    return any(mark in text for mark in MAYBE_TITLED) and TITLED.search(text) is not None


@dataclass(slots=True)
class Had:
    """What a text has of each kind, capped, and what follows from two kinds together."""

    of: list[float]
    make: float
    write: float
    mend: float
    ask: float
    explain: float
    design: float
    solve: float
    programs: float
    is_code: bool
    is_coded: bool
    """A programming language is named, or a program shown."""
    systems: float
    works: float
    shown_to: bool
    """There is something that it is to be done with."""
    of_it: float


def weighed(had: list[float], asked: Asked) -> Had:
    make, write, mend, ask, explain = (
        min(had[kind], 6) for kind in (Kind.MAKE, Kind.WRITE, Kind.MEND, Kind.ASK, Kind.EXPLAIN)
    )
    shown = 0.0 if asked.documents else 2.5 * asked.code + 0.7 * min(asked.shapes, 4)
    programs = 0.7 * min(had[Kind.A_PROGRAM] + had[Kind.A_MACHINE], 4) + 1.6 * min(had[Kind.A_LANGUAGE], 2) + shown
    mends = (asked.code or asked.shapes >= 3) and had[Kind.TROUBLE] > 0
    narrow = max(had[Kind.A_LINE], had[Kind.A_CHOICE], had[Kind.A_PICK])
    if asked.quotes and not mends and (narrow >= 2 or max(had[Kind.SUMMARISE], had[Kind.EXTRACT]) >= COMMANDED):
        programs *= 0.3  # a word or a sentence on a program is no program
    elif (
        had[Kind.A_LANGUAGE]
        and not had[Kind.A_PROGRAM]
        and programs <= 1.7
        and ask
        and not explain
        and not asked.quotes
        and " this " not in asked.lead
    ):
        programs *= 0.6  # a question about a language, not in it
    elif explain >= COMMANDED and shown < LITTLE and not (had[Kind.TROUBLE] or make or mend or asked.before):
        programs *= 0.5  # a term of programming, explained
    bids = max(make, write, mend, had[Kind.PROGRAM]) >= COMMANDED - 1
    takes_from = asked.quotes and max(had[Kind.EXTRACT], had[Kind.SUMMARISE]) >= COMMANDED - 1
    plans = had[Kind.A_SYSTEM] >= 2  # the plan of a system is its design
    return Had(
        of=had, make=make, write=write, mend=mend, ask=ask, explain=explain,
        design=min(had[Kind.DESIGN] + (had[Kind.PLAN] if plans else 0), 8),
        solve=min(had[Kind.SOLVE], 9) + (0 if plans else min(had[Kind.PLAN], 8)),
        programs=programs, is_code=programs >= (0.7 if bids else 1.4), is_coded=had[Kind.A_LANGUAGE] >= 1 or asked.code,
        systems=min(had[Kind.A_SYSTEM], 5),
        works=min(had[Kind.A_WORK], 4) * (0.3 if takes_from else 1),
        shown_to=asked.quotes and not asked.before, of_it=1.0 if asked.quotes or asked.before else 0.4,
    )  # fmt: skip


def points_of(had: list[float], asked: Asked) -> dict[str, float]:
    """What speaks for each task."""
    one = weighed(had, asked)
    points = {
        "chat": (1.0 if one.shown_to else 1.8) + 0.15 * one.ask + 0.25 * one.explain + 0.3 * had[Kind.A_TEXT],
        **text_points(one, asked),
        "code": code_points(one),
        "reasoning": reasoning_points(one),
        "creative": 1.2 * one.works + (0.8 + 0.9 * one.write + 0.5 * one.make + 0.4 * one.explain if one.works else 0),
        "architecture": 0.8 * one.systems + (0.9 if one.systems else 0.7) * one.design,
        "rag": 0.0,
    }
    if one.write >= COMMANDED and not one.programs and not had[Kind.A_TEXT]:
        points["creative"] += 3
    if one.systems >= 2:
        points["architecture"] += 1.0 + 0.4 * (one.make + one.solve + one.explain)
    if asked.documents:
        points["reasoning"] *= 0.4
        points["rag"] = 5 + 0.3 * one.ask + 0.3 * one.explain + 2 * asked.asks
        points["chat"] = 0.0
    elif had[Kind.A_DOCUMENT] >= 2.5:
        points["rag"] = 1.5 + had[Kind.A_DOCUMENT]
    return points


def text_points(one: Had, asked: Asked) -> dict[str, float]:
    """Of the tasks that are done with a text that is there."""
    had = one.of
    asks_for = 3.0 if one.make + one.write >= COMMANDED - 1 else 0.0
    again = bool(asked.before) and not one.make + one.write + one.ask
    made = 0.4 if one.is_coded and one.make + one.write >= COMMANDED and not asked.quotes else 1.0
    form = one.of_it * had[Kind.A_FORM] + (2.0 if had[Kind.A_TONGUE] and (one.shown_to or again) else 0)
    rewrite = (
        min(had[Kind.REWRITE], 9) * (0.4 if one.is_coded and form < 2 else 1) * (0.4 if had[Kind.A_PICK] >= 2.5 else 1)
    )
    return {
        "classification": min(had[Kind.CLASSIFY], 9) * made
        + asks_for * (had[Kind.CLASSIFY] > 0) * made
        + one.of_it * had[Kind.A_CHOICE],
        "extraction": min(had[Kind.EXTRACT], 9) + one.of_it * had[Kind.A_PICK],
        "summary": min(had[Kind.SUMMARISE], 9) + asks_for * (had[Kind.SUMMARISE] > 0) + one.of_it * had[Kind.A_LINE],
        "rewrite": rewrite + form + (0 if one.is_code else 0.5 * one.mend * one.of_it),
    }


def code_points(one: Had) -> float:
    had = one.of
    points = had[Kind.PROGRAM] + 1.2 * one.programs
    if one.is_code:
        points += (0.4 if one.design >= 3 else 0.8) * (one.make + one.write + one.mend) + 0.5 * (one.ask + one.explain)
        points += 0.6 * had[Kind.REWRITE] * one.is_coded + 2 * (had[Kind.TROUBLE] > 0)
    return points


def reasoning_points(one: Had) -> float:
    had = one.of
    numbers = had[Kind.NUMBERS]
    sums = 0.0
    if one.ask + one.explain + had[Kind.QUANTITY] and not one.is_code:
        sums = (
            min(numbers, 5) if numbers >= 3 else 3 if numbers >= 2 and had[Kind.QUANTITY] else 2 if numbers >= 2 else 0
        )
    runs = 1.5 if one.systems and had[Kind.TROUBLE] and not one.is_code else 0.0
    share = (
        0.5
        if one.is_coded or (one.works and one.write) or (one.systems >= 2 and one.solve < COMMANDED * 2)
        else 0.8
        if one.is_code
        else 1
    )
    return share * one.solve + 0.9 * min(had[Kind.MATHS], 5) + 0.5 * had[Kind.DEEP] + sums + runs
