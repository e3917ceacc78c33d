"""[pure] Amounts of money and of tokens as people read them."""

from __future__ import annotations

from ringfence.core.energy import J_PER_KWH, electricity_usd_micros
from ringfence.core.money import Price, dollars

CENT = 10_000


def rounded(micros: int) -> str:
    """Dollars to the cent; what is less than one as exactly as it is known."""
    return dollars(round(micros / CENT) * CENT if abs(micros) >= CENT else micros)


def price_in_words(price: Price) -> str:
    """Such as $3.00 in, $15.00 out per million tokens."""
    return f"{dollars(price.rates.input)} in, {dollars(price.rates.output)} out per million tokens"


def millions(tokens: int) -> str:
    """Such as 2M or 4.16M."""
    return f"{tokens / 1e6:.2f}".rstrip("0").rstrip(".") + "M"


def tokens_in_words(amount: float) -> str:
    """Such as 850, 12K, 3.5M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "K")):
        if amount >= size:
            return f"{amount / size:.2f}".rstrip("0").rstrip(".") + unit
    return f"{amount:.0f}"


def kwh(energy_j: float) -> str:
    """Such as 3.4 kWh; what is less than one in Wh."""
    amount = energy_j / J_PER_KWH
    return f"{amount:,.1f} kWh" if amount >= 1 else f"{1000 * amount:.3g} Wh"


def electricity(energy_j: float, usd_per_kwh: float | None) -> str:
    """Its cost, or how much it is where nobody says what it costs; a dash, of nothing."""
    if not energy_j:
        return "-"
    return kwh(energy_j) if usd_per_kwh is None else rounded(electricity_usd_micros(energy_j, usd_per_kwh))


def percent(part: int, whole: int) -> str:
    """Such as 85.0 %; a dash, of nothing."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def months_in_words(months: float) -> str:
    """Such as 3.9 months; years, where there are many."""
    return f"{months:.1f} months" if months < 48 else f"{months / 12:,.1f} years"
