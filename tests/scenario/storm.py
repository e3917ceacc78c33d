"""Callers who go on asking whatever happens, and an exact account of what each of them got."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from whole import Running, open_request, question

REFUSALS = frozenset(("engine_failed", "engine_timeout", "target_unavailable", "overloaded", "queue_timeout"))
"""What a caller can do something with: come again."""


@dataclass
class Account:
    """What callers got of one model. `whole`, `cut` (told so within the stream) and `refused` are the clean ends; all
    else is in `broken`. Tokens are those that callers were told of, or saw go by."""

    whole: int = 0
    cut: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    answered_at: list[float] = field(default_factory=list)

    @property
    def asked(self) -> int:
        return self.whole + self.cut + self.refused.total() + len(self.broken)

    def longest_gap_s(self, began: float, ended: float) -> float:
        """Without a whole answer."""
        times = sorted([began, *self.answered_at, ended])
        return max(later - earlier for earlier, later in pairwise(times))


class Callers:
    """`count` threads for each model, half of whose requests are streams."""

    def __init__(self, up: Running, models: list[str], count: int, timeout_s: float = 60.0) -> None:
        self.accounts = {model: Account() for model in models}
        self._up = up
        self._timeout_s = timeout_s
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._go_on, args=(model, number)) for model in models for number in range(count)
        ]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(self._timeout_s + 10)
        assert not any(thread.is_alive() for thread in self._threads), "a caller waits for ever"

    def _go_on(self, model: str, number: int) -> None:
        chance = random.Random(f"{model} {number}")
        while not self._over.is_set():
            stream = chance.random() < 0.5
            body = question("hello", model, max_tokens=chance.choice([1, 8, 64, 600]), stream=stream, ignore_eos=True)
            if stream:
                body["stream_options"] = {"include_usage": True}
            account = self.accounts[model]
            try:
                response = open_request(
                    self._up.root_url, "POST", "/v1/chat/completions", body, self._up.api_key, self._timeout_s
                )
                with response:
                    if response.status != 200:
                        self._refused(account, response.status, response.read())
                    elif stream:
                        self._streamed(account, response.read(), len(json.dumps(body)))
                    else:
                        self._answered(account, response.read())
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    account.broken.append(type(error).__name__)
            time.sleep(chance.uniform(0.02, 0.1))

    def _refused(self, account: Account, status: int, data: bytes) -> None:
        code = json.loads(data)["error"]["code"]
        with self._lock:
            if code in REFUSALS and status in (502, 503, 504):
                account.refused[f"{status} {code}"] += 1
            else:
                account.broken.append(f"{status} {code}")

    def _answered(self, account: Account, data: bytes) -> None:
        said = json.loads(data)
        with self._lock:
            if said["choices"][0]["finish_reason"] != "length":
                account.broken.append("an answer that is not whole")
            self._count(account, said["usage"])

    def _streamed(self, account: Account, data: bytes, asked_bytes: int) -> None:
        lines = [line[6:] for line in data.split(b"\n") if line.startswith(b"data: {")]
        events = [json.loads(line) for line in lines]
        codes = [event["error"]["code"] for event in events if "error" in event]
        with self._lock:
            if codes:
                if len(codes) != 1 or codes[0] not in REFUSALS or b"[DONE]" in data:
                    account.broken.append(f"a stream with {codes}")
                account.cut += 1
                account.prompt_tokens += asked_bytes // 4  # as the gateway estimates what no engine told
                account.completion_tokens += len(events) - 1
                return
            if not data.endswith(b"data: [DONE]\n\n"):
                account.broken.append("a stream that ends without a word")
            usage = [event["usage"] for event in events if event.get("usage")]
            self._count(account, usage[-1] if usage else None)

    def _count(self, account: Account, usage: dict[str, Any] | None) -> None:
        account.whole += 1
        account.answered_at.append(time.monotonic())
        if usage is None:
            account.broken.append("an answer without its usage")
            return
        account.prompt_tokens += usage["prompt_tokens"]
        account.completion_tokens += usage["completion_tokens"]
