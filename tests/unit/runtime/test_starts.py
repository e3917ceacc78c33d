"""How a model of the configuration is started where it was placed."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from ringfence.config.models import ModelSettings
from ringfence.core.device import Device, DeviceKind
from ringfence.engines.llamacpp_process import USUAL_WINDOW_CAP
from ringfence.placement.launch import NotLaunched
from ringfence.placement.planning import Share, Site
from ringfence.runtime.starts import NOWHERE, entry_of, started

GIB = 1024**3
DEMO = Path(str(resources.files("ringfence.models") / "demo.gguf"))
GPU = Device("GPU-1234", DeviceKind.GPU, "a card", 24 * GIB, 24 * GIB, 0)
RAM = Device("cpu", DeviceKind.RAM, "memory", 64 * GIB, 64 * GIB, 0)


class TestEntry:
    def test_what_its_header_tells(self) -> None:
        entry = entry_of("demo+", "demo", ModelSettings(source="demo"), DEMO)
        assert (entry.instance, entry.name, entry.weights_bytes) == ("demo+", "demo", DEMO.stat().st_size)
        assert entry.files is not None and entry.files.architecture.layers > 0 and entry.unsized == ""
        assert entry.quantisation and 0 < entry.window <= USUAL_WINDOW_CAP

    def test_the_window_that_is_set(self) -> None:
        assert entry_of("demo", "demo", ModelSettings(source="demo", window=256), DEMO).window == 256

    def test_one_whose_header_tells_nothing_is_known_by_its_size(self, tmp_path: Path) -> None:
        path = tmp_path / "m.gguf"
        path.write_bytes(b"nothing of the kind")
        entry = entry_of("m", "m", ModelSettings(source=str(path)), path)
        assert (entry.files, entry.weights_bytes, entry.window) == (None, 19, USUAL_WINDOW_CAP)
        assert entry.unsized != ""

    def test_a_folder_takes_what_its_weights_take(self, tmp_path: Path) -> None:
        for name, size in (("a.safetensors", 100), ("b.safetensors", 50), ("README.md", 7)):
            (tmp_path / name).write_bytes(b"." * size)
        said = ModelSettings(source=str(tmp_path), engine="vllm", window=8192)
        entry = entry_of("m", "m", said, tmp_path)
        assert (entry.weights_bytes, entry.window) == (150, 8192)


class TestStarted:
    def test_ours_on_the_processor_while_nobody_has_said_where(self) -> None:
        said = ModelSettings(source="demo", window=512, parallel=3)
        launch = started(entry_of("demo", "demo", said, DEMO), said, NOWHERE, [])
        assert (launch.engine, launch.model, launch.spec["threads"]) == ("llamacpp", "demo", 1)
        assert launch.spec["parallel"] == 3 and not launch.sleeps

    def test_the_demo_has_one_thread_unless_more_are_set_and_others_have_them_all(self) -> None:
        for said, threads in (
            (ModelSettings(source="demo"), 1),
            (ModelSettings(source="demo", threads=4), 4),
            (ModelSettings(source=str(DEMO)), 0),
        ):
            launch = started(entry_of("m", "m", said, DEMO), said, NOWHERE, [])
            assert launch.spec.get("threads", 0) == threads

    def test_a_program_of_the_owners_with_its_arguments(self, tmp_path: Path) -> None:
        program = tmp_path / "llama-server"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        said = ModelSettings(
            source=str(DEMO), command=(str(program),), args=("--flash-attn", "on"), kv_type="q8_0", gpu_layers=2
        )
        site = Site((Share(GPU.id, 2 * GIB), Share("cpu", GIB)))
        launch = started(entry_of("m", "m", said, DEMO), said, site, [GPU, RAM])
        words = [str(word) for word in (*launch.command, *launch.spec.get("command", ()))]
        assert str(program) in words and "--flash-attn" in words
        assert words[words.index("--n-gpu-layers") + 1] == "2" and "q8_0" in words

    def test_a_vllm_that_sleeps_unless_it_must_not(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text("{}")
        for sleep, sleeps in ((None, True), (True, True), (False, False)):
            said = ModelSettings(source=str(tmp_path), engine="vllm", sleep=sleep, window=4096)
            site = Site((Share(GPU.id, 12 * GIB),))
            launch = started(entry_of("m", "m", said, tmp_path), said, site, [GPU])
            assert (launch.engine, launch.sleeps) == ("vllm", sleeps)

    def test_what_cannot_be_started_says_so(self) -> None:
        said = ModelSettings(source=str(DEMO), command=("/opt/llama-server",), args=("--port", "80"))
        with pytest.raises(NotLaunched, match="args: "):
            started(entry_of("m", "m", said, DEMO), said, NOWHERE, [])
