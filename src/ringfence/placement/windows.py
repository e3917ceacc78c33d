"""Windows of one engine's models, where what it says at a look is not the whole of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ringfence.core.ports import Offer


@dataclass(slots=True)
class Windows:
    """What is remembered between two looks at an engine, until it is away."""

    _seen: dict[str, int] = field(default_factory=dict[str, int])
    """As it last said, by model: one that is not loaded has none to tell, and will be loaded as before."""
    _corrections: dict[str, tuple[int | None, int]] = field(default_factory=dict[str, tuple[int | None, int]])
    """By model: what it says at a look, and what it says when it refuses a request. The second holds as long as the
    first stays what it is."""

    def settled(self, offers: tuple[Offer, ...]) -> tuple[Offer, ...]:
        """What was offered at a look, with the windows that hold."""
        for offer in offers:
            if offer.window is not None:
                self._seen[offer.engine_model] = offer.window
        names = {offer.engine_model for offer in offers}
        self._seen = {name: window for name, window in self._seen.items() if name in names}
        self._corrections = {
            name: correction
            for name, correction in self._corrections.items()
            if name in names and correction[0] == self._seen.get(name) != correction[1]
        }
        return tuple(self._held(offer) for offer in offers)

    def correct(self, offers: tuple[Offer, ...], engine_model: str, window: int) -> tuple[Offer, ...]:
        """`offers` with what the engine says of one of them when it refuses a request."""
        if any(offer.engine_model == engine_model and offer.window != window for offer in offers):
            self._corrections[engine_model] = (self._seen.get(engine_model), window)
        return tuple(self._held(offer) for offer in offers)

    def _held(self, offer: Offer) -> Offer:
        name = offer.engine_model
        corrected = self._corrections.get(name)
        window = corrected[1] if corrected is not None else offer.window or self._seen.get(name)
        return replace(offer, window=window) if window != offer.window else offer
