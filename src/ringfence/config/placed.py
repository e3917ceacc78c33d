"""[pure] What shares the devices against what it names: models, slots, devices and tenants that are not there."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from ringfence.config.compile import Breach, exists, lies, too_far
from ringfence.config.models import DEFAULT_SLOT
from ringfence.config.placing import CLASSES
from ringfence.config.problems import KeyPath, nearest
from ringfence.core.boundary import Boundary

if TYPE_CHECKING:
    from ringfence.config.schema import Config

RAM = ("ram", "cpu")
"""Two names of the memory of the machine: the one that people write, and the one that it has as a device."""
_REAL = re.compile(r"gpu\d{1,3}|GPU-[0-9A-Za-z-]+|MIG-[0-9A-Za-z-]+|amd-[0-9A-Za-z:.-]+")


def is_real(name: str) -> bool:
    """Whether a device of this name may be in the machine: the Nth GPU, the RAM, or an id that a driver gave."""
    return name in RAM or _REAL.fullmatch(name) is not None


def misplaced(config: Config) -> Iterator[Breach]:
    """Everything that models, slots, devices, tenants and modes name and that is not there or cannot be so."""
    yield from _slots(config)
    yield from _devices(config)
    for name, tenant in config.tenants.items():
        at: KeyPath = ("tenants", name)
        if name in config.models:
            yield at, f"'{name}' is a model's name; in the order of a device nobody could tell which is meant"
        if name in CLASSES:
            yield at, f"'{name}' is a class of models"
        if tenant.device is not None:
            yield from _is_device(config, tenant.device, (*at, "device"))
        address = tenant.address
        if address is not None and lies(address, config.mesh_networks) is Boundary.CLOUD:
            yield (*at, "url"), too_far(address.host)
    for name in config.modes:
        yield from _mode(config, name)


def _slots(config: Config) -> Iterator[Breach]:
    known = {DEFAULT_SLOT, *config.slots}
    for name, model in config.models.items():
        if model.slot is not None:
            yield from exists(known, model.slot, "slot", ("models", name, "slot"))
    for name, slot in config.slots.items():
        at: KeyPath = ("slots", name, "default")
        if slot.default is None:
            continue
        yield from exists(config.models, slot.default, "model", at)
        default = config.models.get(slot.default)
        if default is not None and default.residency != "swap":
            yield at, f"model '{slot.default}' is of residency {default.residency}; one of a slot is of residency swap"
        elif default is not None and (default.slot or DEFAULT_SLOT) != name:
            yield at, f"model '{slot.default}' is of the slot '{default.slot or DEFAULT_SLOT}'"


def _devices(config: Config) -> Iterator[Breach]:
    for name, model in config.models.items():
        for place, device in enumerate(model.devices):
            yield from _is_device(config, device, ("models", name, "devices", place))
        if model.gpu_layers and model.devices and all(_is_ram(config, device) for device in model.devices):
            yield ("models", name, "gpu_layers"), "none of its devices is a GPU"
    if set(RAM) <= set(config.devices):
        yield ("devices", RAM[1]), f"'{RAM[0]}' and '{RAM[1]}' are the same device; keep one of them"
    ranked = {*CLASSES, *config.models, *config.tenants}
    for name, device in config.devices.items():
        if device.simulated is None and not is_real(name):
            told = (
                f"no device is called so: gpu0 is the first GPU, {RAM[0]} the RAM; one that is not there is simulated"
            )
            yield ("devices", name), told
        for place, one in enumerate(device.order):
            yield from exists(ranked, one, "class, model or tenant", ("devices", name, "order", place))


def _is_ram(config: Config, name: str) -> bool:
    rules = config.devices.get(name)
    return rules.kind == "ram" if rules is not None and rules.simulated is not None else name in RAM


def _is_device(config: Config, name: str, at: KeyPath) -> Iterator[Breach]:
    if name not in config.devices and not is_real(name):
        close = nearest(name, {*config.devices, "gpu0", RAM[0]})
        yield at, f"there is no device '{name}'" + (f"; did you mean '{close}'?" if close else "")


def _mode(config: Config, name: str) -> Iterator[Breach]:
    mode, at = config.modes[name], ("modes", name)
    if name == "off":
        yield at, "'off' ends a mode; give it another name"
    for place, device in enumerate(mode.devices):
        yield from _is_device(config, device, (*at, "devices", place))
    for kind in ("devices", "models", "tenants"):
        yield from _twice(getattr(mode, kind), (*at, kind))
    for place, model in enumerate(mode.models):
        yield from exists(config.models, model, "model", (*at, "models", place))
        if model in config.models and config.models[model].source is None:
            yield (*at, "models", place), f"model '{model}' has no source: it is not loaded here, and not kept"
    for place, tenant in enumerate(mode.tenants):
        yield from exists(config.tenants, tenant, "tenant", (*at, "tenants", place))
        device = config.tenants[tenant].device if tenant in config.tenants else None
        if device is not None and device not in mode.devices:
            yield (*at, "tenants", place), f"tenant '{tenant}' is on {device}, which is no device of this mode"
    for model in mode.settings:
        if model not in mode.models:
            yield (*at, "settings", model), f"'{model}' is none of the models of this mode"
        elif model in config.models:
            yield from _set_up(config, name, model)


def _set_up(config: Config, mode: str, model: str) -> Iterator[Breach]:
    """What a mode changes of a model fits its engine as well."""
    if config.models[model].source is None:
        return
    changed = config.modes[mode].settings[model]
    for field, problem in changed.laid_over(config.models[model]).unfit():
        if getattr(changed, field, None) is not None:
            yield ("modes", mode, "settings", model, field), problem


def _twice(names: Collection[str], at: KeyPath) -> Iterator[Breach]:
    seen: set[str] = set()
    for place, name in enumerate(names):
        if name in seen:
            yield (*at, place), "is listed already"
        seen.add(name)
