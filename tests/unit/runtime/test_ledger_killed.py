"""A process that dies in the middle of its calls: what ended more than 50 ms before is in the ledger."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import shutil
import signal
from pathlib import Path
from time import sleep, time
from typing import Any

import pytest
from kept_rows import rows

from ringfence.core.identity import Key
from ringfence.core.usage import Usage
from ringfence.runtime.money import row_of
from ringfence.store.db import Database
from ringfence.store.ledger import Ledger
from ringfence.telemetry.events import Answered, Events, Kind

LOST_S = 0.05
MOST = 20_000
KILLS = 5


def answer_forever(path: str, ended_s: Any) -> None:
    """Some 800 calls a second; when each ended is kept where it outlives this process."""

    async def answer() -> None:
        ledger = Ledger(Database(path))
        events = Events(by_type={Answered: (lambda event: ledger.record(row_of(event)),)})
        kind = Kind(Key("key_1", "test"), "chat", "small", "seat/small", "", 200, "ok", False, "default")
        for number in range(MOST):
            now_s = ended_s[number] = time()
            events.emit(Answered(f"call-{number}", now_s, kind, 0.1, 0.2, Usage(10, 5)))
            await asyncio.sleep(0.001)

    asyncio.run(answer())


@pytest.mark.slow
@pytest.mark.timed
def test_at_most_fifty_milliseconds_are_lost(tmp_path: Path) -> None:
    new = tmp_path / "new.db"
    database = Database(new)
    database.migrate()
    database.close()
    spawn = multiprocessing.get_context("spawn")
    for turn in range(KILLS):
        path = tmp_path / f"{turn}.db"
        if new.exists():
            shutil.copy(new, path)
        ended_s = spawn.Array("d", MOST, lock=False)
        child = spawn.Process(target=answer_forever, args=(str(path), ended_s))
        child.start()
        while not ended_s[50]:
            assert child.is_alive()
            sleep(0.01)
        sleep(random.uniform(0, 0.3))
        assert child.pid is not None
        killed_s = time()
        os.kill(child.pid, signal.SIGKILL)
        child.join(10)
        found = {row[0] for row in rows(path, "SELECT id FROM calls")}
        counted = rows(path, "SELECT sum(requests) FROM usage")[0][0]
        lost = [at for number, at in enumerate(ended_s) if at and f"call-{number}" not in found]
        assert [round(killed_s - at, 4) for at in lost if at < killed_s - LOST_S] == []
        assert counted == len(found) >= 1
