"""The settings of `ringfence.yaml`: what each means, its default, its limits, and how a change of it takes effect.

Models have a file of their own (`models`), and so has what shares the devices among them (`placing`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    PrivateAttr,
    Strict,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ringfence.config.caching import Cache
from ringfence.config.compile import breaches
from ringfence.config.database import DatabaseSettings
from ringfence.config.models import Models, demo_model, name_clashes
from ringfence.config.money import BudgetSettings, MoneySettings
from ringfence.config.placed import misplaced
from ringfence.config.placing import DeviceSettings, ModeSettings, PlacementSettings, SlotSettings, TenantSettings
from ringfence.config.problems import KeyPath, Origin
from ringfence.config.providers import ProviderSettings
from ringfence.config.routed import misrouted
from ringfence.config.routing import ChainSettings, RuleSettings
from ringfence.config.section import Section, needed, setting
from ringfence.config.sensitivity import SensitivitySettings
from ringfence.config.thinking import ThinkingSettings
from ringfence.config.values import (
    DeviceName,
    FarEndpoint,
    Flag,
    HostName,
    HoursText,
    LedgerName,
    ListenHost,
    MeshNetwork,
    ModelName,
    Port,
    Seconds,
    Size,
    Text,
    Whole,
    is_loopback,
    refused,
)
from ringfence.core.boundary import Boundary, Network
from ringfence.core.route import Ending, Exact, Overlong, Profile, Tier, Urgency

_MIB = 1024 * 1024


class ServerSettings(Section):
    """Where callers reach the gateway, and what one of them may take up."""

    host: ListenHost = setting("127.0.0.1", "restart", "Address to listen on; 0.0.0.0 or :: for all.")
    port: Whole = setting(7464, "restart", "Port to listen on; 0 picks a free one.", ge=0, le=65_535)
    keys: Literal["required", "off"] = setting(
        "required", "hot", "Whether callers need an API key; 'off' only when listening on loopback."
    )
    allowed_hosts: tuple[HostName, ...] = setting(
        (), "hot", "Names, besides its own addresses, by which callers may address the gateway (Host header)."
    )
    header_timeout_s: Seconds = setting(10, "hot", "Seconds for a caller to send the head of a request.")
    body_timeout_s: Seconds = setting(30, "hot", "Seconds without progress in which a caller's body may stall.")
    idle_timeout_s: Seconds = setting(120, "hot", "Seconds that a connection without a request is kept.")
    write_timeout_s: Seconds = setting(60, "hot", "Seconds that a caller may take no byte of its answer.")
    max_body_bytes: Size = setting(32 * _MIB, "hot", "Largest body of one request, such as 32MiB.")
    body_memory_bytes: Size = setting(96 * _MIB, "hot", "Memory for all bodies together, such as 96MiB.")
    max_connections: Whole = setting(20_000, "hot", "Connections at a time.", ge=1, le=1_000_000)

    @field_validator("keys")
    @classmethod
    def _is_safe(cls, keys: str, info: ValidationInfo) -> str:
        if keys == "off" and not is_loopback(info.data.get("host", "127.0.0.1")):
            raise refused("listening beyond loopback without keys is refused")
        return keys

    @model_validator(mode="after")
    def _holds_one_body(self) -> ServerSettings:
        if self.body_memory_bytes < self.max_body_bytes:
            raise refused("must hold at least one body of max_body_bytes", at="body_memory_bytes")
        return self


class DiscoverySettings(Section):
    """Finding engines that already run on this machine."""

    adopt: Flag = setting(True, "hot", "Serve the models of engines found on loopback.")
    interval_s: Seconds = setting(15, "hot", "Seconds between two looks.")
    ports: dict[Text, tuple[Port, ...]] = setting(
        {}, "hot", "Ports to look at, by engine kind; a kind not listed is looked for at its usual ports."
    )


class TimeoutSettings(Section):
    """How long an engine may take, and how often another try is made before the first byte."""

    connect_s: Seconds = setting(2, "hot", "Seconds to connect to an engine.")
    first_byte_s: Seconds = setting(120, "hot", "Seconds until the first byte of a streamed answer.")
    answer_s: Seconds = setting(600, "hot", "Seconds for an answer that is not streamed, from first to last.")
    between_bytes_s: Seconds = setting(60, "hot", "Seconds between two parts of a streamed answer.")
    retries: Whole = setting(2, "hot", "Further tries while nothing has been sent to the caller.", ge=0, le=10)
    retry_within_s: Seconds = setting(120, "hot", "Seconds after the first failure in which further tries begin.")
    slow_s: Seconds | None = setting(
        None, "hot", "A streamed answer that begins later counts as a failure of its target; null: however late."
    )


class AdmissionSettings(Section):
    """The queue before each target."""

    queue: Whole = setting(256, "hot", "Requests that may wait for one target; 0 refuses at once.", ge=0, le=100_000)
    wait_s: Seconds = setting(60, "hot", "Seconds that a request waits for a place.")
    promote_s: Seconds = setting(15, "hot", "Seconds of waiting after which a request counts as one class higher.")


class ParkingSettings(Section):
    """Requests of profiles that end in park, while nothing within their boundary can serve them."""

    most: Whole = setting(1000, "hot", "Requests that may wait.", ge=0, le=100_000)
    deadline_s: Seconds = setting(900, "hot", "Seconds that a request waits, unless its caller says otherwise.")
    most_deadline_s: Seconds = setting(86_400, "hot", "The most that a caller may say.")

    @model_validator(mode="after")
    def _is_within(self) -> ParkingSettings:
        if self.deadline_s > self.most_deadline_s:
            raise refused("is more than most_deadline_s", at="deadline_s")
        return self


class BatchesSettings(Section):
    """Batches of calls, which nobody waits for, and the files that they are made from and leave behind."""

    hours: HoursText | None = setting(
        None, "hot", "Hours and time zone in which lines are begun, such as 22:00-06:00 Europe/Berlin; null: always."
    )
    at_once: Whole = setting(4, "hot", "Lines of all batches that are under way at a time.", ge=1, le=1000)
    quiet_s: Annotated[float, Strict(), Field(ge=0, le=3600)] = setting(
        2.0,
        "hot",
        "Seconds without a request of a higher class on this machine before lines begin; one that comes stops them. "
        "0: lines run beside such requests. In the second half of its window a batch waits for nobody.",
    )
    most: Whole = setting(100, "hot", "Batches of one key that have not ended.", ge=1, le=10_000)
    most_lines: Whole = setting(50_000, "hot", "Lines of one batch.", ge=1, le=1_000_000)
    most_bytes: Size = setting(2048 * _MIB, "hot", "All files together, such as 2GiB.")
    look_every_s: Whole = setting(
        60, "hot", "Seconds between two looks at a batch of a provider (providers.NAME.batch).", ge=1, le=3600
    )
    keep_s: Whole = setting(
        604_800, "hot", "Seconds that a file is kept, unless its caller says otherwise.", ge=3600, le=2_592_000
    )


class ResponseSettings(Section):
    """Answers of OpenAI's Responses API that callers may follow up, under profiles that keep them."""

    kept_days: Whole = setting(30, "hot", "Days that a response is kept.", ge=1, le=3650)
    background: Whole = setting(32, "hot", "Responses of one key in the background at a time.", ge=1, le=10_000)


class ExactSettings(Section):
    """One model in one configuration. What is left out is not asked about."""

    model: Text = needed("hot", "The model, by its name under models.")
    digest: Text | None = setting(None, "hot", "SHA-256 of the weights, in hexadecimal.", pattern="^[0-9a-f]{64}$")
    quantisation: Text | None = setting(None, "hot", "Quantisation of the weights, such as Q4_K_M.")
    device: Literal["gpu", "cpu"] | None = setting(None, "hot", "Kind of device that computes.")
    window: Whole | None = setting(None, "hot", "Window in tokens.", ge=1)


class ProfileSettings(Section):
    """What keys, agents and tools are bound to: how far text may travel, and the way it takes by itself."""

    tier: Literal["T1", "T2", "T3", "T4"] | None = setting(
        None,
        "hot",
        "T1 sovereign (never a cloud), T2 speed-optional (local first), T3 cloud-explicit, T4 coordination (local, "
        "makes calls under other profiles); null: T2 for boundary cloud, else T1.",
    )
    boundary: Literal["host", "mesh", "cloud"] | None = setting(
        None,
        "hot",
        "How far text may travel: host (this machine), mesh (your networks) or cloud; null: cloud for T2 and T3, host "
        "for T1 and T4, which never reach a cloud.",
    )
    chain: tuple[ModelName, ...] = setting(
        (), "hot", "Models in the order in which 'auto' tries them, by their names under models."
    )
    ending: Literal["error", "park"] = setting(
        "error", "hot", "When no target is left: error, or park (the request waits rather than go further)."
    )
    exact: ExactSettings | None = setting(None, "hot", "The only model and configuration that will do; else an error.")
    overlong: Literal["shrink", "refuse", "route"] = setting(
        "shrink", "hot", "A prompt longer than the window: shrink it, refuse it, or route it to a larger window first."
    )
    priority: Literal["user", "agent", "background"] = setting(
        "user", "hot", "The highest class of its calls: user goes before agent, and agent before background."
    )
    weight: Whole = setting(
        1, "hot", "The share of its keys where several of one class wait, against a weight of 1.", ge=1, le=1000
    )
    delegates: tuple[Text, ...] = setting((), "hot", "T4 only: profiles under which its keys may make calls.")
    stores: bool | None = setting(
        None,
        "hot",
        "Whether responses are kept, sealed, for `previous_response_id`; null: not for T1 nor for boundary host.",
    )
    cache: Cache = setting(
        None, "hot", "Keep answers for who asks exactly the same again: true, or with these settings; null: nothing."
    )
    budget: BudgetSettings | None = setting(None, "hot", "What its calls may cost together; null: no cap of its own.")
    unpriced: Literal["refuse", "allow"] = setting(
        "refuse", "hot", "Calls under a budget to a model whose price nobody knows: refuse, or allow and count nothing."
    )

    @model_validator(mode="after")
    def _stays_in_its_tier(self) -> ProfileSettings:
        if self.boundary == "cloud" and self.tier in ("T1", "T4"):
            raise refused(f"tier {self.tier} never reaches a cloud; use host or mesh, or tier T2 or T3", at="boundary")
        if self.delegates and self.tier != "T4":
            raise refused("only a profile of tier T4 makes calls under others", at="delegates")
        if self.exact is not None and self.chain:
            raise refused("a profile with an exact target has no chain", at="chain")
        return self

    @property
    def reaches(self) -> Boundary:
        if self.boundary is not None:
            return Boundary.parse(self.boundary)
        return Boundary.CLOUD if self.tier in ("T2", "T3") else Boundary.HOST

    @property
    def trust(self) -> Tier:
        return Tier(self.tier or ("T2" if self.boundary == "cloud" else "T1"))

    @property
    def keeps_responses(self) -> bool:
        if self.stores is not None:
            return self.stores
        return self.trust is not Tier.SOVEREIGN and self.reaches is not Boundary.HOST

    def profile(self, name: str) -> Profile:
        """As the path uses it."""
        exact = self.exact
        return Profile(
            name, self.reaches, self.trust, self.chain, Ending(self.ending),
            Exact(exact.model, exact.digest or "", exact.quantisation or "", exact.device or "", exact.window)
            if exact is not None else None,
            self.delegates, overlong=Overlong(self.overlong), priority=Urgency[self.priority.upper()],
            weight=self.weight, stores=self.keeps_responses,
            caching=self.cache.caching if self.cache is not None else None,
        )  # fmt: skip


class BoundSettings(Section):
    """An agent or a tool, and what it is bound to."""

    profile: Text = needed("hot", "The profile, by its name.")


class IsolationSettings(Section):
    """The wall of the kernel around the gateway, where its unit claims one (RINGFENCE_ISOLATED=1)."""

    probe: FarEndpoint | None = setting(
        None,
        "hot",
        "ADDRESS:PORT of something that answers and that the gateway must not reach: it tries to, sends nothing, and "
        "serves no profile of tier T1 when that works; null: isolation is believed.",
    )


class LoggingSettings(Section):
    """What is written down. Never text of requests or answers."""

    level: Literal["debug", "info", "warning", "error"] = setting("info", "hot", "The least level that is written.")
    file: Text | None = setting(None, "hot", "File to write to; null: stderr.")
    requests: Flag = setting(True, "hot", "One line per request, without any of its content.")


def _with_default_profile(profiles: dict[str, ProfileSettings]) -> dict[str, ProfileSettings]:
    return profiles if "default" in profiles else {"default": ProfileSettings(boundary="host"), **profiles}


Profiles = Annotated[dict[LedgerName, ProfileSettings], AfterValidator(_with_default_profile)]


class Config(Section):
    """The whole of `ringfence.yaml`."""

    server: ServerSettings = Field(default_factory=ServerSettings, description="Where callers reach the gateway.")
    state_dir: Text | None = setting(
        None, "restart", "Folder for keys, ledger and logs; null: $RINGFENCE_STATE_DIR, else the XDG state folder."
    )
    database: DatabaseSettings = Field(
        default_factory=DatabaseSettings, description="Where keys, money, calls and what is parked are kept."
    )
    discovery: DiscoverySettings = Field(
        default_factory=DiscoverySettings, description="Finding engines that already run on this machine."
    )
    mesh: tuple[MeshNetwork, ...] = setting((), "drain", "Private networks whose machines are yours: reached as MESH.")
    timeouts: TimeoutSettings = Field(default_factory=TimeoutSettings, description="How long an engine may take.")
    admission: AdmissionSettings = Field(default_factory=AdmissionSettings, description="The queue before each target.")
    parking: ParkingSettings = Field(
        default_factory=ParkingSettings, description="Requests that wait rather than go further."
    )
    batches: BatchesSettings = Field(
        default_factory=BatchesSettings, description="Many calls at once, for whoever can wait."
    )
    responses: ResponseSettings = Field(
        default_factory=ResponseSettings, description="Answers that callers may follow up."
    )
    profiles: Profiles = Field(
        default_factory=lambda: {"default": ProfileSettings(boundary="host")},
        description="What keys are bound to, by name; 'default' always exists.",
    )
    agents: dict[LedgerName, BoundSettings] = Field(
        default_factory=dict,
        description="Programs that name themselves in the header x-ringfence-agent; one that is not listed is refused.",
    )
    tools: dict[Text, BoundSettings] = Field(
        default_factory=dict,
        description="Tools by name: a call that offers one travels no further than its profile; one that is not listed "
        "keeps the call on this machine.",
    )
    providers: dict[LedgerName, ProviderSettings] = Field(
        default_factory=dict, description="Rented clouds, by name; models name them."
    )
    money: MoneySettings = Field(
        default_factory=MoneySettings, description="What may be spent on rented models, and by which clock."
    )
    models: Models = Field(default_factory=demo_model, description="Models by the name callers use; none: the demo.")
    slots: dict[Text, SlotSettings] = Field(
        default_factory=dict, description="Swap slots, by name; the slot 'swap' always exists."
    )
    devices: dict[DeviceName, DeviceSettings] = Field(
        default_factory=dict,
        description="Rules for devices, by name: gpu0 for the first GPU, ram, an id that `ringfence devices --json` "
        "tells, or any name for one that is simulated.",
    )
    tenants: dict[Text, TenantSettings] = Field(
        default_factory=dict, description="Other programs that want memory of devices, by name."
    )
    modes: dict[Text, ModeSettings] = Field(
        default_factory=dict, description="Exclusive uses of devices, by name; `ringfence mode NAME` switches."
    )
    placement: PlacementSettings = Field(
        default_factory=PlacementSettings, description="When models come and go, and how patiently."
    )
    rules: tuple[RuleSettings, ...] | None = setting(
        None, "hot", "Which models answer a call for 'auto', the first that matches; null: the default rules."
    )
    chains: dict[ModelName, ChainSettings] = Field(
        default_factory=dict, description="Models in order under a name, for rules to use and for callers to name."
    )
    thinking: ThinkingSettings = Field(
        default_factory=ThinkingSettings, description="Deep reasoning as a tool, for calls that name 'orchestrator'."
    )
    sensitivity: SensitivitySettings = Field(
        default_factory=SensitivitySettings, description="What keeps a request from leaving this machine."
    )
    isolation: IsolationSettings = Field(
        default_factory=IsolationSettings, description="The wall of the kernel around the gateway, tried."
    )
    logging: LoggingSettings = Field(default_factory=LoggingSettings, description="What is written down.")

    _origins: dict[KeyPath, Origin] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Config:
        clashes = name_clashes({name: model.aliases for name, model in self.models.items()})
        if clashes:
            raise refused(clashes[0][2], at="models")
        return self

    @model_validator(mode="after")
    def _names_what_there_is(self) -> Config:
        if found := [*breaches(self), *misplaced(self), *misrouted(self)]:
            (at, message), *more = found
            raise refused(message, at=at, more=more)
        return self

    def __eq__(self, other: object) -> bool:
        # Where settings stand is no part of what they are.
        return isinstance(other, Config) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]

    @property
    def mesh_networks(self) -> tuple[Network, ...]:
        """`mesh`, parsed."""
        return tuple(ip_network(text) for text in self.mesh)

    def origin(self, path: KeyPath) -> Origin | None:
        """Where a setting was set; None for a default. A list's and a mapping's entries are asked for one by one."""
        return self._origins.get(path)

    def originated(self, origins: Mapping[KeyPath, Origin]) -> None:
        """The loader tells here, once, where the settings stand; it is part of no comparison."""
        self._origins.update(origins)


def state_dir(config: Config, env: Mapping[str, str] = os.environ) -> Path:
    """The folder for state: the setting, else $RINGFENCE_STATE_DIR, else `ringfence` in the XDG state folder."""
    return state_folder(config.state_dir, env)


def state_folder(named: str | None, env: Mapping[str, str] = os.environ) -> Path:
    """As `state_dir`, for the bare setting."""
    home = Path(env["HOME"]) if env.get("HOME") else Path.home()
    if given := named or env.get("RINGFENCE_STATE_DIR"):
        return home / given[2:] if given.startswith("~/") else Path(given)
    # The XDG standard says that a relative path is to be ignored.
    xdg = Path(env.get("XDG_STATE_HOME", ""))
    return (xdg if xdg.is_absolute() else home / ".local" / "state") / "ringfence"


def schema_json() -> dict[str, Any]:
    """The JSON Schema of the file, for editors. Each leaf has `reload`."""
    schema = Config.model_json_schema()
    for name, described in schema["properties"].items():
        # A section whose every line is commented out is null in YAML, and means its defaults.
        if "reload" not in described:
            description = described.pop("description", "")
            schema["properties"][name] = {"anyOf": [described, {"type": "null"}], "description": description}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "ringfence.yaml"}
