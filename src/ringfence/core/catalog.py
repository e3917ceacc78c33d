"""What can be served: models, the targets behind them, and where a target answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from ringfence.core.boundary import Boundary


class Ability(StrEnum):
    """What a model can be asked for; one per inference route."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    RERANK = "rerank"
    SPEECH = "speech"
    TRANSCRIPTION = "transcription"
    TRANSLATION = "translation"
    IMAGES = "images"


OF_TEXT = frozenset((Ability.CHAT, Ability.COMPLETIONS, Ability.EMBEDDINGS, Ability.RERANK))
"""What an engine that tells nothing may be tried for; whether it speaks, hears or draws has to be known."""


class Medium(StrEnum):
    """What can stand in a chat beside text."""

    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"


NO_MEDIA: frozenset[Medium] = frozenset()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an engine answers right now: a pinned address, not a name. `prefix` comes before '/v1'.

    An absolute path in the place of an address is a Unix socket, behind which lies the way to clouds; its port is 0.
    `authority` (host:port) and `head` (the header lines that every request to it carries) are worked out once.
    """

    address: str
    port: int
    boundary: Boundary
    prefix: str = ""
    api_key: str | None = field(default=None, repr=False)
    authority: str = field(init=False, repr=False, compare=False)
    head: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.is_socket:
            authority, named = self.address, "egress"
        else:
            host = f"[{self.address}]" if ":" in self.address else self.address
            authority = named = f"{host}:{self.port}"
        auth = f"authorization: Bearer {self.api_key}\r\n" if self.api_key else ""
        object.__setattr__(self, "authority", authority)
        object.__setattr__(self, "head", f"host: {named}\r\n{auth}".encode("latin-1"))

    @property
    def is_socket(self) -> bool:
        """True for a Unix socket, such as that of the egress process."""
        return self.address.startswith("/")

    @property
    def url(self) -> str:
        if self.is_socket:
            return f"unix:{self.address}"
        return f"http://{self.authority}{self.prefix}"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds that a target may take. `answer_s` bounds an answer that is not streamed: its first byte comes with its
    last. A stream that begins later than `slow_s` counts against it; None: however late."""

    first_byte_s: float = 120.0
    between_bytes_s: float = 60.0
    answer_s: float = 600.0
    slow_s: float | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """One place a request may go: a model on an instance of an engine.

    `engine_model` is the name the engine knows it by; `window` is tokens in and out together, None when the
    engine has not told yet; `slots` is how many requests it works on at a time.
    """

    name: str
    model: str
    engine: str
    engine_model: str
    boundary: Boundary
    window: int | None = None
    slots: int = 4
    abilities: frozenset[Ability] = frozenset((Ability.CHAT, Ability.COMPLETIONS))
    digest: str = ""
    """SHA-256 of the weights, where it is known."""
    quantisation: str = ""
    device: str = ""
    """Kind of device it computes on: 'gpu' or 'cpu', where it is known."""
    provider: str = ""
    """The rented cloud that it lies at; empty for engines."""
    family: str = ""
    """What its engine tells of the weights besides the name, as an Offer has it."""
    image_tokens: int = 0
    """Tokens that an image takes at most, where the configuration says; 0: by the rule of its family."""
    tokenizer: str = ""
    """The file of its tokenizer, where one is configured."""
    may_cut: bool = False
    """This version of its engine may cut a prompt without a word."""
    shares_window: bool = False
    """Its window is for all that it works on together, not for each; where that is not known, its failures tell."""
    timeouts: Timeouts | None = None
    """Of its own; None: those of all."""
    kv_tokens: int | None = None
    """How many tokens its engine can keep of all that it works on together; None where it does not tell."""
    takes: frozenset[Medium] | None = None
    """The media that it can read; None where nobody tells, and then it is tried."""
    reach: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "reach", self.boundary.name)  # an enum's name is computed anew on every look

    @property
    def configuration(self) -> str:
        """What answers, as far as it is known: `window=4096; quantisation=Q8_0; device=cpu; digest=ab12…`."""
        known = (
            ("window", self.window), ("quantisation", self.quantisation), ("device", self.device),
            ("digest", self.digest),
        )  # fmt: skip
        return "; ".join(f"{name}={value}" for name, value in known if value)


@dataclass(frozen=True, slots=True)
class Model:
    """What a caller names. Targets of one name are interchangeable; aliases are other names for it."""

    name: str
    targets: tuple[Target, ...]
    aliases: tuple[str, ...] = ()
    created_s: int = 0
    owner: str = "ringfence"

    @property
    def window(self) -> int | None:
        """The window that holds for every target: the smallest known, or None."""
        known = [target.window for target in self.targets if target.window is not None]
        return min(known) if known else None


@dataclass(frozen=True, slots=True)
class Catalog:
    """All models by name and alias; built anew on every change and swapped whole."""

    models: dict[str, Model]
    names: dict[str, Model]

    @classmethod
    def of(cls, models: list[Model]) -> Catalog:
        """Names win over aliases, and earlier models over later ones."""
        by_name: dict[str, Model] = {}
        for model in models:
            by_name.setdefault(model.name, model)
        names = dict(by_name)
        for model in models:
            for alias in model.aliases:
                names.setdefault(alias, model)
        return cls(models=by_name, names=names)
