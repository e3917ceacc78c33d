"""Makes the demo model, top to bottom: text, tokenizer, training, GGUF, model card. A CPU is enough.

    pip install -r training/demo/requirements.txt
    python training/demo/train.py [--seed 1] [--max-steps 2400] [--out src/ringfence/models]

Training ends when the development questions (in text.py) are answered well enough, or at the step cap, never by the
clock. heldout.json is read once, after the last step, for the score on the model card.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from training.demo import chats, text  # noqa: E402  (a script finds its own repository first)
from training.demo.grammar import draw  # noqa: E402
from training.demo.score import Question, score  # noqa: E402


@dataclass(frozen=True)
class Settings:
    # model
    vocab: int = 4096  # nearly every word of the text is a token of its own
    hidden: int = 192
    layers: int = 4
    heads: int = 6
    kv_heads: int = 2
    feed_forward: int = 448
    context: int = 4096  # what the file promises; see `far` for how it is earned with short sequences
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-5
    # training
    seed: int = 1
    tokenizer_draws: int = 400
    words_batch: int = 384  # questions
    words_steps: int = 500
    words_weight: float = 0.3
    words_rate: float = 4e-3
    batch: int = 144  # chats
    length: int = 384  # tokens of a chat at most
    group: int = 2560  # tokens that go through the model at once
    inner_rate: float = 0.02
    outer_rate: float = 2e-3
    weight_decay: float = 0.1
    keep: float = 0.99  # the file holds a running mean of the weights, which is steadier than any one step
    warmup: int = 50
    far: float = 0.3  # share of the chats with a system prompt whose places leap
    short: float = 0.85  # share of answers cut to `opening` tokens: the topic is decided there, the rest is recited
    opening: int = 5
    blind: float = 0.2  # share of a question's tokens that are not seen, so that no single word decides
    mixed: float = 0.5  # share of the questions whose tokens trade places, so that words count more than their order
    # ending: hold the rate until the development score is met or the cap is near, then let it fall
    enough: float = 0.95
    check_every: int = 100
    min_steps: int = 800
    max_steps: int = 1600
    fall: int = 500
    # afterwards, for a while, at a low rate: long system prompts, long chats, what the model is
    late_steps: int = 160
    late_batch: int = 72
    late_length: int = 768
    late_rate: float = 0.25


PAD, START, END = "<|pad|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{%- set first = messages[0] if messages and messages[0].role == 'system' else none -%}"
    "{%- if first or tools -%}"
    f"{START}system"
    "{{ '\\n' }}{%- if first %}{{ first.content or '' }}{% if tools %}{{ '\\n' }}{% endif %}{% endif -%}"
    "{%- if tools %}{{ " + json.dumps(chats.TOOLS_OPEN) + " }}"
    "{%- for tool in tools %}{{ '\\n' }}{{ tool | tojson }}{% endfor %}"
    "{{ " + json.dumps(chats.TOOLS_CLOSE) + " }}{% endif -%}"
    f"{END}\n"
    "{% endif -%}"
    "{%- for m in messages -%}{%- if not (loop.first and first) -%}"
    f"{START}" "{{ m.role }}{{ '\\n' }}{{ m.content or '' }}"
    "{%- for call in m.tool_calls or [] %}<tool_call>\n"
    '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}'
    "\n</tool_call>{% endfor -%}"
    f"{END}" "{{ '\\n' }}{%- endif -%}{%- endfor -%}"
    f"{{%- if add_generation_prompt %}}{START}assistant\n{{% endif -%}}"
)  # fmt: skip


# --- model: Llama, with Hugging Face's names for its weights ----------------------------------------------------------


class Block(nn.Module):
    def __init__(self, s: Settings) -> None:
        super().__init__()
        self.s, self.head = s, s.hidden // s.heads
        self.input_layernorm = nn.RMSNorm(s.hidden, s.norm_eps)
        self.self_attn = nn.ModuleDict({
            "q_proj": nn.Linear(s.hidden, s.hidden, bias=False),
            "k_proj": nn.Linear(s.hidden, s.kv_heads * self.head, bias=False),
            "v_proj": nn.Linear(s.hidden, s.kv_heads * self.head, bias=False),
            "o_proj": nn.Linear(s.hidden, s.hidden, bias=False),
        })  # fmt: skip
        self.post_attention_layernorm = nn.RMSNorm(s.hidden, s.norm_eps)
        self.mlp = nn.ModuleDict({
            "gate_proj": nn.Linear(s.hidden, s.feed_forward, bias=False),
            "up_proj": nn.Linear(s.hidden, s.feed_forward, bias=False),
            "down_proj": nn.Linear(s.feed_forward, s.hidden, bias=False),
        })  # fmt: skip

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        b, t, _ = x.shape
        y = self.input_layernorm(x)
        q, k, v = (
            self.self_attn[name](y).view(b, t, -1, self.head).transpose(1, 2) for name in ("q_proj", "k_proj", "v_proj")
        )
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.self_attn["o_proj"](y.transpose(1, 2).reshape(b, t, -1))
        y = self.post_attention_layernorm(x)
        return x + self.mlp["down_proj"](F.silu(self.mlp["gate_proj"](y)) * self.mlp["up_proj"](y))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin


class Llama(nn.Module):
    def __init__(self, s: Settings) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(s.vocab, s.hidden)
        self.layers = nn.ModuleList(Block(s) for _ in range(s.layers))
        self.norm = nn.RMSNorm(s.hidden, s.norm_eps)
        head = s.hidden // s.heads
        angle = torch.outer(torch.arange(s.context), s.rope_theta ** -(torch.arange(0, head, 2) / head))
        self.register_buffer("cos", torch.cat((angle, angle), -1).cos(), persistent=False)
        self.register_buffer("sin", torch.cat((angle, angle), -1).sin(), persistent=False)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02 if p.shape[0] == s.vocab else 0.7 / math.sqrt(p.shape[1]))

    def forward(self, ids: Tensor, places: Tensor, seen: Tensor | None = None) -> Tensor:
        cos, sin = self.cos[places].unsqueeze(1), self.sin[places].unsqueeze(1)
        x = self.embed_tokens(ids)
        if seen is not None:
            x = x * seen[..., None]
        for layer in self.layers:
            x = layer(x, cos, sin)
        return self.norm(x)

    def logits(self, x: Tensor) -> Tensor:
        return F.linear(x, self.embed_tokens.weight)  # input and output share one table


# --- text to tokens ---------------------------------------------------------------------------------------------------


def pieces(chat: list[chats.Turn]) -> list[tuple[str, bool]]:
    """A chat as the template lays it out, split into what is given and what is taught."""
    found: list[tuple[str, bool]] = []
    for turn in chat:
        found.append((f"{START}{turn.role}\n", False))
        found.append((turn.text + END, turn.taught))
        found.append(("\n", False))
    given: list[tuple[str, bool]] = []
    for piece, taught in found:  # neighbours alike are one piece, so that they are split into tokens as in the engine
        if given and given[-1][1] == taught:
            given[-1] = (given[-1][0] + piece, taught)
        else:
            given.append((piece, taught))
    return given


def train_tokenizer(s: Settings, rng: random.Random) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)  # llama.cpp: "gpt-2"
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=s.vocab,
        special_tokens=[PAD, START, END],
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )

    def lines() -> Iterator[str]:
        """The text without its noise, so that tokens are spent on words and not on slips."""
        for node, _ in chats.nodes():
            for _ in range(s.tokenizer_draws):
                line = draw(node, rng)
                yield from (line, line[:1].upper() + line[1:], f"{START}user\n{START}assistant\n{START}system\n")

    tokenizer.train_from_iterator(lines(), trainer)
    assert tokenizer.get_vocab_size() == s.vocab
    return tokenizer


Row = tuple[list[int], list[int], list[int], list[int]]  # tokens, what each place should say next, places, seen


class Batches:
    """Chats by the handful, each in a row of its own, rows of like length together. Only answers count."""

    def __init__(self, s: Settings, tokenizer: Tokenizer, rng: random.Random) -> None:
        self.s, self.tokenizer, self.rng = s, tokenizer, rng
        self.late = False
        self.start, self.user, _ = tokenizer.encode(f"{START}user\n").ids
        self.end = tokenizer.token_to_id(END)

    def row(self) -> Row:
        s, rng = self.s, self.rng
        chat = chats.chat(rng, self.late)
        is_short = rng.random() < s.short and chat[-1].text in chats.ANSWERS
        parts = [(self.tokenizer.encode(piece).ids, taught) for piece, taught in pieces(chat)][:-1]
        if is_short:
            parts[-1] = (parts[-1][0][: s.opening], True)
        ids = [token for tokens, _ in parts for token in tokens]
        labels = [token if taught else -100 for tokens, taught in parts for token in tokens]
        places = list(range(len(ids)))
        if chat[0].role == "system" and rng.random() < s.far:
            # The far end of the window is met by leaving out places, as if the system prompt were a long one.
            cut, hole = rng.randint(3, len(parts[0][0]) - 1), rng.randint(1, s.context // 2)
            places = [place if place < cut else place + hole for place in places]
        seen = [1] * len(ids)
        if chat[-1].text in chats.ANSWERS:
            self.blur(ids, places, seen)
        n = s.late_length if self.late else s.length
        return ids[:n], labels[1 : n + 1], places[:n], seen[:n]

    def blur(self, ids: list[int], places: list[int], seen: list[int]) -> None:
        """Make questions harder to know by heart: the wordings are few, the ways to ask are many."""
        s, rng = self.s, self.rng
        mixed = rng.random() < s.mixed
        at = 0
        while (
            at := next((i for i in range(at, len(ids) - 2) if ids[i] == self.start and ids[i + 1] == self.user), -1)
        ) >= 0:
            first = at + 3  # after <|im_start|>, user, line feed
            last = ids.index(self.end, first)
            for i in range(first, last):
                seen[i] = int(rng.random() >= s.blind)
            if mixed:
                some = places[first:last]
                rng.shuffle(some)
                places[first:last] = some
            at = last

    def draw(self) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        rows = sorted(
            (self.row() for _ in range(self.s.late_batch if self.late else self.s.batch)), key=lambda row: len(row[0])
        )
        groups: list[list[Row]] = [[]]
        for row in rows:
            if (len(groups[-1]) + 1) * len(row[0]) > self.s.group:
                groups.append([])
            groups[-1].append(row)
        return [self.fill(group) for group in groups if group]

    @staticmethod
    def fill(group: list[Row]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        n = len(group[-1][0])
        ids, labels, places, seen = (
            torch.tensor([row[i] + [blank] * (n - len(row[i])) for row in group])
            for i, blank in enumerate((0, -100, 0, 1))
        )
        return ids, labels, places, seen


class Words(nn.Module):
    """Tells the topic from the sum of a question's tokens, and is thrown away after training: it teaches the table of
    tokens what each word is about, which takes the model itself many times as long to find out."""

    def __init__(self, s: Settings, model: Llama, tokenizer: Tokenizer, rng: random.Random) -> None:
        super().__init__()
        self.s, self.tokenizer, self.rng = s, tokenizer, rng
        self.table = model.embed_tokens  # shared
        self.topics: list[str | None] = [*text.TOPICS, None]
        self.out = nn.Linear(s.hidden, len(self.topics))

    def loss(self) -> Tensor:
        asked = [chats.ask(self.rng, None) for _ in range(self.s.words_batch)]
        tokens = [
            [t for t in e.ids if self.rng.random() >= self.s.blind] or e.ids
            for e in self.tokenizer.encode_batch([question for question, _, _ in asked])
        ]
        starts = torch.tensor([0, *(len(t) for t in tokens[:-1])]).cumsum(0)
        sums = F.embedding_bag(torch.tensor([t for ts in tokens for t in ts]), self.table.weight, starts, mode="sum")
        topics = torch.tensor([self.topics.index(topic) for _, _, topic in asked])
        return F.cross_entropy(self.out(F.rms_norm(sums, sums.shape[-1:])), topics)


# --- measuring --------------------------------------------------------------------------------------------------------


@torch.no_grad()
def development_score(model: Llama, tokenizer: Tokenizer, system: str = "") -> tuple[float, float]:
    """Share right of questions about Ringfence, and of foreign ones. An answer is right when every token of it is the
    likeliest after those before it, which is what an engine at temperature 0 would say."""
    marks: dict[bool, list[bool]] = {True: [], False: []}
    head = f"{START}system\n{system}{END}\n" if system else ""
    for question, topic in chats.DEVELOPMENT:
        answer = text.REFUSAL if topic is None else text.TOPICS[topic].answer
        prompt = tokenizer.encode(f"{head}{START}user\n{question}{END}\n{START}assistant\n").ids
        said = tokenizer.encode(answer + END).ids
        ids = torch.tensor([prompt + said])
        x = model(ids, torch.arange(ids.shape[1])[None])[0, len(prompt) - 1 : -1]
        marks[topic is not None].append(model.logits(x).argmax(-1).tolist() == said)
    return sum(marks[True]) / len(marks[True]), sum(marks[False]) / len(marks[False])


@torch.no_grad()
def say(model: Llama, tokenizer: Tokenizer, question: str, most: int = 80) -> str:
    """Greedy answer, without a cache: few questions are asked here."""
    ids = tokenizer.encode(f"{START}user\n{question}{END}\n{START}assistant\n").ids
    start, end = len(ids), tokenizer.token_to_id(END)
    while len(ids) < start + most:
        x = model(torch.tensor([ids]), torch.arange(len(ids))[None])[0, -1]
        token = int(model.logits(x).argmax())
        if token == end:
            break
        ids.append(token)
    return tokenizer.decode(ids[start:])


# --- GGUF -------------------------------------------------------------------------------------------------------------

Q8 = gguf.GGMLQuantizationType.Q8_0
F32 = gguf.GGMLQuantizationType.F32


def pair_up(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a query or key matrix, from halves (as trained here) to neighbours (as llama.cpp rotates them)."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def write_gguf(path: Path, s: Settings, model: Llama, tokenizer: Tokenizer) -> None:
    w = gguf.GGUFWriter(path, "llama")
    w.add_name("Ringfence demo")
    w.add_description("A small demo model that answers questions about Ringfence, and nothing else.")
    w.add_license("apache-2.0")
    w.add_vocab_size(s.vocab)
    w.add_context_length(s.context)
    w.add_embedding_length(s.hidden)
    w.add_block_count(s.layers)
    w.add_feed_forward_length(s.feed_forward)
    w.add_head_count(s.heads)
    w.add_head_count_kv(s.kv_heads)
    w.add_rope_dimension_count(s.hidden // s.heads)
    w.add_rope_freq_base(s.rope_theta)
    w.add_layer_norm_rms_eps(s.norm_eps)
    w.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    spec = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(spec["vocab"], key=spec["vocab"].get)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list(tokens)
    kinds = {True: gguf.TokenType.CONTROL, False: gguf.TokenType.NORMAL}
    w.add_token_types([kinds[t in (PAD, START, END)] for t in tokens])
    w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in spec["merges"]])
    w.add_bos_token_id(tokenizer.token_to_id(START))
    w.add_eos_token_id(tokenizer.token_to_id(END))
    w.add_pad_token_id(tokenizer.token_to_id(PAD))
    w.add_add_bos_token(False)
    w.add_chat_template(CHAT_TEMPLATE)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, s.layers)
    for key, value in model.state_dict().items():
        weight = value.numpy()
        if key.endswith("q_proj.weight"):
            weight = pair_up(weight, s.heads)
        elif key.endswith("k_proj.weight"):
            weight = pair_up(weight, s.kv_heads)
        kind = F32 if weight.ndim == 1 else Q8
        name = names.get_name(f"model.{key}", (".weight",))
        w.add_tensor(name, gguf.quants.quantize(weight, kind), raw_dtype=kind)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def round_to_q8(model: Llama) -> None:
    """The weights as the file holds them, so that the score on the card is that of the file."""
    for p in model.parameters():
        if p.dim() > 1:
            p.data = torch.from_numpy(gguf.quants.dequantize(gguf.quants.quantize(p.detach().numpy(), Q8), Q8))


CARD = """# Ringfence demo model

`demo.gguf` is a very small Llama: {parameters:,} parameters, {size:,} bytes, Q8_0, window {context}. It is in the
package so that `ringfence up` answers something on a machine with nothing else. **It is a demo and not an assistant.**
A real model is added with `ringfence up --model FILE.gguf`.

## What it does
- It knows {topics} topics about Ringfence by heart and picks one of them for a question. It does not reason.
- Other questions get: "{refusal}"
- It can call a simple tool with one text argument, such as `get_weather(city)`, and repeat the result.

## Limits
- An odd wording can get a fluent answer on the wrong topic, and a foreign question an answer about Ringfence.
- It understands English only, and hardly uses what was said earlier in a chat.
- With tools offered, it may call one where none is needed, and it copies unusual names with mistakes.
- It was trained on chats of up to {length} tokens; behind long texts its answers get worse.
- It shows how Ringfence works, not how fast or how well your machine runs models: useful ones are
  over a thousand times larger.

## How it was made
`python training/demo/train.py` wrote the text, trained the tokenizer and the weights, and exported the file, on a CPU.
No text or weights of others were used. Licence: Apache-2.0.

| | |
| --- | --- |
| seed | {seed} |
| steps; tokens | {steps:,}; {tokens:,} |
| wall time | {minutes:.0f} minutes, {threads} thread(s) of a shared machine |
| development questions (they decide when training ends) | {dev_right:.1%} right, {dev_declined:.1%} declined |
| **held-out questions about Ringfence** | **{right} of {about} right ({right_share:.1%})** |
| **held-out foreign questions** | **{declined} of {foreign} declined ({declined_share:.1%})** |

The held-out questions (`training/demo/heldout.json`) were written before the first training. No run of five words of
any of them stands in the training text: `tests/model` proves that over every wording the text can produce, and measures
this score on llama.cpp.
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--seed", type=int, default=Settings.seed)
    options.add_argument("--max-steps", type=int, default=Settings.max_steps)
    options.add_argument("--out", type=Path, default=ROOT / "src/ringfence/models")
    args = options.parse_args()
    s = Settings(seed=args.seed, max_steps=args.max_steps)

    args.out.mkdir(parents=True, exist_ok=True)
    rng = random.Random(s.seed)
    torch.manual_seed(s.seed)
    started = time.monotonic()
    tokenizer = train_tokenizer(s, rng)
    batches = Batches(s, tokenizer, rng)
    model = Llama(s)
    mean = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(s.keep))
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters:,} parameters; tokenizer after {time.monotonic() - started:.0f} s", flush=True)
    # Muon for the matrices inside the blocks needs far fewer steps than AdamW, which keeps the rest.
    inner = [p for p in model.layers.parameters() if p.dim() > 1]
    words = Words(s, model, tokenizer, rng)
    outer = [*words.parameters(), *(p for p in model.parameters() if p.dim() == 1)]
    optimizers = (
        torch.optim.Muon(inner, lr=s.inner_rate, weight_decay=s.weight_decay, momentum=0.95),
        torch.optim.AdamW(outer, lr=s.outer_rate, weight_decay=0.0, betas=(0.9, 0.98)),
    )
    rates = (s.inner_rate, s.outer_rate)

    optimizer = torch.optim.AdamW(words.parameters(), lr=s.words_rate, weight_decay=0.0, betas=(0.9, 0.98))
    for _ in range(s.words_steps):
        optimizer.zero_grad()
        loss = words.loss()
        loss.backward()
        optimizer.step()
    passed = f"{time.monotonic() - started:.0f} s"
    print(f"words: loss {loss.item():.4f} spread {model.embed_tokens.weight.std():.3f} {passed}", flush=True)

    tokens = 0

    def learn(share: float) -> float:
        """One step at this share of the rates; the loss."""
        nonlocal tokens
        for optimizer, rate in zip(optimizers, rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * share
        groups = batches.draw()
        taught = sum(int((labels != -100).sum()) for _, labels, _, _ in groups)
        tokens += sum(ids.numel() for ids, _, _, _ in groups)
        model.zero_grad()
        words.zero_grad()
        (s.words_weight * words.loss()).backward()
        loss = 0.0
        for ids, labels, places, seen in groups:
            wanted = labels != -100
            said = model.logits(model(ids, places, seen)[wanted])
            part = F.cross_entropy(said, labels[wanted], reduction="sum") / taught
            part.backward()
            loss += part.item()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        mean.update_parameters(model)
        return loss

    def told(loss: float) -> tuple[float, float]:
        right, declined = development_score(mean.module, tokenizer)
        passed = f"{time.monotonic() - started:.0f} s"
        print(f"step {step} loss {loss:.4f} development {right:.3f} {declined:.3f} {passed}", flush=True)
        write_gguf(args.out / "demo.gguf", s, mean.module, tokenizer)  # so that an interrupted run leaves one
        return right, declined

    step, last = 0, s.max_steps  # `last` moves closer once the development score is met
    while step < last:
        loss = learn(min(1.0, (step + 1) / s.warmup) * min(1.0, (last - step) / s.fall))
        step += 1
        if step % s.check_every == 0 or step == last:
            right, declined = told(loss)
            if min(right, declined) >= s.enough and step >= s.min_steps and last == s.max_steps:
                last = min(s.max_steps, step + s.fall)
    batches.late = True
    for late in range(s.late_steps):
        loss = learn(s.late_rate * min(1.0, (late + 1) / s.warmup) * (1 - late / s.late_steps))
        step += 1
    told(loss)

    minutes = (time.monotonic() - started) / 60
    model = mean.module
    round_to_q8(model)
    right, declined = development_score(model, tokenizer)
    write_gguf(args.out / "demo.gguf", s, model, tokenizer)
    development = [Question(f"{topic}", question, topic) for question, topic in chats.DEVELOPMENT]
    print("development", score(lambda question: say(model, tokenizer, question), development))
    # Of the held-out questions only the two shares are shown: a look at the misses would be a look at the test.
    report = score(lambda question: say(model, tokenizer, question))
    print(f"held-out {report.right:.3f} {report.declined:.3f}")
    about = [row for row in report.rows if row.question.topic is not None]
    foreign = [row for row in report.rows if row.question.topic is None]
    card = CARD.format(
        parameters=parameters,
        size=(args.out / "demo.gguf").stat().st_size,
        context=s.context,
        length=s.length,
        topics=len(text.TOPICS),
        refusal=text.REFUSAL,
        seed=s.seed,
        steps=step,
        tokens=tokens,
        minutes=minutes,
        threads=torch.get_num_threads(),
        dev_right=right,
        dev_declined=declined,
        about=len(about),
        right=sum(r.is_right for r in about),
        right_share=report.right,
        foreign=len(foreign),
        declined=sum(r.is_right for r in foreign),
        declined_share=report.declined,
    )
    (args.out / "demo.md").write_text(card, encoding="utf-8")


if __name__ == "__main__":
    main()
