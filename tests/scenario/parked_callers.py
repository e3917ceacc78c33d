"""Callers of a house that is killed again and again: some take tickets, some wait, one looks at the tickets."""

from __future__ import annotations

import http.client
import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable

from parked import TICKET, House
from parked_engine import digest
from whole import Reply, ask, open_request, question

BROKEN = (OSError, http.client.HTTPException, ValueError)
PAUSE_S = 0.05
HASTY_S = 3
"""The deadline of some tickets: it passes while nothing runs, as often as not."""
PATIENT_S = 1000
"""And more, one second for each caller that waits: by that it is known in the record."""
ANSWERED, PART, NOTHING, GONE = "answered", "in part", "nothing, cut off", "nothing, went away"


class Traffic:
    """`wrong` is what must never be. `tickets` tells of each whether it is hasty, `fates` what each caller that waited
    has got."""

    def __init__(self, house: House, chance: random.Random) -> None:
        self._house = house
        self._chance = chance
        self._over = threading.Event()
        self._numbers = itertools.count(1)
        works = (self._take_ticket, self._take_ticket, self._wait, self._wait, self._look)
        self._threads = [threading.Thread(target=self._keep_on, args=(work,), daemon=True) for work in works]
        self._asked: dict[str, str] = {}
        self.tickets: dict[str, bool] = {}
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.fates: dict[int, str] = {}
        self.wrong: list[str] = []
        self.seen: Counter[str] = Counter()

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    def told(self) -> str:
        fates = Counter(self.fates.values())
        return f"{len(self.tickets)} tickets, {sum(self.tickets.values())} hasty; {dict(fates)}; {dict(self.seen)}"

    def look(self, ticket: str) -> bool:
        """Whether it has ended; what has been seen of its end stays as it is, to the byte."""
        reply = self._house.look(ticket)
        if reply.status == 202:
            if ticket in self.answers:
                self.wrong.append(f"{ticket} had ended, and waits")
            return False
        if self.answers.setdefault(ticket, (reply.status, reply.body)) != (reply.status, reply.body):
            self.wrong.append(f"{ticket} ended twice")
        if not self._is_right(reply, ticket):
            self.wrong.append(f"{ticket}: {reply.status} {reply.body!r}")
        return True

    def _is_right(self, reply: Reply, ticket: str) -> bool:
        if reply.status == 200:
            return reply.text.startswith(digest(self._asked[ticket]) + " ")
        return self.tickets[ticket] and (reply.status, reply.code) == (503, "deadline_passed")

    def _keep_on(self, work: Callable[[], None]) -> None:
        while not self._over.is_set():
            try:
                work()
            except BROKEN as error:
                self.seen[type(error).__name__] += 1
            self._over.wait(PAUSE_S)

    def _take_ticket(self) -> None:
        text, is_hasty = f"canary-{next(self._numbers)}-", self._chance.random() < 0.2
        more = {"x-ringfence-deadline-s": str(HASTY_S)} if is_hasty else {}
        house = self._house
        reply = ask(house.root_url, "POST", "/v1/chat/completions", question(text), house.key, 30.0, TICKET | more)
        self.seen[f"ticket {reply.status}"] += 1
        if reply.status == 202:
            self._asked[reply.json["id"]] = text
            self.tickets[reply.json["id"]] = is_hasty
        elif reply.status not in (200, 503):
            self.wrong.append(f"{reply.status} {reply.body!r}")

    def _wait(self) -> None:
        """For a stream or for an answer in one piece; sometimes not for long."""
        number, stream = PATIENT_S + next(self._numbers), self._chance.random() < 0.6
        body = question(f"canary-{number}-", stream=stream)
        patience_s = self._chance.choice((0.2, 0.5, 10.0))
        more, got, house = {"x-ringfence-deadline-s": str(number)}, b"", self._house
        self.fates[number] = NOTHING
        try:
            with open_request(
                house.root_url, "POST", "/v1/chat/completions", body, house.key, patience_s, more
            ) as response:
                while part := response.readline():
                    got += part if not part.startswith(b":") else b""
                is_whole = got.endswith(b"data: [DONE]\n\n") if stream else response.status == 200
                self.fates[number] = ANSWERED if is_whole else PART if got.strip() else NOTHING
        except BROKEN as error:
            self.fates[number] = PART if got.strip() else GONE if isinstance(error, TimeoutError) else NOTHING
            raise

    def _look(self) -> None:
        for ticket in self._chance.sample([*self.tickets], min(3, len(self.tickets))):
            self.look(ticket)
