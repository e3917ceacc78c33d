"""What the owner of a simulated site wants, as the reconciler asks for it; what its models take is learned by looking.

Predictions are off by up to a quarter: `real_bytes` is what a model takes in truth, which nobody knows before it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from ringfence.config.hours import daily
from ringfence.core.device import Device
from ringfence.core.footprint import Setup
from ringfence.placement.devices import Devices
from ringfence.placement.footprint import Footprints
from ringfence.placement.launch import Launch
from ringfence.placement.planning import Claim, DeviceState, Mode, Model, Share, Site, Slot, Window
from ringfence.simulation.machine import Machine
from ringfence.simulation.network import WINDOW
from ringfence.simulation.setting import Exclusive, Setting, Wanted

BYTES_PER_S = 1 << 30
START_S = 2.0
OFF = 0.2
"""By how much a prediction is off at most."""
ASLEEP = 0.05
"""What an engine holds of its memory while it sleeps."""
SETTLED_S = 5.0


class Owner:
    """Fills the reconciler's `Wanted`. `devices` are read by whoever drives the cycles; then `looked` learns."""

    def __init__(self, setting: Setting, devices: Devices, machine: Machine, chance: Random) -> None:
        self.book = Footprints()
        self._setting = setting
        self._devices = devices
        self._machine = machine
        self._wanted = {model.name: model for model in setting.models}
        self._real = {model.name: int(model.size_bytes * chance.uniform(1 - OFF, 1 + OFF)) for model in setting.models}
        self._pids: dict[str, int] = {}
        self.exclusive: Exclusive | None = None
        """The mode that is on."""
        self._made: tuple[object, tuple[Model, ...]] = (None, ())
        self._hours = {model.name: daily(model.hours) for model in setting.models if model.hours}
        self._spans: dict[str, tuple[float, tuple[bool, float]]] = {}
        """By model with hours: since when it is known, and what."""
        self._latest: list[Device] = []
        self._states: tuple[DeviceState, ...] = ()
        self._slots = tuple(Slot(name, default) for name, default in setting.slots.items())
        for model in setting.models:
            for device in model.devices:
                for part in {1.0, setting.mode.larger.get(model.name, 1.0)}:
                    self.book.predict(self._setup(model, device, part), "", int(model.size_bytes * part))

    # -- as the reconciler asks ---------------------------------------------------------------------------------------

    def models(self) -> tuple[Model, ...]:
        if self.book.take_changed() or self._made[0] is not self.exclusive or not self._made[1]:
            self._made = self.exclusive, tuple(map(self._model, self._setting.models))
        if self._hours:
            self._made = self._made[0], tuple(map(self._with_hours, self._made[1]))
        return self._made[1]

    def slots(self) -> tuple[Slot, ...]:
        return self._slots

    def devices(self) -> tuple[DeviceState, ...]:
        return self._states

    def mode(self) -> Mode | None:
        mode = self.exclusive
        return Mode(mode.name, mode.devices, mode.members) if mode is not None else None

    def held(self, instance: str) -> dict[str, int]:
        return {
            device.id: holder.held_bytes
            for device in self._latest
            for holder in device.holders
            if holder.instance == instance and holder.held_bytes
        }

    def known_bytes(self, model: str, device: str) -> int | None:
        return self.book.of(self._setup(self._wanted[model], device, self.setup(model))).observed_bytes

    def setup(self, model: str) -> float:
        """By how much more memory than usual it is to take."""
        return self.exclusive.larger.get(model, 1.0) if self.exclusive is not None else 1.0

    def launch(self, model: str, site: Site) -> Launch:
        wanted = self._wanted[model]
        spec = {
            "shares": {share.device: share.most_bytes for share in site.shares},
            "real": {share.device: int(self._real[model] * self.setup(model)) for share in site.shares},
            "asleep": {claim.device: claim.claimed_bytes for claim in site.asleep},
        }
        return Launch("llamacpp", model, (), spec, wanted.size_bytes)

    # -- what is learned ----------------------------------------------------------------------------------------------

    def look(self) -> None:
        """What is known of the devices now; a cycle sees one and the same."""
        latest = self._devices.latest
        if latest != self._latest:
            self._latest, self._states = latest, tuple(map(self._state, latest))

    def learn(self, ready: Callable[[str], tuple[int, float] | None]) -> None:
        """From what was just read. `ready` tells the process of an instance and since when it is ready."""
        for device in self._latest:
            for holder in device.holders:
                found = ready(holder.instance) if holder.instance else None
                if found is None or found[1] < SETTLED_S or not holder.held_bytes:
                    continue
                setup = self._setup(self._wanted[holder.instance], device.id, self.setup(holder.instance))
                if self._pids.get(holder.instance) != found[0]:
                    self._pids[holder.instance] = found[0]
                    self.book.load(setup)
                self.book.observe(setup, holder.held_bytes, self._machine.wall())

    def is_open(self, model: str) -> bool:
        """Whether it may be loaded now, by the clock on the wall."""
        return model not in self._hours or self._open(model)[0]

    def load_s(self, model: str) -> float:
        return START_S + self._wanted[model].size_bytes / BYTES_PER_S

    # -- inside -------------------------------------------------------------------------------------------------------

    def _setup(self, model: Wanted, device: str, part: float) -> Setup:
        return Setup("llamacpp", "1", model.name, int(WINDOW * part), model.parallel, "Q4_K_M", "f16", device)

    def _model(self, wanted: Wanted) -> Model:
        return Model(
            wanted.name, wanted.residency, wanted.priority,
            tuple(self._site(wanted, device) for device in wanted.devices),
            wanted.can_sleep, self.load_s(wanted.name), slot=wanted.slot,
        )  # fmt: skip

    def _site(self, wanted: Wanted, device: str) -> Site:
        figure = self.book.figure(self._setup(wanted, device, self.setup(wanted.name)))
        assert figure is not None
        asleep = (Claim(device, int(figure.high_bytes * ASLEEP)),) if wanted.can_sleep else ()
        return Site((Share(device, figure.bytes, figure.high_bytes - figure.bytes),), asleep)

    def _with_hours(self, model: Model) -> Model:
        """The planner's clock is not the one on the wall."""
        if model.name not in self._hours:
            return model
        is_open, changes_s = self._open(model.name)
        window = Window(is_open, float(round(self._machine.now() + changes_s - self._machine.wall())))
        return model if model.window == window else replace(model, window=window)

    def _open(self, model: str) -> tuple[bool, float]:
        """Whether it may be loaded, and when that changes; looked up anew only once it has, or the wall's clock was
        put back."""
        wall_s = self._machine.wall()
        since_s, known = self._spans.get(model, (wall_s, (False, wall_s)))
        if not since_s <= wall_s < known[1]:
            known = self._hours[model].at(wall_s)
            self._spans[model] = wall_s, known
        return known

    def _state(self, device: Device) -> DeviceState:
        rules = self._setting
        return DeviceState(
            device, rules.headroom_bytes, rules.threshold_bytes, rules.order, device.out_of_service,
            device.temperature_c,
        )  # fmt: skip
