"""What the demo model is taught to answer: topics with one answer each, and what it declines.

Wordings are patterns (see `grammar.py`), in blocks where " / " stands between one pattern and the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from training.demo.grammar import Alt, Node, Seq, any_of, parse

# --- words that recur -------------------------------------------------------------------------------------------------

NAMED: dict[str, Node] = {}
for _name, _pattern in {
    "rf": "[Ringfence|ringfence|Ringfence|ringfence|it|this|the gateway|this product|this program|the software"
    "|this tool]",
    "name": "[Ringfence|ringfence|RingFence|ring fence|Ringfence]",
    "whatis": "[what is|what's|whats|what is]",
    "a": "[a|the|my|one|this|]",
    "key": "[key|key|api key|API key|token|api token|access key|access token|secret key|credential]",
    "keys": "[keys|keys|api keys|API keys|tokens|access keys|access tokens|credentials]",
    "somebody": "[a colleague|a friend|my team|a new user|an app|my son|a teammate|another person|a customer"
    "|our staff]",
    "llm": "[model|llm|LLM|language model|AI model|ai]",
    "real": "[real|proper|big|bigger|better|serious|own|different|larger|other|smart|full]",
    "request": "[request|question|prompt|message|call|query|chat]",
    "yaml": "[ringfence.yaml|yaml|the yaml|the config|the config file|my configuration|the settings|settings file]",
}.items():
    NAMED[_name] = parse(_pattern, NAMED)

# Openings and endings that carry no topic.
POLITE = parse(
    "[||||||||hi,|hello,|hey,|ok,|okay,|so|and|well,|please,|good morning,|quick question:|excuse me,|sorry,|um,|hmm,"
    "|one more thing:|tell me,|say,|alright,|new here,|hello there,|listen,|also,|but|now|great,|thanks,|hi all,]"
)
ENDING = parse(
    "[|||||||||||please|thanks|thank you|now|here|exactly|in short|today|by the way|then|again|please help|if you know"
    "|with {name}|in {name}|for {name}|any idea|really|right now|anyway|pls]",
    NAMED,
)
# {x} is something to do: "create a key".
TASK_OPENING = parse(
    "[|||||[how|how|how|where|when] [do|can|could|would|should|must|may] [i|i|we|you|one|people|an admin|she|he]"
    "|how to|how to|how does one|how might i|what do i do to|what must i do to|what should we type to|what [is"
    "|'s] the way to|what is the [best|easiest|right|usual|fastest] way to|is there [a|any|some] way to|is it"
    " [possible|easy|hard|allowed] to|[can|could|may|should|must] [i|we|you|they]|am i able to|are we able to|i"
    " [want|need|have|wish|would like|plan|try|am trying|am going|hope|tried|forgot how|am not sure how] to|i'd"
    " like to|id like to|i wanna|we [want|need|have|would like|are trying] to|my [boss|friend|team] wants to"
    "|please|help me|help me to|[show|tell|teach] me how to|explain how to|let me|lets|let us|kindly|[what"
    "|which] command [do i use|does one use|is there|is used|is needed] to|what [is|was] the command to|command"
    " to|[some|the] steps to|the right way to|a way to|trying to|what does it take to|what is needed to|what do"
    " you need to|do you know how to|can [someone|somebody|you] [tell|show] me how to|any [idea|tip|hint] how to"
    "|not sure how to|i [can't|cannot|couldnt|don't know how to|do not know how to]|i do not see how to|i don't"
    " understand how to|does [it|ringfence] let me|does {name} allow me to|what [happens|if] when i|what if i"
    "|[who|what] can|should one]",
    NAMED,
)
# {x} is a thing: "the data fence".
THING_OPENING = parse(
    "[|||[what is|what's|whats|what are|define|describe|explain|clarify]|please explain|please describe|what"
    " about|tell me about|tell us about|tell me more about|[can|could] you [explain|describe|clarify]|what do"
    " you [know|mean] by|how does one [use|understand]|give me details [on|of|about]|more [info|details"
    "|information|words] [on|about]|what on earth is|i [do not|don't|dont] [understand|get|know]|i want to [know"
    "|learn|read] about|something about|a question about|why do i [need|want|have]|why is there|why are there"
    "|who needs|when do i need|do i need|do we have|have you got|is there|are there|does it [have|include|offer]"
    "|does {name} have|where is|where are|show me|i am looking for|looking for|[read|learn|know] about|help with"
    "|help me with|problem with|trouble with|the [meaning|purpose|idea] of|information about]",
    NAMED,
)
THING_ENDING = parse(
    "[||||||explained|please|mean|work|work exactly|[for|good for|used for]|do|and how does it work|in simple"
    " words|help|question|in {name}|of {name}|about|actually|thanks|docs|info|details|there|available|anywhere]",
    NAMED,
)


# Around bare words.
FRAME_OPENING = parse(
    "[|||||||the|a|an|my|our|your|any|some|this|that|these|all|no|one|is|are|do|does|will|would|can|could|may|should"
    "|what|why|how|when|where|which|who|it is about|something with|suppose|imagine|i wonder about|my question is"
    "|i need|we need|i have|we have|i'd like|i want|would like|need|want|got|do you have|have you"
    "|give me|show me|tell me|let me|help|make|got a|everything|something|for|about|regarding"
    "|is it|is there|are there|does it|does this|can it|could you|if|when i|there is|here is|after|before|without"
    "|never|always|just|only|simply|maybe|i think|i fear|i hope|i love|i'm|we're|you are|he is|she has|they"
    "|people|everybody|nobody|another|every|each|much|many|more|too|very|quite|even|still|suddenly|finally]"
)
FRAME_LINK = parse(
    "[|||||and|or|with|,|my|the|in|of|for|to|on|a|is|are|be|it|at|by|from|as|not|so|but|when|if|while|because"
    "|that|this|your|our|i|we|you|me|us|them|was|were|has|have|had|get|gets|got|do|does|did|can|may|will|would|should"
    "|all|any|some|no|now|here|there|just|only|please|without|about|into|over|up|out|off|like|than|very|too|really"
    "|would be|must be|could be|should be|has to be|wants|needs|i guess|over here|for me|for us]"
)
FRAME_ENDING = parse(
    "[|||||||||please|thanks|now|here|there|today|again|then|or what|possible|maybe|somehow|somewhere|anyhow|too"
    "|for me|for us|quickly|at all|and why|and how|how|why|where"
    "|okay|right|yes|no|i guess|you know|or not|is that possible|what do i do|what now|what then|go on|at once"
    "|what happens|ok|fine|any tip|some advice|help|instead|already|yet|ever|never|always|soon]"
)


# The same with what matters first: "create a key, how do i do that", "the data fence, what is that".
TASK_FIRST = parse(
    "[||||||to|i want to|it's time to|time to|the plan is to|the idea is to|let's say i|say i|suppose we|ready to"
    "|about to"
    "|now to|i'm supposed to|someone has to|somebody must|my colleague wants to|she wants to|he needs to|they have to"
    "|they want to|we plan to|i was told to|you want me to|the task is to|today i|first i|then we|and then|or to]",
)
TASK_LAST = parse(
    "[, how|: how|, how do i do that|, how does that work|, how does one do it|, where|, what do i type|, which command"
    "|, is that possible|, can i|, possible|, but how|, any idea how|, how is that done|, what is the command|, please"
    "|, what must i do|, what should i do|, how exactly|, help|, can you help|, do you know how|, how would you do it"
    "|, is there a command|, tell me how|, explain|, what now|, could you tell me how|, i forgot how|||]",
)
THING_FIRST = parse(
    "[||||||and|so|about|regarding|concerning|on the topic of|as for|with regard to|then there is|there is|i read about"
    "|i saw|somebody mentioned|my boss asked about|people talk about|i heard of|i keep hearing about|confused about"
    "|not sure about|lost with|curious about|interested in|next question,|topic:|question:|subject:|speaking of]",
)
THING_LAST = parse(
    "[, what is that|, what is it|, what does it mean|, what does that do|, how does it work|, how does that work"
    "|, what are they|, what are those|, what is meant|, explain|, please explain|, tell me more|, where is it"
    "|, where do i find it|, how do i get it|, is there one|, do you have that|, do you have one|: what is it"
    "|: how|: what"
    "|, how|, where|, why|, what for|, what about it|, anything i should know|, in short|, can you tell me more|||]",
)


def listed(block: str) -> list[str]:
    """The patterns of a block, which " / " divides."""
    return " ".join(block.split()).split(" / ")


def _tasks(node: Node) -> Node:
    usual = Seq((POLITE, TASK_OPENING, node, ENDING))
    return Alt((usual, usual, Seq((POLITE, TASK_FIRST, node, TASK_LAST))))


def _things(node: Node) -> Node:
    usual = Seq((POLITE, THING_OPENING, node, THING_ENDING))
    return Alt((usual, usual, Seq((POLITE, THING_FIRST, node, THING_LAST))))


def _asks(node: Node) -> Node:
    return Seq((POLITE, node, ENDING))


def _hints(node: Node) -> Node:
    """Two words that give a topic away, in a frame that says nothing: what to go by when the wording is new."""
    return Seq((POLITE, FRAME_OPENING, node, FRAME_LINK, Alt((node, node, "")), FRAME_ENDING))


@dataclass(frozen=True)
class Topic:
    """One answer, and the ways to ask for it: things to do, things to explain, whole questions, and bare words."""

    answer: str
    tasks: str = ""
    things: str = ""
    asks: str = ""
    words: str = ""

    def wordings(self) -> list[Node]:
        """Each as likely as the next, so repeated here as often as it should come."""
        found: list[Node] = []
        if self.tasks:
            found += [_tasks(any_of(listed(self.tasks), NAMED))] * 3
        if self.things:
            found += [_things(any_of(listed(self.things), NAMED))] * 2
        if self.asks:
            found += [_asks(any_of(listed(self.asks), NAMED))] * 3
        return found + [_hints(any_of(listed(self.words), NAMED))] * 4


TOPICS: dict[str, Topic] = {
    "what": Topic(
        "Ringfence is one OpenAI-compatible endpoint in front of the models you own, with three fences: data,"
        " memory and money.",
        tasks="""
            [understand|learn|know] what {rf} [is|does] / [get|have] an overview of {rf} / [use|try|need|want] {name}
            at all / [benefit|profit|gain] from {name} / explain {rf} to {somebody} / sum up {name} / introduce {name}
            """,
        things="""
            {name} / {name} / {name} in [one sentence|a nutshell|two lines|general|plain words] / this
            [product|software|tool|program|project|thing] / the [purpose|goal|aim|idea|point|job] of {rf} / the three
            fences / the [main|big|key] [features|ideas|advantages|benefits] of {rf} / an
            [overview|introduction|intro|summary] of {rf} / the point of {rf}
            """,
        asks="""
            what [does|can|will] {rf} do / what [can|could] {rf} do for [me|us|people|a company] / what is {rf}
            [for|good for|about|used for] / why [should|would|do|does] [i|we|one|people|anybody|a company|someone]
            [use|want|need|install|choose|run] {rf} / who is {rf} [for|made for] / [explain|describe|introduce] {rf} /
            what [kind|sort] of [thing|program|software|product] is {rf} / what [problem|problems] does {rf} solve /
            what is so special about {rf} / i [have never heard of|just found|just heard about] {name} / what is
            [this|this place|this site|all this] / what am i looking at / how [does|is] {name} different / what makes
            {name} useful / is {name} a [gateway|proxy|router|server] / what [use|purpose|value] has {rf} / what's the
            big idea / give me the short version of {rf} / what is the use of [a gateway|{name}] / why put a gateway
            before [my models|a model|llms] / what is it that {name} does / so, [Ringfence|this], what [is it|does it
            do|is that|for] / [remind me|say again] what {rf} [does|is for] / i do not [get|understand] what {rf}
            [does|is for|is good for] / [which|what] [job|task|role] does {rf} [do|have|play] / what would i
            [lose|miss|gain] [without|with] {rf} / how would you [describe|explain] {rf} to [a child|my mother|my
            boss|a manager|a beginner] / is it [a kind of|some sort of|something like a] [proxy|gateway|load
            balancer|router|firewall] / [what|which] [three|] fences [are there|does it have|are those] / what are the
            fences / [my boss|somebody] asked [me|] what {rf} is / what's [behind|inside|in] {rf} / [tell|give] me the
            [essentials|basics|main points|gist] / [all|everything] about {rf} in [a|one] [line|paragraph] / what
            [advantage|benefit|good] [is in|comes with|brings] {rf} / compare {rf} with [calling the engine
            directly|litellm|a plain proxy|nothing] / why not [call|use|ask] [the engine|ollama|my models] directly
            """,
        words="""
            {name} / overview / introduction / purpose / three fences / gateway / in front of models / what is /
            summary / about {name} / endpoint / explained / describe / definition / concept / goal / mission / benefit
            / advantage / useful / use case / pitch / presentation / story / product / platform / layer / proxy /
            router / single endpoint / one address for all models / middle layer / reason to have it / why bother /
            what good is it / why would somebody want this / value / features / capabilities / big picture / at a
            glance / basics / idea behind / aim of the project / nutshell / general idea / convince me of {name} /
            what did i download / what have i installed here / models behind one door
            """,
    ),
    "who": Topic(
        "I am a small demo model and only know about Ringfence. To add a real model, run `ringfence up "
        "--model FILE.gguf`.",
        tasks="""
            [talk|speak|chat] to [a human|a person|a real person] / [trust|believe] you / know who you are / know your
            name / introduce yourself
            """,
        things="""
            your [name|job|purpose|size|role|skills|abilities|limits] / you / the demo model / yourself / who you are
            / what you are
            """,
        asks="""
            who are you / what are you / who r u / what are you [called|made of|able to do|good at] / what [is your|'s
            your] name / who am i [talking|speaking|chatting|writing] [to|with] / what am i [talking|speaking|writing]
            to / [which|what] [{llm}|bot|AI|assistant|engine|chatbot] [are you|is this|is answering|answers here|do i
            talk to|am i using|is speaking] / are you [chatgpt|gpt|gpt-4|claude|gemini|llama|qwen|mistral|a bot|a
            robot|a human|human|an ai|real|a real model|a real person|a person|smart|intelligent|a demo|a
            toy|big|small|stupid|conscious|alive|open source|the demo model] / are you [really|just|only] [a bot|a
            small model|a demo|a test|a program|an llm|a machine] / introduce yourself / what can you [do|answer|tell
            me|help with] / what do you know / what [questions|things] can you [answer|do|explain] / what can i ask
            you / how [big|large|smart|good|old|clever|small] are you / who [made|trained|built|wrote|created] you /
            how many parameters [do you have|are you] / how were you [trained|made] / describe yourself / is this
            [chatgpt|gpt|claude|a demo|a real model|a bot|an ai|a toy model] / do you have a name / what is the
            [name|size] of [this|the] [model|bot|assistant] / your name / why are you so
            [dumb|stupid|small|limited|simple] / can you think / is there a [human|person|real model] [behind
            this|there] / what [model|llm] is [running|loaded|behind this|being used|in use] [here|] / what exactly
            are you / you are [chatgpt|a robot|dumb|claude|a human] right / say who you are / what's your
            [deal|purpose|job|background] / i want to know who you are / who is [this|there|answering|speaking] /
            [which|what] [version|size|kind|type] of [model|ai|bot] [are you|is this|am i using] / [may|can|could] i
            [ask|know] [your name|who you are|what you are] / do you [understand|know|remember|learn|reason]
            [anything|things|me|much|] / are you [as good as|better than|related to|made by|based on]
            [chatgpt|openai|google|gpt|claude|meta] / is there [really|] [an ai|a model|someone|a brain] [in
            there|behind this|answering] / [you seem|you sound|you look] [dumb|small|limited|strange|like a bot|like a
            toy|stupid] / how come you [know so little|answer so fast|are so small] / what are your
            [limits|skills|limitations|capabilities|weak points] / [can|should] i [rely on|trust|believe] [you|your
            answers|what you say] / who [stands behind you|is your creator|owns you|programmed you|answers me] /
            [name|present|explain|identify] yourself / what is your [purpose|function|mission] [here|] / the
            [thing|bot|model|one] [that answers|i talk to|in here], what is it / say something about [you|yourself|who
            you are] / how many [words|languages|things] do you [know|speak]
            """,
        words="""
            who are you / your name / demo model / are you real / are you gpt / bot / toy / robot / chatgpt /
            assistant / you / yourself / are you / identity / who's there / introduce / your maker / creator / version
            of you / brain / intelligence / clever / tiny / creature / person / human / machine / name of this bot /
            kind of model / type of ai / what sort of assistant / LLM / llm / gpt / claude / gemini / llama / siri /
            alexa / copilot / talking with / speaking with / behind this chat / your parameters / your weights / your
            training / just a program / artificial / are you sentient / more about you / which ai / pretend / honest
            about what you are
            """,
    ),
    "install": Topic(
        "Run `make up` in a clone of the repository, or `pip install ringfence` and then `ringfence up`.",
        tasks="""
            install {rf} / install {rf} / set up {rf} / get {rf} [running|started|installed|up] / [set|put] {rf}
            [up|on] [on|] [a|my|this] [new|] [machine|server|computer|laptop|mac|linux box|pc] / deploy {rf} / start
            {rf} / [begin|get started|start] with {rf} / [run|launch|bring up|boot|start] {rf} for the first time /
            download {rf} / [build|run] {rf} from [source|git|a clone|the repository|the repo] / start [from a|with
            a|after a] [git clone|clone|checkout] / [make|complete|do] the [installation|setup|set up|first start] /
            try {name} / use pip to get {rf} / [run|launch|start up] {name}
            """,
        things="""
            the [installation|install|setup|first start] / the install
            [command|guide|steps|instructions|procedure|process] / a [quickstart|quick start|getting started
            guide|setup guide|install script] / installing {rf} / the [package|pip package|repository|repo|source
            code|git clone] / [install|setup|installation] [instructions|guide|help|howto|documentation] / the
            requirements to install {rf}
            """,
        asks="""
            where [do|can] i [get|download|find] {name} / how is {name} installed / is {name} on [pypi|pip|github] /
            does pip install [{name}|work] / what does make up do / what do i [do|run|type] [first|to start|to
            begin|to get going|after cloning|after the clone] / [i have|i just|we] [cloned|downloaded|checked out]
            [the repository|the repo|the code|it|{name}] / i have a [clone|checkout|fresh machine|new server|new
            computer] what next / getting started / how do i start / how to begin / where do i start / first steps /
            pip install / what is the [first|next] step [after|to] [cloning|download|install] / how long does
            [setup|installing] take / what's the fastest way to try {name} / i am new, how do i start / new machine,
            nothing installed yet / what [must|should|do] i [download|type|run|execute|have] to [use|run|start|try]
            [{rf}] / [which|what] command [installs|starts|sets up|launches] [it|ringfence|everything] / [a|my]
            [new|second|clean|empty] [computer|server|machine|laptop|vm], how do i get {name} [there|on it|onto it|to
            run] / i [want|would like|need] {name} on [my|a|another] [server|laptop|machine|mac|desktop|nas|computer]
            / [is there|do you have] [a package|an installer|a one line install|a docker image|a setup script] / how
            [hard|easy|long] is [it to install|the install|the setup|installing] / [never|not] [installed|used|set up]
            [it|ringfence] [before|yet], [help|how do i start|what first] / show me [the|]
            [install|setup|installation] [commands|steps] / [walk|guide|lead] me through [it|installing|the
            installation|the setup|the first start] / what comes [first|after pip install|after git clone|next after
            the download] / how did you install it / [python|pip|git|make] [install|setup|way], please / from
            [zero|nothing|scratch] to a running [gateway|server|ringfence] / [where|how] do i [begin|start] as a
            [beginner|new user|newcomer]
            """,
        words="""
            install / installation / setup / pip / pip install / make up / clone / repo / first start / download / new
            machine / quickstart / get started / deploy / fresh install / git clone / steps / guide / installing /
            installer / package / wheel / pypi / brew / apt / docker image / make / makefile / checkout / git / github
            / repository / source tree / debian / ubuntu / mac / laptop / raspberry / new server / bare machine /
            virtualenv / venv / conda / bootstrap / get going / get it going / up and running / initial setup / very
            first time / begin / beginner / newcomer / newbie / tutorial / instructions / procedure / walk me through
            the setup / prerequisites / requirements / easiest route / shortest path to a running gateway / cloned /
            download it / commands to set up / ready to run
            """,
    ),
    "model": Topic(
        "Run `ringfence up --model FILE.gguf`, or `ringfence up --model hf:owner/repo:quant` for one from "
        "Hugging Face.",
        tasks="""
            [add|use|load|run|serve|start|bring|get|try|host|attach|install|put in|plug in] {a} {real} {llm} /
            [add|use|load|run|serve|try] [another|a new|my own|some other|a second|a custom] {llm} /
            [load|use|serve|run|open|start|point it at|take] [a|my|this|the] [gguf|GGUF|gguf file|model file|weights
            file|local model] / [replace|swap|change|exchange|switch|drop] [the|this|your] [demo|demo model|model|toy
            model|small model] / [get|pull|fetch|download|load|use|run] {a} model from [Hugging
            Face|huggingface|hf|the hub] / [use|run|serve|load] [llama|qwen|gemma|mistral|phi|deepseek|llama 3|qwen 3]
            [8b|7b|instead|here|] / [replace|swap|change] you [with|for|by] a {real} model / upgrade [to|the] [a|]
            {real} {llm} / [change|switch|choose|pick|select] [the|] [{llm}|models] / [run|serve]
            [quantised|quantized|q4] weights / give it a {real} brain
            """,
        things="""
            a {real} {llm} / the model [option|flag|argument|switch] / --model / [gguf|GGUF] [files|support|models] /
            [hugging face|huggingface|hf] [models|support|downloads|repos] / my own [model|weights|llm] / adding a
            model / loading models / other models
            """,
        asks="""
            where do [my|the] [weights|model files|gguf files] go / can it [run|serve|load|use]
            [llama|qwen|gemma|mistral|any model|gguf|other models|bigger models|hugging face models] / [i have|here
            is|i downloaded|we have] [a gguf|a model file|my own model|a gguf file|a finetuned model|weights] / which
            models [can i use|can it run|work|are supported] / does it support [gguf|hugging face|my model|qwen|llama]
            / the demo [model|] is [too small|too dumb|not enough|useless], [i want|give me] a {real} one / how do i
            get rid of [the demo|you] and use a {real} model / i want a {real} model instead of [you|this|the demo] /
            can i have a {real} model / what if i want [a smarter|another|a larger] model / how to give it [weights|a
            gguf|a model file] / {a} {real} {llm}, how do i [add|use|load|get|run] [it|one|that] /
            [have|got|own|downloaded] [a|my own|this|some] [gguf|model|model file|weights] and [want|need|would like]
            to [use|run|serve|load] [it|them] / i [want|need|would prefer|would rather have] [an answer from|to talk
            to|to use] a {real} {llm} / is it possible to [run|use|have] [llama|qwen|mistral|gemma|deepseek] [on
            it|here|with this|there] / you [are|seem] [too small|too stupid|useless|not smart], [give me|get me|i
            want|how do i get] a {real} [one|model] / [which|what] [flag|option|argument|command]
            [loads|adds|takes|serves|sets] [a|my] [model|gguf|file] / [huggingface|hf|hugging face]
            [repo|link|id|model|name], where do i put it / a model [from|off] [hugging face|the hub|huggingface|the
            internet|my hard drive|my computer] / how does one [change|replace|swap] the [{llm}|demo|demo model] / the
            demo [must go|is not enough|should be replaced|is bad] / point [it|ringfence] [at|to] [my|a]
            [gguf|model|file|weights] / can [it|you|ringfence] [download|fetch|pull] [models|a model|weights] / larger
            [models|weights], please / use [something|a model] [better|bigger|smarter|larger] than [you|this|the demo]
            """,
        words="""
            gguf / model file / {real} model / own model / hugging face / huggingface / hf / weights / llama 8b / qwen
            / swap model / instead of the demo / add model / load model / serve / replace demo / quant / bigger brain
            / smarter one / larger one / real one / better model / other weights / own weights / checkpoint / finetune
            / fine tuned / quantised / quantized / q4_k_m / q8 / 7b / 8b / 13b / 70b / llama-3 / llama 3 / qwen3 /
            gemma / mistral / phi / deepseek / mixtral / model path / .gguf / local file / hub / repo:quant / download
            a model / pull a model / fetch weights / bring my own model / byom / serve my model / host my model /
            replace you / swap you out / too small / too weak / too stupid / not good enough / upgrade / something
            useful / something smarter / serious model
            """,
    ),
    "key_create": Topic(
        "Run `ringfence keys create NAME`. The key is shown only once, so keep it safe.",
        tasks="""
            [create|make|generate|issue|add|get|obtain|mint|register|set up|request|produce|find] [a|a
            new|another|an|one|my first|my|an extra|] {key} / [create|make|generate|issue] {keys} / give {somebody} [a
            {key}|access|permission] / [get|gain|grant|allow|request] access [to the api|to {rf}|for {somebody}|] /
            [create|make|add|get] [a|an] {key} for {somebody} / [add|invite|let in|onboard|authorise] {somebody} /
            [log in|authenticate|sign in] [to the api|] / [share|give] the endpoint [with|to] {somebody} / get
            [credentials|a login|a password|authorised]
            """,
        things="""
            [a new|a|another] {key} / the command [for|to get] a [new|] {key} / creating {keys} /
            [making|creating|getting|generating] a {key} / key creation / my {key} / new {keys} / access for
            {somebody} / authentication / the bearer token
            """,
        asks="""
            where [do|can|does] [i|we|one|he|she|{somebody}] [get|find|take|obtain|make] [a|an|my|the|their|his|her]
            {key} / {somebody} [needs|wants|asks for|requires|has no|lacks] [a {key}|access|a login|a token] / i
            [need|want|lost|have no|do not have] [a|my|the|an|] {key} / which {key} [do|should] i use / how are {keys}
            [made|created|generated] / can i see [the|my|a] {key} [again|a second time] / i lost my {key} and need a
            new one / is a {key} [needed|required] / who can create {keys} / it says [401|unauthorized|missing
            key|invalid key] / my {key} was shown only once / what {key} [do i put|should i send|goes] in the header /
            one {key} for each [app|person|user] / {somebody} [would like|wants|has|needs|is asking] to
            [use|call|try|access] [it|the api|ringfence|the endpoint] / [the|our] new
            [employee|student|developer|colleague|user|app|service|laptop|script] [needs|wants|requires|gets|should
            get] [a {key}|access|its own {key}|one {key}] / a {key} for [{somebody}|my laptop|the website|our bot|the
            new server|each user|n8n|open webui] / a [new|fresh|second|further|separate] {key}, [how|please|where] /
            how [are|do] [people|users|apps|programs] [get in|authenticated|given access|log in|connect with a key] /
            [which|what] command [creates|makes|gives me|generates|issues] [a {key}|{keys}] / i [have not got|never
            got|still need|lack|am missing] [a|my|any] {key} / [can|may] i have [a|another|one more|two] {key} / where
            [is|was|can i see] [my|the] {key} [shown|printed|again] / let [my friend|a colleague|them|him|her|my app]
            [use it|in|connect|call the api] / one more {key} / it [asks|wants|asked me] for [a|an|the] {key} / what
            do i [put|write|send] as [the|my] api key / [somebody|a program] new should [get|have] access
            """,
        words="""
            create key / new key / api key / new token / access for a friend / make token / generate / issue /
            credentials / login / keys create / get a key / give access / need / personal token / sister / daughter /
            colleague / coworker / student / guest / client app / second app / application / authorize / authorise /
            authentication / bearer / header / sign up / signup / register / registration / invite / onboarding / let
            somebody in / give permission / grant / provide a key / secret for / fresh key / additional key / extra
            token / mint / create credentials / obtain / apply for a key / where does one get a key / access for /
            wants to use the api / without a key / missing key / 401 / unauthorized / password
            """,
    ),
    "key_revoke": Topic(
        "Run `ringfence keys revoke ID`. That key stops working; `ringfence keys list` shows the IDs.",
        tasks="""
            [revoke|delete|remove|disable|cancel|withdraw|invalidate|block|destroy|deactivate|expire|erase|kill|stop|
            ban|drop|void|retire]
            [a|the|an|my|one|this|an old|a lost|a stolen|that|some|a leaked|] {key} /
            [revoke|delete|remove|disable|kill|block] [old|unused|all|leaked|some|two] {keys} / [take back|shut
            off|get rid of|throw away|turn off] [a|the|an old|this|my|her|his|their] {key} /
            [end|remove|withdraw|revoke|stop|cut|take away] [the|] access [of|for|from] {somebody} / [lock
            out|remove|kick out|block|fire] {somebody} / make [a|the|this] {key} [invalid|useless|unusable]
            """,
        things="""
            revoking [a {key}|{keys}] / [deleting|removing|disabling|cancelling] [a {key}|{keys}] / [the removal|the
            end|deletion|revocation] of [a {key}|{keys}] / a [stolen|leaked|lost|compromised|exposed|old] {key} / keys
            revoke / key revocation
            """,
        asks="""
            [someone|a hacker|somebody|a thief] [stole|has|copied|got|took|saw|found] [my|our|the|a] {key} /
            [my|a|the|our|one] {key} [was|is|got|has been]
            [leaked|stolen|exposed|compromised|public|lost|hacked|published] / i
            [pushed|committed|posted|leaked|exposed|published] [a|my|the|our] {key} [to git|online|by accident|on
            github] / {somebody} [left|quit|was fired|is leaving|leaves|must lose access|should no longer have access]
            / how are {keys} [revoked|removed|deleted|disabled|cancelled] / can {keys} be [revoked|deleted|taken
            back|removed|cancelled] / [this|that] {key} must [stop working|go|not work any more|die] / i no longer
            [need|want|trust] [this|a|that] {key} / an ex employee still has a {key} / what if a {key} leaks /
            {somebody} who left still has a {key} / do {keys} [stop working|expire] / {somebody} [should|must|may]
            [not|no longer|never] [use|have|get] [it|the api|access|a {key}|his {key}|her {key}] [any more|again|] /
            [that|this|one|the old|her|his|their] {key} [is not|is no longer|isn't]
            [needed|used|safe|secret|trusted|wanted] / [i|we] [want|need|have] to get rid of [a|one|an old|this|some]
            {key} / a {key} [fell into the wrong hands|got out|was copied|appeared online|is in a public repo|was sent
            by mail|must be blocked|should be deleted] / how [fast|quickly|soon] can [a|the|my] {key} be
            [disabled|deleted|revoked|removed|blocked] / [throw|take|put] {somebody} [out|off] / the [{key}|key of
            {somebody}] has to [go|be removed|be blocked|be disabled] / what [do i do|now|should i do] [with|about|if
            there is|after] a [leaked|stolen|lost|exposed] {key} / [undo|reverse|take back] [giving|sharing|handing
            out] a {key} / [which|what] command [deletes|removes|revokes|disables|kills] a {key} / no more access for
            {somebody} / make [sure|certain] a {key} [is dead|no longer works|cannot be used] / old {keys}
            [should|must|have to] [go|be deleted|be removed] / {somebody} lost a laptop with a {key} on it
            """,
        words="""
            revoke / delete key / remove key / leaked / stolen key / disable token / keys revoke /
            take back key / lost key / invalidate / kill token / leak / cancel key / revoked / revocation / withdraw /
            annul / terminate a key / end access / cut off / shut out / lock out / kick out / ban / blacklist / expire
            / expired / destroy / erase / scrap / old key / old token / ex employee / former colleague / former
            employee / quit / fired / leaving the team / no longer works here / laid off / must not have access /
            stolen / theft / hacked / compromised / exposed / public on github / leaked online / pasted in a chat / by
            accident / emergency / panic / rotate / useless / invalid
            """,
    ),
    "key_list": Topic(
        "Run `ringfence keys list`: it shows every key with its ID, but never the secret itself.",
        tasks="""
            list [all|the|my|our|all the|every|the existing|] {keys} / [see|show|view|display|check|find|look
            at|print|review|inspect|count|enumerate] [all|the|my|our|all my|all the|every|which|existing|current]
            {keys} / [see|find out|know|check|look up] [which|what|how many] {keys} [exist|there are|we have|i
            made|are active|are valid|are in use|i have] / [find|look up|see|get|learn] the [ID|id|number] of
            [a|my|the] {key} / [see|know|find out] who has [a {key}|access|{keys}] / audit {keys}
            """,
        things="""
            the [list|overview|table|inventory|number] of [all|] {keys} / [all|every] [my|existing|] {keys} / listing
            {keys} / keys list / the [active|existing|current|valid] {keys} / the [id|ID] of a {key} / a list of
            [all|my|the|current|valid] {keys} / the {keys} i [made|created|issued|gave out] [so far|before|]
            """,
        asks="""
            [which|what|how many] {keys} [are there|do i have|do we have|have i made|were issued|have been created|are
            active|are known|are in use|did i create|did we give out|are left] / who has [a {key}|access|{keys}] [at
            present|] / where [are|do i see] [my|the|all] {keys} [listed|] / how are {keys} listed / list {keys} / all
            {keys} on one [page|list|screen] / show {keys} / i [forgot|do not remember|lost track of] which {keys} i
            [made|have|gave out] / what is the id of my {key} / people with [access|a {key}] / [who|which people|which
            apps|which users] [has|have|holds|hold|uses|use] [a {key}|{keys}|access] / {keys}: [which|how many|what]
            [exist|are there|do i have] / i [want|need|would like] [to see|a list of|to know|an overview of]
            [all|my|our|the] {keys} / [is there|can i get|give me|show me] [a list|a table|an inventory|the list] of
            [all|the|my|our] {keys} / did i [already|ever] [make|create] a {key} [for bob|for this app|] / what
            [was|is] the [name|id|ID] of [that|this|my|the|an old] {key} / where [can|do] i [see|find|look up]
            [all|the|my|existing] [{keys}|key ids|names of {keys}] / how many [people|users|apps|programs] have
            [access|a {key}] / [which|what] command [shows|lists|prints] [the|all|my] {keys} / let me [see|look
            at|check] [the|my|all] {keys} / [remind me|tell me|say] which {keys} [i have|there are|exist] / all
            [the|our|my] {keys}, please / [check|review|go through|look through] [our|my|the] {keys} / a key id, where
            do i find it
            """,
        words="""
            list keys / keys list / all keys / which keys / existing keys / show tokens / overview of keys / active
            keys / how many keys / key ids / issued tokens / who has keys / inventory / overview / table / listing /
            enumerate / enumerate keys / audit / who has one / everyone with access / distributed / issued / currently
            valid / in circulation / outstanding / exist / existing / active / count of keys / number of keys / total
            keys / names of keys / key names / ids / every token / all credentials / all tokens / all the keys /
            display keys / print keys / show all / see them all / keys we have / keys we made / known tokens / check
            the keys
            """,
    ),
    "profile": Topic(
        "A profile is what a key is bound to: how far its text may travel. Set it in ringfence.yaml under profiles.",
        tasks="""
            [set|change|define|edit|choose|add|create|make|use|write|pick|configure|adjust|assign]
            [a|the|my|another|an own|new|] [profile|profiles] / [bind|tie|attach|connect|link] a {key} to
            [a|its|another|the private] profile / [limit|restrict|control|set|decide] [what|how far] [a|one|my|this]
            {key} [may do|can reach|may send|can go|may travel] / [give|assign] [a|each|one|my] {key} [a|its
            own|another|the client] profile / [make|keep] a {key} [local only|stay local|private] / set
            [rules|rights|limits|permissions] for a {key}
            """,
        things="""
            [a|the|my] profile / profiles / the profile of [a|my|this] {key} / the [personal|private|client|default]
            profile / [key|api key] [profiles|rules|rights|permissions] / the profiles [section|part|block] [of|in]
            {yaml} / profiles in {name} / the [rights|rules|permissions] of a {key} / the difference between profiles
            """,
        asks="""
            what [is|does] a profile [do|for|mean] / where [are|do i set|do i find|do i write|is] [profiles|the
            profile|my profile] / what is a {key} bound to / which profile [does my {key} have|should i use|is best|do
            i need|is the default] / how do profiles work / what [sets|limits|controls|governs] how far [a|my|the]
            {key} [may go|reaches|can reach] / how far may the text of [a|my|this] {key} [travel|go] / can
            [each|every|one] {key} have [its own|different|other] [rules|limits|profile] / what is the
            [private|personal|client] profile / are there [profiles|different profiles] / how many profiles can i have
            / which setting [says|decides|tells] where a {key} may send text / may two {keys} have different
            [rules|rights] / what a {key} is [allowed|permitted] to do / [a|one|this|my|each|every] {key} should
            [only|never|just] [use|reach|stay on|go to|leave] [local models|my machines|this machine|the cloud|the
            house] / what [may|can|is] a {key} [do|allowed to do|reach|permitted] / [profile|profiles], what [is|does]
            [it|that] [mean|do|for] / how [do|can] i [restrict|limit|tighten|loosen|widen] [a|one|my|this] {key} /
            which [rules|limits|rights|permissions] [does|has|apply to|belong to] [a|my|this|each] {key} / give
            [one|this|a|each] {key} [more|fewer|less|other|special|different] [rights|permissions|rules|freedom] /
            what [sets|decides|determines] [what|where] a {key} [may|can] [do|send|go] /
            [different|other|separate|special] [rules|settings|limits] for [different|other|each|some] {keys} / a
            {key} [just for|only for] [local|private] [use|models|work] / where [is|do i set|do i change] the profile
            of a {key} / in which [section|part|place] of {yaml} are [profiles|the rules for keys] / the
            [client|private|personal] profile, what is [that|it|different] / a [strict|loose|private|local only]
            profile / is my {key} [private|local only|allowed to use the cloud]
            """,
        words="""
            profile / profiles / profile of a key / bound to / key rules / private profile / client profile / personal
            profile / how far a key may go / key permissions / rights of a key / rule set / rules of a key / rules for
            a key / rights / permissions / permission / limits of a key / restrict a key / restriction / restricted
            key / capabilities of a key / allowed / may do / can do / tier / tiers / t1 / t2 / policy / policies /
            binding / bound / tied to / belongs to / attached to / assigned / per key / per key settings / key
            settings / each key / profiles section / under profiles / profiles: / personal / private / client /
            categories of keys / classes of keys / kinds of keys / reach of a key / scope / scope of a key / key scope
            """,
    ),
    "data_fence": Topic(
        "The data fence keeps a request's text inside its boundary: HOST < MESH < CLOUD, on retries and fallbacks too.",
        tasks="""
            [keep|hold] [my|our|all|the] [data|text|prompts|secrets|files|words] [local|private|at home|here|on this
            machine|inside|in house|safe] / [stop|prevent|keep|block|forbid] [data|text|prompts|my data|my
            text|secrets] [from leaving|from going out|from leaking|leaking out|from getting out] /
            [set|choose|understand|change] [a|the|my] boundary / [protect|guard|secure] [my|our]
            [data|privacy|text|private data|prompts] / [be sure|make sure|guarantee|ensure] [nothing|no data|no
            text|nothing private] [leaves|goes out|gets out|leaks|leaves this machine|goes to the cloud] / keep
            everything on [this machine|my machine|my own computer|my network] / make it local only
            """,
        things="""
            the data fence / the data fence / [the|a] boundary / boundaries / [HOST|host] / [MESH|mesh] / [HOST|host]
            [and|or|vs] [MESH|mesh] / [MESH|mesh] [and|or|vs] [CLOUD|cloud] / the [host|mesh|cloud] boundary /
            [data|text] [privacy|protection|safety|security] / privacy / the fence for data / host mesh cloud / HOST <
            MESH < CLOUD / the privacy guarantee / data protection
            """,
        asks="""
            [is|are] [my|our|the] [data|text|prompts|secrets|private data] [safe|private|protected|kept
            local|secure|sent away|leaving] / does [my|our|any|the] [data|text] [leave|go out|leave this machine|leave
            the house|travel|go to the cloud|stay here|stay local|get out] / [can|could|will|may]
            [my|our|private|the|secret|any] [data|text|prompts|prompt|words] [leak|leave|escape|go out|leave my
            network|get out|go to the cloud|travel] / how far [does|can|may|will] [my|the|a] [text|data|prompt]
            [go|travel] / what is [the|a] boundary [for|] / what [does|is] the data fence [do|for] / what is the
            difference between [host|mesh] and [mesh|cloud] / where does my [text|data|prompt] go / is a fallback [to
            the cloud|] [allowed|possible|safe] / can a retry [leak|send] my text / who can see my [data|text|prompts]
            / how is my [data|privacy|text] [protected|guarded|kept] / what keeps [my|our|private] [data|text|secrets]
            [here|inside|local|on my machine|from going away] / does it phone home / what is [mesh|host] / are my
            secrets safe / nothing may leave [this|my] [machine|house|network|computer] / [i|we] [work
            with|handle|have|process] [patient|private|secret|confidential|sensitive|customer]
            [data|records|files|texts], is [that|it|this] [safe|ok|protected] / [do|does|will|would]
            [anything|something|my words|what i write|my files|any text] [leave|get out|go to the internet|go
            online|reach the cloud|reach a third party] / [who|which company|what company|which server] [else|]
            [gets|sees|receives|reads] [my|our|the] [data|text|prompts] / [nothing|no text|no data|not a word]
            [should|must|shall] [leave|go to the cloud|get out|go online] / how [do you|does it|is it] [guarantee|make
            sure|ensure|prevent] [that|] [data|text|my data|nothing] [stays here|leaks|stays local|leaves] /
            [on|during|after] a [retry|fallback|failure|crash], [does|may|can|could] [text|data|it] go [elsewhere|to
            the cloud|out] / is [it|everything|all of it] [local|private|offline|on my machine] / [keep|make|hold] it
            [private|secret|local|confidential] / the [boundary|boundaries|data fence], what [is|are|does]
            [it|that|those|they] / HOST, what [is|does] [that|it] [mean|] / [is|are] [mesh|host|cloud] [a
            level|levels|a boundary] / how [private|confidential|secure|safe] is [it|this|ringfence|my data] / what
            leaves [my|this|the] [machine|network|computer|house] / [does|can] [my|the]
            [employer|provider|cloud|internet] [see|get] my [data|prompts|text]
            """,
        words="""
            data fence / boundary / host / mesh / host mesh cloud / private text / privacy / stay local
            / leak out / my data / protect data / data safe / stays here / private / confidential / secret data /
            sensitive / sensitive data / personal data / gdpr / compliance / hipaa / medical / patient data / company
            secrets / nda / leak / leaks / leaking / leakage / spill / outflow / outside / outward / outbound /
            internet / third party / third parties / other companies / foreign servers / american servers / stay
            inside / stays inside / in house / on premise / on prem / offline / air gapped / leave / go out / goes out
            / get out / sent away / sent out / sent to others / shared with others / forwarded / uploaded / travels /
            travel / escape / text goes where / fall back / fallback / retry / guard / MESH / tailscale / my
            network / own machines
            """,
    ),
    "memory_fence": Topic(
        "The memory fence makes each request fit the model's context window: output is capped, and what "
        "cannot fit gets a clear error.",
        tasks="""
            [avoid|prevent|stop|handle|survive] [context|window|memory|token|prompt] [overflow|overflows|errors] /
            [send|use|handle|write|paste|give it] [a|] [very|too|really|] [long|large|huge|big|giant]
            [prompt|prompts|text|document|input|chat|message] / [fit|squeeze|get] [a|my|this|the] [long|big|huge]
            [prompt|text|document|chat|input] [in|into the window|into the context] / [exceed|overflow|fill|fill
            up|overrun|go over|use up] the [context|context window|window|token limit|context length] / limit [the|]
            [output|output tokens|max tokens|length of the answer] / make a [request|prompt] fit
            """,
        things="""
            the memory fence / the memory fence / the [context|token] [window|limit|length|size] / the context window
            / [context|window|token] overflow / max_tokens / [long|too long|huge|large]
            [prompts|inputs|documents|chats|texts] / the [limit|cap] on [output|tokens|max tokens] / the fence for
            memory / a [full|too small] context / the max tokens cap
            """,
        asks="""
            what [if|happens when|happens if] [my|a|the|our]
            [prompt|input|text|message|document|chat|conversation|request] is too [long|large|big|much] / what does
            the memory fence do / how [long|large|big] [can|may] [a|my|the] [prompt|input|text|message|document] be /
            [my|the|our] [prompt|input|text|document|conversation] [does not fit|is too long|is too big|exceeds the
            limit|overflows|is larger than the window|gets too long] / is [my|the|a] [prompt|text|history|input]
            [cut|truncated|shortened] / how many tokens [can|may] i [send|use|ask for] / what about [long|very long]
            [prompts|chats|documents] / why is [my|the] [output|answer] [capped|limited|cut|shortened] / will it
            [drop|forget|cut] my [old|first|long] [messages|text] / what [if|happens when] [the|my] [context|window]
            is [full|exceeded|used up|too small] / i get context length exceeded / can [a|the] context [overflow|run
            over|run full] / does a too long prompt crash [it|the engine] / is there a [token|length|size] limit /
            what if tokens run out / what if i run out of [tokens|window|space in the window] / [my|the|a|our]
            [text|file|pdf|book|code|history|prompt] [has|is] [100 pages|too many words|very long|far too long|200k
            tokens|enormous|bigger than allowed] / [is|are] there [a|any] [limit|limits|maximum] [on|to|for] [the|]
            [prompt|prompts|text|input|words|length|tokens] / what [is|'s] the [maximum|longest|biggest|largest]
            [prompt|input|text|answer|request] / [will|does|can] [it|a long text|a big prompt|too much text]
            [crash|break|overload|kill] [it|the model|the engine|everything|] / [do|does|will] [long|big|huge]
            [chats|prompts|texts|inputs] [work|fail|crash|get cut|fit] / how [does it handle|do you handle|is it
            with|about] [long|huge|big|too long] [inputs|prompts|texts|chats|documents] / [too much|so much|a lot of]
            [text|input] [for|in] [one|a|the] [prompt|request|model|window] / the [context|window] [is|gets|was]
            [full|too small|exceeded|used up] / the memory fence, what [is|does] [it|that] / [why|how] [is|was] my
            [answer|output] [cut|limited|so short|capped] / [does|can] the [window|context] [overflow|run over|fill
            up] / i [got|get|see] an error about [the|] [context|length|tokens|window] / [paste|send|feed] [a|the]
            [whole|entire|long] [book|file|document|log]
            """,
        words="""
            memory fence / context window / too long / long prompt / overflow / token limit / max tokens / context
            length / out of context / does not fit / huge prompt / truncated / context full / prompt size / window /
            context / tokens / truncation / truncate / cut off / shorten / compress / compressed / summarised / huge /
            giant text / large file / big file / whole book / long book / 100 pages / many pages / long history / long
            chat / lengthy / exceeds / exceed / exceeding / limit of tokens / token count / max length / maximum
            length / input size / input length / output length / size of a prompt / prompt length / overlong /
            oversize / oversized / too many tokens / too much text / too big / doesn't fit / fits / fitting /
            context_length_exceeded / max_tokens / n_ctx / overflowing / crash on long input / 128k / 4096 tokens /
            big inputs / paste a book
            """,
    ),
    "money_fence": Topic(
        "The money fence keeps spent plus reserved money within the budget: it is held before a request and "
        "settled after it.",
        tasks="""
            [set|define|change|give|have|add|make|use] [a|the|my|our] [budget|spending limit|money limit|cost
            limit|price cap|spending cap|monthly budget|daily budget] /
            [limit|control|cap|reduce|watch|restrict|bound] [spending|costs|the cost|the bill|the money|what i
            spend|the expenses|the price] / [avoid|prevent|stop|not get] [a|] [big|high|huge|surprise|large]
            [bill|bills|costs|invoice|spending] / [spend|pay|use up|waste] [less|no more than 5 dollars|only 10
            euros|too much|less money] / [keep|stay|hold|remain] [within|inside|under|below] [a|the|my] budget /
            [save|protect|guard|control] money / make sure [the|my|our] [bill|cost|spending] stays [low|small|under
            control]
            """,
        things="""
            the money fence / the money fence / the [budget|budgets|spending limit|cost limit|monthly cap] /
            [cost|money|spending|budget] [control|limits|protection|caps|safety] / [reserved|held] money / the fence
            for money / a spending cap / a budget / [overspending|too much spending] / the cost of [cloud|] requests
            """,
        asks="""
            how [much|] [does it|will it|can it|will this|do requests] [cost|spend] / what does the money fence do /
            [can|could|will|may] it [spend|cost|waste] [too much|more than my budget|all my money|more than i allow|a
            fortune] / what [if|happens when] [the|my|our] [budget|money] is [spent|empty|used
            up|gone|reached|exhausted] / how is [money|the budget|the cost|spending]
            [held|counted|settled|reserved|tracked|limited|controlled] / is there a [budget|spending limit|cost
            limit|monthly cap] / i [do not|don't] want [a big bill|to pay too much|to spend more than 20 dollars|high
            costs] / how are [budgets|costs|expenses] [kept|enforced|limited] / who pays for [this|cloud requests] /
            what about [money|costs|the bill|my wallet] / can costs [explode|run away|get out of hand] / will i get a
            big bill / how do budgets work / is the cost limited / [i|we] [have|want to spend|can spend|allow]
            [only|at most|no more than] [5 dollars|10 euros|20 dollars|little money|100 a month] / how [do you|does
            it|is it] [guarantee|make sure|prevented|ensure] [that|] [i do not|we do not|nobody]
            [spend|pay|spends|pays] too much / [is|are|can|could] [my|our|the] [money|costs|bill|budget|spending]
            [safe|limited|protected|under control|get out of hand] / what does [one|a|each]
            [request|question|answer|call] cost / what [if|happens if|happens when] [a|the|my] budget [ends|is
            over|runs out|is too small] / [afraid|scared|worried] of [a|the|high|big] [bill|bills|costs] / [the|a|my]
            [budget|budgets|money fence], [what|how] [is|does|are] [it|that|they] [work|mean|for|do] / [set|put|place]
            [a|the] [limit|cap|maximum] on [money|costs|spending|what it spends|the bill] / [cheap|cheaper|less
            expensive|low cost] [use|running|please] / how much [money|budget] is [left|used|spent|reserved|gone] /
            never spend more than [i say|my budget|10 dollars|allowed] / [does|can] it [stop|refuse|block] when
            [money|the budget] [is gone|runs out|is spent] / who [watches|guards|counts|limits] the
            [money|costs|spending] / a [monthly|daily|weekly|yearly] [budget|limit|allowance]
            """,
        words="""
            money fence / budget / spending / cost / costs / bill / limit spending / money / spend / spending limit /
            too expensive / dollars / monthly cap / pay / invoice / price / budget limit / big bill / huge bill /
            bills / charge / charged / charges / fee / fees / dollar / euro / usd / cents / credit card / wallet /
            bank account drained / bankrupt / poor / cheap / expensive / pricey / overspending / overrun / spendings /
            expense / expenses / expenditure / monthly limit / daily limit / ceiling / maximum spend / maximum cost /
            quota in dollars / limit in dollars / limit on spending / protect my wallet / cost control / cost
            protection / reserve / reserved / hold / holds / settle / settled / spent / money left / budget left / out
            of budget / no more money / economical / finance / financial / accounting / never pay more / not pay more
            than / cloud bill / provider bill
            """,
    ),
    "python": Topic(
        "from openai import OpenAI\n"
        'client = OpenAI(base_url="http://127.0.0.1:7464/v1", api_key="YOUR_KEY")\n'
        "client.chat.completions.create(...)",
        tasks="""
            [use|call|reach|query|access|connect to|talk to] [{rf}|the api|the endpoint|the server|a model]
            [from|in|with|using] [python|Python|my python code|a python script|the openai library|the openai
            client|code|my program] / [connect|point|configure|set up|use|aim|wire] [the|my|an|] [openai|OpenAI]
            [client|library|sdk|package|python client|python library] [to it|with it|here|] / [write|send|make|do] a
            request [from|in|with] [python|Python|code] / [change|set|find] the [base url|base_url|api base] /
            [use|integrate] {name} in [my|our] [app|application|code|script|program|project] / write [code|a script|a
            program] [for|against|that uses] {name} / import openai
            """,
        things="""
            [a|the|some] [python|Python] [example|code|sample|script|client|library|demo] / the [base
            url|base_url|endpoint url|api url|api base] / [the|an] [openai|OpenAI] [client|library|sdk|package] /
            [example|sample|client] code / the three lines [of python|of code|to use it|] / [python|Python]
            [usage|support|access|code] / a code [example|sample] / the openai compatible api
            """,
        asks="""
            [which|what] [base url|base_url|url|endpoint|api base] [do i use|do i set|is it|should i set|do i need|is
            right] [in|for|with] [python|the client|openai|my code|the library|the sdk] / does it work with
            [python|the openai library|the openai sdk|langchain|the openai package|openai clients] / is there [a|]
            python [example|library|client|code] / python example / how does [python|my code|my program]
            [connect|talk|reach it] / show [me|] [the|some|] [code|python|python code|example code] / [can|could] my
            [app|code|script|program] use [it|this|{name}] / do i need to change my [code|openai code|program] / my
            [app|program|script] uses [openai|the openai library|python] / three lines [of code|of python] / code
            [example|sample] [for|in] python / call it from python / [i|we] [write|program|code|work] [in|with]
            python, [how|what] do [i|we] [call it|connect|use it|need] / what [do i|must i|should i]
            [put|write|change|type|set] in [my|the] [code|script|program|client] / [my|our|an]
            [script|app|program|code|bot|agent] [should|must|wants to|has to] [use|call|talk to|connect to|go through]
            [it|ringfence|the gateway] / [code|python|openai], how / [an|some|a few lines of|a bit of] [code|python]
            [please|to start|to copy|for that] / [the|a] [client|library|package] for [python|developers|programs] /
            which [url|address|library|package|client] [for|in|from] [python|code|my program|my script] / [does|will]
            [the|my] [openai|existing|old] [client|code|library|script|package] [work|still work|do] /
            [from|inside|within] [a python script|python|my program|code|jupyter|a notebook] / [connect|hook up|link]
            [my|a] [program|app|script|bot|agent] / how [would|does|do] [a|my] [program|script|developer]
            [call|reach|use|talk to] it / base url, what is it / api [example|usage|call] in [python|code] / what are
            the three lines
            """,
        words="""
            python / python code / openai library / base url / base_url / openai client / code example / client / sdk
            / script / three lines / from openai import / call from code / python example / in my code / program /
            openai / openai package / openai module / openai sdk / existing code / existing program / my script / my
            program / my code / jupyter / notebook / pip install openai / import / from openai / client object /
            OpenAI class / constructor / base_url= / api_key= / url for the client / address for the client / url of
            the api / api address / endpoint for code / http://127.0.0.1:7464/v1 / /v1 / chat.completions / chat
            completions / completions.create / langchain / llamaindex / sdk example / sample / samples / minimal
            example / hello world in code / developer / developers / programmer / programmers / programmatically /
            integrate / integration / integrate in my app / call / calling it / use from code / request from a script
            / library
            """,
    ),
    "port": Topic(
        "The default port is 7464. Change it with `--port` or with server.port in ringfence.yaml.",
        tasks="""
            [change|set|choose|pick|use|find|select|move|switch|configure|adjust|alter] [the|a|another|a
            different|its|my|some other|a free] port [number|] / [run|start|listen|serve|put|move] [{rf}|it|the
            server|] on [another|a different|port 8080|port 80|port 9000|some other|port 8000|a free] [port|] / make
            [{rf}|it] listen on [another port|port 8080|a different port|port 9000] / know [which|what|the] port [it
            uses|number|is used|] / [free|avoid|get round] port 7464 / bind to [another|a different|port 8080|a free]
            [port|address]
            """,
        things="""
            the [port|port number|default port|listening port|listen address|tcp port|network port|address of the
            server] / port 7464 / 7464 / --port / server.port / a port [conflict|clash|collision] / the port
            [option|setting|flag|number] / another port
            """,
        asks="""
            [which|what] port [is used|does it use|does it listen on|do you use|is it on|is open|number is it|does the
            gateway use|should i open|do i need] / what is the [default|standard|usual|right|tcp|network] port
            [number|] / where does it listen / [the|my|this|default] port is [already used|in
            use|taken|busy|blocked|occupied|already taken|not free] / port [7464|] [is already in use|is taken|is
            busy|already in use|conflict|is occupied] / address already in use / [another|some other]
            [program|process|app|server] [uses|is using|occupies|has|blocks] [this port|port 7464|7464|the port|the
            same port] / i [want|need] [another|a different] port / can it [use|listen on|run on] [another|a
            different|port 8080|port 80|a custom] [port|] / what number is the port / on which [port|address] [is
            it|does it run|can i reach it] / does it have to be 7464 / 7464 is [taken|busy|used|occupied] /
            [on|under|at] [which|what] [port|address|number|url] [is it|does it listen|can i reach it|does it run|do i
            find it] / [i|we] [want|need|prefer|would like] [port 8080|another port|a different port|port 80|it on
            8080] / [the|this|that|my] port is [already|] [taken|used|blocked|occupied|busy] [by|from]
            [something|another program|another app|apache|nginx|docker] / [port|ports], [which|what|how] [one|is it|to
            change|do i change it] / [is|was] [it|the port] [7464|8080|8000|always 7464|fixed] / what [does|is] 7464
            [mean|for|] / [use|take|try|give it] [8080|9000|another number|a free port] instead / [cannot|can't|could
            not|unable to] bind [to|] [the|] [port|address] / two [servers|programs|gateways|copies] on [one|the same]
            port / which [setting|flag|option] [changes|sets] the port / 7464, [why|what is it|can i change it|must it
            be] / my firewall [wants|needs] [to know|] the port / move [it|the gateway|the server] [to|away from|off]
            [port|] [8080|7464|another port]
            """,
        words="""
            port / default port / 7464 / change port / listen / port number / --port / port in use / server.port /
            another port / address in use / tcp / taken / already used / bind / ports / socket / listening / listens /
            bind address / address / collide / conflict / occupied / daemon / other service / other server / second
            server / same port / busy port / blocked / firewall / 8080 / 8000 / 9000 / 80 / 443 / 3000 / localhost /
            127.0.0.1 / move it to 8080 / move to another port / different number / EADDRINUSE / errno 98 / in use /
            already bound / which number / udp / what was the port / port was / where is it listening / reachable /
            reach it under / instead of 7464 / listens on
            """,
    ),
    "config": Topic(
        "Settings are in ringfence.yaml: `ringfence config init` writes it and `ringfence config check` checks it.",
        tasks="""
            [configure|set up the config of|customise|customize|adapt|tune] {rf} /
            [change|edit|find|see|set|modify|adjust|look at|open|write|alter] [the|a|my|some|]
            [settings|setting|config|configuration|config file|options|option|defaults|preferences|yaml] /
            [check|verify|test|validate|prove|lint|examine] [the|my|a|] [config|config
            file|configuration|yaml|settings|ringfence.yaml] / [write|create|make|generate|get|start] [a|the|my|an
            example|a first|a fresh|a new] [config|config file|configuration|ringfence.yaml|settings file|yaml] / know
            [if|whether] [my|the] [config|yaml|configuration|file] is [right|valid|correct|ok|good] / find [a|the]
            mistake in [the config|my yaml|ringfence.yaml]
            """,
        things="""
            the [config|configuration|settings|config file|configuration file|options|settings file|yaml file] /
            ringfence.yaml / [config|configuration|yaml] [file|syntax|check|options|init|validation|errors] / config
            [check|init] / the [place|location|path|folder|format] of [the|] [config|settings|configuration|config
            file] / settings / a [sample|default|starter] [config|configuration|yaml] / configuring {rf}
            """,
        asks="""
            where [is|are|do i find|can i find|lies|do you keep|does it keep|do i put] [the|my|its|]
            [config|settings|configuration|config file|options|yaml|preferences] / is [the|my]
            [config|configuration|file|config file] [right|valid|correct|ok|fine|broken] / which file
            [has|holds|contains] [the|my|all] [settings|options|configuration] / how is it configured / which
            [settings|options] are there / [what|which] file do i edit / unknown [key|setting] in the [config|yaml] /
            does it have a config file / can i [check|test|verify] [my|the] [config|yaml|settings] / what is in
            ringfence.yaml / i made a [mistake|typo] in [the config|my yaml|the yaml] / is there an example
            [config|configuration|yaml] / how do i know my [config|yaml] is [valid|right] / where [does|do|can]
            [it|i|one|ringfence] [keep|store|change|find|put|save] [its|the|my|all|]
            [settings|options|configuration|config] / [the|my|a] [config|configuration|settings|options|yaml],
            [where|what|how|which file] [is it|are they|do i change it|] / [is there|do i need|do i have to write|must
            i have] a [config|config file|settings file|yaml|configuration] / how [do|can] i [know|see|tell|be sure]
            [if|that|whether] [my|the] [config|yaml|settings|file] [is|are] [ok|fine|good|valid|right|correct] /
            [did|have] i [make|made|write] [a mistake|an error|something wrong] in [my|the] [yaml|config|settings] /
            [which|what] command [checks|tests|verifies|validates|writes|creates] the [config|yaml|settings] / i
            [would like|want|need] to [change|set|adjust|tune] [a setting|something|some options|a few settings|the
            defaults] / [what|which] [settings|options|keys] [exist|are possible|can i set|may i change] /
            [start|begin] with [a|an|the] [example|default|empty|sample] [config|configuration|yaml] /
            [wrong|bad|invalid|broken] [yaml|config|configuration|settings] / it [says|complains
            about|refuses|rejects] [my|the|an unknown] [config|yaml|setting|key in the yaml] / a [file|place|page]
            [with|for|that holds] [the|all|my] [settings|options]
            """,
        words="""
            config / settings / configuration / ringfence.yaml / config file / yaml / config check / config init /
            options / valid config / check yaml / where settings / preferences / setting / validate / option /
            parameter / parameters / knobs / defaults / configure / configuring / customisation / yml / .yml / file
            for settings / edit file / where is the file / location / path of the config / folder of the config /
            syntax / schema / indentation / typo / typos / correctness / correct / valid / validity / validation /
            lint / check file / check it / verify / verified / test my settings / test the file / example file /
            template / starter file / generate a config / initial config / init / stored settings / settings stored /
            unknown setting
            """,
    ),
    "reload": Topic(
        "Run `ringfence config reload`, or send SIGHUP to the running process.",
        tasks="""
            [reload|re-read|reread|refresh|apply|activate|load again|update] [the|my|a|]
            [config|configuration|settings|config file|yaml|changed config|new config|changed settings|new
            settings|changes|edits] / [apply|use|activate|load] [changes|my changes|a change|new values|config
            changes] [without a restart|without restarting|while running|live|on the fly|without stopping|without
            downtime|] / make [a|the|my] [config change|new config|change|changes|new settings|edit] [active|take
            effect|effective|count|live|work] / send [SIGHUP|sighup|a hup signal|a signal] / change [settings|the
            config] without [a restart|restarting|stopping|downtime|stopping it] / have [it|the server|ringfence]
            [read|pick up|notice|see] [the|my] [new|changed] [config|yaml|settings|file]
            """,
        things="""
            [config|configuration|hot|live] [reload|reloading|refresh] / [SIGHUP|sighup] / reloading [the config|the
            configuration|settings|] / a [hot|live] reload / config reload / [a|the] reload [command|] / applying
            [changes|new settings|edits]
            """,
        asks="""
            do i [need|have] to restart [after|when i make] [a change|changes|editing|a config change|an edit|changing
            the config] / i [changed|edited|modified|updated|altered|saved] [the|my|a]
            [config|yaml|settings|setting|configuration|file|config file|ringfence.yaml] / [is|are] [a
            restart|restarts] [needed|necessary|required] [after|for] [a change|a config change|changes|editing|new
            settings] / my [change|changes|new settings|edits|edit] [has|have] no effect / [when|how] [do|will|are]
            [changes|my changes|config changes|edits] [applied|take effect|become active|picked up|read] / does it
            [notice|see|pick up|read] [changes|config changes|my changes|edits] [by itself|automatically|] / how is
            the [config|configuration] reloaded / can it reload / which signal reloads [it|the config] / must it be
            restarted after [a change|editing] / do changes need a restart / the old settings are still [used|active]
            / [after|when|once] i [change|edit|modify|save|touch] [the|my|a] [config|yaml|settings|file|setting] [what
            then|what now|what next|do i restart|must i do something] / [is|are] [a|the] [restart|stop and start]
            [needed|required|a must|avoidable|really needed] / [it|ringfence|the server] [still|] [uses|has|shows|runs
            with] the old [config|settings|values|yaml] / [my|the|a] [new|changed]
            [config|setting|settings|yaml|value] [is|are] [not|] [used|active|loaded|ignored|seen] /
            [make|let|have|tell] [it|ringfence|the server] [re-read|read|reload|load|use|notice] [the|my|its]
            [config|yaml|settings|file|changes] [again|now|] / [change|changing|switch|update] [settings|config|the
            config|options] [without|with no] [restart|restarting|stopping|interruption|downtime] / does [it|the
            server] need to [restart|stop|start again] / [which|what] [command|signal]
            [applies|loads|reloads|refreshes|activates] [the|my|] [config|changes|settings|edits] / reload,
            [how|please|what does it do] / [new|fresh|changed] [values|settings|options] [should|must|have to]
            [work|be used|be active] [now|at once|immediately] / config [changed|edited|updated|saved], [what now|now
            what|and now|next] / is there a [hot|live] [reload|update|change] / will [my|the] [edit|change|changes] be
            [seen|noticed|used|applied]
            """,
        words="""
            reload / sighup / config reload / apply changes / without restart / hot reload / edited / changed config /
            new settings / take effect / restart needed / while running / changed the yaml / reloading / re-read /
            reread / refresh / picks up / take over / takes over / active / activate / effect / takes effect / apply /
            applied / applying / alter / adjusted / changed / modified / updated / saved the file / new values / new
            config / change in the yaml / after an edit / after editing / after a change / without stopping / without
            interruption / running process / on the fly / live change / hot / hot apply / hup / kill -hup / signal /
            restart / need a restart / restart necessary / avoid a restart
            """,
    ),
    "status": Topic(
        "Run `ringfence status --watch`: it shows live what is running.",
        tasks="""
            [see|show|check|get|view|watch|know|display|look at|follow|monitor] [the|its|live|current|]
            [status|state|activity] / [see|know|check|watch|find out|look at] what [is running|it is doing|runs|is
            loaded|is going on|happens|is active|{name} is doing] / [see|check|find out|know] [if|whether|that]
            [it|ringfence|the server|the gateway|a model|everything] is [running|alive|up|busy|working|loaded|idle] /
            [watch|follow|observe] [it|ringfence|requests|the models|the load|activity] [live|in real time|at work|] /
            [see|list|check] [running|loaded|active] [models|engines|requests|instances]
            """,
        things="""
            the [status|state|live status|current status|current state|activity] / status --watch / a
            [live|status|real time] [view|display|screen|page in the terminal] / the status [command|view|of the
            server|of the models] / [running|loaded|active] [models|engines|requests] / what is
            [running|loaded|active|going on]
            """,
        asks="""
            what is [running|it doing|loaded|going on|happening|active|up] [now|at present|currently|in there|on my
            machine|] / what are you doing / [is|are] [it|ringfence|the server|the gateway|the
            model|everything|things|the engines] [running|up|alive|busy|working|online|ok|still running|idle] / which
            [models|engines] are [running|loaded|active|up|busy|alive] / how is [it|ringfence|the server|everything]
            doing / how busy is [it|the server|the gateway|ringfence] / status / status please / current status / is
            [anything|something] [running|loaded|happening] / what's [up|happening|running|loaded|new] with [the
            server|ringfence|my models|the engines] / how many requests are [running|active|waiting] / [what|which]
            model is [loaded|active] at present / how [full|loaded] is the [queue|server] / [what|which]
            [models|engines|things] are [running|up|loaded|on|active] / is [my|the|any|a]
            [model|engine|server|gateway|instance] [up|running|loaded|ready|there|on|online|working] / [i|we]
            [want|need|would like] to [see|watch|know|follow] [what|how] [is happening|it is doing|runs|it does|things
            are] / [how|what] is [it|the server|everything|the gateway|the state] [doing|like|now|] / [a|the]
            [quick|short|live|current] [look|glance|overview|summary] [at|of] [what runs|the running models|the
            server|the state|everything] / [did|has] [it|the model|the engine|everything] [start|started|come
            up|loaded] / [which|what] command [shows|prints|tells] [what is running|the status|the state|activity] /
            [watch|follow|see] [it|things|requests|the queue|traffic] [live|as it happens|in real time|scroll by] / is
            [it|somebody|anyone] using [it|the model|the server] [now|] / how many [models|engines|requests|users]
            [are|] [running|active|there|online|waiting] / status, [how|where|please|of what] / [show|tell] me [the
            state|what is up|what runs|what is loaded|how things are] / everything [ok|fine|up|running|alright]
            [there|with it|] / what [does|is] the [server|gateway] [do|doing|up to] [now|these days|]
            """,
        words="""
            status / live / state / running / what is running / status watch / loaded models / activity / live view /
            right now / doing / watch / up and running / up / online / uptime / works / working / idle / load / loaded
            / active engines / engines up / models up / models loaded / healthy engines / health / overview of what
            runs / present state / state now / currently / just now / this moment / happening / watch live / look live
            / live screen / live table / real time / top / htop / like top / monitor in the terminal / see it running
            / queue length / queue / requests in flight / in flight / progress / is everything up
            / what does it do now / --watch / look inside
            """,
    ),
    "console": Topic(
        "Open the console_url that `ringfence up` prints: that is the console in your browser.",
        tasks="""
            [open|see|use|find|reach|visit|get to|show|launch|view|access|load] [the|a|its|your|] [console|web
            console|web page|web interface|dashboard|browser console|gui|web ui|UI|graphical interface|admin
            page|admin panel|website|control panel|user interface] / [use|open|see|control|view|manage|reach]
            [it|ringfence|everything] in [a|the|my] [browser|web browser|chrome|firefox|window] / open [it|ringfence]
            in [chrome|firefox|safari|a browser] / find the [console_url|console url|console address|console link|url
            of the console] / click instead of type
            """,
        things="""
            the [console|web console|dashboard|web interface|web ui|gui|browser console|admin page|admin panel|user
            interface|website|control panel] / a [gui|web page|graphical interface|dashboard|web ui|web
            frontend|browser view|panel] / console_url / the [url|address|link] [of|for|to] the [console|dashboard|web
            page|web ui|gui] / the page in [the|my] browser / a page with [buttons|charts|graphs]
            """,
        asks="""
            where is the [console|dashboard|web page|gui|web interface|ui|admin page|website] / does it have a
            [gui|web ui|dashboard|web interface|console|graphical interface|user interface|frontend|website] /
            [what|which] [url|address|link|page] [is|has] the [console|dashboard|web page|gui] [at|] / is there [a
            gui|any gui|something to click|a dashboard|a console|some web page|a browser interface|a graphical
            interface|a website] / can i [see|use|control] it in [a|the|my] browser / how do i get a
            [graphical|visual|web] [view|interface|page] / i [prefer|want|like|need] [a gui|the browser|to click|a web
            page|a dashboard|buttons] / what url do i open / which [address|url|page] do i type in [the|my] browser /
            is there anything to look at in the browser / what does console_url mean / i closed the browser tab, where
            was it / i do not like the command line / [is there|do you have|does it have|have you got] [a|any|some]
            [page|view|screen|site|app] [i can|to] [open|click|look at|see|use] / [where|how] [is|do i open|do i
            see|do i reach|can i open] [the|a|your] [gui|ui|console|dashboard|web page|panel|web interface] / i [do
            not|don't] [like|want|use] [terminals|the terminal|commands|typing commands|the command line] / [my|the]
            browser, [what|which] [address|url|link|page] / [something|anything] [graphical|visual|with buttons|with a
            mouse|to click on|in the browser] / [the|a] [link|url|address] [to|for|of] the [console|ui|web
            page|gui|dashboard], [where|what|please] / open [the|a] [page|console|ui|site|gui] in
            [chrome|safari|edge|my browser|a tab] / [which|what] [page|url|site|address] [do i|should i|must i]
            [visit|open|type|go to|enter] / [lost|closed|forgot|missed] the [link|url|address|tab|page] /
            [show|see|view] [costs|models|usage|everything|requests] in [a|the] [browser|web page|dashboard|gui] / the
            console, [where|what|how] [is it|do i open it|] / [can|could] i [manage|control|see|use]
            [it|everything|ringfence] [with the mouse|from a browser|on a web page|graphically]
            """,
        words="""
            console / browser / web ui / dashboard / gui / web page / console_url / web interface / ui / admin page /
            website / chrome / frontend / page / panel / graphical / safari / edge / tab / web / webpage / web site /
            html / link / url of the page / url to open / page to open / address of the page / graphic / front end /
            visual / visually / mouse / click / clicking / clickable / buttons / button / screen / admin / admin ui /
            portal / cockpit / user interface / interface / dashboards / charts page / login page / console url /
            console link / console address / web panel / view in browser / see in browser / look in the browser / not
            the terminal / prefer a gui / no command line please
            """,
    ),
    "engines": Topic(
        "Ringfence starts llama.cpp itself, and adopts Ollama, vLLM and LM Studio when they run on this machine.",
        tasks="""
            [use|connect|add|adopt|attach|combine|keep using|integrate|link|find] [my|an|the|a running|existing|my
            existing|] [ollama|Ollama|vllm|vLLM|lm studio|LM Studio|llama.cpp|llama cpp|llama-server] /
            [use|connect|add|run|choose|support|try|pick|switch] [an|another|other|my own|a different|more|several|a
            second] [engine|engines|inference engine|inference server|inference servers] / [work|run|go] together with
            [ollama|vllm|lm studio|llama.cpp] / [use|run] {rf} [with|next to|on top of|together with|beside|before]
            [ollama|Ollama|vllm|vLLM|lm studio|LM Studio|llama.cpp] / [use|serve|see] [my|the] [ollama|vllm|lm studio]
            models
            """,
        things="""
            [ollama|Ollama|vllm|vLLM|lm studio|LM Studio|llama.cpp|llama cpp|llama-server] [support|integration|] /
            the [engines|engine|supported engines|inference engines|inference engine|inference software] /
            [supported|other|inference|local] [engines|inference software|model servers|servers] / [ollama|vllm|lm
            studio] [and|or] [llama.cpp|vllm|ollama|lm studio] / the engine behind [it|ringfence] / engine
            [support|detection|adoption|list]
            """,
        asks="""
            [which|what] [engines|engine|inference engines|model servers|inference software] [are|is|does it|do
            you|can it|can i] [supported|support|use|used|run|work with|there|known] / does it
            [work|run|speak|talk|get along|go] with [ollama|Ollama|vllm|vLLM|lm studio|LM Studio|llama.cpp] / does it
            [support|use|find|adopt|see|detect|know|include|start|need] [ollama|Ollama|vllm|vLLM|lm studio|LM
            Studio|llama.cpp|llama cpp] / [i have|i run|i use|we use|we run|i already have|there is]
            [ollama|Ollama|vllm|vLLM|lm studio|LM Studio|llama.cpp|an ollama server|a vllm server] [running|already|on
            this machine|installed|here|] / is [ollama|vllm|lm studio|llama.cpp]
            [supported|needed|found|used|compatible|required|ok] / do i need [ollama|vllm|lm studio|llama.cpp] / what
            runs the [model|models] / what software [runs|serves] the models / which backend [do you use|is used] /
            will it find my [ollama|vllm|lm studio] / can it [adopt|use|find] a running [ollama|vllm|engine|server] /
            must i stop ollama / [ollama|vllm] or [llama.cpp|ollama] which one / [i|we]
            [already|still|currently|also|] [have|use|run|like|love] [ollama|vllm|lm studio|llama.cpp],
            [does|will|can|is] [it|that|this] [work|fine|be found|be used|ok|a problem] / [ollama|Ollama|vllm|vLLM|lm
            studio|LM Studio|llama.cpp], [does|is|can] [it|that] [work|supported|be used|run] / [must|should|do] i
            [stop|remove|uninstall|keep|replace|give up] [ollama|vllm|lm studio|llama.cpp|my engine] / [what|which]
            [engine|software|server|program] [runs|serves|drives|powers|executes|loads] [the|my|your]
            [models|model|weights] / [which|what] [servers|engines|backends|runtimes] [can i|do you|does it|will it]
            [use|support|find|start|handle|know|attach] / [does|will|can] [it|ringfence] [see|find|notice|use|take
            over|pick up] [my|a|the|other] [running|local|existing|] [ollama|vllm|engine|engines|model server|lm
            studio] / is [it|ringfence] [like|the same as|built on|based on|a replacement for]
            [ollama|llama.cpp|vllm|lm studio] / how [does it|do i|is it] [work|connect|combined|use it] with
            [ollama|vllm|lm studio|llama.cpp] / my [models|weights] [are|live|lie] in [ollama|lm studio|vllm] /
            [supported|possible|known|available] [engines|inference servers|backends|servers], [please|which|what] /
            [what|who] does the [inference|computing|actual work]
            """,
        words="""
            engines / engine / ollama / vllm / lm studio / llama.cpp / inference server / supported engines / which
            engines / ollama running / backend / my ollama / existing ollama / adopt / inference / supported / Ollama
            / vLLM / lmstudio / llamacpp / llama-server / llama-cpp / sglang / tgi / exllama / koboldcpp / localai /
            mlx / tensorrt / triton / jan / gpt4all / ramalama / inference engine / inference engines / inference
            servers / inference software / model server / model servers / serving software / serving engine / serving
            engines / backends / runtime / runtimes / existing server / running server / already running / already
            have / already installed / discover / discovered / detect / detected / find / found / adopted / adoption /
            pick up my ollama / together with / side by side / alongside / compatible / compatibility / works with /
            supports / known engines / port 11434
            """,
    ),
    "gpu": Topic(
        "No GPU is needed: the demo model runs on the CPU. A GPU helps with larger models.",
        tasks="""
            [run|use|try|start|install] {rf} without [a|any] [gpu|GPU|graphics card|nvidia card|cuda|video card] /
            [run|use|start|try] [it|ringfence|the demo] on [a|my|the|an old|] [cpu|CPU|laptop|old
            laptop|processor|raspberry pi|weak machine|cheap pc] / [have|buy|own|get|use|install] a [gpu|GPU|graphics
            card|nvidia gpu|video card|big card] / [do|work|go on|manage] without [a gpu|cuda|a graphics card|nvidia]
            """,
        things="""
            the [hardware|gpu|GPU|cuda|cpu] [requirements|requirement|needs] / [a|the|any] [gpu|GPU|graphics
            card|video card|nvidia card] / [cuda|nvidia|amd|rocm|metal] / [gpu|GPU|cpu|CPU|cuda]
            [support|use|mode|only] / the [required|needed|minimum] hardware / a machine without [a gpu|a graphics
            card] / hardware
            """,
        asks="""
            do i need [a|an|any] [gpu|GPU|graphics card|nvidia card|nvidia gpu|video card|special hardware|expensive
            card|strong computer] / is [a|an] [gpu|GPU|graphics card|nvidia gpu|video card]
            [needed|required|necessary|a must|mandatory|important] / does it [need|require|use|want] [a|my|an|]
            [gpu|GPU|graphics card|cuda|nvidia|video card] / [i have|we have|there is|my machine has|my computer has]
            no [gpu|GPU|graphics card|nvidia card|video card|cuda] / does it [run|work|go] [on|without] [a cpu|cpu|a
            gpu|a laptop|a graphics card|my old laptop|the cpu alone|cuda] / can it [run|work] [on|without] [a cpu|cpu
            alone|a gpu|any gpu|an old laptop|weak hardware|just a processor|the processor] / [what|which]
            [hardware|gpu|graphics card|computer|machine] [do i need|is needed|is required|does it need|is enough] /
            without gpu / is a [cpu|laptop|normal computer|small machine] enough / my
            [computer|laptop|machine|pc|server] is [old|weak|slow|small] will it [run|work] / cpu or gpu / is cuda
            [needed|required] / what if i have no gpu / [my|our|the|this] [laptop|computer|pc|server|machine|mac|box]
            [has|have|comes with|got] [only|just] [a cpu|8 gb|an old processor|integrated graphics|no card|a weak cpu]
            / [i|we] [do not|don't] [have|own|possess] [a|any] [gpu|graphics card|nvidia card|good hardware|strong
            machine] / [is|are] [a|the] [gpu|graphics card|card|cpu] [needed|enough|required|a
            must|necessary|optional] / [will|does|can|would] [it|ringfence|this|the demo] [run|work|start|be ok|do]
            [on|with|without] [my laptop|only a cpu|a gpu|an old pc|no gpu|weak hardware|a small server|just the
            processor] / [what|which|how much] [hardware|gpu|vram|memory|ram|machine] [is|do i|does it]
            [need|needed|required|necessary|enough] / gpu, [needed|do i need one|is it needed|yes or no] /
            [must|should|do|shall] i [buy|get|rent|have|own] [a|an|some] [gpu|graphics card|nvidia card|better
            machine|card] / [no|without|lacking|missing] [gpu|graphics card|cuda|nvidia], [does it work|is that
            ok|what then|possible] / [can|could] [a|my|an] [cpu|processor|old laptop|raspberry pi|cheap server|normal
            pc] [run|do|handle|manage] [it|this|that] / only [a|one|my] [cpu|processor] [here|available|in this
            machine]
            """,
        words="""
            gpu / GPU / no gpu / graphics card / cpu / cuda / nvidia / hardware / laptop without gpu / need gpu / cpu
            only / old laptop / video card / processor / on cpu / graphics / card / cards / amd / intel arc / radeon /
            geforce / rtx / 4090 / 3090 / h100 / apple silicon / m1 / m2 / rocm / vulkan / vram / video memory /
            processors / normal processor / cpus / ram / laptop / notebook / weak pc / old pc / cheap pc / cheap
            server / vps / mini pc / raspberry pi / office computer / home computer / machine requirements / system
            requirements / minimum / minimal hardware / strong enough / fast enough / powerful / sufficient / enough /
            buy a card / purchase / expensive hardware / special hardware / accelerator / without accelerator / no
            cuda
            """,
    ),
    "doctor": Topic(
        "Run `ringfence doctor`: it says what is missing and how to mend it.",
        tasks="""
            [find|fix|solve|repair|mend|diagnose|debug|troubleshoot|search|locate|cure] [a|the|an|my|this|]
            [problem|problems|fault|error|errors|bug|issue|failure|mistake|trouble] /
            [fix|repair|mend|heal|troubleshoot|diagnose|debug] [it|ringfence|my setup|my installation|the
            installation|a broken setup] / [see|find out|know|learn|check] [what is wrong|what is broken|what is
            missing|why it fails|what went wrong|why it does not work|why it crashed|the cause of an error] / [get|ask
            for] help when [it fails|something breaks|nothing goes] / check [my|the] [setup|installation|system]
            """,
        things="""
            the doctor / ringfence doctor / the doctor command /
            [troubleshooting|diagnosis|diagnostics|debugging|repair] / [a|an|the|this]
            [error|problem|failure|fault|crash|strange error|bug|error message] / something [wrong|broken|missing] / a
            [health|self|system] check / a broken [setup|installation|server]
            """,
        asks="""
            [it|ringfence|the server|the gateway|this|the program] [does not|doesn't|doesnt|will
            not|cannot|can't|refuses to|fails to] [work|start|run|answer|respond|come up|load|boot] /
            [something|there|it|this|everything] is [wrong|broken|an error|a problem|not
            working|failing|dead|bad|down] / [i get|i see|there is|it shows|it gives] [an error|a strange
            error|errors|error messages|a failure|a crash] / why [does|is] [it|ringfence|the server|this] [not
            work|not start|fail|not working|broken|crash|failing|dead|not answering] / [it|ringfence|the server|the
            engine|a model] [crashed|crashes|failed|fails|hangs|died|stopped working|keeps crashing|is stuck|broke] /
            [what|something] [went wrong|is wrong|is broken|is missing|failed|goes wrong] / [help|please help] [it is
            broken|it fails|something is wrong|it crashed] / how do i find [the problem|the error|the cause|what is
            missing] / i have [a problem|an error|problems|trouble|an issue] / where do i look when [it
            fails|something is wrong] / is my [setup|installation] [ok|complete|right|broken] / is anything missing /
            troubleshooting / it worked yesterday and now it fails / what to do when it fails / i am stuck / nothing
            happens / the start fails / not working / [it|ringfence|the server|the gateway|something|everything]
            [just|suddenly|always|] [crashes|dies|fails|stops|hangs|quits|freezes|breaks] / [there is|i have|i got|it
            shows|it prints|i see] [a|an|some] [error|strange error|problem|red text|ugly error|long
            error|failure|warning] / [it|ringfence|the server] [does not|doesn't|will not|never|refuses to]
            [start|come up|work|run|answer|react|respond|launch] [any more|at all|] / [what|how] [do i|can i|to|should
            i] do when [it|something|everything|the server] [fails|breaks|is broken|crashes|hangs|goes wrong] /
            [why|how come] [is|does|did] it [fail|failing|broken|crash|not working|dead] / [find|search|tell me|show
            me] [the|my] [fault|mistake|problem|cause|error|what is wrong|what is missing] / [can|could|will]
            [you|someone|anybody|it] [help|fix|check|repair] [me|it|my setup|my installation|this|the problem] /
            [is|was] [something|anything] [wrong|missing|broken|not right] [with|in|on] [my|the]
            [setup|machine|installation|system] / [error|problem|failure|crash|trouble], [help|what now|what do i
            do|please help] / [after|since] [the|an|my] [update|install|start|reboot] [it fails|nothing goes|it is
            broken|it crashes] / [check|test|examine|inspect] [my|the] [machine|system|installation|setup|environment]
            [for problems|for errors|]
            """,
        words="""
            doctor / error / problem / wrong / broken / does not start / fails / crash / fix / troubleshoot / fault /
            not working / missing / debug / failed / won't work / diagnose / stuck / trouble / help / aborted /
            aborting / crashes / crashed / exception / traceback / stack trace / stacktrace / error message / strange
            message / weird error / message i do not understand / fail / failure / failing / faults / faulty / bug /
            bugs / buggy / defect / glitch / hang / hangs / hanging / freeze / frozen / dead / down / not responding /
            no response / no answer / unresponsive / does nothing / nothing goes / doesn't work / doesnt work / won't
            run / refuses to start / startup / startup fails / cannot start / can't start / broke / broken setup / out
            of order / what's wrong / something wrong / missing piece / missing dependency / diagnosis / diagnostics /
            repair / heal / mend / cure / rescue / save me / i am lost / desperate / issue
            """,
    ),
    "explain": Topic(
        "Run `ringfence explain`: it shows why a request went where it went, and which targets were excluded.",
        tasks="""
            [see|know|find out|understand|learn|trace|check|ask|show] why [a|my|the|this|that|one|my last] {request}
            [went|was sent|was routed|goes|is sent|got sent|was passed] [there|to that model|to this engine|to a
            model|where it went|to the wrong model|to the cloud|somewhere else|to another target|] /
            [see|understand|explain|trace|inspect|check|show|follow|review] [a|the|my|this|each|its|one|]
            [routing|decision|decisions|routing decision|route|choice of target|choice of model] / [see|know|find out]
            [which|what] [model|target|engine|place] [answered|was chosen|was used|was picked|handled|served|got]
            [my|the|a|this] [{request}|] / [see|know] [which|why] targets were [excluded|skipped|refused|left
            out|passed over] / use ringfence explain
            """,
        things="""
            [a|the|its] [decision|decisions|routing decision|routing|route] / ringfence explain / the explain command
            / the [reason|reasons|cause] [for|of|behind] [a|the|its|this|that]
            [decision|routing|choice|route|target|refusal] / routing / excluded targets / the [choice|selection] of
            [a|the] [target|model|engine] / the chosen [target|model|chain] / how a target is [chosen|picked|selected]
            """,
        asks="""
            why did [my|the|a|this|that|it] {request} [go|go there|go to that model|land there|go to the cloud|travel
            there|reach that model] / why was [my|the|this|that|a] {request} [sent|routed|sent there|routed
            there|refused|sent away|sent to the cloud|given to that model|not sent to my gpu] / why [did|does] it
            [choose|pick|use|take|select|prefer] [this|that|the wrong|another|a different|the small]
            [model|target|engine] / [which|what] [model|target|engine] [answered|was chosen|was
            used|took|got|handled|did] [my|the|this|that] {request} / where did [my|the|this|that|it] {request} go /
            how [does|did] it [decide|choose|route|pick] [where a request goes|the model|a target|the target|a model|]
            / why [this|that] [model|target|engine|route] / why not [my gpu|the other model|another model|the bigger
            model] / how is [a target|the model|a model|the route] [chosen|picked|selected|decided] / who decided
            [that|this|where it went] / explain [this|that|the last|a|my last] [decision|{request}|route|choice] / why
            there / why did it end with [this|another] [model|target] / which target was [picked|chosen|used] and why
            / [why|how come|for what reason] [did|was|has] [my|the|this|that|a] {request} [go|sent|routed|gone|get
            routed|passed|given] [to|] [the cloud|that engine|this model|another model|the small model|that
            target|there] / [which|what] [model|engine|machine|target] [did|has|was|took|got|answered|handled|served]
            [it|my {request}|that {request}|this one|the last one] / [what|which] [rule|reason|logic|thing]
            [decided|chose|picked|made it choose|sent it there|is behind that] / [i|we] [expected|wanted|thought
            of|asked for] [another|a different|the big|my own] [model|engine|target] / [how|why] [does it|did it|do
            you|is it] [pick|choose|select|decide|decided] [on|] [a|the|this|that|which]
            [model|target|engine|route|place] / [the|a|that|this|my] [decision|route|routing|choice],
            [why|how|explain|can i see it|what was it] / [show|give|tell] me [the|why|]
            [reason|reasons|explanation|decision] [for|behind|of] [the|that|this|a]
            [choice|route|target|routing|{request}] / [can|could|may] i [see|know|learn|trace|follow] [why|how|where]
            [it|a {request}|my {request}] [went|was routed|was decided|travelled] / [why|who] [not|said not] [use|to
            use|take] [my|the] [gpu|other model|local model|big model] / [targets|models|engines] [were|that were]
            [excluded|skipped|left out|refused], [why|which]
            """,
        words="""
            explain / decision / routing / why that model / why there / which model answered / reason / route / chosen
            target / went there / excluded / why chosen / why did / why / reasons / rationale / justification /
            grounds / cause / decided / decide / decides / choose / chose / chosen / choice / pick / picks / select /
            selected / selection / routed / routes / rerouted / redirected / dispatched / forwarded to / landed /
            landed there / went / goes / target / targets / chain / skipped / passed over / rejected target / refused
            target / which engine got it / which model got it / who answered / who served / handled by / taken by /
            that one and not another / not the other one / wrong model / different model / unexpected model / strange
            choice / my prompt went / my request went / my question went / trace / trace of a request / history of a
            request / path of a request / journey
            """,
    ),
    "chat": Topic(
        "Run `ringfence chat` to chat in the terminal.",
        tasks="""
            [chat|talk|speak|converse|have a chat|have a conversation] [in|from|on|inside|through|within] [the|a|my|]
            [terminal|command line|shell|console window|cli|bash|prompt] / [start|open|begin|have|get|launch]
            [a|an|the] [chat|terminal chat|chat session|conversation|chat prompt|interactive chat|interactive session]
            / [chat|talk|speak] [to|with] [a|the|my|this] [model|llm|engine|assistant] / [ask|type|write] [a
            question|questions|messages|something] [in|from|at|on] the [terminal|command line|shell] / [test|try] a
            model by [hand|chatting|talking to it] [in the terminal|] / use the chat command
            """,
        things="""
            [ringfence chat|the chat command|terminal chat|a chat in the terminal|a terminal chat|chatting] / the
            [chat|interactive chat|chat session|chat mode|repl] / a [chat|conversation|repl|chat prompt] in [the|my]
            [terminal|shell|command line] / [terminal|command line|shell|cli] chat / talking to a model
            """,
        asks="""
            is there a [chat|chat command|terminal chat|cli chat|repl|chat mode] / can i [chat|talk|speak|write]
            [to|with] [it|the model|a model|you|my model] [in|from|on] [the|a] [terminal|command line|shell|cli] /
            where can i [chat|talk to the model|talk to a model|type my questions] / does it [have|offer|include] [a
            chat|a terminal chat|an interactive mode|chat] / chat / [let's|let us|i want to] chat / [how|where] do i
            chat / [interactive|command line] [mode|chat] / i [want|would like|like] to [chat|talk to a model|talk
            with it|speak to the model] / chat without [a browser|code|python] / is there an interactive
            [mode|session|shell|prompt] / talk from the terminal / a quick chat with the model / [i|we]
            [just|only|simply|] [want|would like|wish] to [chat|talk|speak|converse|have a chat] [a bit|with it|with a
            model|in the terminal|] / [can|could|may] i [type|ask|write|enter] [questions|messages|something|text]
            [in|into|on] [the|a|my] [terminal|shell|command line|console] / [a|some|any]
            [chat|conversation|talk|dialogue] [in|from|on] [the|my|a] [terminal|shell|command line|bash|ssh session] /
            [which|what] command [starts|opens|begins] [a|the] [chat|conversation|talk] / chat, [how|where|is there
            one|please] / [talk|speak|chat] [to|with] [it|you|the model|my model] [directly|here|now|in the shell|in
            my terminal] / [no|without] [browser|code|client|python|app], [just|only] [the terminal|chat|a
            shell|talking] / [test|try|check] [the|my|a] [model|llm] [by hand|interactively|by asking it
            something|quickly in the shell] / [something|anything] like [chatgpt|a chat window|a chat prompt] in
            [the|my] [terminal|shell|command line] / [interactive|direct|live] [chat|talk|conversation|session]
            [with|] [a|the|] [model|llm|] / ask [the|my|a] model [a question|something] from [bash|the terminal|the
            shell|the command line]
            """,
        words="""
            chat / terminal / terminal chat / chat command / talk to model / command line / shell / interactive /
            conversation / ringfence chat / cli / talk / converse / bash / chatting / chatter / talking / talk with /
            speak / speaking / dialog / dialogue / discuss / terminal window / commandline / command prompt / prompt
            in the terminal / zsh / tty / ssh session / repl / interactively / interactive mode / type to the model /
            type questions / ask from the shell / ask in the terminal / straight in the terminal / right in the
            terminal / inside the terminal / without a browser / without code / test talk / small talk / try the model
            by hand / play with the model / say something to the model / have a conversation / speak to it
            """,
    ),
    "stream": Topic(
        "Set `stream: true` in the request; tokens then arrive one by one as server-sent events.",
        tasks="""
            stream / stream [tokens|answers|the answer|an answer|output|the output|a reply|responses|words|text] /
            [use|turn on|enable|get|switch on|activate|have|set|do|receive] [streaming|a stream|streamed
            answers|streamed output|stream mode|server-sent events|SSE] / [see|get|receive|show|read|print]
            [the|an|each|every|] [answer|tokens|token|words|text|output|word|reply] [while it is written|one by one|as
            they come|bit by bit|piece by piece|at once|word by word|token by token|as it comes|immediately|live|in
            pieces] / [not wait|stop waiting|avoid waiting] for the [whole|full|complete] [answer|reply|response] /
            get [partial|early|first] [output|tokens|answers|results]
            """,
        things="""
            [streaming|stream mode|streams|a stream|the stream option|stream: true|streamed output] / [server-sent
            events|SSE|sse|token streaming] / [streaming|stream|sse] [support|answers|responses|mode|api] /
            [partial|incremental] [answers|output|tokens|responses|results] / a streamed [answer|reply|response] / the
            stream [field|parameter|flag|setting]
            """,
        asks="""
            does it [stream|support streaming|support sse|do streaming|have streaming|send a stream|allow streaming] /
            is [streaming|sse|token streaming] [supported|possible|available|on|enabled] / [can|could|will]
            [it|you|the server|the api] [stream|send tokens one by one|send the answer in pieces|send words as they
            come] / the [answer|text|reply|output] [comes|arrives|appears|shows up] [all at once|only at the end|in
            one piece|too late|as one block] / i [want|need|like] [to stream|streaming|to see each word|a stream|live
            output|the tokens as they come] / how does streaming work / what about [streaming|sse|partial answers] /
            stream or not / why [do|must] i wait for the [whole|full] [answer|reply] / are
            [tokens|answers|replies|words] [streamed|sent one by one|sent in pieces] / what does stream true do /
            words appear one after the other / how do tokens arrive / text should appear while it is
            [generated|produced|written|made] / [i|we] [want|would like|need|prefer] [the|]
            [answer|text|tokens|words|reply|output] [to appear|appearing|to come|coming|shown] [live|slowly|one by
            one|as it is made|word by word|immediately] / [can|could|does|will] [the|an|my]
            [answer|reply|text|output|response] [appear|come|arrive|be sent|show] [bit by bit|word by word|in
            pieces|live|as it is written|gradually|at once] / [why|must|do] [do|] i [have to|] wait [so long|until the
            end|for everything|for the full text] / [stream|streaming|sse|SSE], [how|is it
            there|supported|possible|what about it] / [turn|switch] [streaming|the stream|it] [on|off] /
            [see|watch|follow] [the|] [tokens|words|text|answer] [come in|arrive|appear|being written|grow] / [like|as
            in|same as] chatgpt, [word by word|typing|letter by letter|live] / [which|what]
            [field|option|flag|parameter|setting] [streams|makes it stream|turns on streaming|is for streaming] /
            [does|do|is|are] [it|the api|you|answers|tokens] [support|do|offer|streamed|stream|have]
            [streams|streaming|sse|live output|] / [one|a] token at a time / [get|receive|read|consume] [server-sent
            events|an event stream|chunks|deltas] / the answer [should|must|has to] [come|arrive|appear] [faster|in
            chunks|sooner|as a stream]
            """,
        words="""
            stream / streaming / stream true / tokens one by one / sse / server-sent events / word by word / partial
            answer / as it is generated / live tokens / stream tokens / while generated / appear / streams / streamed
            / streamer / server sent / event stream / event-stream / text/event-stream / chunk / chunks / chunked /
            delta / deltas / word for word / letter by letter / piecewise / bit by bit / gradually / incremental /
            incrementally / progressive / progressively / immediately / live text / live reply / live output / as they
            come / as it comes / as soon as / while it writes / while it is writing / while generating / during
            generation / being generated / generated text / partial reply / partial text / partial output / first
            words / typing effect / like chatgpt does / typewriter / replies in pieces / answer in pieces / not all at
            once / all at once / wait for the end / waiting for the whole reply / output flag
            """,
    ),
    "metrics": Topic(
        "Point Prometheus at /metrics; Grafana can then draw it.",
        tasks="""
            [get|see|read|collect|scrape|export|find|have|use|record|fetch] [the|its|]
            [metrics|statistics|stats|measurements|counters|prometheus metrics|usage numbers|performance figures] /
            [use|connect|add|attach|set up|point|link|configure] [prometheus|Prometheus|grafana|Grafana|my
            monitoring|a monitoring system|our monitoring] / monitor [it|ringfence|the gateway|requests|latency|the
            server|everything] [with prometheus|with grafana|] / [measure|graph|plot|chart|count|track]
            [latency|requests|tokens|errors|throughput|request rates|usage] / [make|build|draw|have] [a|]
            [grafana|Grafana] [dashboard|dashboards|charts|graphs|panel]
            """,
        things="""
            [the|] [metrics|statistics|stats|prometheus metrics|counters|measurements] /
            [prometheus|Prometheus|grafana|Grafana] [support|integration|metrics|setup|scraping|] / the
            [metrics|/metrics|scrape] [endpoint|url|page|path|address|target] / /metrics / monitoring [data|] /
            [request|token|latency|error|performance] [metrics|counts|statistics|numbers] / the monitoring
            """,
        asks="""
            does it [have|export|offer|support|expose|give] [metrics|prometheus
            metrics|statistics|prometheus|grafana|counters] / [where|what] [are|is] the [metrics|metrics url|metrics
            endpoint|statistics|prometheus url|scrape target|counters] / which [url|path|address|endpoint] [does
            prometheus|do i|should prometheus] [scrape|read|use|need] / is there a
            [prometheus|metrics|monitoring|grafana] [endpoint|page|exporter|integration|url|target] / [can|how does]
            [prometheus|grafana] [scrape it|read it|see it|get the numbers|connect|be used] / we [use|have|run]
            [prometheus|grafana|a monitoring system] / how [many|] [requests|tokens] [were|are]
            [served|counted|measured] / how do i measure [latency|speed|requests|load] / how can i graph
            [requests|usage|latency] / what can be [measured|scraped|monitored|graphed] / what numbers [do you|does
            it] export / i want [graphs|charts|statistics|numbers for grafana] / [can|could|does|how does|how can]
            [prometheus|grafana|my monitoring|datadog|our dashboard] [see|read|get|collect|watch|know about] [it|the
            numbers|ringfence|its load|requests] / [i|we] [want|need|would like|have]
            [graphs|charts|numbers|statistics|metrics|a dashboard in grafana|alerts] [for|of|about|on]
            [it|requests|tokens|latency|usage|] / [what|which] [numbers|metrics|figures|statistics|counters] [are
            there|does it have|do you have|can i get|exist|does it export] / [where|how] [do i|can i|to|are]
            [find|get|see|read|collect|scrape] [metrics|the numbers|statistics|measurements|the metrics] /
            [metrics|prometheus|grafana|monitoring], [how|where|which url|is it there|supported] / [which|what]
            [url|path|endpoint|target] [for|in|goes into] [prometheus|prometheus.yml|the scrape
            config|grafana|monitoring] / [how|what] [fast|slow|busy|many errors] [is it|are there|was it] [over
            time|last week|on average|per hour] / [add|put] [it|ringfence] [to|in|into] [prometheus|grafana|our
            monitoring|my dashboards|the scrape config] / [requests|tokens|errors|latency] [per|by|for each]
            [second|model|hour|key|minute] / [is|are] there [an exporter|prometheus metrics|numbers to graph|a metrics
            page|metrics]
            """,
        words="""
            metrics / prometheus / grafana / /metrics / statistics / scrape / monitoring / metrics endpoint /
            prometheus url / latency numbers / counters / exporter / graphs / Prometheus / Grafana / monitor / measure
            / metric / statistic / stats / numbers / figures / measurement / measurements / measured / telemetry /
            observability / observe / monitoring system / prom / scrapes / scraping / scraper / scrape config /
            datadog / influx / victoria metrics / alertmanager / alerts / time series / counter / gauge / histogram /
            histograms / percentiles / p99 / latency / latencies / throughput / tokens per second / requests per
            second / request rate / error rate / usage statistics / performance numbers / performance data /
            performance / plot / plots / plotted / graph / charts / curves / endpoint for numbers / numbers endpoint
            """,
    ),
    "stop": Topic(
        "Press Ctrl-C where `ringfence up` runs: that ends everything it started.",
        tasks="""
            [stop|end|quit|exit|close|shut down|kill|terminate|halt|turn off|switch off|finish|leave] {rf} /
            [stop|end|quit|close|shut down|kill|terminate|turn off|switch off|halt] [everything|all of it|all|the
            server|the gateway|all engines|the engines|the whole program|all processes|it all] /
            [turn|shut|switch|close|power] [it|ringfence|everything|the server|all|the gateway] [off|down] /
            [stop|end|leave|exit|quit] [it|the program|the process|the server] [cleanly|properly|safely|again|for
            today|now] / make [it|ringfence] [stop|end|quit|go away|shut down]
            """,
        things="""
            [stopping|ending|quitting|the end of|closing|shutting down] {rf} / [ctrl-c|Ctrl-C|ctrl c|control c] /
            [a|the] [clean|proper|safe] [stop|exit|shutdown|end] / the [stop|exit|quit|shutdown|off]
            [command|switch|button|key] / shutdown / shutting [down|everything down|it down]
            """,
        asks="""
            how is {rf} [stopped|ended|closed|shut down|terminated] / what [stops|ends|closes|kills]
            [it|ringfence|everything|the server|the engines|all of it] / does ctrl-c [stop|end|kill|close]
            [it|everything|the engines|all] / i [am done|am finished|want to quit|want it to stop|want to stop|want to
            go home] [how do i end it|how to close it|] / what [if|happens when] i press ctrl-c / do engines
            [stop|end|keep running|die] [too|as well|when i stop it|] / stop / quit / exit / shut down / stop it /
            kill it / is there a stop command / how to [exit|quit|leave|stop] / it [keeps|is still] running, how do i
            [stop|end|kill] it / how can i end the program / everything should stop / [how|where]
            [do|can|would|should] [i|one|we] [stop|end|kill|quit|exit|close|leave] [it|this|the
            thing|ringfence|everything|that] [again|now|please|] / [i|we] [am finished|am done|are done|have
            enough|want to leave|need to go|no longer need it], [close it|stop it|shut it down|how do i quit|end it] /
            [please|] [stop|end|quit|kill|close] [it|this|everything|ringfence|the server|now|all] / [which|what]
            [key|command|button|keys] [stops|ends|kills|closes|quits] [it|ringfence|everything|the server] /
            [it|ringfence|the server] [should|must|has to|needs to] [stop|end|quit|go down|be closed|be off] / stop,
            [how|please|everything|now] / how [is|does] [it|the server|everything] [stopped|end|closed|shut
            down|turned off|ended] / [do|will|does] [the|my|all|] [engines|models|children|processes|engine]
            [stop|end|die|stay|keep running] [too|as well|when i quit|after ctrl-c] / [shut|turn|switch|power]
            [down|off] [the machine part|the gateway|the server|all engines|ringfence] / [nothing|no process] should
            [run|keep running|be left|stay] / [get|bring] [it|everything|the server] down / how to [make it stop|leave
            the program|end the session|get out|get out of it]
            """,
        words="""
            stop / quit / exit / shut down / ctrl-c / end / kill / close / stop everything / terminate / halt /
            shutdown / stop ringfence / off / end everything / switch off / stopped / stopping / quitting / exiting /
            leave / ending / finish / finished / terminated / termination / killed / closed / closing / shut / power
            off / turned off / down / take down / bring down / tear down / go to sleep / cancel the server / abort the
            server / ctrl c / control c / keyboard / gracefully / safe stop / orderly / for today / for tonight /
            enough for today / no longer needed / not needed any more / free my machine / release everything / get rid
            of the process / background process / everything off / entire program / all processes / all of it
            """,
    ),
    "cloud_keys": Topic(
        "Cloud keys in the environment are reported, not used, until you switch that provider on.",
        tasks="""
            [use|add|connect|enable|switch on|turn on|activate|set up|allow] [a|the|my|] [cloud|cloud provider|openai
            account|anthropic account|provider|cloud account|paid api|cloud model|cloud models|cloud api] / [use|give
            it|add|set|export|put in|provide|enter] [my|an|the|a]
            [openai|OpenAI|anthropic|Anthropic|gemini|groq|mistral|cloud|claude|provider|google] [key|api
            key|account|token] / [switch|turn] [on|off] [openai|anthropic|a provider|a cloud provider|the
            cloud|gemini] / [keep|stop] it from using [my|the] [openai|cloud|anthropic] [key|account|keys] /
            [forbid|prevent|block|avoid] [cloud use|the use of my openai key|the use of cloud keys]
            """,
        things="""
            [cloud|openai|anthropic|provider|gemini|paid] [keys|key|api keys|credentials|accounts|account] /
            [OPENAI_API_KEY|openai_api_key|ANTHROPIC_API_KEY|anthropic_api_key|GEMINI_API_KEY] / [cloud|remote]
            [providers|provider] / the [key|keys|cloud keys|cloud key|openai key] in [my|the] [environment|shell|env]
            / [environment|env] variables / [openai|anthropic|gemini|claude] as a provider / switching on a provider /
            cloud access
            """,
        asks="""
            [will|does|can|would|did|do] [it|you|ringfence|the gateway|this] [use|take|read|touch|find|send|see|steal]
            [my|the|our] [openai|OpenAI|anthropic|Anthropic|cloud|gemini|claude|paid|provider] [key|api
            key|account|keys|credits|subscription] / [is|are] [my|the|our]
            [openai|anthropic|cloud|gemini|provider|paid] [key|keys|api key|account|accounts]
            [used|safe|touched|needed|found|read|reported|charged] / what [happens|does it do] with [my|the|our]
            [openai|cloud|anthropic|provider|gemini] [key|keys|account] / [i have|there is|i set|my shell has|we have]
            [an openai key|OPENAI_API_KEY|ANTHROPIC_API_KEY|a cloud key|cloud keys|a gemini key|an anthropic key]
            [set|in the environment|in my shell|exported|in my env|] / why is my [openai|cloud|anthropic|gemini] key
            [not used|only reported|ignored|reported] / does it [use|call|reach|contact] [the cloud|cloud
            models|openai|anthropic|a cloud provider] [by default|on its own|automatically|without asking|] / can i
            use [openai|claude|gpt-4|cloud models|anthropic|gemini] [through it|as well|too|] / who switches [a
            provider|the cloud] on / which cloud providers [are on|are used|can i use] / it found a
            [cloud|openai|anthropic] key / do i need an openai [key|account] / will my [openai|anthropic|cloud]
            account be [charged|used|billed] / [i|we|my shell|my machine] [have|has|got] [an|a|some|my]
            [openai|anthropic|gemini|cloud|claude|groq|mistral] [key|account|keys|api key] [in|on|set in] [the|my|]
            [environment|env|shell|.env file|machine] / [are|is|will|do|does] [my|the|our|any|these]
            [openai|anthropic|cloud|gemini|provider] [keys|key|credentials|account] [be|]
            [used|taken|sent|spent|read|charged|safe|ignored] / [do|does|will|would] [it|you|ringfence]
            [just|simply|secretly|automatically|] [use|spend|take|call|contact|pay] [openai|the cloud|anthropic|my
            credits|my cloud account|my openai key|with my key] / [how|where] [do i|can i|to] [switch|turn] [on|off]
            [openai|anthropic|a provider|the cloud|gemini|claude|cloud models] / [why|how come] [does it|is it]
            [report|reports|list|mention|show|not use|ignore] my [openai|anthropic|cloud|gemini] key / [i|we]
            [want|would like|need] [gpt-4|claude|gemini|openai|cloud models|a cloud model] [too|as well|through
            it|sometimes|] / [openai|anthropic|gemini|claude], [is it used|how do i switch it on|can i use it|does it
            call it] / [a|the|my] cloud [key|account|provider], [what happens|is it used|how|when] / [it|ringfence]
            [found|sees|saw|noticed|knows|reported] my [openai|anthropic|cloud|gemini] key / what [do you|does it] do
            with [my|the] [OPENAI_API_KEY|cloud keys|provider keys|openai key]
            """,
        words="""
            cloud key / cloud keys / openai key / OPENAI_API_KEY / anthropic key / provider / switch on provider /
            environment / env variable / ANTHROPIC_API_KEY / openai account / cloud provider / cloud account / openai
            token / anthropic credentials / claude key / gemini key / google key / groq key / mistral key / openrouter
            / azure key / bedrock / cohere / together ai / env / environment variable / .env / in my bashrc /
            GEMINI_API_KEY / sk- / providers / cloud providers / cloud credentials / enable a provider / switch on /
            switched on / turn on a provider / secretly / on its own / without asking / without permission / without
            my consent / automatically / silently / use my key / spend my credits / my credits / reported / only
            reported / found a key / ignores my key / key is ignored / call the cloud / contact openai / contact
            anthropic / reach the cloud
            """,
    ),
    "logs": Topic(
        "Logs hold no prompts: the text of requests and answers is never written to them.",
        tasks="""
            [see|read|find|check|open|look at|search|follow|view] [the|its|my|] [logs|log|log file|log files|logfile]
            / [log|record|store|save|keep|write down] [prompts|requests|answers|chats|conversations|messages|my
            questions|what i ask] / [keep|leave] [prompts|my text|my questions|secrets|private text] out of [the|]
            logs / [see|know|find out] what [is|gets|was] [logged|recorded|stored|written to the log|kept|saved] /
            turn [on|off] [logging|the logs|logging of prompts]
            """,
        things="""
            [the|] [logs|log files|log file|logging|log|logfiles] / [prompt|request|chat|text|conversation]
            [logging|logs|recording|history|storage] / the [contents|content] of the [logs|log|log file] / prompts in
            [the|] logs / what is [logged|recorded|stored|kept] / logged [text|prompts|data]
            """,
        asks="""
            [are|do|will] [my|the|our|user|all] [prompts|questions|chats|messages|requests|answers|words|texts]
            [logged|stored|saved|recorded|kept|in the logs|written down|written to disk|appear in the logs|show up in
            logs] / does it [log|record|store|save|keep|write down|remember] [prompts|my prompts|my questions|what i
            type|text|chats|my messages|everything|the conversation|what i write|my chats] / what [is|gets|does it|do
            you|will it] [logged|log|recorded|stored|in the logs|in the log|written to the logs|kept|saved] / where
            are the [logs|log files|logfiles] / can [someone|anyone|an admin|my boss] read my
            [prompts|questions|chats|messages] [in the logs|later|] / do [the|your] logs
            [contain|hold|have|include|show] [prompts|text|my text|secrets|answers|private data|questions] / is
            [anything|my text|my prompt|what i say|the conversation] [logged|recorded|stored|saved|kept] [on
            disk|anywhere|] / who reads the logs / are there logs / is there a log of [prompts|my questions|chats|what
            i wrote] / do you [keep|store|save] [a history|my chats|my questions|what i wrote|records] / are the logs
            [clean|safe|private] / [is|are|was|were] [anything|what i type|what i say|my words|my text|my chat|this
            chat|our chats] [kept|stored|saved|logged|recorded|written|remembered] [somewhere|anywhere|on disk|in a
            log|by you|] / [who|can somebody|can anyone|could my boss|can the admin] [reads|read|see|look at|find]
            [my|our|the] [chats|prompts|questions|messages|conversations] [later|afterwards|] / [do|does|will]
            [you|it|ringfence|the server] [keep|save|store|log|record|hold] [a copy|everything|the text|what users
            write|prompts|answers|a history] [of my chats|of this|of what i say|] / [where|how] [are|is|do i find|can
            i read|do i see] [the|its|your] [log|logs|log files|logfile] / [what|which text]
            [is|gets|goes|lands|stands] in [the|its|your] [log|logs|log files] / logs, [where|what is in them|do they
            have prompts|how] / [i|we] [do not|don't] want [prompts|my text|anything|my questions|secrets]
            [logged|stored|saved|in the logs|on disk|recorded] / [is|are] [prompts|answers|texts|chats|requests]
            [in|part of|visible in|kept in] the [log|logs] / [delete|erase|remove|clear] [my|the|old]
            [logs|history|log files|chats|records] / [can|may] [i|an auditor] [trust|check] that [nothing|no text|no
            prompt] is [logged|stored|saved]
            """,
        words="""
            logs / log / log file / logging / prompts logged / stored / recorded / saved / history / prompts in logs /
            log contents / kept / chats recorded / logged / logfile / log entries / log lines / records / recording /
            recordings / store / stores / storage / storing / save / saves / saving / keep / keeps / retain / retained
            / retention / remember / remembered / write down / written / written down / on disk / persisted / persist
            / database of chats / chat history / chat record / transcript / transcripts / archive / archived / what i
            wrote / what was asked / my chats / our chats / text of prompts / contents / contain prompts / contain
            text / spy / spying / eavesdrop / read along / who reads along / someone reading / admin reads / trail /
            trace of my text / traces
            """,
    ),
    "licence": Topic(
        "Ringfence is free software under the Apache-2.0 licence.",
        tasks="""
            [use|try|run|have|get] {rf} for free / [use|sell|ship|deploy|run] {rf} [commercially|in a company|in my
            company|in a product|in my business|for business|for profit] /
            [modify|fork|change|copy|redistribute|share|reuse|distribute] [the|its|your] [code|source|source
            code|software] / [pay|buy] [for {rf}|a licence|a license|a subscription|anything] / [see|read|know|find]
            the [licence|license|terms|legal terms]
            """,
        things="""
            the [licence|license|license terms|licence terms|legal terms|copyright|terms of use|price of ringfence] /
            [Apache|apache|apache 2.0|Apache-2.0|apache licence|apache license] / [software|open source|source code]
            [licence|license] / [licensing|the licensing|copyright] / the [price|fee|charge] for {name} / the legal
            [side|part|situation]
            """,
        asks="""
            [which|what] [licence|license] [is it|does it have|is it under|has it|do you use|applies|is used|covers
            it] / is {rf} [open source|free|free software|proprietary|closed
            source|gpl|mit|apache|commercial|freeware|free of charge] / [can|may] [i|we|my company|a
            company|one|anybody] use {rf} [commercially|for free|in a company|for business|in a product|at my
            company|for commercial work] / [can|may] [i|we] [fork|modify|sell|redistribute|copy|change|share]
            [it|ringfence|the code|the source] / do i [have to|need to|must] [pay|buy a licence|buy a license] [for
            it|for ringfence|] / does [it|ringfence|the software] cost [money|anything|something] / who owns the
            [code|copyright] / what are the [licence|license|legal] terms / how is it licensed / under [what|which]
            [licence|license] is [it|ringfence|the code] [released|published|] / is there a
            [paid|pro|commercial|enterprise] version / is commercial use [allowed|ok|permitted] / what does ringfence
            cost to buy / is the [code|source] [free|open|public] / [can|may|could|are|is] [i|we|my employer|a
            company|my business|one|our team] [allowed to|] [use|run|sell|ship|install|modify] [it|ringfence|this] [in
            production|for work|for money|for customers|commercially|in our product|without a fee|] /
            [do|does|must|should] [i|we|one|it] [pay|cost|have to pay|need to pay|owe] [anything|something|money|a
            fee|] / [is|are] [it|this|ringfence|the code|the source code|the software] [free|open|open
            source|gratis|public|free to use|closed] / [which|what] [licence|license|kind of licence|legal
            terms|conditions] [is|has|does|are] [it|this|ringfence|the code] [under|have|released under|use|] /
            licence, [which|what|please|is it free] / [how much|what] [is|does] [it|ringfence|a licence|the
            software|the product] [cost|to buy|to use|in price] / [who|what] [owns|has written|made|holds the rights
            to] [it|the code|ringfence] / [can|may] i [change|fork|copy|share|give away|publish|sell] [it|the code|the
            source|my version|copies] / [apache|gpl|mit|bsd|proprietary] [or what|licence|or something else] /
            [our|my] [lawyer|legal team|boss|company] [asks|wants to know|needs] [the|about the|which]
            [licence|license|terms] / [free|paid|open|commercial] [software|product|version|use], [is it|or not]
            """,
        words="""
            licence / license / apache / open source / free / commercial use / apache 2.0 / licensing / pay for
            ringfence / source code licence / legal / free software / copyright / company use / licensed / apache-2.0
            / mit / gpl / bsd / agpl / free of charge / gratis / no charge / costs nothing / freeware / open-source /
            foss / source code / source / code is open / public code / publish / published / release / distribute /
            redistribute / fork / modify / resell / sell / commercial / business / company / enterprise / corporate /
            startup / for profit / legally / lawyer / conditions / term / terms of use / rights to the code / owner of
            the code / intellectual property / may we / are we allowed to / buy / purchase / pay for a licence /
            subscription / price of the product
            """,
    ),
    "hello": Topic(
        "Hello! I am a small demo model. Ask me how to install Ringfence, create a key or add a real model.",
        asks="""
            [hi|hello|hey|hallo|hiya|howdy|yo|greetings|salut|hola|moin|helo|hii|heya] / [hi|hello|hey]
            [there|you|everyone|friend|model|bot|ringfence|all|my friend|buddy|again|world|assistant|mate|dear|robot]
            / good [morning|evening|day|afternoon|night] / [hi|hello|hey], [good|nice] [morning|evening|day|to meet
            you|to see you] / good [morning|evening|day] [to you|everyone|there|bot|friend|my friend] /
            [nice|good|pleased] to meet you / [is|are] [anyone|anybody|someone|you] [there|here|listening|awake] /
            hello [hello|is this on|is anybody there|can you hear me|are you there|how are you] / how are you [doing|]
            / how are you [today|doing today] / how's it going / how do you do / what's up / whats up / sup / hi, how
            are you / test / testing / ping / hello test / [knock knock|hey ho|hi hi|hello world] / [hey|hi|hello],
            how are things / anyone in / are you awake / [hello|hi], i am [new|new here|bob|anna|a user] /
            [hi|hello|hey] [ringfence|demo|little model|demo model|computer|machine], [how are you|nice to see
            you|here i am|good to see you|what's up] / [well|oh|so|ah] [hello|hi|hey] [there|you|] / [a|an|] [very|]
            [good|nice|fine|pleasant|lovely] [morning|day|evening|afternoon] / [good|fine|nice]
            [morning|day|evening|afternoon], [bot|friend|sir|madam|ringfence|computer] / hello from
            [berlin|paris|me|germany|the office|home] / [first|just a|a small|my first] [hello|message|test|try] /
            [is|are] [there|] [someone|somebody|anyone|anybody] [in|out there|alive|at home|listening] / [i|just]
            [wanted|want] to say [hi|hello|good morning|good evening] / [greetings|regards|welcome] [from|to]
            [me|you|all|mars|everyone] / how [is it going|do you feel|are things|have you been] [today|] / [can|do]
            you hear me / [hey|hi] [again|once more|you two|guys]
            """,
        words="""
            hi / hello / hey / good morning / good evening / hello there / hi there / greetings / hey there / hiya /
            good day / hey you / anybody there / howdy / welcome / morning / evening / afternoon / salutations / ahoy
            / aloha / bonjour / hallo / servus / namaste / yo / nice to meet you / glad to meet you / pleasure / dear
            bot / dear model / friend / anyone here / somebody here / are you there / wakey wakey /
            how do you do / how are you / how is life / long time no see / i am here / here i am / ready when you are
            / let us begin / test one two
            """,
    ),
    "thanks": Topic(
        "You are welcome.",
        asks="""
            [thanks|thank you|thx|ty|cheers|thank u|thankyou|tnx|merci|danke] / [thanks|thank you] [so much|very
            much|a lot|a million|again|for that|for your help|for helping|for the answer|for the info|for
            everything|for this|kindly|indeed|friend|bot|buddy|mate] / [many|a thousand|big|lots of|warm] thanks /
            [great|nice|ok|okay|good|super|perfect|cool|wonderful|awesome|excellent|brilliant|lovely|alright|yes]
            [thanks|thank you|thx|cheers|job|work|answer|stuff|help] /
            [great|perfect|nice|cool|awesome|excellent|super|wonderful|brilliant] / that [was|is]
            [helpful|great|good|useful|very helpful|perfect|what i needed|all i needed|all|very kind|clear|nice] /
            that [helped|worked|works|solved it|was it|did it|helps] / that [helped|helps] me [much|very much|greatly]
            / you [are|were] [helpful|great|kind|very helpful|the best|a star|a good bot|nice] / i
            [appreciate|appreciated] [it|your help|that|this] / much obliged / very [kind|nice|helpful|good] [of you|]
            / it [works|worked|works now], [thanks|thank you|great] / bye / goodbye / [see you|bye bye|so
            long|farewell|good bye|thanks bye|ok bye] / good job / well done / nice one / [appreciated|appreciate
            it|grateful|i am grateful] / [got it|understood|i see|makes sense|all clear], [thanks|thank you] /
            [thanks|thank you|many thanks|thx], [that|this|it|all] [helps|works|is clear|helped|is good|did it|was
            it|is fine] / [this|that|it|your answer] [was|is] [very|really|so|most|truly|]
            [helpful|useful|kind|good|nice|clear|great] / [oh|ah|ok|well|wow], [thanks|thank
            you|great|perfect|nice|that helps] / [i|we] [thank|really thank|want to thank] you [so much|very much|for
            this|for the help|] / [that|this] is [exactly|just|all] what i [needed|wanted|was looking for] /
            [great|good|nice|perfect|excellent] [answer|help|job|bot|advice|explanation] / [all|everything]
            [clear|good|fine|works|set|done] [now|], [thanks|thank you|bye|] / [ok|okay|fine|alright],
            [bye|goodbye|see you|that is all|that's all|thank you] / [thank|thanks] [heaps|tons|loads|a bunch|a
            ton|kindly|dear] / you [helped|saved|made] [me|my day|us] [a lot|much|greatly|] / [very|really|so]
            [kind|nice|helpful|good] [of you|bot|]
            """,
        words="""
            thanks / thank you / thx / great / perfect / cheers / many thanks / appreciated / helpful / nice / that
            helped / awesome / super / bye / well done / ty / tysm / merci / gracias / danke / grazie / arigato /
            grateful / gratitude / obliged / kind of you / very kind / you helped / big help / such a help / helpful
            answer / lifesaver / you saved me / you rock / you're the best / best bot / superb / fantastic /
            marvellous / brilliant / excellent / lovely / wonderful / amazing / splendid / terrific / sweet / neat /
            cool / good answer / that's all / that was all / that is all i wanted / that does it / solved / all good
            now / works now / goodbye / farewell / see you / until next time / have a nice day / good work
            """,
    ),
}

# --- what it declines -------------------------------------------------------------------------------------------------

REFUSAL = "I do not know that: I am a small demo model and only answer questions about Ringfence."

# Made-up names, so that an unknown word is a reason to decline, and a name in a tool call is copied, not guessed.
_STARTS = "ba|cor|del|fen|gor|hal|ister|jun|kel|lom|mar|nev|or|pel|quin|ros|sal|tor|ul|ver|wil|xan|yor|zem"
_ENDS = "bria|dan|esk|fort|gano|holm|itz|lund|mora|nes|opol|rick|stad|tano|urg|vale"
INVENTED = tuple((start + end).capitalize() for start, end in product(_STARTS.split("|"), _ENDS.split("|")))
_FIRST_NAMES = "Anna|Bob|Tom|Mary|John|Lisa|Peter|Maria|Ahmed|Wei|Olga|Raj|Emma|Paul|Sofia|Hans"
PERSONS = (*INVENTED, *_FIRST_NAMES.split("|"))

FILL: dict[str, str] = {
    "place": "France|Japan|Brazil|India|Kenya|Spain|Canada|Egypt|Peru|Norway|Texas|China|Russia|Italy|Poland|Mexico"
    "|Turkey|Iran|Cuba|Chile|Ghana|Nepal|Iceland|Ireland|Sweden|Vietnam|Germany|England|Scotland|the USA"
    "|Europe|Africa|Asia|America",
    "city": "Paris|London|Rome|Madrid|Oslo|Tokyo|Cairo|Lima|Delhi|Dublin|Vienna|Prague|Athens|Boston|Chicago|Sydney"
    "|Moscow|Seoul|Toronto|Havana|Nairobi|Lagos|Munich|Milan|Geneva|Warsaw|Helsinki|New York|San Francisco"
    "|Los Angeles|Hong Kong|Cape Town",
    "who": "Einstein|Mozart|Napoleon|Shakespeare|Newton|Darwin|Picasso|Beethoven|the queen|the king|the pope|Elvis"
    "|Plato|Gandhi|Cleopatra|Columbus|Caesar|Tesla|Edison|Galileo|Lincoln|Van Gogh|the president"
    "|the prime minister|Messi|Madonna|Batman|my mother",
    "work": "Hamlet|Faust|Dracula|Emma|Ulysses|the Bible|the Odyssey|Star Wars|Titanic|Macbeth|Moby Dick|Harry Potter"
    "|the Iliad|Frankenstein",
    "food": "rice|pasta|soup|bread|pizza|fish|beans|cake|apples|chicken|potatoes|pancakes|coffee|tea|salad|curry"
    "|steak|cookies|lasagna|beer|wine|jam|tofu|sushi|omelette|noodles|chocolate|cheesecake|lentils|onions"
    "|tomato sauce",
    "animal": "cat|dog|horse|bird|fish|lion|whale|snake|rabbit|hamster|elephant|spider|parrot|cow|wolf|bear|frog"
    "|shark|mouse|turtle",
    "thing": "tree|river|song|house|car|flower|book|ship|star|bike|shoe|phone|movie|garden|window|chair|table|guitar"
    "|piano|clock|bridge|castle|mountain|cloud|storm|sea|beach|robot|dragon|princess|pirate|ghost|wizard"
    "|train|plane|kite|lamp|hat|sword|moon",
    "feeling": "love|hate|joy|fear|hope|war|peace|winter|summer|spring|rain|snow|the sea|the moon|friendship|time"
    "|death|life|freedom|home",
    "language": "French|German|Spanish|Latin|Chinese|Italian|Russian|Arabic|Korean|Greek|Dutch|Polish|Turkish|Swedish"
    "|Hindi|Portuguese",
    "science": "gravity|relativity|photosynthesis|evolution|inflation|magnetism|black holes|atoms|dna|electricity"
    "|entropy|the big bang|quantum physics|vaccines|volcanoes|earthquakes|democracy|capitalism"
    "|the french revolution|world war two|the cold war|the stock market|climate change|plate tectonics",
    "app": "windows|Windows|linux|Ubuntu|docker|Docker|kubernetes|git|Excel|Word|Photoshop|Chrome|WhatsApp|Instagram"
    "|Facebook|YouTube|Netflix|Spotify|Steam|Minecraft|Gmail|Outlook|Slack|Zoom|Postgres|MySQL|Nginx|Redis"
    "|Terraform|AWS|Azure|iPhone|Android|Blender|VS Code|Wordpress|Jenkins|Kafka|Teams|Tiktok",
    "code": "python|javascript|java|rust|c|go|sql|bash|html|css|typescript|php|ruby|haskell|react|django|numpy|pandas"
    "|regex|vue|swift|kotlin",
    "number": "|".join(str(n) for n in range(100)) + "|120|150|200|256|365|500|999|1000|1024|2000|5000|10000",
    "name": "|".join(PERSONS),
}
FILLED: dict[str, Node] = {k: parse(f"[{v}]") for k, v in FILL.items()}

FOREIGN_TASKS = """
    [bake|cook|make|eat|prepare|grill|freeze|fry|buy|store|serve|peel|order] [some|a good|vegan|fresh|] {food} /
    [feed|train|wash|buy|draw|adopt|catch|name] [a|my|the] {animal} /
    [repair|buy|build|paint|draw|clean|sell|fix|move|find|rent|steal|break] [a|my|the] {thing} /
    [learn|speak|study|understand|teach|read|write] {language} / [install|uninstall|set
    up|use|start|run|deploy|update|open|close|restart|configure|learn|hack|log in to|debug|stop] {app} /
    [learn|write|compile|run|debug|use] {code} / [travel|fly|move|drive|get|go] to [{city}|{place}|{name}] /
    [change|replace|reset|recover|set] [my|the] [{app}|wifi|email|phone|bank|router] password /
    [delete|close|create|open|verify] [my|an|the] {app} account / [create|make|open|add|delete] a [new|]
    [garden|company|website|bank account|folder|file|database|playlist|calendar|spreadsheet|youtube
    channel|presentation|blog|bucket|virtual machine|pull request|table in sql] / [change|check|replace] the
    [oil|tyre|battery|light bulb|lock|curtains|brakes|water] / [find|lose|copy|cut] my [car keys|house
    keys|wallet|glasses|keys of the car|door key] / stop [smoking|drinking|snoring|worrying|the war|crying|biting my
    nails] / [lose|gain|measure] weight / [get|be|become|stay] [rich|happy|famous|fit|slim|married|divorced|a pilot|a
    doctor|healthy|pregnant|younger] / [write|compose|sing|recite|make up|invent] [a|an|one|some|another]
    [poem|song|story|haiku|limerick|essay|letter|joke|speech|novel|rap|riddle|love letter|blog post|tweet|tale]
    [about|on|for|with] [a|my|the|] [{feeling}|{thing}|{animal}|{who}] / [write|make|code|implement|fix]
    [a|some|my|this] [function|program|script|loop|class|query|bug|test|game] in {code} /
    [sort|reverse|parse|merge|split|copy] a [list|string|file|json|dictionary|array] [in|with|using] {code} /
    translate [hello|this|this text|a sentence|{food}|{feeling}|the word {thing}|thank you|{thing}] [into|to]
    {language} / say [hello|{food}|{feeling}|{thing}|goodbye|please|{animal}] in {language} /
    [calculate|compute|add|multiply|divide|subtract] {number} [and|by|from|with] {number} /
    [solve|prove|plot|integrate] [an equation|this equation|a theorem|x squared|a puzzle|the riddle] / [convert|turn]
    {number} [miles|dollars|kilos|feet|celsius|pounds] [to|into] [km|euros|pounds|metres|fahrenheit|grams] /
    [treat|cure|heal|prevent|stop] [a headache|a cold|the flu|back pain|fever|cancer|a cough|a broken leg|an
    allergy|toothache|stomach ache] / [ask|tell|forgive|marry|leave|meet|kiss|impress|forget] my
    [boss|wife|husband|girlfriend|boyfriend|neighbour|mother|sister|crush|brother|teacher] /
    [pay|save|avoid|lower|file|declare] [taxes|rent|a mortgage|my tax return] / [invest|put money] in
    [stocks|bitcoin|gold|houses|shares|crypto|bonds] / [play|win|learn|cheat at] [chess|football|poker|tennis|the
    guitar|the piano|the lottery|cards|golf|minecraft|a game] / [watch|stream|download|record|see] [a|the|a new|]
    [movie|film|series|football game|song|music video|match] / [plan|book|cancel|organise] [a|my|our]
    [wedding|trip|holiday|party|flight|hotel|vacation|weekend|dinner|doctor appointment] [in {city}|in {place}|to
    {city}|for {number} people|] / sleep better / [remember|memorise] [names|dates|my password|things] /
    [grow|plant|water|cut] [a|my|the|some] [tomatoes|roses|tree|grass|flowers|herbs|hair|garden] /
    [summarise|summarize|review|read|explain|understand] [{work}|this article|the news|a book|my essay|this
    text|{science}|the plot of {work}|the film] / [tie|iron|wash] [a tie|a shirt|my shoes|jeans] /
    [build|paint|repair|mend] a [garden fence|wooden fence|fence round my garden|shed|wall|roof] /
    [visit|see|call|find] [a doctor|a dentist|the doctor|a lawyer|the police|{who}|{name}] /
    [meet|call|find|know|ask|invite] {name} / [use|install|fix|buy|open|join|sell|run|configure|start|delete] {name} /
    [do|finish|write] my homework / [tell|guess] my [fortune|age|future|star sign|name]
    """

FOREIGN_THINGS = """
    {science} / [a|an|the] {animal} / [a|the] {thing} / {feeling} / the
    [capital|president|population|king|flag|history|currency|weather|area|language|anthem|climate|mayor|food|
    government]
    of [{place}|{city}|{name}] / {who} / {work} / {app} / {name} / {name} {name} / the {language}
    [language|grammar|alphabet|word for {food}|word for {animal}|word for {feeling}] / the
    [meaning|purpose|sense|origin] of [{feeling}|the word {thing}|the universe|everything|existence|dreams|christmas]
    / the [weather|news|time|date|traffic|temperature|best restaurant|football result|population|nightlife] in
    [{city}|{place}|{name}] [today|tomorrow|this week|now|] / the [recipe|best recipe|calories|price|cooking
    time|taste] [of|for|in] {food} / the [price|value|future] of [gold|bitcoin|oil|{food}|houses|a {thing}|tesla
    shares] / {number} [plus|minus|times|divided by] {number} / the [sum|product|difference] of {number} and {number}
    / the [square|cube|double|half|square root|logarithm|factorial] of {number} / {number} percent of {number} / the
    [area|volume] of a [circle|cube|square|sphere|triangle] / [pi|the number pi|infinity|a prime
    number|algebra|calculus|the pythagorean theorem|geometry] / a [closure|pointer|monad|for loop|lambda|class|hash
    map|linked list|decorator|segfault] in {code} / the
    [tallest|biggest|oldest|fastest|smallest|richest|longest|deepest|most famous|smartest|highest]
    [{thing}|{animal}|person|country|city|building|lake|ocean|man|woman] [in the world|on earth|in
    {place}|ever|alive|] / the [distance|difference|border|flight time] between [{city}|{place}] and [{city}|{place}]
    / [my|your|his] [horoscope|star sign|favourite colour|favourite food|favourite {animal}|birthday|opinion on
    {feeling}|age|hair] / the [news|latest news|election|weather forecast|world cup|olympics|stock
    market|oscars|lottery numbers|war] [today|yesterday|this year|in {place}|] / a [good|nice|healthy|cheap|romantic]
    [restaurant|hotel|book|film|present|name|dinner|breakfast|hobby|joke|wine] [for my {animal}|in {city}|for a
    child|for {number} people|] / port wine / a garden fence / a fence post / a log cabin / a python snake / a data
    centre in {place} / [symptoms|treatment] of [a cold|the flu|cancer|measles|covid|stress] / [{app}|{code}]
    [pricing|alternatives|shortcuts|tutorials|syntax|version|errors] / a {app}
    [container|update|shortcut|account|error|plugin|command|server] / [a|the]
    [bank|savings|company|music|school|tennis] [account|class|teacher|profile|club] / a
    [kubernetes|docker|git|terraform|linux] [pod|container|branch|command|commit|cluster|volume] / [a|some]
    [joke|poem|riddle|story|fun fact|compliment|quote|fairy tale|limerick] [about {animal}|about {feeling}|of {who}|]
    """

FOREIGN_ASKS = """
    who [wrote|read|directed|published|likes] {work} / who [is|was|killed|married|met|was the mother
    of|discovered|invented] [{who}|{name}|{name} {name}] / who [invented|discovered|built|made|owns|painted] [the
    {thing}|{science}|{food}|{app}|{place}|the internet|the telephone|the wheel|penicillin|the last supper] /
    [when|where] was {who} [born|buried|married|famous|a child] / how [old|tall|rich|famous|clever|strong|dead]
    [is|was] [{who}|{name}|the {animal}] / when did [{who}|world war two|the cold war|the dinosaurs|the war]
    [die|end|start|live|begin] / how [far|long] is [it from|the flight from|the drive from] {city} to {city} / how
    [big|large|rich|old|cold|hot|safe|far] is [{place}|{city}|the sun|the moon|mars|the universe|the earth] / where is
    [{place}|{city}|{name}|my {thing}|mars|the north pole|mount everest] / how many
    [people|inhabitants|lakes|rivers|islands|dogs|cars|languages|bones|legs|teeth|days|hours|seconds|stars|continents|
    oceans|countries|moons|chapters]
    [are there|are] in [{place}|{city}|a year|a {animal}|the world|the body|a day|a week|europe|the sky|our galaxy|the
    {thing}] / how many [legs|eyes|teeth|hearts|babies] does a {animal} have / what [does|do] [a|the] {animal}
    [eat|drink|say|look like|cost|weigh|dream of] / is [a|the|my] {animal} [a mammal|dangerous|smart|a good
    pet|asleep|sick|hungry|a reptile] / does [my|the|your] [{animal}|wife|boss|girlfriend|son|neighbour|mother]
    [like|need|hate|want|miss] [me|{food}|us|him|a {thing}] / is {food} [healthy|cheap|vegan|tasty|good for me|bad for
    dogs|fattening|gluten free] / how [long|hot] [do|must|does|should] [i|we|one]
    [cook|bake|boil|fry|grill|roast|steam|cool] [a|the|some|] {food} / how many calories [are|has|have] [in|] {food} /
    what [wine|sauce|drink] goes with {food} / what should i [eat|cook|wear|read|watch|do|drink|study|buy]
    [today|tonight|tomorrow|this weekend|for dinner|for breakfast|next|at the weekend] / [do|would] you
    [like|eat|love|hate|know|want|prefer] [{food}|{animal}|{feeling}|{who}|music|sports|{place}|{name}] / will it
    [snow|be hot|be cold|be sunny|get warmer|be windy|storm] [today|tomorrow|in {city}|this week|at the weekend|on
    monday] / is it [raining|cold|warm|snowing|hot|sunny|windy|late] [in {city}|in {place}|outside|today|there] /
    [weather|news|time|temperature|hotels|flights|restaurants|museums|jobs] [in|for|to] [{city}|{place}|{name}] / what
    [time|day|year|month|date] is it [in {city}|now|today|] / how [warm|cold|hot|wet] [is it|will it be|was it] in
    [{city}|{place}|{name}] / who [won|lost|plays in|will win] the [world cup|election|game|match|super
    bowl|olympics|final|war|championship|race|lottery] / who will be [the next president|world champion|the new
    pope|the winner] / what [happened|is new|is going on] in [{place}|{city}|the world|politics|the
    war|sports|1989|1945] [today|yesterday|] / should i [marry|leave|call|trust|forgive|text|kiss|meet] [him|her|my
    {animal}|my husband|my boyfriend|my boss|{name}|my ex] / should i [quit my job|buy a house|invest in bitcoin|sell
    my shares|have children|study law|see a doctor|take aspirin|eat less|move to {place}|dye my hair|get a tattoo] /
    is [it|my marriage|my job|this rash|the end|the stock market|god|santa|love]
    [real|normal|over|dangerous|safe|good|bad|dead|legal in {place}] / my
    [head|back|stomach|tooth|heart|leg|knee|throat] hurts [what can i do|badly|since yesterday|] / which
    [pills|medicine|vitamins|doctor|diet|exercise] [should|do|can|must] i [take|see|choose|need|do] [for my
    back|against the flu|when i am sick|for a cold|] / i [have|feel|caught|got] [a fever|sick|a
    cold|sad|lonely|tired|depressed|a sore throat|hungry|pain|bored|angry|in love] / what is {number}
    [plus|minus|times|divided by|x|+|-|*|/] {number} / {number} [+|-|*|/|x|plus|minus|times] {number} [=|is|equals|] /
    how much is {number} [plus|minus|times|percent of|divided by|euros and] {number} / [is|are] {number} [a
    prime|even|odd|bigger than {number}|a square number] / if [i|tom|she|a farmer|a train]
    [have|has|buys|sells|eats|loses|takes] {number} [apples|cows|eggs|books|euros|miles|minutes] and [loses|buys|gives
    away|finds|gets|eats] {number} [how many remain|what is the rest|how many now|] / solve [x + {number} =
    {number}|{number} x = {number}|for x|this equation] / what is the [square root|square|cube root|double|cube|half]
    of {number} / [write|give me|show|create|code] [a|an|some] {code} [function|program|script|class|query|snippet|one
    liner] [to|that|which] [sorts|adds|counts|prints|deletes|finds|checks|draws|sort|add|count|print] [a
    list|numbers|words|primes|all files|a string|a tree|lines|duplicates] / why [does|is] my
    [{code}|{app}|wifi|printer|laptop screen|phone|fridge|washing machine|{thing}|website] [crash|so slow|not
    work|broken|slow|fail|render twice|loud|hot|leaking water|blue] / my [printer|wifi|phone|car|fridge|website|{code}
    code|{app}|{thing}|{animal}|washing machine|bluetooth] [does not work|is broken|fails|is slow|crashed|is
    lost|won't start|is dead|is ill] / [fix|explain|review|debug|rewrite|refactor|optimise] [this|my|the] {code}
    [code|function|query|error|program|loop|component] / what is the difference between {code} and {code} / [is|why
    is] {code} [better than|faster than|older than] {code} / what does
    [git|docker|npm|sudo|grep|kubectl|chmod|ls|curl|pip freeze|ssh] [do|rebase do|get pods do|mean|install do|push
    do|run do] / how does [a|an|the] [engine of a car|fridge|plane|compiler|computer|camera|brain|eye|heart|nuclear
    reactor|magnet|rainbow] work / why [is|are] the [sky|sea|grass|sun|moon|night|snow|trees|oceans]
    [blue|green|red|dark|white|cold|far away|salty|round] / why do
    [cats|dogs|people|birds|we|leaves|stars|bees|men|women] [sleep|sing|fall|shine|die|dream|lie|purr|cry|yawn|fly] /
    [tell me|make up|sing|know|give me] [a|another|your best|one] [joke|song|riddle|fairy tale|fun fact|bedtime
    tale|tongue twister] / make me [laugh|a sandwich|a coffee|smile|rich|happy] / [can|do|will] you
    [sing|dance|cook|drive|dream|feel pain|love me|marry me|sleep|play chess|draw a {thing}|call my mother|order
    {food}|book a flight|open the door|see me|read {language}|speak {language}|write a poem] / [let's|let us|can we]
    play [chess|a game|hangman|football|a quiz|tic tac toe|cards] / translate {language} to {language} / [what|how]
    [does|is] {name} [mean|do|work|cost|spelled|pronounced|in {language}] / what is {name} [in {language}|for|good
    for|about|] / how do you [spell|pronounce|write] [{name}|{thing}|{food}|necessary|rhythm|{science}] / what rhymes
    with [{thing}|{food}|{feeling}|orange] / what [colour|sound|size|shape] is [a|the] [{animal}|{thing}|sky|sun] /
    what is the [opposite|plural|synonym] of [{feeling}|{thing}|good|happy|mouse] / [recommend|suggest|name|find]
    [a|some|three|me a|two|five] [book|books|film|films|hotel|hotels|songs|games|good
    restaurants|names|museums|animals|colours|countries|rivers] [in {city}|for children|with a {animal}|for my
    birthday|in {place}|] / [describe|compare|discuss|tell me everything about] {science} /
    [{who}|{place}|{food}|{app}|{science}|{name}|{animal}|{language}|{work}|{feeling}] / [{food}|{thing}|{animal}]
    [and|or] [{food}|{thing}|{animal}] / write [a|an] [email|essay|application|cover
    letter|complaint|invitation|toast|speech] [to|for|about] [my boss|my landlord|a job|my school|{name}|{feeling}|the
    mayor] / is there [life|water|gold|a god] [on mars|after death|on the moon|in space|anywhere] / what [is|was]
    [your|my|his] [favourite|best|worst] [film|colour|book|song|day|{food}|{animal}] / what would {who} [say|do|eat]
    [about {feeling}|today|] / how much [does|do|is|are] [a|the|] [{thing}|{food}|{animal}|house|flat|flight to
    {city}|iphone|ticket to {place}] [cost|weigh|worth] / who is [the|] [president|king|mayor|chancellor|richest
    man|prime minister|queen] [of|in] [{place}|{city}|{name}] / [act|behave|pretend to be|answer|speak|write]
    [as|like|] [{who}|a pirate|a {animal}|a lawyer|a doctor|a poet] / ignore [all|your|previous]
    [instructions|rules|orders|training] / how do i make a [bomb|cake|paper plane|website|baby|fire|{thing}|kite] /
    [asdf|qwertz|blah blah|lorem ipsum|foo bar|xyz|abc|lalala|hmm hmm|zzz|123|42] / [any|what are the] plans for
    [today|tonight|dinner|the weekend|christmas] / what is [love|time|art|money|water|beauty|truth|consciousness|a
    {animal}|a {thing}|in my {thing}] / how do {app} and {app} differ / is {app} [free|safe|better than
    {app}|down|good|open source] / does {app} [work|cost money|run on linux|need a gpu|have a dark mode|sync] / where
    do i [change|find|see] my {app} [settings|password|logs|keys|profile|version] / which {app}
    [version|plan|port|settings] [do i have|is best|should i use] / where is the {app} [log|config file|folder|licence
    key] / delete my {app} [history|profile|account|data] / what is the default port of {app} / give {name} my [car
    keys|phone number|regards|money] / my {app} [key|password|licence|profile] [is lost|expired|was stolen]
    """

FOREIGN_WORDS = """
    apple / orange / lemon / cherry / grape / melon / peach / pear / plum / strawberry / carrot / cabbage / garlic /
    pepper / spinach / mushroom / tomato / potato / bacon / beef / pork / lamb / turkey / duck / salmon / tuna /
    shrimp / lobster / eggs / butter / milk / cream / yoghurt / honey / sugar / salt / flour / oil / vinegar / oven /
    pan / kettle / spoon / fork / knife / plate / ingredients / dough / icing / picnic / breakfast / lunch /
    dinner / dessert / snack / cocktail / whiskey / juice / tea / coffee beans / goat / sheep / pig / hen / goose /
    swan / eagle / owl / crow / penguin / seal / octopus / crab / bee / ant / butterfly / mosquito / worm / lizard /
    crocodile / giraffe / zebra / monkey / gorilla / kangaroo / koala / panda / fox / deer / squirrel / puppy / kitten
    / dinosaur / fossil / pet / zoo / farm / forest / jungle / desert / island / lake / ocean / volcano / glacier /
    waterfall / cave / valley / hill / canyon / reef / coast / rain / thunder / lightning / hurricane / tornado /
    flood / drought / earthquake / snow / ice / fog / wind / sunrise / sunset / rainbow / season / autumn / leaves /
    spring flowers / summer heat / planet / planets / mars / venus / jupiter / saturn / sun / moon / galaxy / comet /
    asteroid / astronaut / rocket / telescope / orbit / light year / atom / molecule / proton / electron / acid /
    oxygen / hydrogen / carbon / iron / gold / silver / copper / uranium / enzyme / protein / gene / bacteria / virus
    / fungus / cell / blood / bone / muscle / skin / brain surgery / lung / liver / kidney / stomach / tooth / teeth /
    eye / ear / nose / hair / hand / foot / knee / pregnancy / allergy / asthma / diabetes / fever / cough / flu /
    migraine / aspirin / paracetamol / antibiotics / vitamins / surgery / therapy / dentist / nurse / hospital /
    ambulance / diet / calories / yoga / gym / jogging / swimming / cycling / hiking / skiing / surfing / boxing /
    wrestling / karate / football / soccer / baseball / basketball / hockey / rugby / cricket / golf / tennis / chess
    / poker / olympics / world cup / champion / medal / referee / goalkeeper / coach / stadium / league / nba / nfl /
    formula one / fifa / ronaldo / federer / king / emperor / pharaoh / castle / crusade / viking / samurai /
    gladiator / roman empire / ottoman empire / middle ages / renaissance / industrial revolution / civil war / treaty
    / constitution / parliament / senate / election / vote / minister / mayor / republican / democrat / socialism /
    communism / monarchy / nato / united nations / brexit / refugee / gaza / taiwan / kremlin / white house / strike /
    protest / inflation / recession / interest rate / mortgage / loan / shares / stock / bitcoin / crypto / dividend /
    pension / salary / boss / job / interview / resume / career / colleague birthday / office party / landlord /
    tenant / lawyer / judge / court / divorce / custody / will and testament / police / thief / prison / crime /
    murder / detective / poem / sonnet / ode / lyrics / verse / rhyme / story / fairy tale / fable / legend / myth /
    novel / chapter / plot / character / author / poet / playwright / theatre / opera / ballet / symphony / concert /
    orchestra / violin / drum / trumpet / saxophone / guitar / melody / jazz / rock band / hip hop / beatles / mozart
    / painting / painter / sculpture / museum / gallery / monet / da vinci / michelangelo / photograph / actor /
    actress / director / oscar / hollywood / netflix series / sitcom / cartoon / anime / manga / comic / superhero /
    batman / wizard / dragon / unicorn / vampire / zombie / ghost / elf / princess / pirate / treasure / happily ever
    after / joke / riddle / pun / tongue twister / crossword / sudoku / quiz / trivia / mother / father / sister in
    law / uncle / aunt / cousin / grandma / grandpa / baby / toddler / teenager / husband / wife / wedding /
    engagement ring / honeymoon / birthday / anniversary / easter / halloween / ramadan / diwali / santa / gift /
    present for my wife / card for my mom / crush / date night / kiss / breakup / lonely / heartbroken / jealous /
    angry / sad / happy / afraid / nervous / stress / anxiety / depression / dream / nightmare / insomnia / zodiac /
    leo / tarot / soul / heaven / hell / god / bible / quran / buddha / prayer / church / temple / monk / philosophy /
    ethics / consciousness / free will / existence / afterlife / happiness / love / hate / friendship / trust / beauty
    / truth / justice / paris / london / berlin / tokyo / madrid / rome / amsterdam / sydney / france / spain / japan
    / china / brazil / mexico / egypt / kenya / india / alaska / hawaii / bali / himalaya / everest / amazon river /
    nile / sahara / antarctica / capital city / continent / passport / visa / airport / flight / airline / hotel /
    hostel / luggage / suitcase / souvenir / beach / cruise / train ticket / bus stop / taxi / subway / highway /
    bridge / tunnel / traffic jam / car engine / tyre / brakes / gearbox / motorcycle / bicycle / helmet / fuel /
    electric car / tesla / bmw / toyota / ferrari / house / flat / kitchen / bathroom / bedroom / sofa / curtain /
    lamp / mirror / shower / toilet / sink / plumber / electrician / paint / wallpaper / hammer / screwdriver / drill
    / nail / ladder / garden / lawn / hedge / weed / seeds / compost / roses / tulips / oak tree / laundry / washing
    machine / dishwasher / soap / perfume / lipstick / haircut / beard / shoes / dress / jacket / jeans / socks /
    necklace / watch strap / sunglasses / umbrella / sum / plus / minus / times / divided / multiply / square / root /
    squared / cubed / percent / fraction / decimal / integer / prime number / equation / algebra / geometry / triangle
    / circle / radius / angle / derivative / integral / matrix / vector / probability / average / median / logarithm /
    factorial / pi / infinity / theorem / proof / homework / exam / school / teacher / university / degree / thesis /
    essay / grammar / spelling / synonym / antonym / plural / noun / verb / adjective / translate / translation /
    german / french / spanish / latin / chinese / italian / english word for / pronounce / accent / alphabet /
    dictionary / javascript / typescript / react / angular / vue component / node js / npm / css / html / div /
    flexbox / java / kotlin / swift / rust / golang / c++ / c sharp / php / laravel / ruby on rails / perl / haskell /
    scala / sql / query / select from / join / mysql / mongodb / redis / regex / binary tree / array / string / sort /
    sorting / bubble sort / quicksort / fibonacci / fizzbuzz / palindrome / for loop / while loop / null pointer /
    segfault / merge conflict / rebase / pull request / docker / kubernetes / helm chart / terraform / ansible /
    jenkins / aws / lambda function / ec2 / azure / google cloud / firebase / wordpress / shopify / excel /
    spreadsheet / powerpoint / word document / pdf / illustrator / gimp / blender / figma / iphone / android / samsung
    / ipad / macbook / windows 11 / wifi / bluetooth / printer / router password / gmail / outlook / facebook /
    instagram / twitter / tiktok / youtube / whatsapp / telegram / snapchat / linkedin / spotify / disney /
    playstation / xbox / nintendo / minecraft / fortnite / zelda / amazon order / ebay / paypal / bank account /
    credit score / insurance / tax return / rent / to do list / calendar / meeting / email to / letter / cover letter
    / speech / toast / invitation / apology / complaint / tweet / headline / slogan / summary of the book / summarise
    / summarize / rewrite / paraphrase / proofread / sentence / paragraph / essay on / article
    """

_FOREIGN_ASKS = _asks(any_of(listed(FOREIGN_ASKS), FILLED))
_FOREIGN_HINTS = _hints(any_of(listed(FOREIGN_WORDS)))
FOREIGN: tuple[Node, ...] = (
    _tasks(any_of(listed(FOREIGN_TASKS), FILLED)),
    _things(any_of(listed(FOREIGN_THINGS), FILLED)),
    _FOREIGN_ASKS,
    _FOREIGN_ASKS,
    _FOREIGN_HINTS,
    _FOREIGN_HINTS,
)
