"""A changed configuration is put to work while requests run: nothing fails, and a bad one changes nothing."""

from __future__ import annotations

import http.client
import json
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from whole import (
    ask,
    chat,
    children,
    command,
    control,
    engine_pid,
    gateway_pid,
    gone,
    is_alive,
    kill,
    midway,
    until,
)

from ringfence.config.routing import LOCAL
from ringfence.testing.tiny_model import tiny_model as make_tiny_model

DRAIN_S = 30


class Reloadable:
    """A gateway with a file of its own; `write` says what stands in it."""

    def __init__(self, start_up: Any, folder: Path, text: str) -> None:
        self.file = folder / "some.yaml"
        self.write(text)
        self.up = start_up("--config", str(self.file))
        self.folder = self.up.folder

    def write(self, text: str) -> None:
        draft = self.file.with_suffix(".new")
        draft.write_text(text)
        draft.replace(self.file)  # a reload may be reading it

    def reload(self, *words: str) -> Any:
        return command("config", "reload", "--config", str(self.file), *words, folder=self.folder)

    def reloaded(self, text: str) -> dict[str, Any]:
        """Write, reload, and what came of it, which must be well."""
        self.write(text)
        told = self.reload("--json")
        assert told.returncode == 0, told.stdout + told.stderr
        return json.loads(told.stdout)

    def names(self) -> set[str]:
        """Without the aliases that mean all models of one's own."""
        reply = ask(self.up.root_url, "GET", "/v1/models", key=self.up.api_key)
        return {row["id"] for row in reply.json["data"]} - set(LOCAL)


@pytest.fixture(scope="module")
def running(start_up, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reloadable]:
    """Each test writes the whole file anew; the engine of `night` is the same at the end of each."""
    reloadable = Reloadable(start_up, tmp_path_factory.mktemp("reload"), _file(tiny_model))
    yield reloadable
    reloadable.up.stop()


def _file(model: Path, more: str = "", *, aliases: str = "auto", parallel: int = 4) -> str:
    return f"models:\n  night: {{source: {model}, aliases: [{aliases}], parallel: {parallel}}}\n{more}"


@contextmanager
def asking_all_the_time(up: Any, **told: Any) -> Iterator[list[tuple[int, bytes]]]:
    """Three callers, one request after the other; yields (status, body) of every answer so far."""
    over, answers = threading.Event(), list[tuple[int, bytes]]()

    def keep_asking() -> None:
        while not over.is_set():
            try:
                reply = chat(up, **told)
            except (OSError, http.client.HTTPException) as error:
                answers.append((0, repr(error).encode()))
            else:
                answers.append((reply.status, reply.body))

    with ThreadPoolExecutor(3) as pool:
        for _ in range(3):
            pool.submit(keep_asking)
        try:
            yield answers
        finally:
            over.set()


def test_a_new_alias_is_there_at_once(running: Reloadable, tiny_model: Path) -> None:
    engine = engine_pid(running.up)
    outcome = running.reloaded(_file(tiny_model, aliases="auto, watch"))
    assert outcome["changes"] == [{"path": "models.night.aliases", "reload": "hot"}]
    assert running.names() == {"night", "auto", "orchestrator", "watch"}
    assert chat(running.up, model="watch").status == 200
    assert engine_pid(running.up) == engine
    running.reloaded(_file(tiny_model))
    assert chat(running.up, model="watch").code == "model_not_found"


@pytest.mark.parametrize("to_parent", [True, False])
def test_sighup_to_the_parent_or_to_the_gateway(running: Reloadable, tiny_model: Path, to_parent: bool) -> None:
    running.write(_file(tiny_model, aliases=f"auto, hup{int(to_parent)}"))
    kill(running.up.process.pid if to_parent else gateway_pid(running.up), signal.SIGHUP)
    until(lambda: running.names() == {"night", "auto", "orchestrator", f"hup{int(to_parent)}"}, 25, "the new name")
    assert running.up.process.poll() is None


@pytest.mark.slow
def test_a_changed_model_is_swapped_without_a_failed_request(running: Reloadable, tiny_model: Path) -> None:
    running.reloaded(_file(tiny_model))
    before = engine_pid(running.up)
    second = make_tiny_model(running.file.parent, seed=1)
    with asking_all_the_time(running.up) as answers:
        until(lambda: len(answers) > 10, 25, "answers of the old one")
        outcome = running.reloaded(_file(second, parallel=2))
        asked = len(answers)
        until(lambda: len(answers) > asked + 10, 25, "answers of the new one")
    assert {change["path"] for change in outcome["changes"]} == {"models.night.source", "models.night.parallel"}
    assert [answer for answer in answers if answer[0] != 200] == []
    gone([before], 10)  # it ends with the last answer that it began
    assert engine_pid(running.up) != before
    assert control(running.up, "/status")["models"][0]["targets"][0]["slots"] == 2


def test_a_stream_ends_on_the_engine_where_it_began(running: Reloadable, tiny_model: Path) -> None:
    running.reloaded(_file(tiny_model))
    before = engine_pid(running.up)
    with midway(running.up, before) as stream:
        running.write(_file(tiny_model, parallel=2))
        with ThreadPoolExecutor(1) as pool:
            told = pool.submit(running.reload, "--json")
            fresh = until(lambda: set(children(gateway_pid(running.up))) - {before}, 25, "a second engine").pop()
            assert is_alive(before)  # the new one is started before the old one stops
            assert told.result(40).returncode == 0
        assert [chat(running.up).status for _ in range(5)] == [200] * 5
        assert is_alive(before)
        kill(before, signal.SIGCONT)
        text, errors = stream.rest()
    assert stream.saw_done
    assert errors == []
    assert len(text) > 100
    gone([before], 10)
    until(lambda: engine_pid(running.up) == fresh, 25, "the new one alone")


@pytest.mark.slow
def test_many_reloads_at_once_are_done_one_after_the_other(running: Reloadable, tiny_model: Path) -> None:
    running.reloaded(_file(tiny_model))
    with asking_all_the_time(running.up) as answers:
        for number in range(6):
            running.write(_file(tiny_model, aliases=f"auto, turn{number}", parallel=3 + number % 2))
            kill(gateway_pid(running.up), signal.SIGHUP)
        until(lambda: "turn5" in running.names(), 30, "the last name")
        until(lambda: len(children(gateway_pid(running.up))) == 1, DRAIN_S, "one engine alone")
    assert {status for status, _body in answers} == {200}


def test_a_bad_file_changes_nothing_and_is_told_with_its_line(running: Reloadable, tiny_model: Path) -> None:
    running.reloaded(_file(tiny_model))
    engine, before = engine_pid(running.up), running.names()
    running.write(_file(tiny_model, "admission:\n  queu: 3\n  wait_s: soon\n"))
    told = running.reload()
    assert told.returncode == 1
    assert f"{running.file}:4" in told.stderr.replace("\n", "")
    assert "did you mean 'queue'" in told.stderr.replace("\n", " ")
    assert f"{running.file}:5" in told.stderr.replace("\n", "")
    assert (running.names(), engine_pid(running.up)) == (before, engine)
    assert chat(running.up).status == 200
    running.write("models: [\n")
    in_json = running.reload("--json")
    assert in_json.returncode == 1
    assert json.loads(in_json.stdout)["ok"] is False
    assert running.names() == before


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("  gone: {source: nowhere.gguf}\n", "there is no file"),
        ("  far: {url: 'http://93.184.216.34:80'}\n", "a rented cloud goes under providers"),
        ("  odd: {url: 'http://127.0.0.1:9', engine: vllmm}\n", "unknown engine kind"),
    ],
)
def test_a_model_that_cannot_be_served_changes_nothing(
    running: Reloadable, tiny_model: Path, more: str, words: str
) -> None:
    running.reloaded(_file(tiny_model))
    engine = engine_pid(running.up)
    running.write(_file(tiny_model, more, aliases="auto, new"))
    told = running.reload()
    assert told.returncode == 1
    assert words in told.stderr.replace("\n", " ")
    assert running.names() == {"night", "auto", "orchestrator"}
    assert engine_pid(running.up) == engine


def test_what_takes_a_restart_is_told_each_time(running: Reloadable, tiny_model: Path) -> None:
    text = _file(tiny_model, "server: {host: 127.0.0.2}\nstate_dir: elsewhere\n")
    running.write(text)
    for _ in range(2):
        told = command(
            "config", "reload", "--config", str(running.file), "--state-dir", str(running.folder), "--json",
            folder=running.folder,
        )  # fmt: skip
        assert told.returncode == 0, told.stdout
        changes = {change["path"]: change["reload"] for change in json.loads(told.stdout)["changes"]}
        assert changes == {"server.host": "restart", "state_dir": "restart"}
    assert chat(running.up).status == 200
    running.reloaded(_file(tiny_model))


def test_limits_and_profiles_are_in_force_at_once(running: Reloadable, tiny_model: Path) -> None:
    more = "server: {max_body_bytes: 1KiB}\nprofiles: {guest: {boundary: host}}\nlogging: {level: debug}\n"
    outcome = running.reloaded(_file(tiny_model, more))
    assert {change["path"] for change in outcome["changes"]} >= {"server.max_body_bytes", "profiles.guest"}
    refused = chat(running.up, "x" * 2000)
    assert (refused.status, refused.code) == (413, "request_too_large")
    made = control(running.up, "/keys", "POST", {"name": "g", "profile": "guest"})
    assert chat(running.up, key=made["secret"]).status == 200
    running.reloaded(_file(tiny_model))
    assert chat(running.up, "x" * 2000).status == 200
    gone_profile = chat(running.up, key=made["secret"])
    assert (gone_profile.status, gone_profile.code) == (403, "profile_unknown")


@pytest.mark.slow
def test_keys_stay_required_while_others_can_reach_it(start_up, tmp_path: Path, tiny_model: Path) -> None:
    """The address takes a restart, the keys do not: together they must not open the gateway for a moment."""
    running = Reloadable(start_up, tmp_path, _file(tiny_model, "server: {host: 0.0.0.0}\n"))
    running.write(_file(tiny_model, "server: {host: 127.0.0.1, keys: off}\n"))
    told = running.reload()
    assert told.returncode == 1
    assert "still listens on 0.0.0.0" in told.stderr.replace("\n", " ")
    assert ask(running.up.root_url, "GET", "/v1/models").status == 401
    running.up.stop()


def test_without_a_gateway_there_is_nothing_to_reload(tmp_path: Path) -> None:
    told = command("config", "reload", "--json", folder=tmp_path)
    assert told.returncode in (1, 3)
    assert "not running" in json.loads(told.stdout)["problems"][0]["message"]


def test_the_log_is_opened_anew(running: Reloadable, tiny_model: Path) -> None:
    """So that it can be moved away and packed."""
    log = running.folder / "logs" / "gateway.log"
    moved = log.rename(log.with_suffix(".1"))
    running.reloaded(_file(tiny_model))
    length = moved.stat().st_size
    assert chat(running.up).status == 200
    until(lambda: log.exists() and b'"answered"' in log.read_bytes(), 25, "a line in the new file")
    assert moved.stat().st_size == length
