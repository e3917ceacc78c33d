"""What a what-if supposes: traffic, prices, machines and mixes. A file of YAML to be printed and changed."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from ringfence.config.document import read_document
from ringfence.config.explain import explain
from ringfence.config.money import PriceSettings
from ringfence.config.problems import ConfigInvalid
from ringfence.config.section import Section
from ringfence.core.money import Price

Percent = Annotated[float, Field(ge=0, le=100)]
Amount = Annotated[float, Field(ge=0, le=10_000_000)]
MOST_TOKENS = 10**12
REFERENCE = "reference.yaml"


class Site(Section):
    """Machines that stand somewhere, one unit or several alike: owned ones are bought and use electricity, rented ones
    cost so much an hour. `usable_percent` is how much of the time one may be busy."""

    capex_usd: Amount = 0.0
    months: int = Field(1, ge=1, le=240)
    idle_watts: Amount = 0.0
    busy_watts: Amount = 0.0
    usd_per_hour: Amount = 0.0
    paid: Literal["always", "busy"] = "always"
    input_tokens_per_s: float = Field(gt=0, le=10_000_000)
    output_tokens_per_s: float = Field(gt=0, le=10_000_000)
    usable_percent: Percent = 100.0

    @model_validator(mode="after")
    def _burns_more_when_busy(self) -> Site:
        if self.busy_watts < self.idle_watts:
            raise ValueError("busy_watts are no fewer than idle_watts")
        return self

    @property
    def is_rented(self) -> bool:
        return self.usd_per_hour > 0

    def busy_s(self, input_tokens: float, output_tokens: float) -> float:
        """How long one unit works for so many tokens."""
        return input_tokens / self.input_tokens_per_s + output_tokens / self.output_tokens_per_s


class Scenario(Section):
    """Who answers: `local_percent` of the tokens at `site`, or all of the calls whose prompt is shorter than
    `local_below_tokens`; the rest at the price `rest`, and what the site is too small for at `overflow` (`rest`, where
    that is not said). Of the rented tokens of prompts, `repeated_percent` are read from the provider's cache (where it
    is not said: as many as were); `batch_percent` of the rented tokens go through its batches."""

    rest: str
    site: str | None = None
    units: int = Field(1, ge=1, le=1000)
    local_percent: Percent = 0.0
    local_below_tokens: int | None = Field(None, ge=1, le=MOST_TOKENS)
    overflow: str | None = None
    repeated_percent: Percent | None = None
    batch_percent: Percent = 0.0

    @model_validator(mode="after")
    def _has_a_site(self) -> Scenario:
        if self.site is None and (self.local_percent or self.local_below_tokens):
            raise ValueError("what is answered locally needs a site")
        return self


class Assumptions(Section):
    """The file. `baseline` names the scenario that savings are counted against."""

    tokens_per_day: int = Field(2_000_000, ge=1, le=MOST_TOKENS)
    output_percent: Percent = 50.0
    days: int = Field(30, ge=1, le=366)
    hours_per_day: float = Field(24.0, gt=0, le=24)
    usd_per_kwh: Amount = 0.0
    saved_percent: Percent = 80.0
    volumes: tuple[int, ...] = (2_000_000, 5_000_000, 10_000_000, 20_000_000)
    baseline: str = "all-frontier"
    prices: dict[str, PriceSettings]
    sites: dict[str, Site] = Field(default_factory=dict[str, Site])
    scenarios: dict[str, Scenario]

    @model_validator(mode="after")
    def _names_what_there_is(self) -> Assumptions:
        for name, one in self.scenarios.items():
            if one.site is not None and one.site not in self.sites:
                raise ValueError(f"the scenario '{name}' names the site '{one.site}', which is not there")
            for price in (one.rest, one.overflow):
                if price is not None and price not in self.prices:
                    raise ValueError(f"the scenario '{name}' names the price '{price}', which is not there")
        if self.baseline not in self.scenarios:
            raise ValueError(f"the baseline '{self.baseline}' is no scenario")
        if self.scenarios[self.baseline].site is not None:
            raise ValueError("the baseline has no site: its savings would be its own")
        if any(not 0 < volume <= MOST_TOKENS for volume in self.volumes):
            raise ValueError("volumes are tokens a day")
        return self

    @property
    def baseline_price(self) -> Price:
        """What tokens cost that would all have gone where the baseline sends them."""
        return self.prices[self.scenarios[self.baseline].rest].price


def reference(usd_per_kwh: float | None = None) -> bytes:
    """The file that comes with the program; with this price of electricity in place of its own, where one is given."""
    content = files("ringfence.costs").joinpath(REFERENCE).read_bytes()
    if usd_per_kwh is None:
        return content
    said = f"usd_per_kwh: {usd_per_kwh:<16g}# money.usd_per_kwh of the configuration".encode()
    return re.sub(rb"^usd_per_kwh: .*$", said, content, count=1, flags=re.MULTILINE)


def read_assumptions(content: bytes, file: str) -> Assumptions:
    """Raises ConfigInvalid with everything that is wrong, each with its line."""
    document = read_document(content, file)
    if not document.problems:
        try:
            return Assumptions.model_validate(document.data)
        except ValidationError as error:
            for path, message, suggestion in explain(error):
                document.refuse(path, message, suggestion=suggestion)
    raise ConfigInvalid(document.problems)
