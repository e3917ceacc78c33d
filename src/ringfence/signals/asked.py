"""What is asked in a request, apart from what is quoted in it.

People put what they want before or behind what it is to be done with. So the words of the first and of the last lines
count, and what stands in fences, tags, quotation marks or below "the following:" hardly does. Pure and bounded: of a
long text only both ends are looked at, of many messages only the last.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

HEAD_CHARS = 1200
TAIL_CHARS = 800
LEAD_CHARS = 500
END_CHARS = 250
SYSTEM_CHARS = 400
LOOKED_MESSAGES = 40
LOOKED_PARTS = 16
LIST_CHARS = 90
QUOTES = "\"'`}"
EARLIER = 2
"""Messages of a person that are looked at for a short last one."""
MOST_TAGS = 8
SHORT_CHARS = 80
"""A message this short may be about the one before."""

FENCE = re.compile(r"(?:```|~~~)([\w+#-]{0,20})[^\n]{0,80}\n?(.*?)(?:```|~~~|\Z)", re.DOTALL)
TAG = re.compile(r"<([A-Za-z][\w-]{0,30})(?: [^<>]{0,200})?>")
QUOTED = re.compile(
    r'"""(?:[^"]|"(?!""))*"""|"[^"\n]{16,800}"|“[^”]{16,800}”|„[^“”]{16,800}[“”]|«[^»]{16,800}»|「[^」]{6,400}」'
    r"|(?<!\w)'[^\n]{20,800}?'(?!\w)"
)
QUOTED_LINE = re.compile(r"^[ \t]*(?:>|\|).*$", re.MULTILINE)
LOG_LINE = re.compile(r"^\[?20\d\d-\d\d-\d\d[T ]\d\d:\d\d.*$", re.MULTILINE)
"""Lines of a log are shown, and are no program."""
BLOB_CHARS = 48
BLOB = re.compile(r"[\w+/=.-]{48,}|-----(?:BEGIN|END) [A-Z ]{3,30}-----")
"""Keys, tokens, digests: they look like programs and say nothing."""
CALLED = re.compile(r"\b([\w.]{2,40})\(\)")
"""The name of a function, which may be a word that means something else."""
NOT_CODE = frozenset(("text", "txt", "markdown", "md", "json", "yaml", "csv", "log", "xml", "email", "plaintext"))
CODE_MARKS = re.compile(
    r"(?m)^[ \t]*(?:def |class |import |from \w+ import|#include|public |private |func |fn |const |let |var "
    r"|return |if \(|for \("
    r"|while |SELECT |Traceback \(most)|[;{][ \t]*$|\bconsole\.log\(|=>"
)
MAYBE_CODE = (";\n", "{\n", "import ", "def ", "Traceback ", "SELECT ", "=> ", "return ", "#include")
"""Looked for first: few texts have any."""
DOCUMENT_TAGS = frozenset(
    ("document", "documents", "doc", "docs", "context", "source", "sources", "passage", "passages", "excerpt",
     "article",
     "chunk", "search_results", "results", "knowledge", "retrieved", "reference", "references")
)  # fmt: skip
DOCUMENT_MARKS = re.compile(
    r"\W{0,4}(?:context|documents?|sources?|passages?|excerpts?|search results|facts|handbook|manual"
    r"|contract|policy|faq|guide|wiki|terms|auszug|vertrag|handbuch|richtlinie|contrat|règlement|contrato"
    r"|kontext|dokumente?|quellen?|contexte|"
    r"extraits?|contexto|documentos?|fuentes?|contesto|documenti)\W{0,3}\s?\d{0,3}\W{0,3}(?::|：|$)"
    r"|\[(?:doc(?:ument)?|source|quelle|\d{1,2})[ #:\d]{0,6}\]|(?:chunk|node|snippet|passage|doc|document"
    r"|source) \d{1,3}\b"
)
DOCUMENT_PHRASES = (
    "retrieved context", "pieces of context", "text below, answer", "answer the question below", "excerpts below",
    "context information", "following context", "provided context", "context below", "given context",
    "context provided", "only this context", "more context", "following documents", "documents below",
    "provided documents",
    "retrieved below", "knowledge base", "these documents", "following passages", "passages below",
    "search results below",
    "following sources", "answer from", "answer using", "answer only from", "answers from", "answer questions from",
    "answer based on",
    "based only on", "using only the", "use only the", "use only this", "anhand der", "anhand des",
    "aus dem kontext", "folgenden kontext",
    "folgenden dokumente", "nur mit dem kontext", "contexte suivant", "contexte ci-dessous", "documents suivants",
    "à partir du contexte",
    "siguiente contexto", "siguientes documentos", "según el contexto", "seguente contesto", "已知信息",
    "根据上述", "根据以下",
    "参考资料",
    "上下文", "根据文档", "以下の文書", "コンテキスト", "参考情報",
)  # fmt: skip
DOCUMENT_ABOVE = re.compile(
    r"\b(?:from|in|according to|using|based on|read|given) the (?:[\w-]+ ){1,3}(?:above|below|attached)\b"
    r"|\b(?:based on|according to|from|using|with) (?:these|this|the) (?:\w+ )?(?:excerpts?|letters?|sources?"
    r"|documents?|articles?|pages|manual|handbook|faq"
    r"|policy|contract|minutes|snippets?|passages?|context)\b|\bthe (?:attached|above) \w+ (?:say|mention)"
)
EASTERN_PHRASES = tuple(phrase for phrase in DOCUMENT_PHRASES if not phrase[0].isascii())
DOCUMENT_STEMS = (
    "ontext", "ocument", "okument", "assage", "xcerpt",
    "ource", "nowledge", "nswer", "etrieved", "earch results", "only ",
    "anhand de", "contesto",
)  # fmt: skip
"""One of these is in each of the phrases: of most texts no more is looked for."""
UNWRAPPED = frozenset(
    ("task", "question", "query", "user_query", "user_message", "request", "instruction", "instructions", "prompt")
)
"""What stands between these tags is asked, not quoted."""
HOLES = (
    "<|fim_prefix|>",
    "<fim_prefix>",
    "<|fim_suffix|>",
    "<PRE>",
    "[PREFIX]",
    "<|fim_begin|>",
    "<｜fim▁begin｜>",
    "<fim-prefix>",
)
"""Where a program has to be filled in."""
SHAPES = re.compile(
    r"[a-z]_[a-z]|[a-z]\(|[a-z][A-Z][a-z]|\b[\w-]+\.(?:py|ts|tsx|js|jsx|go|rs|java|yml|yaml|toml|json|sh|cpp"
    r"|hpp|html|css|sql|ini|conf|cfg|env|lock"
    r"|ipynb|kt|rb|php|cs|vue)\b|(?<=\s)--?[a-z]|[=!]=|=>|->|::|&&|`|\$\{|\w = |[;}]\s|\{ |\b(?:SELECT|WHERE"
    r"|FROM|INSERT|UPDATE) |/(?:usr|etc|var|opt|home|bin)/"
)
SHAPE_SIGNS = re.compile(r"[_(`={};&$/>]|::")
CAMEL = re.compile("[a-z][A-Z]")
DOTTED = re.compile(r"\.[a-z]")
SHAPED_CHARS = 400
NEGATED = re.compile(
    r"\b(?:don['’]?t|do not|without|instead of|rather than|no need (?:to|for)|not a|no (?=code|poem|proof"
    r"|diagram|story|test|translation)|"
    r"kein\w{0,2}|ohne|statt|sans|pas de|sin|senza)\b[^.,;:!?\n—–]{1,60}"
)
NEGATIONS = (
    "n't", "n’t", "dont", "do not", "without", "instead", "rather", "no ", "not a", "kein", "ohne", "statt", "sans",
    "pas de", "sin", "senza",
)  # fmt: skip
"""One of these is in whatever NEGATED finds."""
CORRECTED = re.compile(
    r"\b(?:no,? i mean|no,? wait|wait,? no|or rather|rather:|scratch that|nein,? ich meine|nein,? lieber"
    r"|besser:|non,? plutôt|ou plutôt|no,? mejor"
    r"|mejor:|aside:|actually,? no)\W"
)
"""What was said before this is taken back."""
LABEL = re.compile(
    r"\W{0,4}(?:task|question|instructions?|q|aufgabe|frage|tâche|consigne|tarea|pregunta|domanda|任务|问题"
    r"|質問)\W{0,3}[:：]\s*",
    re.I,
)


@dataclass(slots=True)
class Asked:
    """Texts in small letters, each bounded, and what the shape of the request tells."""

    lead: str = ""
    """The first lines of the last message of a person."""
    end: str = ""
    """Its last lines, where there is something between."""
    rest: str = ""
    """What lies between, as far as it was looked at."""
    system: str = ""
    before: str = ""
    """The message before, where the last is short."""
    size_chars: int = 0
    """Of the last message."""
    quotes: bool = False
    """There is something that it is to be done with."""
    asks: bool = False
    """It ends with a question."""
    code: bool = False
    shapes: int = 0
    """Names, signs and paths as programs have them."""
    hole: bool = False
    documents: bool = False
    turns: int = 0
    tools: bool = False
    acted: bool = False
    """Tools have been called."""
    fields: tuple[str, ...] = ()
    """Of the form that the answer is to have."""
    choices: bool = False
    """That form leaves nothing but a choice."""
    forced: bool = False
    """One tool must be called."""


def asked_in(body: dict[str, Any]) -> Asked:
    """Never raises, whatever `body` holds."""
    asked = Asked()
    messages = body.get("messages")
    if type(messages) is list:
        read_messages(cast("list[Any]", messages), asked)
    else:
        prompt = body.get("prompt")
        listed = cast("list[Any]", prompt) if type(prompt) is list else [prompt]
        text = joined(text for text in listed[:LOOKED_PARTS] if type(text) is str)
        read_last(text, asked)
        asked.hole = asked.hole or bool(body.get("suffix")) or CODE_MARKS.search(text[:HEAD_CHARS]) is not None
    system = body.get("system") or body.get("instructions")
    if system:
        asked.system = text_of(system)[:SYSTEM_CHARS].lower()
    tools = body.get("tools") or body.get("functions")
    asked.tools = type(tools) is list and bool(tools)
    asked.forced = asked.tools and type(body.get("tool_choice")) is dict
    asked.documents = asked.documents or bool(body.get("documents"))
    read_form(body.get("response_format"), asked)
    return asked


def read_messages(messages: list[Any], asked: Asked) -> None:
    people: list[str] = []
    system: list[str] = []
    asked.turns = len(messages)
    for message in reversed(messages[-LOOKED_MESSAGES:]):
        if type(message) is not dict:
            continue
        one = cast("dict[str, Any]", message)
        role = one.get("role")
        if role == "user":
            text = text_of(one.get("content"))
            if not text and is_result(one.get("content")):
                asked.acted = True
            elif len(people) < EARLIER + 1:
                people.append(text)
        elif role in ("tool", "function") or one.get("tool_calls") or one.get("function_call"):
            asked.acted = True
    for message in messages[:4]:
        if type(message) is dict and cast("dict[str, Any]", message).get("role") in ("system", "developer"):
            system.append(text_of(cast("dict[str, Any]", message).get("content")))
    if system:
        text = "\n".join(system)
        asked.system = text[:SYSTEM_CHARS].lower()
        asked.documents = has_documents(asked.system)
    if people:
        read_last(people[0], asked)
        if len(people) > 1 and len(people[0]) <= SHORT_CHARS:
            before = "\n".join(without_quotes(ends(text, LEAD_CHARS, END_CHARS))[0] for text in people[:0:-1])
            asked.before = before.lower()[-LEAD_CHARS:]
            asked.documents = asked.documents or has_documents(ends(people[1], LEAD_CHARS, END_CHARS).lower())
            asked.shapes = max(asked.shapes, min(shapes_in(people[1][:SHAPED_CHARS]), 4))


def is_result(content: Any) -> bool:
    """The results of tools as Anthropic's clients send them."""
    if type(content) is not list:
        return False
    parts = cast("list[Any]", content)[:LOOKED_PARTS]
    return any(type(part) is dict and cast("dict[str, Any]", part).get("type") == "tool_result" for part in parts)


def text_of(content: Any) -> str:
    """A text, or the texts of its parts; of very many parts the first and the last."""
    if type(content) is str:
        return content
    if type(content) is not list:
        return ""
    parts = cast("list[Any]", content)
    if len(parts) > 2 * LOOKED_PARTS:
        parts = parts[:LOOKED_PARTS] + parts[-LOOKED_PARTS:]
    texts = (cast("dict[str, Any]", part).get("text") if type(part) is dict else part for part in parts)
    return joined(text for text in texts if type(text) is str)


def joined(texts: Iterable[str]) -> str:
    return "\n\n".join(ends(text, HEAD_CHARS, TAIL_CHARS) for text in texts)


def ends(text: str, head: int, tail: int) -> str:
    """`text`, or both ends of it."""
    return text if len(text) <= head + tail else text[:head] + "\n\n" + text[len(text) - tail :]


def read_last(text: str, asked: Asked) -> None:
    """The last message of a person: what it asks, and what it quotes."""
    asked.size_chars = len(text)
    looked = ends(text, HEAD_CHARS, TAIL_CHARS)
    plain, asked.code, tagged = without_quotes(looked)
    asked.documents = asked.documents or tagged or has_documents(looked.lower())
    asked.shapes = min(shapes_in(looked[:SHAPED_CHARS]), 8)
    asked.hole = ("<" in looked or "[" in looked) and any(mark in looked for mark in HOLES)
    asked.quotes = len(plain) < len(looked) - 8
    plain = plain.strip()
    asked.asks = plain.endswith(("?", "？"))
    label = LABEL.match(plain)
    plain = (plain[label.end() :] if label else plain).lower()
    blocks = [block for block in plain.split("\n\n") if block.strip()] or [plain]
    if len(blocks) == 1 and "\n" in plain:
        blocks = [line for line in plain.split("\n") if len(line.strip()) > 2] or [plain]
    lead, colon, below = cut_at_colon(blocks[0])
    behind = [below] if below.strip(" …\n'\"") else []
    behind += blocks[1:]
    asked.quotes = asked.quotes or bool(behind)
    asked.lead = wanted(lead[:LEAD_CHARS])
    if behind:
        last = behind[-1].strip()
        if len(behind) > 1 or not colon:
            asked.end = wanted(
                last[-END_CHARS:] if len(last) <= 2 * END_CHARS else last.rsplit("\n", 1)[-1][-END_CHARS:]
            )
            behind = behind[:-1]
        asked.rest = "\n".join(behind)[:LEAD_CHARS]


def wanted(text: str) -> str:
    """`text` without what it says is not wanted; the names of functions are functions."""
    if "()" in text:
        text = CALLED.sub(" function ", text)
    if "no" in text or "rather" in text or "ohne" in text or "sans" in text or "sin " in text or "n't" in text:
        taken_back = CORRECTED.search(text)
        if taken_back is not None and len(text) - taken_back.end() > 12:
            text = text[taken_back.end() :]
    for sign in NEGATIONS:
        if sign in text:
            return NEGATED.sub("", text)
    return text


def cut_at_colon(text: str) -> tuple[str, bool, str]:
    """What stands before and behind the colon that says what something is to be done with."""
    for mark in (":\n", ": ", "：", " - "):
        at = text.find(mark, 4, 260)
        if (
            at > 0
            and len(text) - at > 12
            and "?" not in text[:at]
            and text[at - 2] != " "
            and text[at - 1] not in QUOTES
            and not lists(text[at:])
        ):
            return text[:at], True, text[at + len(mark) :]
    if text.rstrip().endswith((":", "：")):
        return text, True, ""
    return (text, False, "") if len(text) <= LEAD_CHARS else (text[:LEAD_CHARS], False, text[LEAD_CHARS:])


def lists(text: str) -> bool:
    """Whether these are a few words to choose from, rather than a text."""
    return len(text) < LIST_CHARS and text.count(",") >= 2 and "…" not in text and text.endswith(("?", ".", ")"))


def without_quotes(text: str) -> tuple[str, bool, bool]:
    """`text` without what is quoted in it; whether that is a program; whether documents are tagged in it."""
    code = documents = False
    if "```" in text or "~~~" in text:
        for fence in FENCE.finditer(text):
            code = code or (
                fence[1].lower() not in NOT_CODE and (bool(fence[1]) or bool(CODE_MARKS.search(fence[2][:600])))
            )
        text = FENCE.sub("\n\n", text)
    elif any(mark in text for mark in MAYBE_CODE):
        code = len(CODE_MARKS.findall(text)) > 2
    if "<" in text:
        text, documents = without_tags(text)
    if '"' in text or " '" in text or not text.isascii():
        text = QUOTED.sub(" … ", text)
    if ">" in text or "|" in text:
        text = QUOTED_LINE.sub("", text)
    return without_log(text), code, documents


def without_log(text: str) -> str:
    """`text` without lines that begin with a time, as those of logs do."""
    return LOG_LINE.sub("", text) if text.startswith(("20", "[20")) or "\n20" in text or "\n[20" in text else text


def without_tags(text: str) -> tuple[str, bool]:
    """`text` without what stands between tags."""
    documents = False
    at = 0
    for _ in range(MOST_TAGS):
        opened = TAG.search(text, at)
        if opened is None:
            break
        closing = f"</{opened[1]}>"
        closed = text.find(closing, opened.end())
        at = opened.end()
        if closed >= 0:
            name = opened[1].lower()
            documents = documents or name in DOCUMENT_TAGS
            if name in UNWRAPPED:
                text = (
                    text[: opened.start()]
                    + "\n\n"
                    + text[opened.end() : closed]
                    + "\n\n"
                    + text[closed + len(closing) :]
                )
                continue
            text = text[: opened.start()] + "\n\n" + text[closed + len(closing) :]
            at = opened.start()
    return text, documents


def has_documents(text: str) -> bool:
    """`text` in small letters."""
    for stem in DOCUMENT_STEMS if text.isascii() else (*DOCUMENT_STEMS, *EASTERN_PHRASES):
        if stem in text:
            for phrase in DOCUMENT_PHRASES:
                if phrase in text:
                    return True
            break
    if " context:" in text or ("\n" in text and any(DOCUMENT_MARKS.match(line) for line in text.split("\n"))):
        return True
    return "?" in text and " the" in text and DOCUMENT_ABOVE.search(text) is not None


def shapes_in(text: str) -> int:
    """How much of a program there is in `text`. Most texts have nothing of the kind, which is seen sooner."""
    if SHAPE_SIGNS.search(text) or CAMEL.search(text) or DOTTED.search(text) or " -" in text:
        text = without_log(text)
        if max(map(len, text.split()), default=0) >= BLOB_CHARS:
            text = BLOB.sub("", text)
        return len(SHAPES.findall(text))
    return 0


def read_form(form: Any, asked: Asked) -> None:
    """The form that the answer is to have, where it is a schema of JSON."""
    if type(form) is not dict:
        return
    schema: Any = cast("dict[str, Any]", form).get("json_schema")
    schema = cast("dict[str, Any]", schema).get("schema") if type(schema) is dict else None
    properties: Any = cast("dict[str, Any]", schema).get("properties") if type(schema) is dict else None
    if type(properties) is not dict:
        return
    known = cast("dict[Any, Any]", properties)
    asked.fields = tuple(str(name)[:40].lower() for name in list(known)[:LOOKED_PARTS])
    kinds = [cast("dict[str, Any]", one) for one in list(known.values())[:LOOKED_PARTS] if type(one) is dict]
    chosen = sum("enum" in one or one.get("type") == "boolean" for one in kinds)
    asked.choices = bool(kinds) and chosen > 0 and chosen >= len(kinds) - 1 and len(kinds) <= 3
