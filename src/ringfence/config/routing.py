"""The settings of rules and chains: which models answer a call that leaves the choice open."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import Field, Strict, model_validator

from ringfence.config.conditions import Condition, NotACondition, parse
from ringfence.config.document import read_document
from ringfence.config.section import Section, needed, setting
from ringfence.config.values import ModelName, Text, refused

AUTO = "auto"
"""The name that leaves the choice to rules."""
THINKS = "orchestrator"
"""The name whose calls may think: a chain that is there as long as thinking is, and no model or chain has its name."""
SAME = {"cloud/cheap": "cloud/fast", "embed/local": "local/embed"}
"""Aliases that are other words for an alias."""
LOCAL = ("local/fast", "local/quality", "local/embed", "local/long", "embed/local")
CLOUD = ("cloud/fast", "cloud/mid", "cloud/frontier", "cloud/cheap")
ALIASES = (*LOCAL, *CLOUD)
"""What rules may name without a model of that name. Of those in LOCAL each means a model of your own, whichever."""


class RuleSettings(Section):
    """Calls that meet every condition are answered by the first of these models that can."""

    name: Text = needed("hot", "What it is called in answers and in `ringfence explain`.")
    when: dict[Text, Any] = setting({}, "hot", "Conditions by signal, such as {task: code, effort: <=6}; none: always.")
    use: tuple[ModelName, ...] = needed("hot", "Models, aliases and chains, in the order in which they are tried.")
    ending: Literal["error", "queue", "next"] = setting(
        "error",
        "hot",
        "What happens when none can serve: an error, a wait for one of them, or the next rule.",
        alias="else",
    )

    @model_validator(mode="after")
    def _can_match(self) -> RuleSettings:
        for signal, given in self.when.items():
            try:
                list(parse(signal, given))
            except NotACondition as wrong:
                raise refused(str(wrong), at=("when", signal)) from None
        if not self.use:
            raise refused("a rule needs something to use: a model, an alias or a chain", at="use")
        return self

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Parsed. A rule that does not say for which models it is is for 'auto'."""
        found = [one for signal, given in self.when.items() for one in parse(signal, given)]
        return (*found, *(() if "model" in self.when else parse("model", AUTO)))

    @property
    def names(self) -> tuple[str, ...]:
        """The names that callers give and that it is for; '*' among them: all."""
        given: Any = self.when.get("model", AUTO)
        return tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else (str(given),)


class EscalateSettings(Section):
    """Each model of a chain is asked only where the answer of the one before fails a check; the last is not checked."""

    on: tuple[Literal["length", "refusal", "schema", "confidence"], ...] = setting(
        ("length", "refusal", "schema"),
        "hot",
        "Checks: length (cut off, or empty), refusal, schema (JSON and tool calls as the request asks for them), "
        "confidence (the probability of its tokens).",
    )
    confidence: Annotated[float, Strict(), Field(gt=0, le=1)] = setting(
        0.7, "hot", "The least mean probability of a token, where the engine tells it."
    )
    refusals: tuple[Text, ...] = setting(
        (), "hot", "Regular expressions with which answers refuse, beside the usual English ones."
    )

    @model_validator(mode="after")
    def _can_be_used(self) -> EscalateSettings:
        if not self.on:
            raise refused("at least one check is needed; without any, leave out escalate", at="on")
        for place, expression in enumerate(self.refusals):
            try:
                re.compile(expression)
            except re.error as error:
                raise refused(f"no regular expression: {error}", at=("refusals", place)) from None
        return self


class ChainSettings(Section):
    """Models in order, under a name."""

    models: tuple[ModelName, ...] = needed("hot", "Models, aliases and other chains, in order.")
    ending: Literal["error", "queue"] = setting(
        "error", "hot", "What happens when none can serve: an error, or a wait.", alias="else"
    )
    escalate: EscalateSettings | None = setting(
        None, "hot", "Ask the models in order, the next only where an answer fails a check; null: the first that can."
    )

    @model_validator(mode="after")
    def _has_models(self) -> ChainSettings:
        if not self.models:
            raise refused("a chain needs a model at least", at="models")
        if self.escalate is not None and len(self.models) < 2:
            raise refused("to escalate, a chain needs two models at least", at="models")
        return self


@cache
def default_rules() -> tuple[RuleSettings, ...]:
    """Those that hold where the configuration has none."""
    content = files("ringfence.routing").joinpath("default_rules.yaml").read_bytes()
    document = read_document(content, "default_rules.yaml")
    return tuple(RuleSettings.model_validate(rule) for rule in document.data)
