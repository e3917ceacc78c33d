"""The settings of who is on which device: swap slots, devices, other programs, modes, and how patiently it is done."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict, model_validator

from ringfence.config.models import KvType, ModelSettings
from ringfence.config.section import Section, needed, setting
from ringfence.config.values import (
    DeviceName,
    DeviceNames,
    EngineUrl,
    HoursText,
    ModelName,
    Pause,
    Program,
    Room,
    Seconds,
    Size,
    Text,
    Url,
    Whole,
    refused,
    split_url,
)

_GIB = 1024**3
CLASSES = ("P0", "P1", "P2", "P3")
Percent = Annotated[float, Strict(), Field(gt=0, le=100)]


class SlotSettings(Section):
    """A place for one of several models at a time."""

    default: ModelName | None = setting(None, "hot", "The model that it goes back to; null: it stays as it is.")
    idle_s: Pause = setting(300, "hot", "Seconds unused after which it goes back.")


class DeviceSettings(Section):
    """Rules for a device, or one that is only said to be there."""

    headroom: Room | None = setting(
        None, "hot", "Stays free after every load, such as 1GiB; null: a sixteenth of the device, at most 1GiB."
    )
    threshold: Room | None = setting(
        None, "hot", "Free memory below which the lowest leave; at most the headroom; null: half of it."
    )
    order: tuple[Text, ...] = setting(
        (),
        "hot",
        "Who comes before whom: P0 to P3, models and tenants, first come first; none: P0, P1, P2, P3.",
    )
    simulated: Size | None = setting(
        None, "restart", "Memory of a device that is only counted, such as 24GiB; null: a real one."
    )
    kind: Literal["gpu", "ram", "unified"] = setting("gpu", "restart", "What a simulated device is.")

    @model_validator(mode="after")
    def _hangs_together(self) -> DeviceSettings:
        if self.headroom is not None and self.threshold is not None and self.threshold > self.headroom:
            raise refused("is more than headroom: what was just loaded would leave again", at="threshold")
        if self.threshold is not None and self.headroom is None:
            raise refused("goes with headroom, which is at least as much", at="threshold")
        if self.simulated is None and self.kind != "gpu":
            raise refused("goes with simulated only: of a real device it is known", at="kind")
        if self.simulated is not None and (self.headroom or 0) >= self.simulated:
            raise refused("leaves nothing of the device", at="headroom")
        for place, name in enumerate(self.order):
            if name in self.order[:place]:
                raise refused("is listed already", at=("order", place))
            if name == CLASSES[0] and place > 0:
                raise refused("P0 gives way to nothing, so it comes first or is left out", at=("order", place))
        return self

    def headroom_bytes(self, total_bytes: int) -> int:
        """Of a device of this size."""
        return min(total_bytes // 16, _GIB) if self.headroom is None else self.headroom

    def threshold_bytes(self, total_bytes: int) -> int:
        """Of a device of this size."""
        return self.headroom_bytes(total_bytes) // 2 if self.threshold is None else self.threshold


class TenantSettings(Section):
    """Another program that wants memory of a device."""

    kind: Literal["comfyui"] | None = setting(
        None, "hot", "How it is asked: comfyui by its HTTP API; null: it takes leases under this name by itself."
    )
    url: Url | None = setting(None, "hot", "Where it answers, with a kind only: http://ADDRESS:PORT[/prefix].")
    device: DeviceName | None = setting(
        None, "hot", "The device whose memory it wants; needed with a kind; null: as its leases say."
    )
    memory: Size | None = setting(
        None, "hot", "What it wants, such as 10GiB; needed with a kind; null: as its leases say."
    )
    hours: HoursText | None = setting(
        None, "hot", "When it may have memory, such as 02:00-08:00 Pacific/Auckland; null: always."
    )

    @model_validator(mode="after")
    def _can_be_asked(self) -> TenantSettings:
        if self.kind is None and self.url is not None:
            raise refused("goes with a kind only, such as comfyui", at="url")
        for name in ("url", "device", "memory") if self.kind is not None else ():
            if getattr(self, name) is None:
                raise refused(f"a tenant of kind {self.kind} needs it", at=name)
        return self

    @property
    def address(self) -> EngineUrl | None:
        """The parts of `url`."""
        return split_url(self.url) if self.url is not None else None


class ModeModelSettings(Section):
    """How a model is set up while a mode is on; what is left out is as under models."""

    window: Whole | None = setting(None, "hot", "Tokens of one request, in and out together.", ge=256)
    parallel: Whole | None = setting(None, "hot", "Requests worked on at a time.", ge=1, le=4096)
    kv_type: KvType | None = setting(None, "hot", "How keys and values are kept.")
    gpu_layers: Whole | None = setting(None, "hot", "Layers on the GPU, with llamacpp only.", ge=0, le=10_000)
    memory: Size | None = setting(None, "hot", "What it takes then, such as 28GiB.")

    def laid_over(self, model: ModelSettings) -> ModelSettings:
        """The model as it is set up in the mode. What it takes otherwise says nothing of that."""
        changed = self.model_dump(exclude_none=True)
        return model.model_copy(update={"memory": None, **changed} if changed else {})


class ModeSettings(Section):
    """An exclusive use of devices."""

    devices: DeviceNames = needed("hot", "Devices that it has to itself.")
    models: tuple[ModelName, ...] = setting((), "hot", "Models that are kept there while it is on; all others leave.")
    tenants: tuple[Text, ...] = setting((), "hot", "Tenants that have memory there while it is on.")
    settings: dict[ModelName, ModeModelSettings] = setting({}, "hot", "Its models that are set up otherwise, by name.")
    run: tuple[Program, ...] = setting(
        (), "hot", "Programs that belong to it, each as a list of words: started once it is on, stopped when it ends."
    )
    ready_s: Seconds = setting(300, "hot", "Seconds for its models to be ready, else the switch is taken back.")


class PlacementSettings(Section):
    """When models come and go, and how patiently."""

    cycle_s: Seconds = setting(15, "hot", "Seconds between two looks when nothing happens.")
    dwell_s: Pause = setting(30, "hot", "A model that was loaded stays so long at least, and twice its loading time.")
    quiet_s: Pause = setting(5, "hot", "Unused for so long, it gives way at once to one that is waited for.")
    patience_s: Seconds = setting(
        60, "hot", "Waited for longer than this, a model comes next, also before those in use."
    )
    return_s: Pause = setting(60, "hot", "What left for want of memory, or failed, is not tried again sooner.")
    lazy_idle_s: Pause = setting(600, "hot", "Seconds unused after which a lazy model leaves.")
    on_demand_idle_s: Pause = setting(60, "hot", "Seconds unused after which a model on demand leaves.")
    drain_s: Seconds = setting(600, "hot", "The longest that answers under way may hold up a model that is to leave.")
    wait_s: Seconds = setting(300, "hot", "The longest that a request waits for its model to be loaded.")
    hot_c: Annotated[float, Strict(), Field(gt=0, le=150)] = setting(
        80, "hot", "A hotter device takes nothing new that can wait, in degrees Celsius."
    )
    busy_percent: Percent = setting(85, "hot", "A busier device takes nothing new that nobody asks for.")
    lock_file: Text | None = setting(
        None, "hot", "A file that other programs lock (flock) during large loads, and so do loads here; null: none."
    )
