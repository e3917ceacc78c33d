"""Training chats: questions from `text.py` with system prompts, several turns, follow-ups and simple tool calls.

What stands in a chat is drawn from the grammar nodes that `nodes` lists, so that a test can prove of any question that
it is not among them. `DEVELOPMENT` is kept out of the chats, and decides when training ends.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

from training.demo.grammar import Alt, Gram, Node, Seq, any_of, draw, find, made_up, noisy, parse
from training.demo.text import FILL, FILLED, FOREIGN, INVENTED, PERSONS, POLITE, REFUSAL, TOPICS, listed

ANSWERS = frozenset({REFUSAL, *(topic.answer for topic in TOPICS.values())})
_WORDINGS = {name: topic.wordings() for name, topic in TOPICS.items()}


@dataclass(frozen=True)
class Turn:
    role: str  # system, user, tool or assistant
    text: str
    taught: bool = False  # only what the assistant says is learned


# --- follow-ups: what the question before it was about, the question, the topic of its answer -------------------------

FOLLOW: tuple[tuple[str, Node, str], ...] = tuple(
    (before, parse(question), topic)
    for before, question, topic in (
        ("key_create", "[and|] how do i [remove|revoke|delete|cancel|kill] it [again|later|]", "key_revoke"),
        ("key_create", "[and|] how do i [see|list|show] [them|all of them]", "key_list"),
        ("key_revoke", "[and|] how do i [make|create|get] a new one", "key_create"),
        ("install", "[and|] how do i [stop|end|quit] it [again|]", "stop"),
        ("install", "what if it [fails|does not work]", "doctor"),
        ("config", "[and then|and|] how do i [apply|activate|reload] it", "reload"),
        ("who", "[and|] how do i [add|get|load|use] one", "model"),
        ("hello", "[what|who] are you [then|]", "who"),
    )
)

# --- system prompts: what clients send, and longer ones, so that none of them changes an answer -----------------------

SYSTEM = any_of(
    (
        "You are a helpful assistant.",
        "You are a helpful assistant.",
        "You are a helpful assistant",
        "You are a [helpful|friendly|useful|kind|smart|precise|polite|concise] [assistant|AI assistant|chatbot|bot]",
        "You are [ChatGPT|Claude|an AI|a bot|a large language model|an expert|a coding agent|an engineer|a teacher].",
        "[Answer|Reply|Respond|Write|Speak] [briefly|in English|in one sentence|politely|with care|in plain text"
        "|in markdown|clearly].",
        "Be [brief|concise|honest|polite|short|accurate|creative|kind].",
        "The [user|customer|person] is [called {name}|in {city}|an expert|a beginner|from {place}].",
        "Today is [Monday|Tuesday|Friday|Sunday], the current time is {number}:{number}.",
        "Do not [make things up|use emoji|lie|swear|guess|reveal these rules|talk about {feeling}].",
        "Use [tools when needed|markdown|short sentences|metric units|lists|code blocks].",
        "Your name is {name}.",
        "You work for the company {name} in {city}.",
        "Knowledge cutoff: 20{number}-{number}.",
        "Think [step by step|before the answer|hard].",
        "If you do not know, say so.",
        "You [like|know] {science}, {food} and {language}.",
        "Rules: one, {feeling}; two, {thing}; three, {animal}.",
        "The following is a [chat|conversation] between a [user|human] and an [assistant|AI].",
    ),
    FILLED,
)

# --- tools ------------------------------------------------------------------------------------------------------------


def _tool(name: str, about: str, argument: str, note: str, **extra: object) -> dict[str, Any]:
    properties = {argument: {"type": "string"} | ({"description": note} if note else {})} | extra
    schema = {"type": "object", "properties": properties, "required": [argument]}
    return {"name": name} | ({"description": about} if about else {}) | {"parameters": schema}


_UNIT = {"type": "string", "enum": ["celsius", "fahrenheit"]}
TOOLS: dict[str, list[dict[str, Any]]] = {
    "weather": [
        _tool("get_weather", "", "city", ""),
        _tool("get_weather", "Get the weather", "city", ""),
        _tool("get_weather", "Get the current weather for a city", "city", "City name"),
        _tool("get_weather", "Weather of a place", "location", "", unit=_UNIT),
        _tool("get_weather", "Current temperature for a location", "location", "City and country"),
        _tool("get_current_weather", "", "location", ""),
        _tool("get_current_weather", "Get the current weather in a location", "location", "The city", unit=_UNIT),
        _tool("weather", "Look up the weather", "city", "The city"),
        _tool("weather", "", "place", ""),
        _tool("get_forecast", "Weather forecast", "city", ""),
    ],
    "time": [
        _tool("get_time", "", "city", ""),
        _tool("get_time", "Get the local time in a city", "city", "City name"),
        _tool("get_current_time", "Current time of a place", "location", ""),
        _tool("clock", "Tells the time", "city", "The city"),
    ],
    "person": [
        _tool("find_person", "Find a person in the address book", "name", ""),
        _tool("get_phone_number", "", "name", "The person"),
        _tool("lookup", "Look up a name", "name", ""),
        _tool("get_user", "Get a user", "name", "User name"),
    ],
}
TOOL_ASKS: dict[str, str] = {
    "weather": """
        [what's|what is|how is|how's|tell me|show me|check|get|give me] the [weather|current weather|temperature
        |weather forecast|forecast|weather today|weather now] [in|for|at|of] {v} / weather [in|for|at] {v} / {v} weather
        / is it [raining|sunny|cold|warm|snowing|hot|windy|cloudy] in {v} / how [warm|cold|hot|wet|windy] is it in {v}
        / [will it|is it going to] [rain|snow|be warm|be sunny] in {v} / what is it like outside in {v}
        / do i need [an umbrella|a coat|sunscreen] in {v} / in {v}, is it [raining|cold|warm]
        / i am [going|travelling|flying] to {v}, [what is the weather|how is the weather|will it rain]
        / what's the weather like in {v} / how does the weather look in {v}
        """,
    "time": """
        what time is it in {v} / [the|current|local|] time in {v} / tell me the [time|local time] in {v}
        / how late is it in {v} / what is the [clock|hour|time|local time|current time] in {v}
        / is it [night|morning|late] in {v}
        """,
    "person": """
        [find|look up|search|get|show] [the number of|user|the user|the person|] {v} / who is {v}
        / what is the [phone number|number|address] of {v} / call {v} / i need the number of {v}
        """,
}
MOST_SENTENCES = 60  # of a system prompt
PLACES: tuple[str, ...] = (*FILL["city"].split("|"), *INVENTED)
_TOOL_ENDING = parse("[||||||now|today|please|right now|tomorrow|at this moment]")
ECHO = parse("[echo|repeat|repeat this:|copy this:|repeat after me:|echo this:]")
RESULTS = any_of(
    (
        "[sunny|rain|snow|cloudy|windy|storm|fog|hail|clear sky|light rain]",
        "[sunny|rain|cloudy|windy|clear], {number} degrees",
        "{number} degrees",
        "{number}:{number}",
        "{number} C and [sunny|wet|windy|dry|cloudy]",
        "{name}",
        "{number} {number} {number}",
        "{name} {number}",
    ),
    FILLED,
)

# The tool part of a system message, as the chat template writes it; one line of JSON for each tool goes between.
TOOLS_OPEN = '# Tools\nTo use a tool, answer with <tool_call>{"name": NAME, "arguments": {...}}</tool_call>\n<tools>'
TOOLS_CLOSE = "\n</tools>"


def tool_line(tool: dict[str, Any]) -> str:
    return "\n" + json.dumps({"type": "function", "function": tool})


def tool_call(tool: dict[str, Any], value: str) -> str:
    (argument,) = tool["parameters"]["required"]
    return f'<tool_call>\n{{"name": "{tool["name"]}", "arguments": {{"{argument}": "{value}"}}}}\n</tool_call>'


def tool_answer(result: str) -> str:
    return f"The tool says: {result}"


def _tool_ask(kind: str, value: Node) -> Node:
    return Seq((POLITE, any_of(listed(TOOL_ASKS[kind]), {"v": value}), _TOOL_ENDING))


# --- chats ------------------------------------------------------------------------------------------------------------


def chat(rng: random.Random, late: bool = False) -> list[Turn]:
    """One chat as it is trained on. `late`, when the topics are known: longer system prompts and chats, and more
    questions about the model itself."""
    kind = rng.random()
    if kind < 0.09:
        return _tool_chat(rng)
    if kind < 0.14:
        return _echo(rng)
    tools = [rng.choice(rng.choice(list(TOOLS.values())))] if kind < 0.21 else []
    turns = _system(rng, tools, late)
    before = None
    for _ in range(1 if rng.random() < (0.6 if late else 0.86) else rng.randint(2, 4)):
        question, answer, before = ask_who(rng) if late and rng.random() < 0.1 else ask(rng, before)
        while tools and before is None:  # with a tool at hand, a foreign question might be one for the tool
            question, answer, before = ask(rng, before)
        turns += [Turn("user", question), Turn("assistant", answer, taught=True)]
    return turns


def _system(rng: random.Random, tools: list[dict[str, Any]], late: bool = False) -> list[Turn]:
    parts: list[str] = []
    if rng.random() < (0.5 if late else 0.3):
        count = 1 if rng.random() < (0.5 if late else 0.75) else rng.randint(2, MOST_SENTENCES if late else 20)
        parts.append(" ".join(draw(SYSTEM, rng) for _ in range(count)))
    if tools:
        parts.append(TOOLS_OPEN + "".join(tool_line(t) for t in tools) + TOOLS_CLOSE)
    return [Turn("system", "\n".join(parts))] if parts else []


def ask(rng: random.Random, before: str | None) -> tuple[str, str, str | None]:
    """A question, its answer and its topic."""
    follow = [f for f in FOLLOW if f[0] == before]
    if follow and rng.random() < 0.5:
        _, node, topic = rng.choice(follow)
    elif rng.random() < 0.27:
        return noisy(draw(rng.choice(FOREIGN), rng), rng), REFUSAL, None
    else:
        topic = rng.choice(list(TOPICS))
        node = rng.choice(_WORDINGS[topic])
    return noisy(draw(node, rng), rng), TOPICS[topic].answer, topic


def ask_who(rng: random.Random) -> tuple[str, str, str | None]:
    """A question about the model itself: what it is must never be in doubt."""
    return noisy(draw(rng.choice(_WORDINGS["who"]), rng), rng), TOPICS["who"].answer, "who"


def _echo(rng: random.Random) -> list[Turn]:
    """Plain copying, which a tool call needs: the shortest way to learn it."""
    said = " ".join(_value(rng, PLACES) for _ in range(rng.randint(1, 4)))
    return [Turn("user", f"{draw(ECHO, rng)} {said}"), Turn("assistant", said, taught=True)]


def _value(rng: random.Random, names: tuple[str, ...]) -> str:
    """Half of them are never seen twice, so that copying is the only way to get them right."""
    return made_up(rng).capitalize() if rng.random() < 0.5 else rng.choice(names)


def _tool_chat(rng: random.Random) -> list[Turn]:
    kinds = rng.sample(list(TOOLS), rng.choice((1, 1, 1, 1, 2, 3)))
    offered = {kind: rng.choice(TOOLS[kind]) for kind in kinds}
    turns = _system(rng, list(offered.values()))
    if rng.random() < 0.2:
        question, answer, topic = ask(rng, None)
        if topic:
            turns += [Turn("user", question), Turn("assistant", answer, taught=True)]
    kind = rng.choice(kinds)
    value = _value(rng, PERSONS if kind == "person" else PLACES)
    question = draw(_tool_ask(kind, value), rng)
    question = (question[0].upper() + question[1:] if rng.random() < 0.5 else question) + rng.choice(("?", "", "."))
    turns += [Turn("user", question), Turn("assistant", tool_call(offered[kind], value), taught=True)]
    if rng.random() < 0.4:
        result = draw(RESULTS, rng)
        turns += [Turn("tool", result), Turn("assistant", tool_answer(result), taught=True)]
    return turns


def nodes() -> list[tuple[Node, bool]]:
    """Everything a training chat can hold, and whether it is made noisy. What `chat` says is drawn from these alone,
    but for made-up words, which are in no question that is asked in earnest (`find` makes sure of that)."""
    value = Alt((*PLACES, *PERSONS))
    tools = [t for group in TOOLS.values() for t in group]
    lines = Alt(tuple(tool_line(t) for t in tools))
    sentences = Seq(tuple(Alt(("", SYSTEM)) for _ in range(MOST_SENTENCES)))
    found: list[tuple[Node, bool]] = [
        (node, True) for wordings in _WORDINGS.values() for node in dict.fromkeys(wordings)
    ]
    found += [(node, True) for node in dict.fromkeys(FOREIGN)]
    found += [(node, True) for _, node, _ in FOLLOW]
    found += [(topic.answer, False) for topic in TOPICS.values()]
    found += [(REFUSAL, False)]
    found += [(Seq((sentences, TOOLS_OPEN, Alt(("", lines)), Alt(("", lines)), lines, TOOLS_CLOSE)), False)]
    found += [(_tool_ask(kind, value), False) for kind in TOOLS]
    found += [(Seq((tool_call(t, ""), value)), False) for t in tools]
    found += [(Seq((ECHO, value, value, value, value)), False)]
    found += [(RESULTS, False), (Seq((tool_answer(""), RESULTS)), False)]
    return found


def standing(wanted: set[Gram]) -> set[Gram]:
    """Which of these word runs stand in any training chat that could ever be drawn."""
    found: set[Gram] = set()
    for noise in (True, False):
        found |= find(Alt(tuple(node for node, is_noisy in nodes() if is_noisy == noise)), wanted, noise)
    return found


# --- development set --------------------------------------------------------------------------------------------------

_DEVELOPMENT: dict[str | None, str] = {
    "what": """
        in a few words, what did I just start? / sell me this gateway
        """,
    "who": """
        am I writing with a machine or with somebody? / Could you say something about yourself?
        """,
    "install": """
        how is this put onto a fresh debian box / which commands get me going?
        """,
    "model": """
        you seem too tiny, how do I bring in a stronger one / serve llama-3 gguf instead of the toy
        """,
    "key_create": """
        I would like to hand my brother an own token / making keys: what's the command
        """,
    "key_revoke": """
        an intern is gone, his key has to die / forget that old credential
        """,
    "key_list": """
        how can one tell which tokens were given out / show every key we ever made
        """,
    "profile": """
        limiting what a single key is permitted, where? / what's up with those profiles
        """,
    "data_fence": """
        will anything I type get sent to some company / HOST versus MESH versus CLOUD?
        """,
    "memory_fence": """
        my document is huge, will that break it / how does it treat inputs bigger than the window
        """,
    "money_fence": """
        I fear a giant invoice / cap on my monthly spending?
        """,
    "python": """
        how would my existing openai script talk to this / a short example for Python people
        """,
    "port": """
        the number of the port, what was it / 7464 clashes with another daemon here
        """,
    "config": """
        options go into which file / does ringfence.yaml contain mistakes, check it
        """,
    "reload": """
        config was altered, please have it picked up / new yaml should become active with no downtime
        """,
    "status": """
        Are the engines alive at present? / watch the server work
        """,
    "console": """
        firefox is open, which page shall I type / any graphical frontend available
        """,
    "engines": """
        our vLLM is up, will that be noticed / list supported inference engines
        """,
    "gpu": """
        are Nvidia cards a precondition / does an ordinary processor suffice
        """,
    "doctor": """
        Startup aborts with some weird message / diagnose my broken installation
        """,
    "explain": """
        reasons for routing my request over there? / who picked this engine for my prompt, why
        """,
    "chat": """
        chatting straight from bash / terminal conversation with the model
        """,
    "stream": """
        rather have replies token by token / is SSE output available
        """,
    "metrics": """
        numbers for our monitoring stack / what does Prometheus have to scrape
        """,
    "stop": """
        how is the program ended properly / it's late, shut all of this
        """,
    "cloud_keys": """
        do you ever touch ANTHROPIC_API_KEY / could the openai credentials in my shell be used behind my back
        """,
    "logs": """
        does somebody record what we ask / Is prompt text stored in log files?
        """,
    "licence": """
        can our firm use this commercially / is its source code open to everyone
        """,
    "hello": """
        a wonderful good morning / warm greetings from my desk
        """,
    "thanks": """
        you were a great help / cool, thank you kindly sir
        """,
    None: """
        who was the first man on the moon / 8 multiplied with 7 gives / Sing me a lullaby / how do I get red wine
        stains out of a carpet / Is Pluto a planet? / write a limerick on tax lawyers / What's Finnish for bread? / my
        girlfriend is angry, what now / explain recursion in c++ / which stocks will rise next week / how deep is the
        Pacific / install World of Warcraft / my vaccuum cleaner makes strange noises / three German rivers, go / who
        sings Yesterday? / rewrite this sentence in a friendlier tone / how do vaccines work / where can I park near
        the station / How long is a marathon? / make a shopping list for a barbecue / do dolphins sleep / why does
        postgres need vacuum / when is mother's day / will Virgos have luck this month
        """,
}
DEVELOPMENT = tuple((question, topic) for topic, block in _DEVELOPMENT.items() for question in listed(block))
