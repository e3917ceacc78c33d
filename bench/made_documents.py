"""Made documents of six kinds, each with one fact to be found. The same seed makes the same documents.

The hay is real where it can be: sources of Python's standard library, and the pages of its language reference. The rest
is made from word lists. Around the fact stand lines that share words with it and with the question: the same property
of others, other properties of the same, and the question's words in another sense.
"""

from __future__ import annotations

import json
import re
import sysconfig
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from pydoc_data.topics import topics
from random import Random

from made_facts import FACTS, SUBJECTS, a_question, a_value
from made_foreign import foreign

from ringfence.gateway.compress.stems import STOP

KINDS = ("heading", "code", "key-value", "prose", "tool JSON", "logs")
FOREIGN_SHARE = 0.1
NOUNS = (
    "valve ledger harvest turbine corridor parcel tenant pilot reactor archive voltage festival tribunal glacier server "
    "queue invoice catalogue membrane router payload schedule vessel orchard vaccine compiler museum bridge furnace tenant "
    "database budget committee lantern region contract patient sample cluster deployment customer driver carriage session "
    "window certificate backup meeting password pipeline storage library report engine station harbour training member"
).split()
VERBS = (
    "delayed replaced inspected approved moved measured reviewed doubled ignored repaired announced closed tested copied "
    "cancelled painted recorded extended opened rejected improved shipped counted sorted cleaned scheduled rewrote stored"
).split()
MANNER = (
    "without warning, in the spring, after a long debate, for the third time, by hand, on short notice, under new rules, "
    "as planned, at half the cost, with some care, against advice, during the holidays, once more, behind schedule"
).split(", ")
PATTERNS = (
    "The {n1} was {v} {m}.", "{s} {v} the {n1} and the {n2} {m}.", "Nobody {v} the {n1} of {s}, although the {n2} was ready.",
    "A {n1} near the {n2} was {v}; {x} others were not.", "According to the {n1}, about {x} {n2}s were {v} {m}.",
    "When the {n1} is {v}, the {n2} follows {m}.", "They {v} {x} of them, {m}.", "Our {n1} depends on a {n2} that {s} {v}.",
    "It took {x} days until the {n1} was {v}.", "In {y}, the {n2} of {s} had been {v} {m}.", "Why the {n1} was {v} is not known.",
)  # fmt: skip


@dataclass(frozen=True)
class Made:
    kind: str
    paraphrase: bool
    language: str
    text: str
    question: str
    needle: str
    must: tuple[str, ...]
    """What has to be in the result, all in this order."""

    def survives(self, kept: str) -> bool:
        at = 0
        for part in self.must:
            at = kept.find(part, at)
            if at < 0:
                return False
        return True


def documents(seed: int, many: int) -> list[Made]:
    """Kinds, and questions with and without the fact's words, equally often."""
    return [one(Random(f"{seed}/{at}"), KINDS[at % 6], at // 6 % 2 == 1) for at in range(many)]


def one(rng: Random, kind: str, paraphrase: bool) -> Made:
    if kind == "prose" and rng.random() < 6 * FOREIGN_SHARE:
        text, needle, value, question = foreign(rng, paraphrase)
        return Made(kind, paraphrase, "other", text, question, needle, (value,))
    while True:
        name, other, sort = rng.choice(FACTS)
        subject = rng.choice(SUBJECTS)
        value = a_value(sort, rng)
        question = a_question(name, other, subject, paraphrase, rng)
        text, needle, must = MAKE[kind](Fact(name, other, subject, value, rng))
        shared = len(words(question) & words(needle))
        if all(text.count(part) >= 1 for part in must) and text.count(value) == 1 and (shared <= 1) == paraphrase:
            return Made(kind, paraphrase, "English", text, question, needle, must)


def words(text: str) -> set[str]:
    """Words without their endings, more or less: the first five letters."""
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", text)
    return {part.lower()[:5] for part in parts if part.lower() not in STOP and len(part) > 1}


@dataclass(frozen=True)
class Fact:
    name: str
    other: str
    subject: str
    value: str
    rng: Random

    def distractors(self) -> list[tuple[str, str, str]]:
        """(subject, name, value) of facts that are not asked for, but share words with it."""
        rng, found = self.rng, list[tuple[str, str, str]]()
        sorts = {name: sort for name, _, sort in FACTS}
        for _ in range(rng.randint(1, 5)):
            subject = rng.choice([one for one in SUBJECTS if one != self.subject])
            found.append((subject, self.name, a_value(sorts[self.name], rng)))
        for _ in range(rng.randint(1, 5)):
            name = rng.choice([one for one in sorts if one != self.name])
            found.append((self.subject, name, a_value(sorts[name], rng)))
        for _ in range(rng.randint(3, 15)):
            name = rng.choice([one for one in sorts if one != self.name])
            found.append((rng.choice(SUBJECTS[:20]), name, a_value(sorts[name], rng)))
        return found

    def echoes(self) -> list[str]:
        """Sentences with single words of the question in another sense."""
        rng = self.rng
        asked = [word for word in re.findall(r"[a-z]{4,}", self.other.lower() + " " + self.name) if word not in STOP]
        return [sentence(rng, rng.choice(asked)) for _ in range(rng.randint(2, 9))]


def sentence(rng: Random, word: str = "") -> str:
    told = rng.choice(PATTERNS).format(
        n1=word or rng.choice(NOUNS), n2=rng.choice(NOUNS), v=rng.choice(VERBS), m=rng.choice(MANNER),
        s=rng.choice(SUBJECTS), x=rng.randint(2, 900), y=rng.randint(1950, 2026),
    )  # fmt: skip
    return told[0].upper() + told[1:]


@cache
def reference() -> list[str]:
    """Paragraphs of the language reference, of several lines each."""
    found = [part.strip() for page in sorted(topics) for part in topics[page].split("\n\n")]
    return [part for part in found if 60 < len(part) < 1500]


@cache
def sources() -> list[list[str]]:
    folder = Path(sysconfig.get_paths()["stdlib"])
    names = ("argparse", "ast", "asyncio/base_events", "calendar", "cgitb", "codecs", "configparser", "csv", "datetime",
             "difflib", "email/message", "ftplib", "gzip", "http/client", "imaplib", "inspect", "json/decoder", "logging/config",
             "mailbox", "optparse", "pickle", "platform", "shutil", "smtplib", "statistics", "tarfile", "textwrap", "uuid")  # fmt: skip
    found = [folder / f"{name}.py" for name in names]
    return [path.read_text(encoding="utf-8").splitlines() for path in found if path.is_file()]


def spread(rng: Random, lines: list[str], needle: str, others: list[str], at: list[int] | None = None) -> str:
    """The lines, with the needle and its distractors at chance places."""
    places = at or list(range(len(lines)))
    where = {rng.choice(places): needle}
    for one in others:
        place = rng.choice(places)
        where[place] = f"{one}\n{where[place]}" if place in where else one
    return "\n".join(f"{where[at]}\n{line}" if at in where else line for at, line in enumerate(lines)) + "\n"


def heading(fact: Fact) -> tuple[str, str, tuple[str, ...]]:
    rng = fact.rng
    mark = rng.choice(("## ", "### ", "# ", "#### "))
    shape = rng.choice(("{S} {n}: {v}", "{N} of {S} is {v}", "{v} as {n} ({S})", "{S}, {n}, {v}", "New {n}, {S}: {v}"))

    def told(subject: str, name: str, value: str) -> str:
        return "\n" + mark + shape.format(S=subject, n=name, N=name.capitalize(), v=value) + "\n"

    lines: list[str] = []
    for _ in range(rng.randint(15, 70)):
        title = rng.choice(("About the {}", "{} notes", "{}", "The {}, continued", "How the {} works")).format(
            rng.choice(NOUNS)
        )
        lines += ["", mark + title.capitalize(), ""]
        for _ in range(rng.randint(1, 3)):
            if rng.random() < 0.4:
                lines += [*rng.choice(reference()).splitlines(), ""]
            else:
                lines += [" ".join(sentence(rng) for _ in range(rng.randint(1, 5))), ""]
    gaps = [at for at, line in enumerate(lines) if not line]
    needle = told(fact.subject, fact.name, fact.value)
    others = [told(*one) for one in fact.distractors()] + fact.echoes()
    return spread(rng, lines, needle, others, gaps), needle, (fact.value,)


def snake(text: str) -> str:
    return re.sub(r"\W+", "_", text.lower()).strip("_")


def camel(text: str) -> str:
    first, *rest = snake(text).split("_")
    return first + "".join(part.capitalize() for part in rest)


def code(fact: Fact) -> tuple[str, str, tuple[str, ...]]:
    rng = fact.rng
    source = rng.choice(sources())
    size = min(len(source), rng.randint(150, 700))
    start = rng.randrange(len(source) - size + 1)
    lines = source[start : start + size]
    shape = rng.choice((
        'def {n}_of_{s}(default="{v}"):', '{U}_{T} = "{v}"', "class {C}{S}(Policy):  # {v}", 'self.{s}_{n} = "{v}"',
        "# {n2} for {S}: {v}", 'async def read_{s}(self, {n}: str = "{v}") -> None:', 'config.set("{s}", "{c}", "{v}")',
    ))  # fmt: skip

    def told(subject: str, name: str, value: str) -> str:
        short = snake(name)
        bigger = camel(name)[0].upper() + camel(name)[1:]
        return "    " + shape.format(
            n=short,
            s=snake(subject),
            S=subject,
            v=value,
            U=subject.upper(),
            T=short.upper(),
            C=bigger,
            n2=name,
            c=camel(name),
        )

    needle = told(fact.subject, fact.name, fact.value)
    others = [told(*one) for one in fact.distractors()] + [f"    # {echo}" for echo in fact.echoes()]
    return spread(rng, lines, needle, others), needle, (fact.value,)


def key_value(fact: Fact) -> tuple[str, str, tuple[str, ...]]:
    rng = fact.rng
    joint = rng.choice((" = ", ": ", "=", " : "))
    shape = rng.choice(("{s}.{n}", "{n}_{s}", "{S} {n2}", "{s}-{c}", "{U}_{T}"))

    def told(subject: str, name: str, value: str) -> str:
        key = shape.format(
            s=snake(subject), n=snake(name), S=subject, n2=name, c=camel(name), U=subject.upper(), T=snake(name).upper()
        )
        return key + joint + value

    lines: list[str] = []
    for _ in range(rng.randint(150, 600)):
        value = rng.choice(
            (
                str(rng.randint(1, 990)),
                "true",
                "false",
                rng.choice(NOUNS),
                f"{rng.randint(1, 90)}s",
                f"/var/{rng.choice(NOUNS)}",
            )
        )
        lines.append(told(rng.choice((*SUBJECTS[:8], *NOUNS)), f"{rng.choice(NOUNS)} {rng.choice(NOUNS)}", value))
        if rng.random() < 0.06:
            lines += ["", f"# {sentence(rng)}"]
    needle = told(fact.subject, fact.name, fact.value)
    others = [told(*one) for one in fact.distractors()] + [f"# {echo}" for echo in fact.echoes()]
    return spread(rng, lines, needle, others), needle, (fact.value,)


TOLD = (
    "The {n} of {S} is {v}.", "For {S} the {n} was set to {v}.", "With {v} as its {n}, {S} was content.",
    "At {S}, {v} is what the board wrote down as the {n}.", "{S} has had another {n} since then, namely {v}.",
)  # fmt: skip


def prose(fact: Fact) -> tuple[str, str, tuple[str, ...]]:
    rng = fact.rng
    real = rng.random() < 0.5
    needle = rng.choice(TOLD).format(n=fact.name, S=fact.subject, v=fact.value)
    others = [rng.choice(TOLD).format(S=s, n=n, v=v) for s, n, v in fact.distractors()] + fact.echoes()
    first = rng.randrange(len(reference()) - 140)
    parts: list[list[str]] = []
    for at in range(rng.randint(25, 120)):
        if real:
            parts.append([" ".join(reference()[first + at].split())])
        else:
            parts.append([sentence(rng) for _ in range(rng.randint(2, 8))])
    for one in [needle, *others]:
        part = rng.choice(parts)
        part.insert(rng.randint(0, len(part)), one)
    return "\n\n".join(" ".join(part) for part in parts) + "\n", needle, (fact.value,)


def tool_json(fact: Fact) -> tuple[str, str, tuple[str, ...]]:
    rng = fact.rng
    who = rng.choice(("name", "title", "service", "label"))
    fields = rng.sample(NOUNS, rng.randint(3, 6))
    plain = rng.random() < 0.6

    def record(subject: str) -> dict[str, object]:
        made: dict[str, object] = {"id": rng.randint(1, 10**6), who: subject}
        for field in fields:
            made[field] = rng.choice(
                (rng.randint(1, 900), rng.choice(NOUNS), rng.random() < 0.5, None, {"value": rng.choice(VERBS)})
            )
        if rng.random() < 0.3:
            made["note"] = " ".join(sentence(rng) for _ in range(rng.randint(1, 6)))
        return made

    def told(subject: str, name: str, value: str) -> dict[str, object]:
        made = record(subject)
        if plain:
            made[snake(name)] = value
        else:
            made["note"] = " ".join([sentence(rng), rng.choice(TOLD).format(n=name, S=subject, v=value), sentence(rng)])
        return made

    needle = told(fact.subject, fact.name, fact.value)
    records = [
        record(f"{rng.choice((*SUBJECTS[:10], *NOUNS))}-{rng.randint(1, 99)}") for _ in range(rng.randint(40, 260))
    ]
    for other in [told(*one) for one in fact.distractors()] + [record("x") | {"note": echo} for echo in fact.echoes()]:
        records.insert(rng.randrange(len(records)), other)
    records.insert(rng.randrange(len(records)), needle)
    wrapped = rng.choice((records, {"results": records, "next": None}, {"status": "ok", "data": {"items": records}}))
    text = json.dumps(wrapped, indent=2 if rng.random() < 0.1 else None, ensure_ascii=rng.random() < 0.5)
    must = (fact.subject, snake(fact.name), fact.value) if plain else (fact.value,)
    shown = f"{fact.subject} {fact.name} {fact.value}"
    value = json.dumps(fact.value)[1:-1] if json.dumps(fact.value)[1:-1] in text else fact.value
    return text, shown, (*must[:-1], value)


def logs(fact: Fact) -> tuple[str, str, tuple[str, ...]]:
    rng = fact.rng
    style = rng.randrange(4)
    clock = [rng.randint(0, 40_000)]

    def line(level: str, who: str, text: str) -> str:
        clock[0] += rng.randint(0, 9)
        time = f"{clock[0] // 3600 % 24:02}:{clock[0] // 60 % 60:02}:{clock[0] % 60:02}"
        return (
            f"2026-11-{1 + clock[0] // 86400:02}T{time}.{rng.randint(0, 999):03}Z {level:5} [{who}] {text}",
            f"Nov {1 + clock[0] // 86400:2} {time} node{rng.randint(1, 4)} {who}[{rng.randint(200, 999)}]: {text}",
            f"{level} {time} {who} - {text}",
            json.dumps({"ts": time, "level": level.lower(), "logger": who, "msg": text}, ensure_ascii=False),
        )[style]

    routine = [
        f"{rng.choice(NOUNS)} {{}} {rng.choice(VERBS)} in {{}} ms by {rng.choice(NOUNS)}"
        for _ in range(rng.randint(6, 25))
    ] + [sentence(rng) for _ in range(rng.randint(2, 12))]
    who = [rng.choice(NOUNS) for _ in range(6)] + [one.lower() for one in SUBJECTS[:6]]
    levels = ("INFO",) * 12 + ("DEBUG",) * 4 + ("WARN", "ERROR")
    lines: list[str] = []
    extra = [
        (rng.choice(levels[:13]), s.lower(), f"{n} {rng.choice(('is', 'now', 'changed to', '->'))} {v}")
        for s, n, v in fact.distractors()
    ]
    extra += [(rng.choice(levels), rng.choice(who), echo) for echo in fact.echoes()]
    mine = (
        rng.choice(levels),
        fact.subject.lower(),
        f"{fact.name} {rng.choice(('is', 'now', 'changed to', '->', 'was'))} {fact.value}",
    )
    size = rng.randint(200, 900)
    places = {rng.randrange(10, size - 10): one for one in extra}
    places[rng.randrange(10, size - 10)] = mine
    needle = ""
    for at in range(size):
        told = places.get(at) or (
            rng.choice(levels),
            rng.choice(who),
            rng.choice(routine).format(rng.randint(1, 9999), rng.randint(1, 999)),
        )
        lines.append(line(*told))
        needle = lines[-1] if told is mine else needle
    value = json.dumps(fact.value, ensure_ascii=False)[1:-1] if style == 3 else fact.value
    return "\n".join(lines) + "\n", f"{mine[1]} {mine[2]}", (value,)


MAKE = {"heading": heading, "code": code, "key-value": key_value, "prose": prose, "tool JSON": tool_json, "logs": logs}
