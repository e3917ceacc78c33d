"""The settings of a model: where it comes from, how its engine is set up, and when it is on which device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, model_validator

from ringfence.config.money import PriceSettings
from ringfence.config.secret import SecretRef
from ringfence.config.section import Section, setting
from ringfence.config.values import (
    DeviceName,
    EngineUrl,
    Flag,
    HoursText,
    ModelName,
    Pause,
    Program,
    Seconds,
    Size,
    Source,
    Text,
    Url,
    Whole,
    refused,
    split_url,
)

KvType = Literal[
    "f16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl",
    "fp8", "turboquant_k8v4", "turboquant_4bit_nc", "turboquant_k3v4_nc", "turboquant_3bit_nc",
]  # fmt: skip
KV_TYPES: Mapping[str, tuple[KvType, ...]] = {
    "llamacpp": ("f16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"),
    "vllm": ("f16", "fp8", "turboquant_k8v4", "turboquant_4bit_nc", "turboquant_k3v4_nc", "turboquant_3bit_nc"),
}
"""In which an engine that we start can keep keys and values; bf16 goes as f16, which takes the same bytes."""
AbilityName = Literal["chat", "completions", "embeddings", "rerank", "speech", "transcription", "translation", "images"]
OF_ROLE = {"orchestrator": 24, "reasoning": 8, "vision": 4, "coding": 6}
ON_PROCESSOR, USUAL, MOST = 8, 4, 4096
"""Requests worked on at a time, where nobody says."""
RAM = "ram"
DEFAULT_SLOT = "swap"
"""Where a model of residency swap belongs that names no slot."""


class ModelTimeouts(Section):
    """How long one model may take. What is null is as timeouts says."""

    first_byte_s: Seconds | None = setting(None, "hot", "Seconds until the first byte of a streamed answer.")
    between_bytes_s: Seconds | None = setting(None, "hot", "Seconds between two parts of a streamed answer.")
    answer_s: Seconds | None = setting(None, "hot", "Seconds for an answer that is not streamed, from first to last.")


class ModelSettings(Section):
    """One model: weights to serve (`source`), an engine that already runs (`url`) or several (`urls`), or one of a
    rented cloud (`provider`)."""

    source: Source | None = setting(
        None, "drain", "What to serve: 'demo', the path of a .gguf file, or hf:owner/repo[:quant or file]."
    )
    url: Url | None = setting(None, "drain", "An engine that already runs: http://ADDRESS:PORT[/prefix].")
    urls: tuple[Url, ...] = setting((), "drain", "Several engines that run, with the same model each.")
    provider: Text | None = setting(None, "drain", "A rented cloud, by its name under providers.")
    price: PriceSettings | None = setting(
        None, "hot", "What it costs, with provider only; null: as the table of prices says."
    )
    provider_model: Text | None = setting(
        None, "drain", "The model's name at the provider, with provider only; null: the same name."
    )
    engine: Text | None = setting(
        None, "drain", "Kind of the engine, such as llamacpp; null: llama.cpp for a source, found out for a url."
    )
    engine_model: Text | None = setting(
        None, "drain", "The model's name at the engine, with url or urls only; null: the same name."
    )
    api_key: SecretRef | None = setting(
        None, "drain", "Key that the engine asks for, with url or urls only: env:NAME, file:/path or credential:NAME."
    )
    window: Whole | None = setting(
        None, "drain", "Tokens of one request, in and out together; null: what the engine or the weights say.", ge=256
    )
    tokenizer: Text | None = setting(None, "hot", "Its tokenizer.json, to count with; needs the extra tokenizers.")
    image_tokens: Whole | None = setting(None, "hot", "Tokens of an image at most; null: by its family's rule.", ge=1)
    media: tuple[Literal["image", "audio", "video"], ...] | None = setting(
        None, "drain", "What it can read beside text, in a chat; null: found out, and tried where nobody tells."
    )
    timeouts: ModelTimeouts | None = setting(None, "hot", "How long it may take; null: as timeouts says.")
    role: Literal["orchestrator", "reasoning", "vision", "coding"] | None = setting(
        None, "drain", "What it is for; where parallel is null it says how many requests are worked on at a time."
    )
    parallel: Whole | None = setting(
        None,
        "drain",
        "Requests worked on at a time, by each engine; null: orchestrator 24, reasoning 8, vision 4, coding 6, else 8 "
        "where it computes on the processor alone, and 4. Never more than its engine says that it takes.",
        ge=1,
        le=4096,
    )
    embeddings: Flag | None = setting(None, "drain", "Whether it makes embeddings; null: found out.")
    rerank: Flag | None = setting(
        None,
        "drain",
        "Whether it ranks documents, and does nothing else; null: found out, from its file or its engine.",
    )
    abilities: tuple[AbilityName, ...] | None = setting(
        None,
        "drain",
        "What it can be asked for, and nothing else, with url or urls only; null: found out, as far as it tells.",
    )
    threads: Whole | None = setting(None, "drain", "Threads, with source only; null: one per core.", ge=1, le=4096)
    aliases: tuple[ModelName, ...] = setting((), "hot", "Other names that callers may use.")
    residency: Literal["always", "swap", "lazy", "on_demand"] = setting(
        "always",
        "hot",
        "When it is loaded: always, swap (one of its slot at a time), lazy (once asked for, until unused for long) or "
        "on_demand (until unused for a little); with source only.",
    )
    priority: Literal["P0", "P1", "P2", "P3"] = setting(
        "P1", "hot", "What it gives way to: P0 to nothing, P3 first of all; with source only."
    )
    slot: Text | None = setting(
        None, "hot", "Its swap slot, by its name under slots, with residency swap only; null: the slot 'swap'."
    )
    idle_s: Pause | None = setting(
        None,
        "hot",
        "Seconds unused after which it leaves, with any residency but always; null: as placement says.",
    )
    memory: Size | None = setting(
        None, "drain", "What it takes, such as 16GiB, with source only; null: worked out, then learned."
    )
    devices: tuple[DeviceName, ...] = setting(
        (), "hot", "Where it may run, the best first, with source only; none: any GPU with room, else the RAM."
    )
    gpu_layers: Whole | None = setting(
        None,
        "drain",
        "Layers on the GPU, the others on the processor; 0: none; null: all, where it is on a GPU; with a source of "
        "llamacpp only.",
        ge=0,
        le=10_000,
    )
    kv_type: KvType | None = setting(
        None,
        "drain",
        "How keys and values are kept, with source only; null: f16. Which there are depends on the engine.",
    )
    hours: HoursText | None = setting(
        None, "hot", "When it may be loaded, such as 02:00-08:00 Pacific/Auckland, with source only; null: always."
    )
    command: Program | None = setting(
        None,
        "drain",
        "An engine program of your own, such as [/opt/llama/llama-server], with source only; null: the engine that "
        "comes with Ringfence, or vllm as it is found.",
    )
    args: tuple[Text, ...] = setting((), "drain", "Further arguments for that program.")
    sleep: Flag | None = setting(
        None, "drain", "Sleeps rather than leaves, with a source of vllm only; null: where it can."
    )
    lora_slots: Whole = setting(0, "drain", "LoRA adapters held at a time, with a source of vllm only.", ge=0, le=4096)

    @model_validator(mode="after")
    def _has_one_origin(self) -> ModelSettings:
        origins = [name for name in GOES_WITH if getattr(self, name) not in (None, ())]
        if len(origins) != 1:
            found = f"{' and '.join(origins)} are here" if origins else "none is here"
            raise refused(f"a model has exactly one of {', '.join(GOES_WITH)}; {found}")
        for origin, names in GOES_WITH.items():
            for name in names if origin not in origins else ():
                if self._says(name) and name not in GOES_WITH[origins[0]]:
                    raise refused(f"goes with {origin} only", at=name)
        for name, problem in self.unfit() if self.source is not None else ():
            raise refused(problem, at=name)
        if again := next((place for place, name in enumerate(self.devices) if name in self.devices[:place]), None):
            raise refused("is listed already", at=("devices", again))
        if again := next((place for place, name in enumerate(self.urls) if name in self.urls[:place]), None):
            raise refused("is listed already", at=("urls", again))
        return self

    def _says(self, name: str) -> bool:
        """Whether a setting is other than where nothing is said."""
        return getattr(self, name) != type(self).model_fields[name].default

    def unfit(self) -> Iterator[tuple[str, str]]:
        """Settings of a source that do not go with each other, each with what is wrong."""
        engine, source = self.source_engine, self.source or ""
        if engine == "llamacpp" and not (source == "demo" or source.startswith("hf:") or source.endswith(".gguf")):
            yield "source", "expected 'demo', the path of a .gguf file, or hf:owner/repo[:quant or file]"
        if engine == "vllm" and (source == "demo" or source.endswith(".gguf") or source.count(":") > 1):
            yield "source", "vllm serves hf:owner/repo, or the folder of a model"
        for name, wanted in ONLY_OF_ENGINE.items():
            if engine != wanted and self._says(name):
                yield name, f"goes with engine {wanted} only"
        if self.kv_type is not None and self.kv_type not in KV_TYPES.get(engine, (self.kv_type,)):
            yield "kv_type", f"{engine} keeps keys and values in one of {', '.join(KV_TYPES[engine])}"
        if engine == "llamacpp" and self.args and self.command is None:
            yield "args", "goes with command only: the llama.cpp that comes with Ringfence takes no arguments"
        if self.slot is not None and self.residency != "swap":
            yield "slot", "goes with residency swap only"
        if self.idle_s is not None and self.residency == "always":
            yield "idle_s", "a model that is always loaded never leaves for that; use another residency"
        for name in ("idle_s", "hours") if self.priority == "P0" else ():
            if getattr(self, name) is not None:
                yield name, "a model of priority P0 never leaves; use P1 to P3"
        if self.residency == "swap" and self.priority == "P0":
            yield "priority", "a model of a swap slot gives way to the others of it, and P0 never does"

    @property
    def source_engine(self) -> str:
        """The kind of engine that serves a source."""
        return self.engine or "llamacpp"

    def at_once(self, told: int | None = None) -> int:
        """Requests worked on at a time; `told` is what its engine says."""
        on_processor = self.gpu_layers == 0 or (bool(self.devices) and all(name == RAM for name in self.devices))
        usual = OF_ROLE[self.role] if self.role is not None else ON_PROCESSOR if on_processor else USUAL
        return min(self.parallel or usual, told or MOST)

    @property
    def address(self) -> EngineUrl | None:
        """The parts of `url`; None for a model that is served otherwise."""
        return split_url(self.url) if self.url is not None else None

    @property
    def addresses(self) -> tuple[EngineUrl, ...]:
        """Of the engines that already run, be it one or several; none for a model that is served otherwise."""
        return tuple(split_url(url) for url in (self.urls if self.url is None else (self.url,)))


GOES_WITH: dict[str, tuple[str, ...]] = {
    "source": (
        "threads", "engine", "embeddings", "rerank", "residency", "priority", "slot", "idle_s", "memory", "devices",
        "gpu_layers", "kv_type", "hours", "command", "args", "sleep", "lora_slots",
    ),
    "url": ("engine_model", "api_key", "engine", "embeddings", "rerank", "abilities"),
    "urls": ("engine_model", "api_key", "engine", "embeddings", "rerank", "abilities"),
    "provider": ("provider_model", "price"),
}  # fmt: skip
"""Where a model comes from, and the settings that only make sense there."""
ONLY_OF_ENGINE = {"gpu_layers": "llamacpp", "threads": "llamacpp", "sleep": "vllm", "lora_slots": "vllm"}


def name_clashes(models: Mapping[str, Iterable[str]]) -> list[tuple[str, int, str]]:
    """Aliases that are also another model's name or alias, as (model, position in its aliases, what clashes)."""
    taken = {name: f"the model '{name}'" for name in models}
    found: list[tuple[str, int, str]] = []
    for model, aliases in models.items():
        for position, alias in enumerate(aliases):
            if not alias:
                continue
            if alias in taken:
                found.append((model, position, f"the alias '{alias}' is already {taken[alias]}"))
            else:
                taken[alias] = f"an alias of '{model}'"
    return found


def _or_demo(models: Any) -> Any:
    return demo_model() if models == {} else models


def demo_model() -> dict[str, ModelSettings]:
    """What is served when no model is configured."""
    return {"demo": ModelSettings(source="demo", aliases=("local/fast", "auto"))}


Models = Annotated[dict[ModelName, ModelSettings], BeforeValidator(_or_demo)]
