"""From what is configured and what was found to the models that callers can name. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ringfence.core.boundary import Network, boundary_of
from ringfence.core.catalog import Endpoint, Model, Target
from ringfence.core.ports import Offer

USUAL_SLOTS = 4
REACHES_CLOUD = (
    "this engine could send the text to a cloud of its own (an Ollama: start it with OLLAMA_NO_CLOUD=1) or to other "
    "machines (a llama.cpp: start it without --rpc)"
)


@dataclass(frozen=True, slots=True)
class Source:
    """An instance and what it offers."""

    instance: str
    kind: str
    endpoint: Endpoint
    offers: tuple[Offer, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A model that an engine offers and that is not served, with the reason in words."""

    instance: str
    engine_model: str
    reason: str


@dataclass(frozen=True, slots=True)
class Offered:
    """What to serve, which targets each instance has, and what is left out."""

    models: tuple[Model, ...]
    targets_of: dict[str, tuple[str, ...]]
    left_out: tuple[LeftOut, ...]


def target_of(source: Source, offer: Offer, model: str, mesh: tuple[Network, ...] = ()) -> Target:
    """The target of one offer; its boundary is that of the address."""
    return Target(
        name=f"{source.instance}/{offer.engine_model}",
        model=model,
        engine=source.kind,
        engine_model=offer.engine_model,
        boundary=boundary_of(source.endpoint.address, mesh),
        window=offer.window,
        slots=offer.slots or USUAL_SLOTS,
        abilities=offer.abilities,
        digest=offer.digest,
        quantisation=offer.quantisation,
        device=offer.device,
        family=offer.family,
        may_cut=offer.may_cut,
        shares_window=offer.shares_window,
        kv_tokens=offer.kv_tokens,
    )


def catalog_of(
    configured: Sequence[Model], found: Sequence[Source], mesh: tuple[Network, ...] = (), created_s: int = 0
) -> Offered:
    """Configured models keep their names; a found one has its own id, and '<kind>/<id>' as another name.

    Several engines of one kind that have the same model are targets of one model. What an engine would itself send
    away is never served, wherever it listens.
    """
    taken = {name for model in configured for name in (model.name, *model.aliases)}
    models: dict[str, Model] = {}
    names: dict[tuple[str, str], str] = {}
    targets_of: dict[str, tuple[str, ...]] = {source.instance: () for source in found}
    left_out: list[LeftOut] = []
    for source in found:
        for offer in source.offers:
            if offer.reaches_cloud:
                left_out.append(LeftOut(source.instance, offer.engine_model, REACHES_CLOUD))
                continue
            same = models.get(names.get((source.kind, offer.engine_model), ""))
            if same is not None and _is_same(same, offer):
                target = target_of(source, offer, same.name, mesh)
                models[same.name] = replace(same, targets=(*same.targets, target))
                targets_of[source.instance] += (target.name,)
                continue
            model = _model(source, offer, taken, mesh, created_s)
            if model is None:
                reason = f"the names '{offer.engine_model}' and '{_alias(source, offer)}' are taken"
                left_out.append(LeftOut(source.instance, offer.engine_model, reason))
                continue
            models[model.name] = model
            names.setdefault((source.kind, offer.engine_model), model.name)
            taken |= {model.name, *model.aliases}
            targets_of[source.instance] += (model.targets[0].name,)
    return Offered((*configured, *models.values()), targets_of, tuple(left_out))


def _is_same(model: Model, offer: Offer) -> bool:
    """As far as the engines tell: not two versions of the weights under one name."""
    first = model.targets[0]
    return all(
        not theirs or not ours or theirs == ours
        for ours, theirs in ((first.digest, offer.digest), (first.quantisation, offer.quantisation))
    )


def _alias(source: Source, offer: Offer) -> str:
    return f"{source.kind}/{offer.engine_model}"


def _model(source: Source, offer: Offer, taken: set[str], mesh: tuple[Network, ...], created_s: int) -> Model | None:
    """Its own id where that is free, else the longer name, else none."""
    alias = _alias(source, offer)
    free = [name for name in (offer.engine_model, alias) if name not in taken]
    if not free:
        return None
    name, *aliases = free
    return Model(name, (target_of(source, offer, name, mesh),), tuple(aliases), created_s, source.kind)
