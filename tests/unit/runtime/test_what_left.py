"""What the control API says of what left: since when, by what it is known, and nothing where it is not."""

from __future__ import annotations

import asyncio
import threading
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ringfence.config.schema import Config
from ringfence.core.boundary import Boundary
from ringfence.core.identity import Key
from ringfence.egress.journal import Journal
from ringfence.egress.journal_summary import JournalSummary
from ringfence.runtime.what_left import WhatLeft

DIGEST = sha256(b"").hexdigest()
KEYS = [Key("key_1", "laptop", "personal", created_s=1000), Key("key_2", "phone", "private", created_s=2000)]
RENTED = {"url": "https://api.cloud.example/v1", "api_key": "env:K", "calls_per_day": 9, "max_tokens": 9}
PROFILES = {"default": {"boundary": "host"}, "near": {"boundary": "mesh"}, "personal": {"boundary": "cloud"}}


def config(**others: Any) -> Config:
    return Config.model_validate({"profiles": PROFILES} | others)


RENTING = config(providers={"rented": RENTED})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


async def call(folder: Path, profile: str = "personal", outcome: str = "ok") -> None:
    journal = Journal.open(folder)
    seq = await journal.sent(
        call="call-1", key="key_1", profile=profile, provider="rented", model="large", allowed=Boundary.CLOUD,
        address="192.0.2.7:443", max_tokens=9, bytes_out=100, sha256_out=DIGEST,
    )  # fmt: skip
    await journal.ended(seq, status=200, bytes_in=7, sha256_in=DIGEST, outcome=outcome)
    journal.close()


async def told(folder: Path, settings: Config, keys: list[Key] = KEYS) -> dict[str, Any]:
    return await WhatLeft(folder).tell(settings, keys, time.time() - 3600)


def of(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in found["profiles"] if one["name"] == name)


async def test_without_a_provider_and_a_journal_since_the_first_start(folder: Path) -> None:
    found = await told(folder, config())
    assert found["journal"]["state"] == "absent"
    assert found["known_since_s"] == 1000
    assert [(one["since_s"], one["since"]) for one in found["profiles"]] == [(1000, "first_start")] * 3
    assert (found["total"]["calls"], found["calls"], found["groups"]) == (0, [], [])


async def test_with_a_provider_and_no_journal_nothing_is_known(folder: Path) -> None:
    found = await told(folder, RENTING)
    assert (found["journal"]["state"], found["known_since_s"], found["providers"]) == ("absent", None, ["rented"])
    assert {(one["since_s"], one["since"]) for one in found["profiles"]} == {(None, "unknown")}


async def test_since_the_journal_begins_even_where_the_installation_is_older(folder: Path) -> None:
    Journal.open(folder).close()
    for state in ("empty", "whole"):
        found = await told(folder, RENTING)
        assert found["journal"]["state"] == state
        default = of(found, "default")
        assert default["since"] == "journal"
        assert abs(default["since_s"] - time.time()) < 10
        assert default["since_s"] == found["known_since_s"] == found["journal"]["begun_s"]
        await call(folder)


async def test_for_whom_and_where_to(folder: Path) -> None:
    await call(folder)
    await call(folder, outcome="not_sent")
    found = await told(folder, RENTING)
    personal = of(found, "personal")
    assert (personal["since"], personal["calls"], personal["bytes_out"], personal["bytes_in"]) == (
        "last_call",
        1,
        100,
        7,
    )
    assert (personal["not_sent"], personal["boundary"], personal["is_running"]) == (1, "CLOUD", False)
    assert of(found, "default")["calls"] == 0
    [group] = found["groups"]
    assert (group["profile"], group["key_name"], group["provider"], group["model"], group["addresses"]) == (
        "personal", "laptop", "rented", "large", ["192.0.2.7:443"],
    )  # fmt: skip
    newest, oldest = found["calls"]
    assert (newest["has_left"], oldest["has_left"], oldest["status"], oldest["outcome"]) == (False, True, 200, "ok")
    assert (found["total"]["calls"], found["total"]["not_sent"], found["more_calls"]) == (1, 1, 0)


async def test_a_profile_that_is_gone_is_still_told_of(folder: Path) -> None:
    await call(folder, "trial")
    found = await told(folder, config())
    assert [one["name"] for one in found["profiles"]] == ["default", "near", "personal", "trial"]
    trial = of(found, "trial")
    assert (trial["is_configured"], trial["boundary"], trial["calls"]) == (False, None, 1)


@pytest.mark.parametrize("settings", [RENTING, config()])
async def test_a_broken_journal_claims_nothing_and_says_how_to_go_on(folder: Path, settings: Config) -> None:
    await call(folder)
    await call(folder)
    path = next(folder.glob("*.jsonl"))
    path.write_bytes(path.read_bytes().replace(b'"bytes_out":100', b'"bytes_out":101', 1))
    found = await told(folder, settings)
    assert (found["journal"]["state"], found["known_since_s"]) == ("broken", None)
    assert str(path) in found["journal"]["problem"] and "line 1" in found["journal"]["problem"]
    assert str(folder) in found["journal"]["mend"] and "a new journal begins" in found["journal"]["mend"]
    assert {one["since"] for one in found["profiles"]} == {"unknown"}
    assert {one["since_s"] for one in found["profiles"]} == {None}
    assert of(found, "personal")["calls"] == 1  # what can still be read is shown


async def test_one_that_cannot_be_read_claims_nothing(folder: Path) -> None:
    await call(folder)
    path = next(folder.glob("*.jsonl"))
    path.rename(path.with_suffix(".away"))
    path.mkdir()
    (path / "in-it").touch()
    left = WhatLeft(folder)
    for _ in range(3):
        found = await left.tell(RENTING, KEYS, None)
        assert (found["journal"]["state"], found["known_since_s"]) == ("unreadable", None)
        assert str(path) in found["journal"]["problem"]
        assert {one["since"] for one in found["profiles"]} == {"unknown"}
    (path / "in-it").unlink()
    path.rmdir()
    path.with_suffix(".away").rename(path)
    assert (await left.tell(RENTING, KEYS, None))["journal"]["state"] == "whole"


async def test_what_reaches_machines_of_ones_own_is_told_apart(folder: Path) -> None:
    """Calls to them are in no journal: the sentence must not speak of this machine alone."""
    assert [one["has_own_network"] for one in (await told(folder, config()))["profiles"]] == [False] * 3
    await call(folder, "trial")
    found = await told(folder, config(mesh=["10.1.0.0/16"]))
    assert [one["has_own_network"] for one in found["profiles"]] == [False, True, True, True]


def test_the_process_does_not_wait_at_its_end_until_a_long_journal_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = threading.Event(), threading.Event()

    def reads_for_ever(journal: JournalSummary, _since_s: float) -> None:
        begun.set()
        until = time.monotonic() + 10
        try:
            while time.monotonic() < until:
                journal._breath.draw()
        except RuntimeError:
            ended.set()

    async def ask_and_leave() -> None:
        asking = asyncio.create_task(WhatLeft(folder).tell(RENTING, KEYS, None))
        await asyncio.to_thread(begun.wait, 25)
        asking.cancel()

    monkeypatch.setattr(JournalSummary, "read", reads_for_ever)
    asyncio.run(ask_and_leave())
    assert ended.wait(25)


async def test_many_may_ask_at_once(folder: Path) -> None:
    await call(folder)
    left = WhatLeft(folder)
    answers = await asyncio.gather(*(left.tell(RENTING, KEYS, None) for _ in range(20)))
    assert {answer["total"]["calls"] for answer in answers} == {1}
    assert {answer["since_s"] % 86_400 for answer in answers} == {0}
