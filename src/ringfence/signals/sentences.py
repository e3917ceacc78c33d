"""What is said by how a sentence is built, beyond its words. Pure; every pattern looks at a few hundred characters."""

from __future__ import annotations

import re

from ringfence.signals.asked import Asked
from ringfence.signals.vocabulary import Kind
from ringfence.signals.words import NOTHING, WORDS

SUM_CHARS = 60
NO_WORD = (NOTHING, False, 0, ())

EITHER = re.compile(
    r"\b(?:is|are|was|ist|sind|es|est|è|c'est) ['\"]?(?:this|it|that|the|das|dies\w*|der|die|ce|cette|esto|este"
    r"|esta|el|la|un\w?|\w+)\b[^.?!\n]{0,80}"
    r" (?:or|oder|ou|o) [^.?!\n]{1,60}\?|^¿?[\w ,]{2,40} (?:or|oder|ou|o) [\w ]{2,30}\?"
)
SLASHED = re.compile(r"\b[a-z][a-z_-]+ / (?:not )?[a-z]|(?<![/.\w])[a-z]{2,}/[a-z]{2,}(?:/[a-z]{2,})*(?![/\w])")
ASKS_OF_IT = re.compile(
    r"(?:does|do|is|are|did|has|contains?|enthält|ist|est-ce|¿?es|¿?contiene) (?:this|the|these|it|that|der|die"
    r"|das|dies\w*|ce|cette|esto|este|esta|el|la)\b"
)
LISTED = re.compile(r"[:(] ?[\w-]{2,24}(?:, ?(?:or |oder |and )?[\w -]{2,24}){2,8}")
PICKED = re.compile(
    r"\b(?:which|what|welche\w?|quels?|quelles?|qué|cuáles|give(?: me)?|get|gib|donne|dame|who|when|wer"
    r"|qui)\b[^.?!\n]{2,100}\b(?:in|from|dans|aus|im|en|de|out of|del)"
    r"(?: (?:this|these|the (?:text|following|log|message|mail|email|notes?|minutes|report|letter|article"
    r"|paragraph|invoice|contract)|diese\w?|dem text|cet?t?e?|este|esta|texto)\b| ?:|$)"
)
OFFERED = re.compile(
    r"\b(?:reply|respond|answer|output|return|antworte|responde|réponds"
    r"|say)\b[^.\n]{0,40}?\b\w+(?:, \w+){0,6},? (?:or|oder|ou|o) \w+"
    r"|\b(?:possible )?(?:intents|labels|categories|classes): |\bclassifier\b|\bmoderat(?:ion|or)\b"
)
OFFERS = (" or ", " oder ", " ou ", " o ", "s: ", "classifier", "moderat")
"""One of these is in whatever OFFERED finds."""
YES_OR_NO = re.compile(r"¿?(?:is|are|does|do|did|were|has|have|ist|sind|hat|enthält|est-ce|es|son|contiene|è|sono)\b")
YES_OR_NO_BEHIND = re.compile(r"[^.?!\n]{3,40}\b(?:est-(?:il|elle|ce)|è )")
"""Languages that ask so behind what they ask of."""
WHICH = re.compile(
    r"¿?(?:(?:in|on|at|from|to|by|an|à|en|auf|de) )?(?:which|what|what's|who|when|where|how much|how many"
    r"|welche\w?|was|wer|wann|wo|quels?|quelles?|qui|quand|combien|qué|cuáles|cuál|quién|quali|chi)\b"
)
HOW_TO = re.compile(
    r"(?:how (?:do|can|to|would)|wie \w+ (?:ich|man)|comment (?:faire|puis|on|\w+er|\w+ir)|cómo (?:puedo|hago|se))\b"
)
LOOKS = re.compile(
    r"\b(?:what|how) (?:should|would|could|might) [^.?!\n]{3,90} look\b|\bhow (?:do|should|would|could"
    r"|can) (?:we|you|i|one) (?:split|(?:re)?structure|architect|design"
    r"|organi[sz]e|lay out|model|partition|scale|shard|build a)\b|\bdesign (?:a|an|the|our)\b|\bchoose between\b"
)
LENGTHS = re.compile(
    r"\b(?:\d{1,3}|one|two|three|four|five|six|ten|ein\w*|zwei|drei|vier|fünf|une?|deux|trois|dos|tres"
    r"|cinco)[ -](?:words?|sentences?|lines?|bullets?|bullet|points|paragraphs?"
    r"|sätzen?|satz|wörter\w?|zeilen|punkten?|phrases?|lignes?|mots|frases?|palabras|líneas|puntos|righe|frasi)\b"
)
MAKES_IT = re.compile(
    r"(?:(?:can|could) you |please |bitte )*(?:make|mach\w*|rends|haz|keep|put|bring) (?:this|it|the|my|these"
    r"|that|das|dies\w*|den|die|ce|cette|este|esta|lo)\b"
)
ONLY = re.compile(
    r"\b(?:just|only|nur) (?:the|die|der|das) \w+|\bonly$|\b\w+s only\b|^(?:all|every|alle|tous|todos"
    r"|todas) [^.?!\n]{2,60} (?:from|in|aus|dans|de|en) "
)
ALL_OF = ("all ", "every ", "alle ", "tous ", "todos ", "todas ")
NICER = re.compile(
    r"\b(?:this|it|that) (?:\w{3,}er|more \w+|less \w+)\b|^(?:write|put|express|say|give|phrase) (?:this|it"
    r"|that|these) (?:as|in|like)\b"
)
IF_THEN = re.compile(
    r"\bhow (?:many|much|long|far)\b[^\n]{5,120}\bif\b|\bif\b[^\n]{5,120}\bhow (?:many|much|long|far)\b"
)
PLANS = re.compile(
    r"\b(?:make|create|draw up|give me|write|erstelle|crea) (?:me )?an? (?:[\w-]+ ){1,2}(?:plan|schedule|timetable)\b"
)
JUDGES = re.compile(
    r"\b(?:assess|review|critique|criticise|evaluate|judge|check) (?:our|this|my|the) (?:[\w-]+ )?(?:setup"
    r"|design|architecture|stack|topology|approach|system)\b"
    r"|\bwhere should [^.?!\n]{3,40} live\b"
)
ACTS = re.compile(
    r"you(?:'re| are) an? (?!support|bot|assistant|helpful|expert|senior|professional|classifier|translator"
    r"|ai\b|language|title|an? )"
)
WOULD_USE = re.compile(r"^(?:which|what) [\w -]{3,40} would you (?:use|choose|pick|recommend|go)\b")
WHY_BUT = re.compile(r"\bwhy (?:would|does|do|is|are|did)\b[^.?!\n]{5,120}\b(?:but|yet|although|while|only)\b")
"""Two things that do not go together: it is to be found out why."""
SUM = re.compile(r"(?<![\d/.-])\d+ ?[*×÷·+/−x-] ?\d+ ?(?:[?=]|$)")
INTO = re.compile(
    r"\b(sort|put|group|file|divide|bucket|turn|break|split|parse|make)\b[^.?!\n]{1,60}? into ([^.:\n]{3,120})"
)
SORTS = frozenset(("sort", "put", "group", "file", "divide", "bucket"))
SAYS = re.compile(r"\bsays\b[^\n]{1,80}\bsays\b|\bif all\b[^\n]{1,80}\ball\b")
JUDGED = ("assess", "review", "criti", "evaluate", "judge", "check", "where should")
SIGNED = re.compile(r"[\^%\\]|mod |[pf]\(")
SIGNS = re.compile(r"[∑∫√≤≥²³∈∀∃∞≡⊂∪∩]|\^\d|\\frac|\\sum|\bp\(|\bf\(x|\bmod \d|\d ?%")


def add_signs(asked: Asked, said: list[float]) -> None:  # noqa: PLR0912 - a list of signs
    """What is said by how a sentence is built."""
    lead = asked.lead
    if HOW_TO.match(lead):
        said[Kind.EXPLAIN] += 2
    if "if" in lead and "how " in lead and IF_THEN.search(lead):
        said[Kind.SOLVE] += 4
    if ("plan" in lead or "schedule" in lead or "timetable" in lead) and PLANS.search(lead):
        said[Kind.PLAN] += 4
    if any(word in lead for word in JUDGED) and JUDGES.search(lead):
        said[Kind.DESIGN] += 6
    if ACTS.match(lead):
        said[Kind.A_WORK] += 1.5
    if (
        not asked.quotes
        and said[Kind.NUMBERS] >= 1
        and said[Kind.A_LANGUAGE] + said[Kind.A_SYSTEM] >= 2
        and EITHER.search(lead)
    ):
        said[Kind.A_SYSTEM] += 2
        said[Kind.DESIGN] += 4
    of_systems = said[Kind.A_PROGRAM] + said[Kind.A_LANGUAGE] + said[Kind.A_SYSTEM]
    if of_systems >= 1 and lead.startswith("wh") and WOULD_USE.match(lead):
        said[Kind.DESIGN] += 6
        said[Kind.A_SYSTEM] += 1
    if "why" in lead and WHY_BUT.search(lead):
        said[Kind.SOLVE] += 4
    if said[Kind.NUMBERS] and len(lead) < SUM_CHARS and SUM.search(lead):
        said[Kind.MATHS] += 4
    if " into " in lead:
        add_signs_of_into(lead, said)
    if ("says" in lead or "if all" in lead) and SAYS.search(lead):
        said[Kind.MATHS] += 4
    if (not lead.isascii() or SIGNED.search(lead)) and SIGNS.search(lead):
        said[Kind.MATHS] += 1.5
        said[Kind.EXTRACT] *= 0.3
    if looks(lead) or looks(asked.end):
        said[Kind.DESIGN] += 5
    if asked.quotes or asked.before:
        add_signs_of_it(asked, said)


def offers(text: str) -> bool:
    """Whether the answer is to be one of a few that are named."""
    return any(mark in text for mark in OFFERS) and OFFERED.search(text) is not None


def looks(text: str) -> bool:
    """Whether it is asked how something should look that is to be designed."""
    asks = "how " in text or "what " in text or "design" in text or "choose between" in text
    return asks and LOOKS.search(text) is not None


def add_signs_of_into(lead: str, said: list[float]) -> None:
    """What something is to become: one of several labels, several fields, a story."""
    found = INTO.search(lead)
    if found is None:
        return
    become = found[2]
    if become.count(",") >= 2 or " / " in become or (found[1] in SORTS and " or " in become):
        if found[1] in SORTS:
            said[Kind.CLASSIFY] += 6
        else:
            said[Kind.A_PICK] += 7
        said[Kind.REWRITE] *= 0.3
    elif any(WORDS.get(word, NO_WORD)[0] == Kind.A_WORK for word in become.split()[:4]):
        said[Kind.A_WORK] += 3
        said[Kind.REWRITE] *= 0.2


def add_signs_of_it(asked: Asked, said: list[float]) -> None:  # noqa: PLR0912 - a list of signs
    """Where there is something that it is to be done with."""
    lead = asked.lead
    for text in (lead, asked.end):
        if not text:
            continue
        if (" o" in text) and EITHER.search(text):
            said[Kind.A_CHOICE] += 3
        if "/" in text and SLASHED.search(text):
            said[Kind.A_CHOICE] += 2
        if PICKED.search(text):
            said[Kind.A_PICK] += 2
        if ("only" in text or "nur" in text or text.startswith(ALL_OF) or "just" in text) and ONLY.search(text):
            said[Kind.A_PICK] += 1.5
        if LENGTHS.search(text):
            said[Kind.A_LINE] += 2
    if asked.quotes and not asked.before:
        question = asked.end if asked.end and asked.asks else lead
        if YES_OR_NO.match(question) or (("est-" in question or "è " in question) and YES_OR_NO_BEHIND.match(question)):
            said[Kind.A_CHOICE] += 2 + (ASKS_OF_IT.match(question) is not None)
        elif WHICH.match(question):
            said[Kind.A_PICK] += 2
        elif MAKES_IT.match(lead):
            said[Kind.A_FORM] += 2.5
    if "," in lead and LISTED.search(lead):
        said[Kind.A_CHOICE] += 5 if WHICH.match(lead) else 2
    if NICER.search(lead):
        said[Kind.A_FORM] += 4
    if "classifier" not in lead and offers(lead):
        said[Kind.A_CHOICE] += 3
    if '{"' in lead:
        said[Kind.A_PICK] += 2.5
        said[Kind.A_CHOICE] += 2 * ("bool" in lead or "true|" in lead)
