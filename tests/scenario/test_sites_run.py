"""The sites of `examples/sites` started for real, and what each of them is for, asked of it."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sites import Comfy, Site, as_given, comfy, made_small, written
from whole import Stream, ask, chat, children, control, gone, made_key, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]


def target(reply: Any) -> str:
    assert reply.status == 200, reply.body
    return str(reply.headers["x-ringfence-target"]).rpartition("/")[2]


def lease_of(site: Site, tenant: str) -> dict[str, Any] | None:
    found = [one for one in control(site.up, "/leases")["leases"] if one["tenant"] == tenant]
    return found[0] if found else None


# -- a desktop and a DGX Spark ----------------------------------------------------------------------------------------

STANDING = ("8b", "14b", "70b", "translate", "summarise", "classify", "adapters")


def desktop(start_up: Any, folder: Path, drawing: Comfy) -> Site:
    settings = made_small(as_given("desktop-and-dgx/ringfence.yaml"), folder)
    settings["tenants"]["images"]["url"] = drawing.url
    site = Site(start_up("--config", str(written(settings, folder))))
    site.until_ready(*STANDING)
    return site


def test_nine_models_and_pictures_on_a_desktop_and_a_spark(start_up: Any, tmp_path: Path) -> None:
    with comfy() as drawing:
        site = desktop(start_up, tmp_path, drawing)
        up, before = site.up, site.processes()
        assert [target(chat(up)), target(chat(up, model="local/quality"))] == ["8b", "70b"]

        # The coder comes when it is asked for, beside all the others, and goes when it was not used for long.
        assert target(chat(up, model="coder")) == "coder"
        assert site.ready() == {*STANDING, "coder"}
        site.until_ready(*STANDING)

        # Vision takes the place of the 14B, and gives it back.
        assert target(chat(up, model="vision")) == "vision"
        assert site.phases()["14b"] == "absent"
        site.until_ready(*STANDING)

        # Pictures come before whatever is in the slot. What is left is enough for vision, not for the 14B.
        with Stream(up, model="14b", max_tokens=200) as stream:
            stream.until_text()
            drawing.draw()
            _text, errors = stream.rest()
            assert stream.saw_done and not errors
        until(lambda: (lease_of(site, "images") or {}).get("phase") == "held", 20, "memory for pictures")
        drawing.finish()  # it keeps its memory for a minute, for the next picture
        assert site.phases()["14b"] == "absent"
        assert target(chat(up, model="8b")) == "8b"
        assert target(chat(up, model="vision")) == "vision"
        refused = chat(up, model="14b", timeout_s=60)
        assert (refused.status, refused.code) == (503, "target_unavailable"), refused.body
        until(lambda: lease_of(site, "images") is None, 90, "memory that was given back")
        assert drawing.freed
        site.until_ready(*STANDING)

        kept = {name: pid for name, pid in site.processes().items() if name != "14b"}
        assert kept == {name: pid for name, pid in before.items() if name != "14b"}, "nobody else was disturbed"
        up.stop()


# -- one card of 24 GB ------------------------------------------------------------------------------------------------


def test_a_card_of_24_gb(start_up: Any, tmp_path: Path) -> None:
    settings = made_small(as_given("card-24/ringfence.yaml"), tmp_path)
    settings["tenants"]["images"]["url"] = "http://127.0.0.1:9"  # nobody draws here
    settings["models"]["embed"]["embeddings"] = True
    hour = time.gmtime().tm_hour
    settings["tenants"]["training"]["hours"] = f"{(hour + 11) % 24:02}:00-{(hour + 13) % 24:02}:00 UTC"
    site = Site(start_up("--config", str(written(settings, tmp_path))))
    site.until_ready("8b", "embed")
    up, embedder = site.up, site.processes()["embed"]

    # The 32B comes, the stream of the 8B is finished before, and embeddings go on.
    with Stream(up, model="8b", max_tokens=200) as stream:
        stream.until_text()
        assert target(chat(up, model="32b")) == "32b"
        _text, errors = stream.rest()
        assert stream.saw_done and not errors
    assert site.phases()["8b"] == "absent"
    reply = ask(up.root_url, "POST", "/v1/embeddings", {"model": "embed", "input": "some words"}, up.api_key)
    assert reply.status == 200
    site.until_ready("8b", "embed")
    assert target(chat(up)) == "8b"

    # Speech stands behind models: it gets what they leave, and is asked to go for the 32B. Training has its hours.
    held = control(up, "/leases", "POST", {"tenant": "tts", "memory": "4GiB", "device": "gpu0", "wait_s": 10})
    assert held["phase"] == "held"
    training = control(up, "/leases", "POST", {"tenant": "training", "memory": "2GiB", "device": "gpu0"})
    assert training["phase"] == "asked"
    until(lambda: "hours" in (lease_of(site, "training") or {})["reason"], 25, "a training that knows its hours")
    control(up, f"/leases/{training['id']}", "DELETE")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(chat, up, model="32b")
        until(lambda: (lease_of(site, "tts") or {}).get("phase") == "recalled", 25, "speech that is asked to go")
        assert not asked.done()
        control(up, f"/leases/{held['id']}", "DELETE")
        assert target(asked.result(40)) == "32b"
    site.until_ready("8b", "embed")
    assert site.processes()["embed"] == embedder
    up.stop()


# -- one card of 32 GB and its modes ----------------------------------------------------------------------------------


def window_of(site: Site, model: str) -> int:
    [one] = [one for one in control(site.up, "/status")["instances"] if one["name"] == model]
    return int(one["window"])


def test_a_card_of_32_gb_with_modes(start_up: Any, tmp_path: Path) -> None:
    settings = made_small(as_given("card-32-modes/ringfence.yaml"), tmp_path)
    with comfy() as drawing:
        settings["tenants"]["images"]["url"] = drawing.url
        too_large = {"vision": {"memory": "40GiB"}}
        settings["modes"]["hopeless"] = {
            "devices": ["gpu0"], "models": ["vision"], "settings": too_large, "ready_s": 1,
        }  # fmt: skip
        site = Site(start_up("--config", str(written(settings, tmp_path))))
        site.until_ready("big", "floor")
        up, floor = site.up, site.processes()["floor"]
        assert (target(chat(up)), window_of(site, "big")) == ("big", 2560)

        assert site.switch("forensic")["switch"]["outcome"] == "done"
        assert (target(chat(up)), window_of(site, "big")) == ("big", 4096)
        assert site.ready() == {"big", "floor"}

        # A mode that cannot be is taken back, and says why.
        hopeless = site.switch("hopeless")
        assert "vision (it needs 40.0 GiB, and gpu0 has 31.0 GiB in all)" in hopeless["switch"]["outcome"]
        assert hopeless["now"] == "forensic"
        site.until_ready("big", "floor")

        # From one mode to another, with a stream on its way.
        with Stream(up, model="big", max_tokens=300) as stream:
            stream.until_text()
            assert site.switch("agent")["switch"]["outcome"] == "done"
            assert stream.rest()[1] == [] and stream.saw_done
        assert site.ready() == {"big", "vision", "floor"}
        assert (target(chat(up)), window_of(site, "big")) == ("big", 3072)
        assert "it is to be set up otherwise" in {one["reason"] for one in site.plan()["recent"]}

        # The card is for pictures: whoever asks for the usual model gets the floor.
        assert site.switch("creative")["switch"]["outcome"] == "done"
        assert site.ready() == {"floor"}
        drawing.draw()
        until(lambda: (lease_of(site, "images") or {}).get("phase") == "held", 20, "memory for pictures")
        assert target(chat(up)) == "floor"
        drawing.finish()

        assert site.switch("audio")["switch"]["outcome"] == "done"
        [speech] = [pid for pid in children(up.process.pid) if name_of(pid) == "sleep"]
        assert target(chat(up)) == "floor"
        assert lease_of(site, "images") is None or lease_of(site, "images")["phase"] == "recalled"

        assert site.switch(None)["now"] is None
        gone([speech], 10)
        site.until_ready("big", "floor")
        assert (target(chat(up)), window_of(site, "big")) == ("big", 2560)
        assert site.processes()["floor"] == floor
        up.stop()


def name_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


# -- three nodes ------------------------------------------------------------------------------------------------------


def test_three_nodes_and_their_head(start_up: Any, tmp_path: Path) -> None:
    """The nodes run as well, each in a folder of its own; the head knows them by their addresses here."""
    nodes: dict[str, Site] = {}
    for name in ("large", "small", "arm"):
        folder = tmp_path / name
        folder.mkdir()
        settings = made_small(as_given(f"three-nodes/{name}.yaml"), folder)
        settings["server"]["host"] = "127.0.0.1"
        nodes[name] = Site(start_up("--config", str(written(settings, folder))))
    nodes["large"].until_ready("chat")
    nodes["arm"].until_ready("floor")
    nodes["small"].until_ready()

    settings = as_given("three-nodes/ringfence.yaml")
    settings["server"]["host"] = "127.0.0.1"
    keys = {f"{name.upper()}_KEY": node.up.api_key for name, node in nodes.items()}
    at = {"192.168.7.10": "large", "192.168.7.11": "small", "192.168.7.12": "arm"}
    for name, model in settings["models"].items():
        address = model["url"].removeprefix("http://").partition(":")[0]
        settings["models"][name] = model | {"url": nodes[at[address]].up.root_url}
    head = start_up("--config", str(written(settings, tmp_path)), env=keys)
    until(lambda: chat(head).status == 200, 20, "a head that knows its nodes")
    coding, drawing = (made_key(head, name, profile=name) for name in ("coding", "drawing"))
    assert target(chat(head)) == "chat"
    assert target(chat(head, key=coding)) == "code"
    assert "code" in nodes["large"].ready(), "it was loaded because the head asked"
    assert target(chat(head, key=drawing)) == "draw"
    assert nodes["small"].moves()[0] == ("load", "draw")
    for name, kept in (("large", ("chat",)), ("small", ())):
        nodes[name].until_ready(*kept)

    # A node that is away is passed over, and its models come back with it.
    nodes["large"].up.stop()
    assert target(chat(head)) == "floor"
    assert target(chat(head, key=coding)) == "code-small"
    nodes["small"].up.stop()
    assert target(chat(head, key=coding)) == "floor"
    reply = chat(head, key=drawing)
    assert (reply.status, reply.code) == (503, "target_unavailable")
    for up in (head, nodes["arm"].up):
        up.stop()
