"""The settings of money: budgets, prices, and the clock by which days, weeks and months begin."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, Strict, field_validator, model_validator

from ringfence.config.hours import zone_of
from ringfence.config.section import Section, needed, setting
from ringfence.config.values import Text, Whole, refused
from ringfence.core.money import USD_MICROS, Budget, Price, Rates


def _zone(given: str) -> str:
    try:
        return zone_of(given).key
    except ValueError as error:
        raise refused(str(error)) from None


HOUSE_NOT_NAMED = (
    "No house cap is named, so $100.00 a month holds for all that is rented: money.house.month says otherwise."
)
Usd = Annotated[float, Strict(), Field(ge=0, le=10_000_000)]
"""US dollars."""
ZoneName = Annotated[Text, AfterValidator(_zone), Field(examples=["Europe/Berlin"])]


def micros(usd: float | None) -> int | None:
    """In millionths of a dollar."""
    return None if usd is None else round(usd * USD_MICROS)


class BudgetSettings(Section):
    """The most that may be spent, in US dollars. What is null has no cap."""

    day: Usd | None = setting(None, "hot", "US dollars a day.")
    week: Usd | None = setting(None, "hot", "US dollars a week; weeks begin on Mondays.")
    month: Usd | None = setting(None, "hot", "US dollars a month.")
    call: Usd | None = setting(None, "hot", "US dollars that one call may cost at most.")
    soft_percent: Whole = setting(
        80, "hot", "Percent of a cap from which on there is a warning, and what costs nothing goes first.", ge=1, le=100
    )

    @field_validator("day", "week", "month", "call")
    @classmethod
    def _is_an_amount(cls, given: float | None) -> float | None:
        if given and not micros(given):
            raise refused("must be at least a millionth of a dollar, or 0 for nothing at all")
        return given

    @property
    def budget(self) -> Budget:
        """As the path uses it."""
        return Budget(micros(self.day), micros(self.week), micros(self.month), micros(self.call), self.soft_percent)


class HouseSettings(BudgetSettings):
    """The most that may be spent on all that is rented, in US dollars. What is null has no cap."""

    month: Usd | None = setting(100.0, "hot", "US dollars a month; null: no cap.")


class TierSettings(Section):
    """Rates for calls with a long prompt, for all tokens of theirs. US dollars per million tokens."""

    above: Whole = needed("hot", "Tokens of the prompt beyond which these rates hold.", ge=1)
    input: Usd = needed("hot", "US dollars per million tokens of the prompt.")
    output: Usd = needed("hot", "US dollars per million tokens of the answer.")
    cached: Usd | None = setting(None, "hot", "US dollars per million tokens read from a cache; null: as input.")
    cache_write: Usd | None = setting(None, "hot", "US dollars per million tokens written to a cache; null: as input.")
    cache_write_1h: Usd | None = setting(
        None, "hot", "US dollars per million tokens that a cache is to keep for an hour; null: as cache_write."
    )

    @property
    def rates(self) -> Rates:
        """As the path uses them."""
        return _rates(self)


class PriceSettings(Section):
    """What a model of a provider costs, in place of what the table of prices says. US dollars per million tokens."""

    input: Usd = needed("hot", "US dollars per million tokens of the prompt.")
    output: Usd = setting(0.0, "hot", "US dollars per million tokens of the answer.")
    cached: Usd | None = setting(None, "hot", "US dollars per million tokens read from a cache; null: as input.")
    cache_write: Usd | None = setting(None, "hot", "US dollars per million tokens written to a cache; null: as input.")
    cache_write_1h: Usd | None = setting(
        None, "hot", "US dollars per million tokens that a cache is to keep for an hour; null: as cache_write."
    )
    batch_percent: Whole = setting(
        100, "hot", "What a call through the provider's batches costs, in percent of that.", ge=0, le=100
    )
    per_call: Usd = setting(0.0, "hot", "US dollars for each call, beside its tokens.")
    tiers: tuple[TierSettings, ...] = setting((), "hot", "Rates for long prompts, the shortest first.")

    @model_validator(mode="after")
    def _rises(self) -> PriceSettings:
        for place, (one, following) in enumerate(zip(self.tiers, self.tiers[1:], strict=False)):
            if following.above <= one.above:
                raise refused("must begin above the one before it", at=("tiers", place + 1, "above"))
        return self

    @property
    def price(self) -> Price:
        """As the path uses it."""
        return Price(
            _rates(self),
            tuple((tier.above, tier.rates) for tier in self.tiers), self.batch_percent, "the configuration",
            round(self.per_call * USD_MICROS),
        )  # fmt: skip


class MoneySettings(Section):
    """What may be spent on rented models in all, and by which clock."""

    zone: ZoneName = setting("UTC", "restart", "Time zone by whose clocks days, weeks and months begin.")
    house: HouseSettings = Field(
        default_factory=HouseSettings,
        description="All that is spent, whoever asks; $100 a month where nothing is said.",
    )

    ledger_days: Whole = setting(
        400, "hot", "Days for which rows of the ledger are kept; those of the present day, week and month always are.",
        ge=1, le=36_500,
    )  # fmt: skip

    watts: Annotated[float, Strict(), Field(gt=0, le=10_000_000)] | None = setting(
        None, "hot",
        "What the machines of your engines draw together while they answer; null: nobody knows. Where GPUs tell "
        "what they draw, that counts.",
        examples=[350.0],
    )  # fmt: skip

    usd_per_kwh: Annotated[float, Strict(), Field(ge=0, le=1000)] | None = setting(
        None, "hot",
        "US dollars for a kilowatt-hour of electricity, for what is shown of own engines and for a what-if. No cap "
        "counts it; null: nobody knows.",
        examples=[0.32],
    )  # fmt: skip

    @property
    def is_house_named(self) -> bool:
        """Whether its owner has said what the house may spend."""
        return "house" in self.model_fields_set

    @property
    def zone_info(self) -> ZoneInfo:
        """`zone`, parsed."""
        return ZoneInfo(self.zone)


def _rates(told: TierSettings | PriceSettings) -> Rates:
    return Rates.of(
        round(told.input * USD_MICROS), round(told.output * USD_MICROS), micros(told.cached), micros(told.cache_write),
        micros(told.cache_write_1h),
    )  # fmt: skip
