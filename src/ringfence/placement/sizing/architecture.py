"""What a model keeps of each token, told by its layers: the types that everything else here computes with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

MOST_LAYERS = 10_000
"""A file that tells of more is damaged."""


class NotSized(ValueError):
    """A model that cannot be sized, with the reason in words for people."""


class Kind(StrEnum):
    """What a layer keeps of a request."""

    FULL = "full attention"
    """Keys and values of every token."""
    LATENT = "latent attention"
    """One compressed row of every token, shared by all heads (MLA)."""
    SLIDING = "sliding window"
    """Keys and values of the last tokens only."""
    STATE = "constant state"
    """As much for one token as for a million (Mamba, linear attention, short convolutions)."""
    INDEX = "index"
    """A small key of every token by which others are picked; engines keep it in a format of its own."""


GROWS = (Kind.FULL, Kind.LATENT, Kind.INDEX)


@dataclass(frozen=True, slots=True)
class Cache:
    """What one layer keeps. For FULL and SLIDING: `heads` rows of `key_width` and `value_width` elements a token. For
    LATENT and INDEX: one row of `key_width`. `window` is tokens, `state_bytes` of a sequence."""

    kind: Kind
    heads: int = 1
    key_width: int = 0
    value_width: int = 0
    window: int = 0
    state_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """Layers that keep the same. A layer may be in two groups: attention and a state side by side."""

    cache: Cache
    layers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Architecture:
    """What must be known of a model to size its cache. `trained_window` is tokens, None where it is not told.

    `notes` says, for people, where something was not known and counted as more than it may be: with one of them, every
    figure that is computed from here is an upper bound.
    """

    name: str
    layers: int
    groups: tuple[Group, ...]
    trained_window: int | None = None
    experts: int = 0
    experts_used: int = 0
    notes: tuple[str, ...] = ()

    @property
    def is_upper_bound(self) -> bool:
        return bool(self.notes)

    @property
    def is_hybrid(self) -> bool:
        """Attention beside layers with a constant state."""
        kinds = {group.cache.kind for group in self.groups}
        return Kind.STATE in kinds and len(kinds) > 1


def grouped(caches: Iterable[tuple[int, Cache]]) -> tuple[Group, ...]:
    """Layers that keep the same, together; in the order in which they first appear."""
    found: dict[Cache, list[int]] = {}
    for layer, cache in caches:
        found.setdefault(cache, []).append(layer)
    return tuple(Group(cache, tuple(layers)) for cache, layers in found.items())
