"""Keys of clouds and of engines are changed while everything runs: no restart, no lost call, and no key is shown."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from renting import HeardCloud, House, beside, clouds, started_up
from whole import Reply, command, gateway_pid, reloaded, until

from ringfence.egress.journal_chain import calls, verify
from ringfence.testing.fake_cloud import Certificate
from ringfence.testing.fake_dialects import FakeModel
from ringfence.testing.fake_engine import FakeEngine

pytestmark = pytest.mark.slow

OLD, NEW = "sk-canary-old-51c07e9b2f", "sk-canary-new-e84d10a63c"
ENGINE_OLD, ENGINE_NEW = "canary-engine-old-77b1", "canary-engine-new-09fa"
CONFIG = """
discovery: {{adopt: false}}
providers:
  rented: {{url: "{cloud}", api_key: "file:{folder}/rented.key", calls_per_day: 100000, max_tokens: 48}}
models:
  near: {{url: "http://127.0.0.1:{engine}", engine: vllm, api_key: "file:{folder}/engine.key"}}
  smart: {{provider: rented, provider_model: fake-large, price: {{input: 3, output: 15}}}}
profiles:
  personal: {{tier: T2}}
"""


class Both(str):
    """While a key is being changed, the old one and the new one are good."""

    def __ne__(self, shown: object) -> bool:
        return shown not in (OLD, NEW)

    __hash__ = str.__hash__


@pytest.fixture
def cloud(certificate: Certificate) -> Iterator[HeardCloud]:
    with clouds(certificate, {"rented": "openai"}) as made:
        made["rented"].api_key = OLD
        yield made["rented"]


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    """On a loop and a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    engine = FakeEngine("vllm", (FakeModel("near"),), api_key=ENGINE_OLD)
    asyncio.run_coroutine_threadsafe(engine.start(), loop).result(10)
    yield engine
    asyncio.run_coroutine_threadsafe(engine.stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def _keep(path: Path, key: str, mode: int = 0o600) -> None:
    """As it should be done: whole, and never readable by others."""
    draft = path.with_suffix(".new")
    draft.touch(0o600)
    draft.write_text(key + "\n")
    draft.chmod(mode)
    draft.replace(path)


@pytest.fixture
def file(tmp_path: Path, cloud: HeardCloud, engine: FakeEngine) -> Path:
    _keep(tmp_path / "rented.key", OLD)
    _keep(tmp_path / "engine.key", ENGINE_OLD)
    file = tmp_path / "ringfence.yaml"
    file.write_text(CONFIG.format(cloud=cloud.url, engine=engine.port, folder=tmp_path))
    return file


@pytest.fixture
def house(file: Path, cloud: HeardCloud, certificate: Certificate) -> Iterator[House]:
    with started_up(file, {"rented": cloud}, certificate) as house:
        house.make_keys("personal")
        yield house


@contextlib.contextmanager
def asking(house: House, model: str) -> Iterator[list[Reply]]:
    """Two callers that never stop asking, and every answer they got."""
    over, answers = threading.Event(), list[Reply]()

    def keep_asking() -> None:
        while not over.is_set():
            answers.append(house.chat("personal", model=model))

    threads = [threading.Thread(target=keep_asking) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: len(answers) >= 4, 25, "the first answers")
        yield answers
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _rotated_without_a_loss(
    house: House, model: str, put: Callable[[], None], revoke: Callable[[], None]
) -> dict[str, Any]:
    """What the reload said; callers went on all the time, before and after the old key was revoked."""
    before = (gateway_pid(house), house.pids("egress"))
    with asking(house, model) as answers:
        put()
        outcome = reloaded(house)
        revoke()
        asked = len(answers)
        until(lambda: len(answers) > asked + 6, 25, "answers by the new key")
    assert [(reply.status, reply.code) for reply in answers if reply.status != 200] == []
    assert (gateway_pid(house), house.pids("egress")) == before
    return outcome


def test_a_clouds_key_is_changed_and_no_call_is_lost(house: House, cloud: HeardCloud) -> None:
    cloud.api_key = Both(OLD)

    def revoke() -> None:
        cloud.api_key = NEW

    key = house.file.with_name("rented.key")
    outcome = _rotated_without_a_loss(house, "smart", lambda: _keep(key, NEW), revoke)
    assert outcome["changes"] == [{"path": "providers.rented.api_key", "reload": "drain"}]
    assert reloaded(house)["changes"] == []


def test_a_key_that_was_put_into_its_file_is_found_when_the_old_one_is_refused(house: House, cloud: HeardCloud) -> None:
    """Nobody asks for a reload: a refused call is made once more with the key that the file holds by now."""
    key = house.file.with_name("rented.key")
    with asking(house, "smart") as answers:
        _keep(key, NEW)
        cloud.api_key = NEW
        asked = len(answers)
        until(lambda: len(answers) > asked + 6, 25, "answers by the new key")
    assert [(reply.status, reply.code) for reply in answers if reply.status != 200] == []
    assert 1 <= (refused := _made_again(house)) <= 2  # those that were under way
    assert verify(house.journal).is_whole
    cloud.api_key = OLD
    assert house.chat("personal", model="smart").code == "provider_key_refused"
    assert _made_again(house) == refused  # the file holds no other key
    _keep(key, OLD, 0o644)
    assert house.chat("personal", model="smart").code == "provider_key_refused"
    _keep(key, OLD)
    assert house.chat("personal", model="smart", stream=True).status == 200
    assert _made_again(house) == refused + 1
    log = (house.folder / "egress" / "egress.log").read_text()
    assert log.count("its file holds another one") == 2
    assert f"run: chmod 600 {key}" in log
    _shows_no_key("egress.log", log)


def _made_again(house: House) -> int:
    """Calls that were refused and are in the journal a second time."""
    return sum(call.ended is not None and call.ended.outcome == "key_refused" for call in calls(house.journal))


def test_an_engines_key_is_changed_and_no_call_is_lost(house: House, engine: FakeEngine) -> None:
    def put() -> None:
        engine.api_key = None  # it takes both
        _keep(house.file.with_name("engine.key"), ENGINE_NEW)

    def revoke() -> None:
        engine.api_key = ENGINE_NEW

    outcome = _rotated_without_a_loss(house, "near", put, revoke)
    assert outcome["changes"] == [{"path": "models.near.api_key", "reload": "drain"}]
    assert reloaded(house)["changes"] == []


def test_after_a_revoked_key_the_next_call_works(house: House, cloud: HeardCloud, engine: FakeEngine) -> None:
    """The order of an emergency: revoked first, and only then another one. An engine's key takes a reload."""
    cloud.api_key, engine.api_key = NEW, ENGINE_NEW
    assert [house.chat("personal", model="smart").code for _ in range(2)] == ["provider_key_refused"] * 2
    assert house.chat("personal", model="near").status >= 500
    _keep(house.file.with_name("rented.key"), NEW)
    _keep(house.file.with_name("engine.key"), ENGINE_NEW)
    paths = [change["path"] for change in reloaded(house)["changes"]]
    assert paths == ["models.near.api_key", "providers.rented.api_key"]
    assert house.chat("personal", model="smart").status == 200
    assert house.chat("personal", model="near").status == 200
    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(lambda words: command(*words, "--config", str(house.file), folder=house.folder), SHOWING))
    assert [one.returncode for one in told[:2]] == [0, 0]
    for one in told:
        assert len(one.stdout) > 100, one.args
        _shows_no_key(str(one.args), one.stdout + one.stderr)
    for path in house.folder.rglob("*"):
        if path.is_file():
            _shows_no_key(str(path), path.read_text("latin-1"))


SHOWING = (
    ("secrets", "check"), ("secrets", "check", "--json"),
    ("config", "show"), ("config", "show", "--json"), ("config", "check", "--json"), ("status", "--json"),
    ("doctor", "--json"), ("journal", "show", "--json"), ("models", "--json"),
)  # fmt: skip


def _shows_no_key(what: str, text: str) -> None:
    for key in (OLD, NEW, ENGINE_OLD, ENGINE_NEW):
        assert key not in text, what


def test_a_key_that_cannot_be_used_changes_nothing(house: House) -> None:
    """One that others may read, or no key at all."""
    for name, model, right in (("rented.key", "smart", OLD), ("engine.key", "near", ENGINE_OLD)):
        key = house.file.with_name(name)
        for mode in (0o600, 0o644):
            _keep(key, f'"{NEW}"' if mode == 0o600 else NEW, mode)
            [problem] = reloaded(house, ok=False)["problems"]
            assert f"run: chmod 600 {key}" in problem if mode == 0o644 else "holds quotes around the key" in problem
            assert f"{house.file}:" in problem  # the line of the reference
            _shows_no_key("the problem", problem)
            assert house.chat("personal", model=model).status == 200, (name, mode)
        _keep(key, right)


def test_egress_beside_serve_reads_a_changed_key_on_sighup(
    file: Path, cloud: HeardCloud, certificate: Certificate, tmp_path: Path
) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    program = beside(certificate, "egress", "--config", str(file))
    env = os.environ | {"RINGFENCE_STATE_DIR": str(folder)}
    with subprocess.Popen(program, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert "ready" in json.loads(process.stdout.readline())
            _keep(file.with_name("rented.key"), NEW, 0o640)
            process.send_signal(signal.SIGHUP)
            assert "chmod 600" in json.loads(process.stdout.readline())["refused"]
            _keep(file.with_name("rented.key"), NEW)
            process.send_signal(signal.SIGHUP)
            assert json.loads(process.stdout.readline()) == {"changed": {"providers": ["rented"]}}
        finally:
            process.terminate()
            process.wait(25)
