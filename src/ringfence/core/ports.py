"""What the parts expect of each other, as types. An engine adapter is one file that fills `Engine`,
a provider adapter one that fills `Provider`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

from ringfence.core.catalog import Ability, Endpoint, Medium
from ringfence.core.device import Device, Ours
from ringfence.core.errors import Failure
from ringfence.core.reading import Reading


class Fetch(Protocol):
    """Asks the engine under examination for one path; bounded in time and size; never another host."""

    def __call__(self, path: str, *, about: dict[str, str] | None = None) -> Awaitable[Fetched]:
        """GET, or POST of `about` where an engine wants to be told by a body which model is meant. JSON both ways."""
        ...


class Ask(Protocol):
    """Asks the engine of a call about its text: the same engine, under the same permit as the call itself."""

    def __call__(self, path: str, body: dict[str, Any]) -> Awaitable[Fetched]:
        """POST of `body`, JSON both ways; bounded in time and size."""
        ...


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
    digest: str = ""
    quantisation: str = ""
    device: str = ""
    """As of a Target; empty where the engine does not tell."""
    shares_window: bool = False
    """As of a Target; False where that is not known."""
    family: str = ""
    """What the engine tells of the weights, whatever name it serves them by: their architecture or where they are from.
    """
    may_cut: bool = False
    """As `Engine.may_cut`, of a version that differs from its kind."""
    kv_tokens: int | None = None
    """As of a Target."""
    takes: frozenset[Medium] | None = None
    """As of a Target."""


class Translation(Protocol):
    """The stream of one answer on its way from another dialect's events to OpenAI's chunks. Holds one unfinished
    event."""

    @property
    def failure(self) -> Failure | None:
        """Why the stream broke. The event that says so has been handed out, and nothing follows it."""
        ...

    @property
    def reported(self) -> Mapping[str, Any] | None:
        """What was told by now of what the call uses, as OpenAI's `usage`; None where the events say it at their end
        alone."""
        ...

    def feed(self, data: bytes) -> bytes:
        """Whole events for the caller, possibly none; `data` may be cut anywhere. Never raises."""
        ...

    def end(self) -> bytes:
        """Whoever answers has closed the stream: an error event when the answer is not whole, else nothing."""
        ...


class Translator(Protocol):
    """Reads the answers of a dialect that is not OpenAI's: of a provider, or of one route of an engine."""

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """A whole answer as OpenAI's. Failure when it is an error after all, EngineFailed when it cannot be read:
        UnreadableAnswer where somebody may want money for it."""
        ...

    def stream(self, include_usage: bool) -> Translation:
        """A fresh translation; `include_usage` asks for the chunk with the usage before the end."""
        ...


class Wire(Translator, Protocol):
    """One route of an engine that is not asked in OpenAI's dialect. Holds no state."""

    @property
    def path(self) -> str:
        """Where a request goes, instead of OpenAI's route."""
        ...

    def request(self, body: dict[str, Any]) -> dict[str, Any]:
        """Our body as the engine's; `body` is left as it is. BadRequest, naming the field, for what it cannot carry."""
        ...


@runtime_checkable
class Sleeps(Protocol):
    """An engine that gives its device's memory back while its process stays, and takes it again sooner than it starts.

    `ask` must have more time than for a question: tens of GiB are copied. Nothing may be running on the engine: what
    is, it breaks off.
    """

    async def sleep(self, ask: Ask, level: int = 1) -> bool:
        """Level 1 keeps the weights in RAM, level 2 nothing. True when it sleeps."""
        ...

    async def wake(self, ask: Ask) -> bool:
        """True when it serves again."""
        ...

    async def is_asleep(self, fetch: Fetch) -> bool | None:
        """None where it does not tell: it is away, or was started without the routes for this."""
        ...


@runtime_checkable
class Loads(Protocol):
    """An engine that has several models and takes them into memory, and out of it, when told."""

    async def load(self, ask: Ask, model: str) -> bool:
        """True when it is loaded, and stays until it is told otherwise. `ask` must have the time that it takes."""
        ...

    async def unload(self, ask: Ask, model: str) -> bool:
        """True when it has been told; the memory is free a moment later."""
        ...

    async def loaded(self, fetch: Fetch) -> Mapping[str, int] | None:
        """By model: bytes that it holds on GPUs, 0 on the processor alone. None when nobody answers."""
        ...


class Engine(Protocol):
    """One inference server software. Adapters hold no state; each is a file in `engines/` with an `ADAPTER`."""

    wires: ClassVar[Mapping[Ability, Wire]]
    """By ability: the routes of its own by which it is asked. Empty for an engine that takes what callers send."""

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

    @property
    def may_cut(self) -> bool:
        """True where it may cut a prompt that is too long, without a word; False where it refuses it."""
        ...

    @property
    def alive_path(self) -> str:
        """What is asked every few seconds: whether it still answers, and as before."""
        ...

    def mark(self, body: Any) -> Any:
        """What that answer tells of models and windows. Where it is another than before, the engine is examined
        anew."""
        ...

    async def examine(self, fetch: Fetch) -> list[Offer] | None:
        """The models of the engine that answers, or None when it is not one of this kind."""
        ...

    @property
    def controls(self) -> Sleeps | Loads | None:
        """How its memory is managed while it runs; None where only its start and its end do that."""
        ...

    @property
    def salt_field(self) -> str:
        """Body field whose value keeps the cached prompts of one caller apart from those of others; it is set for every
        call, whatever the caller has there. Empty for an engine without one."""
        ...

    async def count(self, ask: Ask, ability: Ability, body: dict[str, Any]) -> int | None:
        """Tokens of the prompt in `body`, which is as it would be sent, in the engine's own words: the template and the
        tools included. Of several prompts, the longest. None where this engine cannot tell, or does not."""
        ...

    def failure(self, status: int, body: Any) -> Failure:
        """An error answer of this engine as one of ours. `body` is parsed JSON, or None."""
        ...


class Accelerator(Protocol):
    """One kind of device. Each is a file in `accelerators/` with an `ADAPTER`."""

    @property
    def kind(self) -> str:
        """Such as 'nvidia'."""
        ...

    @property
    def title(self) -> str:
        """As people write it, such as 'NVIDIA'."""
        ...

    def read(self, ours: Sequence[Ours] = ()) -> list[Device]:
        """Every device of the kind as it is now; empty where the machine has none. `ours` are the engines that we
        started. Raises NotRead. A driver may keep it waiting for ever, so it is called in a thread of its own, never
        twice at a time."""
        ...


class TenantKind(Protocol):
    """One kind of program that shares a device with us. Adapters hold no state; each is a file in `tenants/` with an
    `ADAPTER`. Nothing of what it works on is asked for."""

    @property
    def kind(self) -> str:
        """As in the configuration, such as 'comfyui'."""
        ...

    @property
    def title(self) -> str:
        """As people write it, such as 'ComfyUI'."""
        ...

    async def busy(self, fetch: Fetch) -> bool | None:
        """Whether it works or is about to; None where it does not answer as one of this kind."""
        ...

    async def memory(self, fetch: Fetch) -> int | None:
        """Bytes of its devices that it keeps, without the little that any program on them takes; None where it does
        not tell."""
        ...

    async def release(self, ask: Ask) -> bool:
        """Asks it to give back what it keeps, as soon as it can without breaking off what it does. True where it took
        note."""
        ...


class Leased(Protocol):
    """A ready instance that will not be stopped while the lease is held."""

    @property
    def endpoint(self) -> Endpoint: ...

    def release(self) -> None: ...


class Clock(Protocol):
    """Seconds, monotonic. Tests hand in their own."""

    def __call__(self) -> float: ...


class Provider(Translator, Protocol):
    """One dialect of rented clouds. Adapters hold no state; each is a file in `providers/` with an `ADAPTER`.

    `url` is the configured address of the provider, with or without a version in its path.
    """

    @property
    def kind(self) -> str:
        """As in the configuration, such as 'anthropic'."""
        ...

    @property
    def title(self) -> str:
        """As people write it, such as 'Anthropic'."""
        ...

    @property
    def abilities(self) -> frozenset[Ability]:
        """What can be asked for in this dialect."""
        ...

    def path(self, ability: Ability, url: str) -> str:
        """The path that a request goes to, with what `url` has before it."""
        ...

    def batches(self, url: str) -> object | None:
        """How lines that can wait go there as a batch; None where there is no such way."""
        ...

    def headers(self, api_key: str) -> bytes:
        """Header lines, each with CRLF, that show key and version. ValueError for a key that no header holds."""
        ...

    def request(self, ability: Ability, body: dict[str, Any], url: str, max_tokens: int) -> dict[str, Any]:
        """Our body as the provider's; `body` is left as it is. Output is always asked for, never above `max_tokens` in
        all. BadRequest, naming the field, for what cannot be carried without loss or would reach beyond the provider.
        """
        ...

    def failure(self, status: int, body: Any, retry_after_s: float | None = None) -> Failure:
        """An error answer as one of ours. `body` is parsed JSON, or None. It never shows a key."""
        ...


class Decides(Protocol):
    """One stage of those that say what a request is: the first that answers is believed, the others are not asked."""

    def decide(self, ability: Ability, body: dict[str, Any]) -> Reading | None:
        """None to abstain. What it raises counts as abstaining. `body` may hold anything that JSON can."""
        ...


NO_WIRES: Mapping[Ability, Wire] = {}
Emit = Callable[[object], None]
Headers = Mapping[str, str]
