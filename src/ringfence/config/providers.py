"""The settings of a rented cloud."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from ringfence.config.money import BudgetSettings
from ringfence.config.secret import SecretRef
from ringfence.config.section import Section, needed, setting
from ringfence.config.values import CloudUrl, Flag, MomentText, Whole, refused


class ProviderSettings(Section):
    """A rented cloud. Without caps of calls and of tokens it is not used, whatever a call may cost."""

    dialect: Literal["openai", "anthropic"] = setting("openai", "drain", "What it speaks.")
    url: CloudUrl = needed("drain", "Its address, such as https://api.openai.com/v1.")
    api_key: SecretRef | None = setting(
        None, "drain", "Its key, read by the egress process alone: env:NAME, file:/path or credential:NAME."
    )
    api_keys: tuple[SecretRef, ...] = setting(
        (),
        "drain",
        "Several keys in place of one, used in turn: one that is limited is set aside until it may be used.",
    )
    calls_per_day: Whole = needed("drain", "Calls that may leave in one day (UTC).", ge=1, le=10_000_000)
    max_tokens: Whole = needed("drain", "Output tokens that one call may ask for.", ge=1)
    prompt_cache: Flag = setting(
        False,
        "hot",
        "Dialect anthropic: mark what is to be kept of prompts, where callers do not; others keep unasked.",
    )

    resets: MomentText | None = setting(
        None,
        "hot",
        "When its quota of the day begins anew, such as 00:00 America/Los_Angeles: once that is used up, what nobody "
        "waits for waits until then; null: it is asked again and again.",
    )
    batch: Flag = setting(
        False,
        "drain",
        "Lines of batches with a day or more go there as a batch of the provider, for half the price. It keeps their "
        "text until then. For providers whose batches are in OpenAI's or Anthropic's form.",
    )
    budget: BudgetSettings | None = setting(None, "hot", "What may be spent there; null: no cap of its own.")

    @property
    def keys(self) -> tuple[SecretRef, ...]:
        """All of them, in their order."""
        return self.api_keys if self.api_key is None else (self.api_key,)

    @model_validator(mode="after")
    def _has_keys(self) -> ProviderSettings:
        if self.api_key is None and not self.api_keys:
            raise refused("is needed: a provider has a key, or several as api_keys", at="api_key")
        if self.api_key is not None and self.api_keys:
            raise refused("only one of api_key and api_keys can be set", at="api_keys")
        if len(set(self.api_keys)) < len(self.api_keys):
            raise refused("names one key twice", at="api_keys")
        return self

    @model_validator(mode="after")
    def _has_marks(self) -> ProviderSettings:
        if self.prompt_cache and self.dialect != "anthropic":
            raise refused("only a provider of dialect anthropic is told what to keep", at="prompt_cache")
        return self
