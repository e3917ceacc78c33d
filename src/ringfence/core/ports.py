"""What the parts expect of each other, as types. An engine adapter is one file that fills `Engine`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ringfence.core.catalog import Ability, Endpoint
from ringfence.core.errors import Failure

Fetch = Callable[[str], Awaitable["Fetched"]]
"""Asks the engine under examination for one path (GET, JSON); bounded in time and size; never another host."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """The answer of a control request to an engine: `status` 0 when nobody answered; `body` is parsed JSON or None."""

    status: int
    body: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Offer:
    """One model that an engine says it has. `reaches_cloud` marks those the engine would itself send away."""

    engine_model: str
    window: int | None = None
    slots: int | None = None
    abilities: frozenset[Ability] = frozenset((Ability.CHAT, Ability.COMPLETIONS))
    reaches_cloud: bool = False
    is_loaded: bool = True


class Engine(Protocol):
    """One inference server software. Adapters hold no state; each is a file in `engines/` with an `ADAPTER`."""

    @property
    def kind(self) -> str:
        """As in the configuration, such as 'llamacpp'."""
        ...

    @property
    def title(self) -> str:
        """As people write it, such as 'llama.cpp'."""
        ...

    @property
    def usual_ports(self) -> tuple[int, ...]:
        """Loopback ports where a running one is looked for."""
        ...

    @property
    def keeps_alive_after_stream(self) -> bool:
        """False when a connection that carried a stream must not be used again."""
        ...

    @property
    def forbidden_fields(self) -> frozenset[str]:
        """Body fields that would make this engine reach elsewhere or touch its files; refused by name."""
        ...

    async def examine(self, fetch: Fetch) -> list[Offer] | None:
        """The models of the engine that answers, or None when it is not one of this kind."""
        ...

    def failure(self, status: int, body: Any) -> Failure:
        """An error answer of this engine as one of ours. `body` is parsed JSON, or None."""
        ...


class Leased(Protocol):
    """A ready instance that will not be stopped while the lease is held."""

    @property
    def endpoint(self) -> Endpoint: ...

    def release(self) -> None: ...


class Clock(Protocol):
    """Seconds, monotonic. Tests hand in their own."""

    def __call__(self) -> float: ...


Emit = Callable[[object], None]
Headers = Mapping[str, str]
