"""What a model takes of a device, as it was predicted and as it was seen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Setup:
    """Everything on which it depends how much memory a model takes. `model` is the digest of its weights, or its name;
    `device` is the name of the device, so that what was seen on one card holds for another of its kind."""

    engine: str
    build: str
    model: str
    window: int
    parallel: int
    quantisation: str
    kv_type: str
    device: str


@dataclass(frozen=True, slots=True)
class Footprint:
    """`peak_bytes` is the most that was seen since the last load, `before_bytes` the most of the load before that; 0
    where nothing was seen. `architecture` is that of the model; `seen_s` UTC seconds of the last look."""

    setup: Setup
    architecture: str = ""
    predicted_bytes: int | None = None
    peak_bytes: int = 0
    before_bytes: int = 0
    loads: int = 0
    seen_s: float = 0.0

    @property
    def observed_bytes(self) -> int | None:
        """What it really takes: the more of the last two loads, so that one that was seen too early or while it leaked
        does not rule for long. None before it was seen."""
        return max(self.peak_bytes, self.before_bytes) or None
