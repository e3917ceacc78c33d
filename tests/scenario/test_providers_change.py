"""Providers come, change and go while `ringfence up` runs; and `ringfence egress` beside `ringfence serve`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from renting import SECRET, HeardCloud, House, beside, clouds, started_up
from whole import Terminal, command, control, gateway_pid, kill, open_request, question, reloaded, until

from ringfence.config.money import HOUSE_NOT_NAMED
from ringfence.egress.journal_chain import calls, verify
from ringfence.testing.fake_cloud import Certificate, Conduct, Misdeed
from ringfence.testing.ports import free_port

pytestmark = pytest.mark.slow

CONFIG = """
discovery: {adopt: false}
providers: {PROVIDERS}
models:
  fast: {source: TINY, threads: 1}
MODELS
profiles:
  private: {tier: T1, chain: [fast]}
  personal: {tier: T2}
"""
RENTED = "rented: {url: RENTED, api_key: 'env:RENTED_KEY', calls_per_day: CALLS, max_tokens: 48}"
OTHER = "other: {dialect: anthropic, url: OTHER, api_key: 'KEY', calls_per_day: 1000, max_tokens: 48}"
SMART = "  smart: {provider: rented, provider_model: fake-large, price: {input: 3, output: 15}}"
WISE = "  wise: {provider: other, provider_model: fake-large, price: {input: 3, output: 15}}"
STRANGE = "  strange: {provider: rented, provider_model: of-no-known-price}"


@pytest.fixture
def rented(certificate: Certificate) -> Iterator[dict[str, HeardCloud]]:
    with clouds(certificate, {"rented": "openai", "other": "anthropic"}) as made:
        yield made


class Written:
    """The configuration, which a test writes anew."""

    def __init__(self, file: Path, tiny_model: Path, made: dict[str, HeardCloud]) -> None:
        self.file = file
        self._text = CONFIG.replace("TINY", str(tiny_model))
        self._clouds = made

    def write(
        self, *providers: str, models: tuple[str, ...] = (), calls: int = 1000, key: str = "env:RENTED_KEY"
    ) -> None:
        text = self._text.replace("PROVIDERS", ", ".join(providers)).replace("MODELS", "\n".join(models))
        for name, cloud in self._clouds.items():
            text = text.replace(f"{name.upper()},", f'"{cloud.url}",')
        draft = self.file.with_suffix(".new")
        draft.write_text(text.replace("CALLS", str(calls)).replace("'KEY'", f"'{key}'"))
        draft.replace(self.file)


@pytest.fixture
def written(tmp_path: Path, tiny_model: Path, rented: dict[str, HeardCloud]) -> Written:
    return Written(tmp_path / "ringfence.yaml", tiny_model, rented)


@contextlib.contextmanager
def asking_locally(house: House) -> Iterator[list[tuple[int, str | None]]]:
    """A private caller that never stops asking; (status, boundary) of every answer."""
    over, answers = threading.Event(), list[tuple[int, str | None]]()

    def keep_asking() -> None:
        while not over.is_set():
            try:
                reply = house.chat("private")
                answers.append((reply.status, reply.headers["x-ringfence-boundary"]))
            except OSError as error:
                answers.append((0, repr(error)))

    thread = threading.Thread(target=keep_asking)
    thread.start()
    try:
        yield answers
    finally:
        over.set()
        thread.join()


def test_the_first_provider_comes_another_joins_and_all_go(
    written: Written, rented: dict[str, HeardCloud], certificate: Certificate
) -> None:
    written.write()
    with started_up(written.file, rented, certificate) as house:
        house.make_keys("private", "personal")
        gateway, engine = house.pids("gateway"), house.pids("engine")
        assert house.pids("egress") == []
        with asking_locally(house) as answers:
            written.write(RENTED, models=(SMART,))
            told = command("config", "reload", "--json", "--config", str(house.file), folder=house.folder)
            outcome = json.loads(told.stdout)
            assert outcome["notes"] == [HOUSE_NOT_NAMED]  # who switches on the first provider hears what it may cost
            paths = {change["path"] for change in outcome["changes"]}
            assert paths == {"providers.rented", "models.smart"}
            assert house.chat("personal", model="smart").headers["x-ringfence-boundary"] == "CLOUD"
            first = house.pids("egress")
            written.write(RENTED, OTHER, models=(SMART, WISE, STRANGE))
            [note] = reloaded(house)["notes"]
            assert "Nobody knows what 'strange' costs" in note
            written.write(RENTED, OTHER, models=(SMART, WISE))
            assert reloaded(house)["notes"] == []
            assert house.chat("personal", model="wise").headers["x-ringfence-boundary"] == "CLOUD"
            assert house.chat("personal", model="smart").status == 200
            assert house.pids("egress") == first
            written.write()
            reloaded(house)
            until(lambda: house.pids("egress") == [], 25, "the end of the egress process")
            assert house.chat("personal", model="smart").code == "model_not_found"
            assert not [one for one in control(house, "/status")["instances"] if one["engine"] == "egress"]
        assert set(answers) == {(200, "HOST")}
        assert (house.pids("gateway"), house.pids("engine")) == (gateway, engine)
        assert [call.sent.provider for call in calls(house.journal)] == ["rented", "other", "rented"]
        assert verify(house.journal).is_whole


def test_a_stream_goes_on_while_its_provider_is_changed_and_taken_away(
    written: Written, rented: dict[str, HeardCloud], certificate: Certificate
) -> None:
    written.write(RENTED, OTHER, models=(SMART, WISE))
    with started_up(written.file, rented, certificate) as house:
        house.make_keys("personal")
        rented["rented"].pause_s = 0.1
        body = question(model="smart", stream=True, max_tokens=48)
        with open_request(house.root_url, "POST", "/v1/chat/completions", body, house.keys["personal"]) as stream:
            assert stream.readline().startswith(b"data: ")
            written.write(RENTED, OTHER, models=(SMART, WISE), calls=1)
            reloaded(house)
            assert house.chat("personal", model="smart").code == "provider_calls_used_up"
            written.write(OTHER, models=(WISE,))
            reloaded(house)
            assert house.chat("personal", model="wise").status == 200
            assert stream.read().rstrip().endswith(b"data: [DONE]")


def test_a_key_that_is_not_there_changes_nothing(
    written: Written, rented: dict[str, HeardCloud], certificate: Certificate
) -> None:
    written.write(RENTED, models=(SMART,))
    with started_up(written.file, rented, certificate) as house:
        house.make_keys("personal")
        written.write(RENTED, OTHER, models=(SMART, WISE), key="env:NOT_THERE")
        outcome = reloaded(house, ok=False)
        assert "NOT_THERE is not set" in outcome["problems"][0]
        assert house.chat("personal", model="wise").code == "model_not_found"
        assert house.chat("personal", model="smart").status == 200
        key = house.folder / "other.key"
        key.write_text(SECRET)
        key.chmod(0o600)
        written.write(RENTED, OTHER, models=(SMART, WISE), key=f"file:{key}")
        reloaded(house)
        assert house.chat("personal", model="wise").status == 200
        rented["other"].api_key = "sk-another"
        assert house.chat("personal", model="wise").code == "provider_key_refused"
        key.write_text("sk-another")
        assert reloaded(house)["changes"] == [{"path": "providers.other.api_key", "reload": "drain"}]
        assert house.chat("personal", model="wise").status == 200


def test_a_killed_egress_process_comes_back_with_the_changed_providers(
    written: Written, rented: dict[str, HeardCloud], certificate: Certificate
) -> None:
    """And a killed gateway finds those that it now reads in its configuration."""
    written.write(RENTED, models=(SMART,))
    with started_up(written.file, rented, certificate) as house:
        house.make_keys("personal")
        written.write(RENTED, OTHER, models=(SMART, WISE))
        reloaded(house)
        kill(house.pids("egress")[0])
        until(lambda: house.chat("personal", model="wise").status == 200, 25, "an answer from what came later")
        written.write(OTHER, models=(WISE,))  # and nobody says so
        kill(gateway_pid(house))
        until(lambda: house.chat("personal", model="smart").code == "model_not_found", 25, "the new configuration")
        assert house.chat("personal", model="wise").status == 200
        log = (house.folder / "egress" / "egress.log").read_text()
        assert "changed to 1 providers" in log


@pytest.mark.parametrize("misdeed", [Misdeed.HANG, Misdeed.NONE])
@pytest.mark.timed
def test_ctrl_c_ends_within_3_s_while_calls_to_clouds_run(
    written: Written, rented: dict[str, HeardCloud], certificate: Certificate, misdeed: Misdeed
) -> None:
    written.write(RENTED, models=(SMART,))
    with started_up(written.file, rented, certificate) as house:
        house.make_keys("personal")
        rented["rented"].always, rented["rented"].pause_s = Conduct(misdeed), 0.5
        threads = [threading.Thread(target=_ask_and_be_cut_off, args=(house, number % 2 == 0)) for number in range(4)]
        for thread in threads:
            thread.start()
        until(lambda: len(rented["rented"].requests) == 4, 10, "four calls at the cloud")
        everyone = [*house.pids("gateway"), *house.pids("egress"), *house.pids("engine")]
        began = time.monotonic()
        house.process.send_signal(signal.SIGINT)
        assert house.process.wait(10) == 0
        assert time.monotonic() - began < 3
        assert len(everyone) == 3
        assert not any(Path(f"/proc/{pid}").exists() for pid in everyone)
        for thread in threads:
            thread.join(5)
        assert [call.ended is not None for call in calls(house.journal)] == [True] * 4


@pytest.mark.timed
def test_ctrl_c_ends_within_3_s_although_egress_hangs(
    written: Written, rented: dict[str, HeardCloud], certificate: Certificate
) -> None:
    written.write(RENTED, models=(SMART,))
    with started_up(written.file, rented, certificate) as house:
        house.make_keys("personal")
        rented["rented"].always = Conduct(Misdeed.HANG)
        [egress] = house.pids("egress")
        thread = threading.Thread(target=_ask_and_be_cut_off, args=(house, True))
        thread.start()
        until(lambda: rented["rented"].requests, 10, "a call at the cloud")
        kill(egress, signal.SIGSTOP)
        began = time.monotonic()
        house.process.send_signal(signal.SIGINT)
        assert house.process.wait(10) == 0
        assert time.monotonic() - began < 3
        assert not Path(f"/proc/{egress}").exists()
        thread.join(5)


def _ask_and_be_cut_off(house: House, stream: bool) -> None:
    with contextlib.suppress(Exception):
        house.chat("personal", model="smart", stream=stream, max_tokens=48)


# -- two services --------------------------------------------------------------------------------------------------


def test_egress_beside_serve(
    written: Written, rented: dict[str, HeardCloud], certificate: Certificate, tmp_path: Path
) -> None:
    written.write(RENTED, models=(SMART, STRANGE))
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    state = {"RINGFENCE_STATE_DIR": str(folder)}
    words = ("serve", "--config", str(written.file), "--port", str(free_port()))
    environment = {name: value for name, value in os.environ.items() if name != "RENTED_KEY"} | state
    with Terminal(tmp_path / "serve", *words, env=environment) as serve:
        told = serve.until('"ready"')
        assert "start `ringfence egress` beside this" in told
        assert "Nobody knows what 'strange' costs" in told
        ready = next(json.loads(line)["ready"] for line in told.splitlines() if '"ready"' in line)
        house = House(serve.process, ready["base_url"].removesuffix("/v1"), folder, written.file, rented)
        house.make_keys("private", "personal")
        doctor = command("doctor", "--json", folder=folder)
        assert "start `ringfence egress` beside this" in doctor.stdout
        assert house.chat("personal", model="smart").status == 503
        assert house.chat("private").status == 200
        with _egress(written.file, certificate, **state, RENTED_KEY=SECRET) as process:
            until(lambda: house.chat("personal", model="smart").status == 200, 25, "an answer from the cloud")
            written.write(RENTED, OTHER, models=(SMART, WISE))
            process.send_signal(signal.SIGHUP)
            assert process.stdout is not None
            assert json.loads(process.stdout.readline()) == {"changed": {"providers": ["other", "rented"]}}
            reloaded(house)
            assert house.chat("personal", model="wise").status == 200
            written.write(RENTED, OTHER, models=(SMART, WISE), key="env:NOT_THERE")
            process.send_signal(signal.SIGHUP)
            assert "NOT_THERE is not set" in json.loads(process.stdout.readline())["refused"]
            assert house.chat("personal", model="wise").status == 200
        assert process.returncode == 0
        assert house.chat("private").status == 200


@contextlib.contextmanager
def _egress(file: Path, certificate: Certificate, **env: str) -> Iterator[subprocess.Popen[str]]:
    """`ringfence egress`, ready."""
    program = beside(certificate, "egress", "--config", str(file))
    with subprocess.Popen(program, env=os.environ | env, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["ready"]["providers"] == ["rented"]
            yield process
        finally:
            process.terminate()
            process.wait(25)


@pytest.mark.parametrize(
    ("providers", "said"),
    [((), "names no providers"), ((RENTED,), "RENTED_KEY is not set"), ((RENTED, RENTED), "ringfence.yaml")],
)
def test_egress_alone_says_why_it_does_not_run(
    written: Written, tmp_path: Path, providers: tuple[str, ...], said: str
) -> None:
    written.write(*providers)
    told = command("egress", "--config", str(written.file), folder=tmp_path)
    assert told.returncode == 2
    assert said in json.loads(told.stdout)["failed"]
