"""What becomes of a line of a batch when its target breaks: it is answered, or in the error file, or waits; once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from batched import batched, line
from cells import NOBODY, PATIENT
from composed import Gateway, until
from matrix import LINE_ANSWERED, LINE_REFUSED, LINE_WAITS, QUICK_LINES, ROWS, Row, of_a_line

from ringfence.gateway.relay import Timeouts
from ringfence.testing.fake_engine import Behaviour, FakeEngine

OWN = [
    pytest.param(row, id=row.fault, marks=[] if row.fault in QUICK_LINES else [pytest.mark.slow])
    for row in ROWS
    if not row.place
]
SOON = Timeouts(first_byte_s=0.3, between_bytes_s=0.3, answer_s=0.3)
LINES, BROKEN = 6, 2


class Picky(FakeEngine):
    """Breaks as a row says on one line, and on every line where `breaks_all`; until it is well."""

    def __init__(self, row: Row, *, breaks_all: bool) -> None:
        super().__init__("vllm")
        self.broken = 0
        self.is_well = False
        self._row = row
        self._all = breaks_all

    async def _infer(self, request: Any, wire: Any, behaviour: Behaviour) -> None:
        is_it = self._all or request.body["messages"][0]["content"] == f"line {BROKEN}"
        if self.is_well or not is_it:
            return await super()._infer(request, wire, Behaviour())
        self.broken += 1
        once = self._row.once[self.broken - 1 : self.broken]
        return await super()._infer(request, wire, once[0] if once else self._row.always)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets that broke are tried again at once, and lines soon."""
    monkeypatch.setattr("ringfence.gateway.batches.pauses.FIRST_S", 0.01)
    monkeypatch.setattr("ringfence.gateway.batches.pauses.MOST_S", 0.05)
    monkeypatch.setattr("ringfence.routing.health.Health.is_usable", lambda _self, _target: True)


@pytest.mark.parametrize("breaks_all", [False, True], ids=["one line", "every line"])
@pytest.mark.parametrize("row", OWN)
async def test_each_line_ends_once(row: Row, breaks_all: bool, tmp_path: Path) -> None:
    ends = of_a_line(row, breaks_all=breaks_all)
    timeouts = SOON if row.is_slow else PATIENT
    async with Picky(row, breaks_all=breaks_all) as engine:
        refuses = row.refuses
        gateway = Gateway(NOBODY if refuses else engine.endpoint, timeouts=timeouts, retries=0)
        async with gateway, batched(gateway, tmp_path) as desk:
            desk.running.settings = replace(desk.running.settings, at_once=1, quiet_s=0.0)
            batch_id = await desk.begin([line(n) for n in range(LINES)])
            if ends == LINE_WAITS:
                others = 0 if breaks_all or refuses else LINES - 1
                live = desk.running.live[batch_id]
                await until(lambda: len(live.answered) == others and (refuses or engine.broken > 3), 15)
                assert (await desk.look(batch_id))["request_counts"]["failed"] == 0
                engine.is_well, gateway.seats.endpoint = True, engine.endpoint
                desk.running.look_anew()
            batch = await desk.ended(batch_id)
            output, errors = [await desk.content(batch[name]) for name in ("output_file_id", "error_file_id")]
    assert batch["status"] == "completed"
    left = [f"ask-{n}" for n in range(LINES) if n != BROKEN or not ends.startswith(LINE_REFUSED)]
    assert [each["custom_id"] for each in output] == left, "each once, in order"
    assert {each["response"]["status_code"] for each in output} == {200}
    if ends in (LINE_ANSWERED, LINE_WAITS):
        assert errors == []
        return
    [refused] = errors
    error = refused["response"]["body"]["error"]
    told = f"{refused['response']['status_code']} `{error['code']}`"
    assert (refused["custom_id"], f"{LINE_REFUSED}{told}") == (f"ask-{BROKEN}", ends)
    assert engine.broken >= 3, "and a connection that was idle before is not told from a broken one"
