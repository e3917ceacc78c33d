"""From the settings of a model, and what its engine says, to the target that calls go to."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ringfence import providers
from ringfence.config.models import ModelSettings
from ringfence.config.providers import ProviderSettings
from ringfence.config.schema import Config
from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability, Medium, Model, Target
from ringfence.core.ports import Offer, Provider
from ringfence.core.registry import adapters
from ringfence.gateway.cloud import Cloud
from ringfence.placement.offered import REACHES_CLOUD, LeftOut
from ringfence.providers.anthropic import Anthropic
from ringfence.runtime.configured import Configured
from ringfence.runtime.settings import timeouts_of

CLOUDS: dict[str, Provider] = adapters(providers)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an instance: its settings in the mode that is on, what it offers, and, before it runs, its
    window and its abilities."""

    settings: ModelSettings
    offers: tuple[Offer, ...]
    window: int | None
    abilities: frozenset[Ability]


def own_target(one: Configured, known: Known, config: Config) -> Target | LeftOut | None:
    """The target of a configured engine; None while nobody knows how far its models reach."""
    settings, engine_model, offer = known.settings, known.settings.engine_model or one.model, None
    if settings.source is not None:
        offer, engine_model = (known.offers[0] if known.offers else None), one.name
    elif not known.offers:
        return None  # it has not said yet what it has
    else:
        offer = next((offer for offer in known.offers if offer.engine_model == engine_model), None)
        if offer is None and len(known.offers) == 1 and settings.engine_model is None:
            offer = known.offers[0]
            engine_model = offer.engine_model
        if offer is None:
            return LeftOut(one.instance, engine_model, "the engine has no model of this name")
    if offer is not None and offer.reaches_cloud:
        return LeftOut(one.instance, engine_model, REACHES_CLOUD)
    abilities = offer.abilities if offer is not None else known.abilities
    if settings.embeddings is False:
        abilities -= {Ability.EMBEDDINGS}
    if settings.rerank is not None:
        abilities = frozenset((Ability.RERANK,)) if settings.rerank else abilities - {Ability.RERANK}
    if settings.abilities is not None:
        abilities = frozenset(map(Ability, settings.abilities))
    window = offer.window if offer is not None else settings.window or known.window
    if settings.window is not None and window is not None:
        window = min(window, settings.window)
    return Target(
        f"{one.kind}/{one.instance}",
        one.model,
        one.kind,
        engine_model,
        one.endpoint.boundary if one.endpoint is not None else Boundary.HOST,
        window,
        settings.at_once(offer.slots if offer is not None else None),
        abilities,
        one.digest or (offer.digest if offer is not None else ""),
        offer.quantisation if offer is not None else "",
        offer.device if offer is not None else "",
        family=offer.family if offer is not None else "",
        image_tokens=settings.image_tokens or 0,
        tokenizer=settings.tokenizer or "",
        may_cut=offer is not None and offer.may_cut,
        shares_window=offer is not None and offer.shares_window,
        kv_tokens=offer.kv_tokens if offer is not None else None,
        timeouts=timeouts_of(settings, config),
        takes=_takes(settings) if settings.media is not None or offer is None else offer.takes,
    )


def _takes(settings: ModelSettings) -> frozenset[Medium] | None:
    return frozenset(map(Medium, settings.media)) if settings.media is not None else None


def cloud(provider: ProviderSettings) -> Cloud:
    """How a provider is spoken to."""
    adapter = CLOUDS[provider.dialect]
    if provider.prompt_cache and isinstance(adapter, Anthropic):
        adapter = replace(adapter, marks=True)
    has_batches = provider.batch and adapter.batches(provider.url) is not None
    return Cloud(adapter, provider.url, provider.max_tokens, has_batches)


def rented(name: str, settings: ModelSettings, config: Config, created_s: int) -> Model:
    """A model of a provider: what it is and how far it lies is known from the configuration alone. `created_s`: since
    when it is offered, in Unix seconds."""
    assert settings.provider is not None
    adapter: Provider = CLOUDS[config.providers[settings.provider].dialect]
    engine_model = settings.provider_model or name
    abilities = adapter.abilities - ({Ability.EMBEDDINGS} if settings.embeddings is False else set[Ability]())
    target = Target(
        f"{settings.provider}/{engine_model}", name, adapter.kind, engine_model, Boundary.CLOUD, settings.window,
        settings.at_once(), abilities, provider=settings.provider, image_tokens=settings.image_tokens or 0,
        tokenizer=settings.tokenizer or "", timeouts=timeouts_of(settings, config), takes=_takes(settings),
    )  # fmt: skip
    return Model(name, (target,), settings.aliases, created_s, owner=settings.provider)
