"""What the configuration wants of the devices, as the planner is told it: models, their sites, slots, rules, modes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from time import monotonic, time
from typing import TYPE_CHECKING

from ringfence.config.hours import Daily, daily
from ringfence.config.models import DEFAULT_SLOT, ModelSettings
from ringfence.config.placing import DeviceSettings, ModeSettings
from ringfence.config.schema import Config
from ringfence.core.device import Device, DeviceKind
from ringfence.core.footprint import Setup
from ringfence.placement.device_names import named
from ringfence.placement.launch import Launch
from ringfence.placement.planning import (
    Claim,
    DeviceState,
    Mode,
    Model,
    Policy,
    Priority,
    Residency,
    Share,
    Site,
    Slot,
    Window,
)  # fmt: skip
from ringfence.runtime.memory import Memory, build_of, held_bytes

if TYPE_CHECKING:
    from ringfence.placement.sizing import Footprint, ModelFiles

GPU_OVERHEAD_BYTES = 512 << 20
"""What a driver takes for each process that computes; an assumption until the first load was seen."""
PROCESS_BYTES = 64 << 20
"""Resident memory of our llama.cpp process beside its model, measured: 56 MB with one of 2 MB."""
UNSIZED = 1.5
"""A model whose header says nothing that can be computed with is taken to need so many times the size of its file."""
BYTES_PER_S = 1 << 30
"""How fast weights come from a disk, until a load was timed; for estimates only."""

log = logging.getLogger("ringfence.placement")

Starts = Callable[["Entry", ModelSettings, Site, list[Device]], Launch]


@dataclass(slots=True)
class Entry:
    """A model of ours that is planned. `files` is None where its header tells too little, and `unsized` says why."""

    instance: str
    name: str
    settings: ModelSettings
    path: Path
    weights_bytes: int
    window: int
    quantisation: str = ""
    files: ModelFiles | None = None
    unsized: str = ""
    load_s: float | None = None
    """How long the last load took."""


class Desired:
    """Fills the reconciler's `Wanted`. `starts` makes the launch of a model at a site."""

    def __init__(self, memory: Memory, starts: Starts, config: Config) -> None:
        self.entries: dict[str, Entry] = {}
        self.config = config
        self.now: str | None = None
        """The mode that is on."""
        self.loads_until: Callable[[str], float | None] = lambda _device: None
        self._memory = memory
        self._starts = starts
        self._clock = monotonic
        self._made: tuple[object, tuple[Model, ...]] = (None, ())
        self._known: dict[str, Model] = {}
        """Those by name: to work out where one may run is too dear for every look at it."""

    # -- models -----------------------------------------------------------------------------------------------------

    def models(self) -> tuple[Model, ...]:
        """Made anew only when something that they are made of has changed."""
        pools = self._memory.pools
        of_devices = tuple((one.id, one.name, one.kind, one.total_bytes) for one in pools)
        of_entries = tuple((one.instance, one.settings, one.load_s) for one in self.entries.values())
        made_of = (self.config, self.now, self._memory.book.version, of_devices, of_entries)
        if self._made[0] != made_of:
            found = tuple(self._model(entry, pools) for entry in self.entries.values())
            made_of = (*made_of[:2], self._memory.book.version, *made_of[3:])  # predictions were added
            self._made = (made_of, found)
            self._known = {model.name: model for model in found}
        return tuple(map(self._with_hours, self._made[1])) if self._has_hours() else self._made[1]

    def _model(self, entry: Entry, pools: list[Device]) -> Model:
        settings = self.settings_of(entry)
        sites = tuple(self._sites(entry, settings, pools))
        most = max((share.likely_bytes for site in sites for share in site.shares), default=0)
        load_s = entry.load_s or 2.0 + entry.weights_bytes / BYTES_PER_S
        return Model(
            entry.instance, Residency(settings.residency), Priority(int(settings.priority[1:])), sites,
            can_sleep=can_sleep(settings) and bool(most),
            load_s=load_s, slot=_slot_of(settings), idle_s=settings.idle_s,
        )  # fmt: skip

    def loaded(self, instance: str, took_s: float) -> None:
        """How long it took; what differs little from before is no news, so that plans stay as they are."""
        entry = self.entries.get(instance)
        if entry is not None and (entry.load_s is None or not 0.8 <= took_s / entry.load_s <= 1.25):
            entry.load_s = max(0.1, took_s)

    def settings_of(self, entry: Entry) -> ModelSettings:
        """As they are in the mode that is on."""
        mode = self._mode_settings()
        changed = mode.settings.get(entry.name) if mode is not None else None
        return changed.laid_over(entry.settings) if changed is not None else entry.settings

    def setup(self, model: str) -> object:
        """What differs when it would be started otherwise. None for one that is not wanted any more."""
        entry = self.entries.get(model)
        if entry is None:
            return None
        settings = self.settings_of(entry)
        return (
            settings.source, settings.engine, settings.window, settings.at_once(), settings.kv_type,
            settings.gpu_layers, settings.memory, settings.threads, settings.embeddings, settings.rerank,
            settings.command, settings.args, settings.sleep, settings.lora_slots,
        )  # fmt: skip

    def fits_alone(self, model: str) -> bool:
        """Whether any of its places had room for it if nothing else were there."""
        room = {one.device.id: one.device.total_bytes - one.headroom_bytes for one in self.devices()}
        found = next((one for one in self.models() if one.name == model), None)
        return found is not None and any(
            all(share.most_bytes <= room.get(share.device, 0) for share in site.shares) for site in found.sites
        )

    def launch(self, model: str, site: Site) -> Launch:
        entry = self.entries[model]
        devices = [one for one in self._memory.pools if any(share.device == one.id for share in site.shares)]
        return self._starts(entry, self.settings_of(entry), site, devices)

    def _has_hours(self) -> bool:
        return any(entry.settings.hours for entry in self.entries.values())

    def _with_hours(self, model: Model) -> Model:
        hours = self.entries[model.name].settings.hours
        return replace(model, window=self.window(hours)) if hours else model

    def window(self, hours: str) -> Window:
        """Whether these hours are open, by the planner's clock."""
        now_utc_s = time()
        is_open, changes_utc_s = _hours(hours).at(now_utc_s)
        # Whole seconds, so that it is the same window at each look.
        return Window(is_open, round(self._clock() + changes_utc_s - now_utc_s))

    def opens_for(self, tenant: str) -> Callable[[], Window] | None:
        """When a tenant may have memory; None for always."""
        settings = self.config.tenants.get(tenant)
        hours = settings.hours if settings is not None else None
        return partial(self.window, hours) if hours is not None else None

    # -- sites ------------------------------------------------------------------------------------------------------

    def _sites(self, entry: Entry, settings: ModelSettings, pools: list[Device]) -> Iterable[Site]:
        """Where it may run, in order; over several GPUs together only where none has room for it alone."""
        places = self._places(settings, pools)
        alone = [self._site(entry, settings, device, pools) for device in places]
        gpus = [one for one in places if one.kind is not DeviceKind.RAM]
        fits = any(
            site.shares[0].most_bytes <= device.total_bytes
            for site, device in zip(alone, places, strict=True)
            if device in gpus
        )
        if len(gpus) > 1 and not fits:
            alone.insert(1 + max(places.index(one) for one in gpus), self._spread(entry, settings, gpus))
        return alone

    def _places(self, settings: ModelSettings, pools: list[Device]) -> list[Device]:
        if settings.devices:
            named = (self.device(name, pools) for name in settings.devices)
            return [one for one in named if one is not None]
        wants_gpu = settings.gpu_layers != 0
        gpus = [one for one in pools if one.kind is not DeviceKind.RAM and wants_gpu]
        return gpus + [one for one in pools if one.kind is DeviceKind.RAM and not settings.gpu_layers]

    def _site(self, entry: Entry, settings: ModelSettings, device: Device, pools: list[Device]) -> Site:
        if settings.gpu_layers and device.kind is DeviceKind.GPU and entry.files is not None:
            ram = next((one for one in pools if one.kind is DeviceKind.RAM), None)
            part = min(1.0, settings.gpu_layers / max(1, entry.files.architecture.layers))
            if ram is not None and part < 1:
                return Site((
                    self._share(entry, settings, device, part), self._share(entry, settings, ram, 1 - part)
                ))  # fmt: skip
        shares = (self._share(entry, settings, device),)
        return Site(shares, self._asleep(entry, pools) if can_sleep(settings) else ())

    def _asleep(self, entry: Entry, pools: list[Device]) -> tuple[Claim, ...]:
        """What a vLLM keeps while it sleeps at level 1: its weights, in RAM."""
        ram = next((one for one in pools if one.kind is DeviceKind.RAM), None)
        return (Claim(ram.id, entry.weights_bytes),) if ram is not None else ()

    def _spread(self, entry: Entry, settings: ModelSettings, gpus: list[Device]) -> Site:
        total = sum(one.total_bytes for one in gpus)
        return Site(tuple(self._share(entry, settings, one, one.total_bytes / total) for one in gpus))

    def _share(self, entry: Entry, settings: ModelSettings, device: Device, part: float = 1.0) -> Share:
        if settings.memory is not None:
            return Share(device.id, int(settings.memory * part))
        setup = self._setup_on(entry, settings, device, part)
        book = self._memory.book
        if book.of(setup).predicted_bytes is None:
            book.predict(setup, *self._predicted(entry, settings, device, part))
        figure = book.figure(setup)
        assert figure is not None
        return Share(device.id, figure.bytes, figure.high_bytes - figure.bytes)

    def _predicted(self, entry: Entry, settings: ModelSettings, device: Device, part: float) -> tuple[str, int]:
        overhead = PROCESS_BYTES if device.kind is DeviceKind.RAM else GPU_OVERHEAD_BYTES
        unsized = int(entry.weights_bytes * UNSIZED)
        if entry.files is None:
            return "", int(unsized * part) + overhead
        try:
            sized = _sized(entry.files, entry.window, settings)
        except Exception as error:  # a header may say anything; the other models are placed all the same
            log.exception("%s cannot be sized", entry.name)
            entry.files, entry.unsized = None, f"it cannot be sized ({type(error).__name__})"
            return "", int(unsized * part) + overhead
        weights = 0 if sized.weights_bytes is not None else unsized
        return entry.files.architecture.name, int((sized.total_bytes + weights) * part) + overhead

    def _setup_on(self, entry: Entry, settings: ModelSettings, device: Device, part: float = 1.0) -> Setup:
        engine = settings.source_engine
        where = device.name if part >= 1 else f"{device.name}, {part:.0%} of it"
        weights = f"{entry.path.name}, {entry.weights_bytes} bytes"  # others may have the same name elsewhere
        return Setup(
            engine, build_of(engine), weights, settings.window or entry.window, settings.at_once(),
            entry.quantisation, settings.kv_type or "f16", where,
        )  # fmt: skip

    def setup_on(self, instance: str, device: Device) -> Setup | None:
        """Under which its memory there is learned. None for one that is not ours."""
        entry = self.entries.get(instance)
        if entry is None:
            return None
        settings = self.settings_of(entry)
        model = self._known.get(instance)
        sites = model.sites if model is not None else self._sites(entry, settings, self._memory.pools)
        site = next((one for one in sites if any(share.device == device.id for share in one.shares)), None)
        if site is None or len(site.shares) > 1:
            return None
        return self._setup_on(entry, settings, device)

    def known_bytes(self, model: str, device: str) -> int | None:
        """What it was seen to take there."""
        found = next((one for one in self._memory.pools if one.id == device), None)
        entry = self.entries.get(model)
        if entry is None or self.settings_of(entry).memory is not None:
            return None
        setup = self.setup_on(model, found) if found is not None else None
        return self._memory.book.of(setup).observed_bytes if setup is not None else None

    def basis(self, model: str, device: str) -> str:
        """On what the figure of it there rests."""
        if model in self.entries and self.settings_of(self.entries[model]).memory is not None:
            return "configured"
        return "observed" if self.known_bytes(model, device) is not None else "predicted"

    def held(self, instance: str) -> dict[str, int]:
        return self._memory.held(instance)

    # -- devices ----------------------------------------------------------------------------------------------------

    def device(self, name: str, pools: Iterable[Device] | None = None) -> Device | None:
        """By its id, or as people call it: gpu0 is the first GPU, ram the memory of the machine."""
        return named(self._memory.pools if pools is None else pools, name)

    def devices(self) -> tuple[DeviceState, ...]:
        """As last read, with the owner's rules."""
        pools = self._memory.pools
        rules = {found.id: rule for name, rule in self.config.devices.items() if (found := self.device(name, pools))}
        return tuple(self._state(one, rules.get(one.id) or DeviceSettings()) for one in pools)

    def _state(self, device: Device, rules: DeviceSettings) -> DeviceState:
        total = device.total_bytes
        if device.kind is DeviceKind.RAM:
            # Engines elsewhere hold some of it as well; and a busy processor is no reason to wait with a load.
            beside = sum(held_bytes(device, name) for name in self._beside(device))
            device = replace(device, load=None, used_by_others_bytes=min(total, device.used_by_others_bytes + beside))
        return DeviceState(
            device, rules.headroom_bytes(total), rules.threshold_bytes(total), rules.order, device.out_of_service,
            device.temperature_c, self.loads_until(device.id),
        )  # fmt: skip

    def _beside(self, device: Device) -> set[str]:
        """Engines of ours that hold something of a device where they were not placed."""
        names = {holder.instance for holder in device.holders if holder.instance}
        placed = {name for name in names if (site := self._memory.site_of(name))
                  and any(share.device == device.id for share in site.shares)}  # fmt: skip
        return names - placed

    # -- the rest ---------------------------------------------------------------------------------------------------

    def slots(self) -> tuple[Slot, ...]:
        """Those that models belong to; each default by the name of its instance."""
        used = {name for entry in self.entries.values() if (name := _slot_of(entry.settings))}
        return tuple(self._slot(name) for name in sorted(used))

    def _slot(self, name: str) -> Slot:
        rules = self.config.slots.get(name)
        if rules is None:
            return Slot(name)
        return Slot(name, self.instance_of(rules.default or ""), rules.idle_s)

    def instance_of(self, model: str) -> str:
        """The newest, where two are here while one takes the other's place; empty where there is none."""
        return next((one.instance for one in reversed(self.entries.values()) if one.name == model), "")

    def _mode_settings(self) -> ModeSettings | None:
        return self.config.modes.get(self.now) if self.now is not None else None

    def mode(self) -> Mode | None:
        settings = self._mode_settings()
        if settings is None or self.now is None:
            return None
        devices = {found.id for name in settings.devices if (found := self.device(name))}
        members = {self.instance_of(name) for name in settings.models} | set(settings.tenants)
        return Mode(self.now, frozenset(devices), frozenset(members) - {""})

    def policy(self) -> Policy:
        """The owner's figures."""
        said = self.config.placement
        return Policy(
            dwell_s=said.dwell_s, quiet_s=said.quiet_s, patience_s=said.patience_s, return_s=said.return_s,
            lazy_idle_s=said.lazy_idle_s, on_demand_idle_s=said.on_demand_idle_s, hot_c=said.hot_c,
            busy_load=said.busy_percent / 100,
        )  # fmt: skip


def _sized(files: ModelFiles, window: int, settings: ModelSettings) -> Footprint:
    from ringfence.placement.sizing import TYPES, Use, footprint

    use = Use(settings.window or window, settings.at_once(), TYPES[settings.kv_type or "f16"], settings.lora_slots,
              overhead_bytes=0, embeddings=settings.embeddings is not False)  # fmt: skip
    return footprint(files, use)


def can_sleep(settings: ModelSettings) -> bool:
    """Whether its engine may sleep rather than leave."""
    return settings.source_engine == "vllm" and settings.sleep is not False


def _slot_of(settings: ModelSettings) -> str:
    return (settings.slot or DEFAULT_SLOT) if settings.residency == "swap" else ""


@lru_cache(maxsize=256)
def _hours(text: str) -> Daily:
    return daily(text)
