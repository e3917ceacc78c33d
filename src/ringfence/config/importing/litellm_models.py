"""[pure] LiteLLM's deployments as models, providers and chains."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ringfence.config.importing.litellm_deployment import Deployment
from ringfence.config.importing.litellm_fallbacks import Fallbacks, Named
from ringfence.config.importing.made import Made
from ringfence.config.importing.taking import Taking
from ringfence.config.problems import KeyPath
from ringfence.config.routing import ALIASES, AUTO

CALLS_PER_DAY = 100
MOST_OUTPUT = 4096
"""Caps of a provider where LiteLLM has none: little enough to be noticed, and to be decided about."""
LONGEST_NAME = 120
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._:/-]+")


@dataclass(slots=True)
class Group:
    """All that LiteLLM has under one name: as it is called here, and its models in order."""

    shown: str
    models: list[str] = field(default_factory=list[str])


class Models:
    """Puts them into what is made."""

    def __init__(self, taking: Taking, made: Made, deployments: Sequence[Deployment], fallbacks: Fallbacks) -> None:
        self.taking = taking
        self.made = made
        self.fallbacks = fallbacks
        self.groups: dict[str, Group] = {}
        self._by_id: dict[str, str] = {}
        self._rented_keys = {one.key for one in deployments if one.cloud is not None}
        self._taken: set[str] = set()
        by_name: dict[str, list[Deployment]] = {}
        for one in deployments:
            by_name.setdefault(one.name, []).append(one)
        for name, found in by_name.items():
            self.groups[name] = Group(self._shown(name, found[0].place))
        for name, found in by_name.items():
            self._put(name, sorted(found, key=lambda one: one.order))

    def share(self, setting: str, value: Any) -> None:
        """A setting for every model that has none of its own."""
        for entry in self.made.sections["models"].values():
            entry.setdefault(setting, value)

    def chains(self, aliases: Iterable[tuple[str, str, KeyPath]]) -> None:
        """A chain for each name that several models stand behind; `aliases` are other names, each with its group."""
        for name, group in self.groups.items():
            models = [*group.models, *self._following(self.fallbacks.of(name))]
            if group.models != [group.shown]:
                self._chain(group.shown, models)
        for alias, name, at in aliases:
            group = self.groups.get(name)
            shown = _bent(alias)
            if group is None:
                self.taking.say("left_out", at, f"there is no model '{name}' here.", "Correct it.")
            elif shown in self._taken or shown in (AUTO, *ALIASES):
                self.taking.say("left_out", at, f"'{shown}' is taken already.", "Choose another name.")
            elif group.models == [group.shown]:
                self.made.sections["models"][group.shown].setdefault("aliases", []).append(shown)
            else:
                self.made.put("chains", shown, {"models": [group.shown]}, f"Another name for {group.shown}.")
            self._taken.add(shown)

    def _chain(self, shown: str, models: list[str]) -> None:
        self.made.put("chains", shown, {"models": list(dict.fromkeys(models)), "else": "error"})

    def _following(self, named: list[Named]) -> list[str]:
        found: list[str] = []
        for one in named:
            group = self.groups.get(one.name)
            if group is not None:
                found += group.models
            elif one.name in self._by_id:
                found.append(self._by_id[one.name])
            else:
                self.taking.say("left_out", one.at, f"there is no model '{one.name}' here.", "Write it by hand.")
        return found

    # -- one name ---------------------------------------------------------------------------------------------------

    def _put(self, name: str, found: list[Deployment]) -> None:
        """One model for each place that differs in more than its address; more of a kind are one with several."""
        group = self.groups[name]
        entries: list[tuple[list[Deployment], dict[str, Any]]] = []
        for one in found:
            entry = self._entry(one)
            same = next((known for known, settings in entries if one.cloud is None and settings == entry), None)
            if same is not None:
                same.append(one)
            else:
                entries.append(([one], entry))
        if len(entries) > 1 and len({one.order for one in found}) == 1:
            at: KeyPath = ("model_list", found[0].place, "model_name")
            why = f"'{name}' has several entries that differ: they are a chain, tried in order rather than by turns."
            self.taking.say("changed", at, why, "Put the chain into the order that you want.")
        is_alone = len(entries) == 1 and not self.fallbacks.of(name)
        for alike, entry in entries:
            model = group.shown if is_alone else self._next(group.shown)
            group.models.append(model)
            self._by_id |= {one.id: model for one in alike if one.id}
            urls = list(dict.fromkeys(one.url for one in alike if one.url))
            place = {} if not urls else {"url": urls[0]} if len(urls) == 1 else {"urls": urls}
            self.made.put("models", model, {**place, **entry}, _comment(alike))

    def _entry(self, one: Deployment) -> dict[str, Any]:
        """Settings of a model, without the address."""
        if one.cloud is not None:
            return {"provider": self._provider(one), **one.settings}
        if one.settings.get("api_key") not in self._rented_keys:
            return dict(one.settings)
        at: KeyPath = ("model_list", one.place, "litellm_params", "api_key")
        why = "it is the key of a rented cloud too, which the gateway never holds."
        self.taking.say("changed", at, why, "If this engine asks for a key, give it one of its own under api_key.")
        return {name: value for name, value in one.settings.items() if name != "api_key"}

    def _provider(self, one: Deployment) -> str:
        """Its name under providers; one for each address and key."""
        assert one.cloud is not None
        providers: dict[str, Any] = self.made.sections.setdefault("providers", {})
        told = {"dialect": one.cloud.dialect, "url": one.cloud.url, "api_key": one.key}
        name = next((name for name, known in providers.items() if known.items() >= told.items()), None)
        if name is None:
            name = next(_numbered(one.provider, providers))
            self.made.put("providers", name, {**told, "calls_per_day": CALLS_PER_DAY, "max_tokens": 0})
            why = f"its provider '{name}' has caps that LiteLLM does not know: {CALLS_PER_DAY} calls a day, and output "
            do = "Decide both; and bind keys to profile 'cloud': no other call goes there."
            self.taking.say("note", ("model_list", one.place, "litellm_params", "model"), f"{why}of one answer.", do)
        known = providers[name]
        known["max_tokens"] = max(known["max_tokens"], one.most_output or MOST_OUTPUT)
        return name

    # -- names ------------------------------------------------------------------------------------------------------

    def _shown(self, name: str, place: int) -> str:
        """A name as it may be here, and is nobody else's."""
        bent = _bent(name)
        shown = next(_numbered(bent, self._taken))
        if shown in (AUTO, *ALIASES):
            shown = f"{shown}-1"  # a chain cannot be called so
        self._taken.add(shown)
        if shown != name:
            why = f"a model cannot be named so here: it is '{shown}'."
            self.taking.say("changed", ("model_list", place, "model_name"), why, "Have callers name it so.")
        return shown

    def _next(self, shown: str) -> str:
        found = next(one for one in (f"{shown}-{count}" for count in range(1, 100_000)) if one not in self._taken)
        self._taken.add(found)
        return found


def _numbered(name: str, taken: Collection[str]) -> Iterator[str]:
    return (one for one in (name, *(f"{name}-{count}" for count in range(2, 100_000))) if one not in taken)


def _bent(name: str) -> str:
    return _NOT_IN_A_NAME.sub("-", name).strip("/")[:LONGEST_NAME].strip("/") or "model"


def _comment(alike: list[Deployment]) -> str:
    places = ", ".join(f"model_list[{one.place}]" for one in alike)
    return f"From {places}."
