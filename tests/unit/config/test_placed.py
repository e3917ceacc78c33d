"""What shares the devices: what is taken, what is refused and in which words, and how a change of it takes effect."""

# ruff: noqa: E501 - the table reads best with one case per line
from __future__ import annotations

import json
from typing import get_args

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as rules
from hypothesis import strategies as st
from pydantic import ValidationError

from ringfence.config.changes import difference, show
from ringfence.config.load import load
from ringfence.config.models import KV_TYPES, KvType, ModelSettings
from ringfence.config.placed import is_real
from ringfence.config.placing import DeviceSettings, ModeModelSettings, ModeSettings, SlotSettings, TenantSettings
from ringfence.config.problems import ConfigInvalid
from ringfence.config.write import template
from ringfence.engines import llamacpp_process, vllm_start
from ringfence.placement.sizing.kv_types import LLAMACPP, TYPES, VLLM
from ringfence.runtime.configured import BESIDE_THE_ENGINE

GIB = 1024**3
TWO = "models:\n  a: {source: demo}\n  b: {source: demo, residency: swap}\n"
"""In three lines; b is of the slot 'swap'."""

WHOLE = """
mesh: [10.0.0.0/8]
models:
  chat:
    source: chat.gguf
    priority: P0
    devices: [gpu0]
    memory: 9GiB
    kv_type: q8_0
  big:
    source: hf:owner/repo:Q4_K_M
    residency: swap
    slot: large
    devices: [gpu0, ram]
    gpu_layers: 20
  other: {source: demo, residency: swap, slot: large, priority: P3}
  night: {source: demo, residency: lazy, idle_s: 60, hours: 22:00-06:00 Europe/Berlin}
  fast:
    source: hf:owner/repo
    engine: vllm
    command: [python, -m, vllm.entrypoints.cli.main]
    args: [--max-num-seqs, '8']
    kv_type: fp8
    sleep: true
    lora_slots: 32
  own:
    source: chat.gguf
    residency: on_demand
    devices: [cpu]
    gpu_layers: 0
    command: [engines/llama-server]
    args: [--flash-attn]
  peer: {url: 'http://10.0.0.2:7464'}
slots: {large: {default: big, idle_s: 0}, empty: {}}
devices:
  gpu0: {headroom: 1GiB, threshold: 512MiB, order: [P0, images, chat, P1, tts, P3]}
  spark: {simulated: 128GB, kind: unified, headroom: 0}
  GPU-4b2b1c1e-0000-1111-2222-333344445555: {}
  cpu: {}
tenants:
  images: {kind: comfyui, url: 'http://127.0.0.1:8188', device: gpu0, memory: 10GiB, hours: 02:00-08:00 Pacific/Auckland}
  tts: {}
modes:
  forensic:
    devices: [gpu0]
    models: [big]
    tenants: [images, tts]
    settings: {big: {window: 180000, kv_type: q4_0, memory: 28GiB}}
    run: [[/usr/bin/true], [bin/listen, --port, '1'], [tool]]
    ready_s: 60
placement: {dwell_s: 0, lock_file: gpu.lock}
"""

REFUSALS = [
    ("models:\n  a: {source: demo, residency: allways}\n", "2:21: models.a.residency: expected 'always', 'swap', 'lazy' or 'on_demand', given the text 'allways'; did you mean 'always'?"),
    ("models:\n  a: {source: demo, priority: 1}\n", "2:21: models.a.priority: expected 'P0', 'P1', 'P2' or 'P3', given 1"),
    ("models:\n  a: {source: demo, prority: P1}\n", "2:21: models.a.prority: unknown key; did you mean 'priority'?"),
    ("models:\n  a: {url: 'http://127.0.0.1:1', residency: lazy}\n", "2:34: models.a.residency: goes with source only"),
    ("models:\n  a: {url: 'http://127.0.0.1:1', devices: [gpu0]}\n", "2:34: models.a.devices: goes with source only"),
    ("models:\n  a: {url: 'http://127.0.0.1:1', memory: 1GiB}\n", "2:34: models.a.memory: goes with source only"),
    ("models:\n  a: {source: demo, slot: large}\n", "2:21: models.a.slot: goes with residency swap only"),
    ("models:\n  a: {source: demo, idle_s: 5}\n", "2:21: models.a.idle_s: a model that is always loaded never leaves for that; use another residency"),
    ("models:\n  a: {source: demo, residency: swap, priority: P0}\n", "2:38: models.a.priority: a model of a swap slot gives way to the others of it, and P0 never does"),
    ("models:\n  a: {source: demo, priority: P0, hours: '02:00-08:00 UTC'}\n", "2:35: models.a.hours: a model of priority P0 never leaves; use P1 to P3"),
    ("models:\n  a: {source: demo, priority: P0, residency: lazy, idle_s: 5}\n", "2:52: models.a.idle_s: a model of priority P0 never leaves; use P1 to P3"),
    ("models:\n  a: {source: demo, memory: 16 gigs}\n", "2:21: models.a.memory: expected bytes as a number or with a unit, such as 32MiB or 16 GB"),
    ("models:\n  a: {source: demo, memory: 0}\n", "2:21: models.a.memory: must be at least 1, given 0"),
    ("models:\n  a: {source: demo, kv_type: q8}\n", "2:21: models.a.kv_type: expected 'f16', 'q8_0', 'q5_1', 'q5_0', 'q4_1', 'q4_0', 'iq4_nl', 'fp8', 'turboquant_k8v4', 'turboquant_4bit_nc', 'turboquant_k3v4_nc' or 'turboquant_3bit_nc', given the text 'q8'; did you mean 'q8_0'?"),
    ("models:\n  a: {source: demo, kv_type: fp8}\n", "2:21: models.a.kv_type: llamacpp keeps keys and values in one of f16, q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl"),
    ("models:\n  a: {source: 'hf:o/r', engine: vllm, kv_type: q8_0}\n", "2:39: models.a.kv_type: vllm keeps keys and values in one of f16, fp8, turboquant_k8v4, turboquant_4bit_nc, turboquant_k3v4_nc, turboquant_3bit_nc"),
    ("models:\n  a: {source: 'hf:o/r', engine: vllm, gpu_layers: 1}\n", "2:39: models.a.gpu_layers: goes with engine llamacpp only"),
    ("models:\n  a: {source: demo, devices: [ram], gpu_layers: 9}\n", "2:37: models.a.gpu_layers: none of its devices is a GPU"),
    ("devices: {d: {simulated: 1GB, kind: ram}}\nmodels:\n  a: {source: demo, devices: [ram, d], gpu_layers: 9}\n", "3:40: models.a.gpu_layers: none of its devices is a GPU"),
    ("models:\n  a: {source: demo, sleep: true}\n", "2:21: models.a.sleep: goes with engine vllm only"),
    ("models:\n  a: {source: demo, lora_slots: 4}\n", "2:21: models.a.lora_slots: goes with engine vllm only"),
    ("models:\n  a: {source: demo, args: [-x]}\n", "2:21: models.a.args: goes with command only: the llama.cpp that comes with Ringfence takes no arguments"),
    ("models:\n  a: {source: demo, command: []}\n", "2:21: models.a.command: needs at least one entry"),
    ("models:\n  a: {source: demo, command: llama-server}\n", "2:21: models.a.command: expected a list, given text"),
    ("models:\n  a: {source: a.gguf, engine: vllm}\n", "2:7: models.a.source: vllm serves hf:owner/repo, or the folder of a model"),
    ("models:\n  a: {source: 'hf:o/r:Q4', engine: vllm}\n", "2:7: models.a.source: vllm serves hf:owner/repo, or the folder of a model"),
    ("models:\n  a: {source: folder}\n", "2:7: models.a.source: expected 'demo', the path of a .gguf file, or hf:owner/repo[:quant or file]"),
    ("models:\n  a: {source: demo, hours: 2-8}\n", "2:21: models.a.hours: expected hours and a time zone, such as 02:00-08:00 Pacific/Auckland"),
    ("models:\n  a: {source: demo, hours: '02:00-08:00 Pacific/Aukland'}\n", "2:21: models.a.hours: 'Pacific/Aukland' is no time zone; did you mean 'Pacific/Auckland'?"),
    ("models:\n  a: {source: demo, devices: [gpu0, gpu0]}\n", "2:37: models.a.devices[1]: is listed already"),
    ("models:\n  a: {source: demo, devices: [gup0]}\n", "2:31: models.a.devices[0]: there is no device 'gup0'; did you mean 'gpu0'?"),
    ("models:\n  a: {source: demo, devices: ['a b']}\n", "2:31: models.a.devices[0]: a device is named by 1 to 128 of A-Z a-z 0-9 . _ : -, such as gpu0 or ram"),
    ("models:\n  a: {source: demo, residency: swap, slot: larg}\nslots: {large: {}}\n", "2:38: models.a.slot: there is no slot 'larg'; did you mean 'large'?"),
    (TWO + "slots: {swap: {default: c}}\n", "4:16: slots.swap.default: there is no model 'c'"),
    (TWO + "slots: {swap: {default: a}}\n", "4:16: slots.swap.default: model 'a' is of residency always; one of a slot is of residency swap"),
    (TWO + "slots: {large: {default: b}}\n", "4:17: slots.large.default: model 'b' is of the slot 'swap'"),
    (TWO + "slots: {swap: {defualt: b}}\n", "4:16: slots.swap.defualt: unknown key; did you mean 'default'?"),
    ("devices:\n  gpu0: {threshold: 2GiB, headroom: 1GiB}\n", "2:10: devices.gpu0.threshold: is more than headroom: what was just loaded would leave again"),
    ("devices:\n  gpu0: {threshold: 2GiB}\n", "2:10: devices.gpu0.threshold: goes with headroom, which is at least as much"),
    ("devices:\n  gpu0: {kind: ram}\n", "2:10: devices.gpu0.kind: goes with simulated only: of a real device it is known"),
    ("devices:\n  gpu0: {simulated: 1GiB, headroom: 1GiB}\n", "2:27: devices.gpu0.headroom: leaves nothing of the device"),
    ("devices:\n  gpu0: {order: [P1, P0]}\n", "2:22: devices.gpu0.order[1]: P0 gives way to nothing, so it comes first or is left out"),
    ("devices:\n  gpu0: {order: [P1, P1]}\n", "2:22: devices.gpu0.order[1]: is listed already"),
    ("devices:\n  gpu0: {order: [P0, imges]}\ntenants: {images: {}}\n", "2:22: devices.gpu0.order[1]: there is no class, model or tenant 'imges'; did you mean 'images'?"),
    ("devices:\n  graphics: {headroom: 1GiB}\n", "2:3: devices.graphics: no device is called so: gpu0 is the first GPU, ram the RAM; one that is not there is simulated"),
    ("devices:\n  ram: {}\n  cpu: {}\n", "3:3: devices.cpu: 'ram' and 'cpu' are the same device; keep one of them"),
    ("tenants:\n  i: {kind: comfyui, url: 'http://127.0.0.1:1', memory: 1GiB}\n", "2:3: tenants.i.device: a tenant of kind comfyui needs it"),
    ("tenants:\n  i: {kind: comfy}\n", "2:7: tenants.i.kind: expected 'comfyui', given the text 'comfy'; did you mean 'comfyui'?"),
    ("tenants:\n  i: {url: 'http://127.0.0.1:1'}\n", "2:7: tenants.i.url: goes with a kind only, such as comfyui"),
    ("tenants:\n  i: {kind: comfyui, url: 'http://10.0.0.1:1', device: gpu0, memory: 1GiB}\n", "2:22: tenants.i.url: 10.0.0.1 is neither this machine nor in a network listed under mesh; list its network if it is yours"),
    ("tenants:\n  i: {device: gpu}\n", "2:7: tenants.i.device: there is no device 'gpu'; did you mean 'gpu0'?"),
    ("tenants:\n  demo: {}\n", "2:3: tenants.demo: 'demo' is a model's name; in the order of a device nobody could tell which is meant"),
    ("tenants:\n  P2: {}\n", "2:3: tenants.P2: 'P2' is a class of models"),
    ("modes:\n  m: {models: [demo]}\n", "2:3: modes.m.devices: needed here, and missing"),
    ("modes:\n  m: {devices: []}\n", "2:7: modes.m.devices: needs at least one entry"),
    ("modes:\n  m: {devices: [gpu0], models: [dem]}\n", "2:33: modes.m.models[0]: there is no model 'dem'; did you mean 'demo'?"),
    ("modes:\n  m: {devices: [gpu0], tenants: [dem]}\n", "2:34: modes.m.tenants[0]: there is no tenant 'dem'"),
    ("modes:\n  m: {devices: [gpu0, gpu0]}\n", "2:23: modes.m.devices[1]: is listed already"),
    ("modes:\n  m: {devices: [gpuo]}\n", "2:17: modes.m.devices[0]: there is no device 'gpuo'; did you mean 'gpu0'?"),
    ("modes:\n  m: {devices: [gpu0], tenants: [t]}\ntenants: {t: {device: gpu1}}\n", "2:34: modes.m.tenants[0]: tenant 't' is on gpu1, which is no device of this mode"),
    ("modes:\n  m: {devices: [gpu0], settings: {demo: {window: 4096}}}\n", "2:35: modes.m.settings.demo: 'demo' is none of the models of this mode"),
    ("modes:\n  m: {devices: [gpu0], models: [demo], settings: {demo: {kv_type: fp8}}}\n", "2:58: modes.m.settings.demo.kv_type: llamacpp keeps keys and values in one of f16, q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl"),
    ("modes:\n  m: {devices: [gpu0], models: [demo], settings: {demo: {windw: 1}}}\n", "2:58: modes.m.settings.demo.windw: unknown key; did you mean 'window'?"),
    ("modes:\n  m: {devices: [gpu0], models: [u]}\nmodels: {u: {url: 'http://127.0.0.1:1'}}\n", "2:33: modes.m.models[0]: model 'u' has no source: it is not loaded here, and not kept"),
    ("modes:\n  m: {devices: [gpu0], run: [[]]}\n", "2:30: modes.m.run[0]: needs at least one entry"),
    ("modes:\n  'off': {devices: [gpu0]}\n", "2:3: modes.off: 'off' ends a mode; give it another name"),
    ("placement: {dwel_s: 1}\n", "1:13: placement.dwel_s: unknown key; did you mean 'dwell_s'?"),
    ("placement: {busy_percent: 0}\n", "1:13: placement.busy_percent: must be more than 0, given 0"),
    ("placement: {dwell_s: -1}\n", "1:13: placement.dwell_s: must be at least 0, given -1"),
    ("dwell_s: 1\n", "1:1: dwell_s: unknown key; did you mean 'placement.dwell_s'?"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), REFUSALS)
def test_what_is_refused(refused, text, words):
    assert [str(problem) for problem in refused(text)] == [f"ringfence.yaml:{words}"]


def test_everything_that_names_nothing_is_told_at_once(refused):
    text = TWO + "slots: {swap: {default: c}}\ntenants: {t: {device: x}}\nprofiles: {p: {chain: [d]}}\n"
    assert [problem.path for problem in refused(text)] == [
        "slots.swap.default",
        "tenants.t.device",
        "profiles.p.chain[0]",
    ]


def test_a_whole_site_is_taken(read, tmp_path):
    config = read(WHOLE)
    assert config.models["big"].slot == "large" and config.models["big"].devices == ("gpu0", "ram")
    assert config.models["fast"].source_engine == "vllm"
    assert config.devices["spark"].simulated == 128_000_000_000
    assert config.modes["forensic"].settings["big"].memory == 28 * GIB
    # Paths count from the file; bare names of programs are looked for.
    assert config.models["own"].command == (str(tmp_path / "engines/llama-server"),)
    assert config.models["fast"].command == ("python", "-m", "vllm.entrypoints.cli.main")
    assert config.modes["forensic"].run == (
        ("/usr/bin/true",),
        (str(tmp_path / "bin/listen"), "--port", "1"),
        ("tool",),
    )
    assert config.placement.lock_file == str(tmp_path / "gpu.lock")


@pytest.mark.parametrize(
    ("source", "engine", "path"),
    [
        ("models/a", "vllm", "{folder}/models/a"),
        ("~/a", "vllm", "/home/me/a"),
        ("hf:o/r", "vllm", "hf:o/r"),
        ("a.gguf", "llamacpp", "{folder}/a.gguf"),
        ("demo", "llamacpp", "demo"),
    ],
)
def test_a_source_that_is_a_path_counts_from_the_file(read, tmp_path, source, engine, path):
    config = read(f"models: {{a: {{source: '{source}', engine: {engine}}}}}\n", {"HOME": "/home/me"})
    assert config.models["a"].source == path.format(folder=tmp_path)


def test_programs_that_are_no_lists_of_words_are_told_as_such(refused):
    text = "modes: {m: {devices: [gpu0], run: [tool, [1], {}]}}\nmodels: {a: {source: demo, command: {}}}\n"
    assert {problem.path for problem in refused(text)} == {
        "modes.m.run[0]", "modes.m.run[1][0]", "modes.m.run[2]", "models.a.command",
    }  # fmt: skip


def test_a_source_needs_an_engine_that_is_started_here(refused):
    found = refused("models: {a: {source: demo, engine: ollama}}\n", kinds={"llamacpp", "vllm", "ollama"})
    assert [str(problem) for problem in found] == [
        "ringfence.yaml:1:28: models.a.engine: a source is served by llamacpp or vllm; give the url of a running ollama"
    ]


def test_it_is_shown_with_its_places(read):
    shown = show(read(WHOLE)).splitlines()
    lines = {line.split(":")[0].strip(): line for line in shown}
    assert "ringfence.yaml:" in lines["gpu_layers"] or "default" in lines["gpu_layers"]
    assert any("{big: {window: 180000, kv_type: q4_0, memory: 30064771072}}" in line for line in shown)
    assert any("run: [[/usr/bin/true], " in line for line in shown)


def test_how_a_change_takes_effect(read):
    old = read(WHOLE)
    text = WHOLE.replace("priority: P0", "priority: P2").replace("kv_type: q8_0", "kv_type: q4_1")
    text = text.replace("128GB", "64GB").replace("  tts: {}\n", "").replace(", tts]", "]").replace("P1, tts", "P1")
    text = text.replace("window: 180000", "window: 90000").replace("dwell_s: 0", "dwell_s: 1")
    changes = {change.path: change.reload for change in difference(old, read(text))}
    assert changes == {
        "models.chat.priority": "hot",
        "models.chat.kv_type": "drain",
        "devices.gpu0.order": "hot",
        "devices.spark.simulated": "restart",
        "tenants.tts": "drain",
        "modes.forensic.tenants": "hot",
        "modes.forensic.settings": "hot",
        "placement.dwell_s": "hot",
    }


# -- what is worked out of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "total", "headroom", "threshold"),
    [
        ({}, 24 * GIB, GIB, GIB // 2),
        ({}, 4 * GIB, GIB // 4, GIB // 8),
        ({"headroom": 0}, 24 * GIB, 0, 0),
        ({"headroom": 2 * GIB}, 24 * GIB, 2 * GIB, GIB),
        ({"headroom": "2GiB", "threshold": 0}, 24 * GIB, 2 * GIB, 0),
    ],
)
def test_what_stays_free(settings, total, headroom, threshold):
    device = DeviceSettings(**settings)
    assert (device.headroom_bytes(total), device.threshold_bytes(total)) == (headroom, threshold)


def test_a_mode_sets_a_model_up_otherwise():
    model = ModelSettings(source="demo", window=4096, memory=GIB, aliases=("x",))
    there = ModeModelSettings(window=8192, kv_type="q8_0").laid_over(model)
    assert (there.window, there.kv_type, there.memory, there.aliases) == (8192, "q8_0", None, ("x",))
    assert ModeModelSettings(memory="2GiB").laid_over(model).memory == 2 * GIB
    assert ModeModelSettings().laid_over(model) == model


def test_the_types_of_keys_and_values_are_those_that_can_be_sized():
    assert set(get_args(KvType)) == set(TYPES)
    for engine, name in (("llamacpp", LLAMACPP), ("vllm", VLLM)):
        assert set(KV_TYPES[engine]) == {one.name for one in TYPES.values() if name in one.engines}


def test_the_engines_know_these_types():
    assert set(KV_TYPES["llamacpp"]) <= set(llamacpp_process.KV_TYPES)
    assert set(KV_TYPES["vllm"]) <= set(vllm_start.KV_TYPES)


def test_an_engine_is_started_anew_for_what_drains_and_for_nothing_else():
    hot = {
        name: field.default
        for name, field in ModelSettings.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra["reload"] == "hot"
    }
    assert hot == BESIDE_THE_ENGINE


NAMES = st.sampled_from(["gpu0", "ram", "demo", "a", "P0", "P1", "swap", "images", "off", ""])
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 10**12), NAMES, st.lists(NAMES, max_size=3), st.just({}),
    st.lists(st.lists(NAMES, max_size=2), max_size=2),
    st.sampled_from(["1GiB", "02:00-08:00 UTC", "hf:o/r", "vllm", "lazy", "comfyui", "http://127.0.0.1:1", "fp8", "d/e"]),
)  # fmt: skip
PARTS = {
    "models": ModelSettings, "slots": SlotSettings, "devices": DeviceSettings, "tenants": TenantSettings,
    "modes": ModeSettings,
}  # fmt: skip
SITES = st.fixed_dictionaries({}, optional={
    name: st.dictionaries(NAMES, st.one_of(ODD, st.dictionaries(st.sampled_from(list(part.model_fields)), ODD)), max_size=3)
    for name, part in PARTS.items()
})  # fmt: skip


@rules(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(site=SITES, placement=ODD)
def test_whatever_is_written_is_taken_or_refused_with_its_line(tmp_path, site, placement):
    file = tmp_path / "ringfence.yaml"
    file.write_text(json.dumps({**site, "placement": placement}))
    try:
        load(file, {"HOME": "/home/me"})
    except ConfigInvalid as refusal:
        assert all(problem.line is not None for problem in refusal.problems)
        assert not any(
            "validation" in problem.message or "nput should" in problem.message for problem in refusal.problems
        )


@pytest.mark.parametrize("name", ["gpu0", "gpu12", "ram", "cpu", "GPU-4b2b1c1e-0000", "amd-0000:03:00.0"])
def test_devices_that_may_be_there(name):
    assert is_real(name)


@pytest.mark.parametrize("name", ["gpu", "gpu-0", "GPU0", "spark", "gpu0x", ""])
def test_names_of_no_device(name):
    assert not is_real(name)


def test_hours_are_kept_in_one_form():
    assert ModelSettings(source="demo", hours=" 02:00 - 08:00   UTC").hours == "02:00-08:00 UTC"
    with pytest.raises(ValidationError):
        ModelSettings(source="demo", hours="02:00-08:00 Nowhere/Here")


def test_the_template_names_every_model_setting():
    assert [name for name in ModelSettings.model_fields if f"{name}: " not in template()] == []
