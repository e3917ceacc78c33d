"""Prices for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from ringfence.cli.show import table
from ringfence.core.money import dollars

NOTHING = "No model is rented, so nothing costs anything."
NOT_CHANGED = "No price has been written down yet."
UNKNOWN = "unknown"


def prices_page(rows: list[dict[str, Any]], named: str) -> RenderableType:
    """A table, in US dollars per million tokens."""
    if not rows:
        return Text(NOTHING)
    shown = table("Model", "Input", "Output", "Cached", "Written 5 m / 1 h", "Source")
    for row in rows:
        name = f"{escape(row['name'])}\n[dim]{escape(row['provider'])}/{escape(row['model'])}[/]"
        if not row["known"]:
            shown.add_row(name, f"[yellow]{UNKNOWN}[/]", "", "", "", "")
            continue
        rates = row["now"]
        written = f"{dollars(rates['cache_write'])} / {dollars(rates['cache_write_1h'])}"
        shown.add_row(
            name, dollars(rates["input"]), dollars(rates["output"]), dollars(rates["cached"]), written,
            escape(f"{row['source']}{_more(row['price'])}"),
        )  # fmt: skip
    parts: list[RenderableType] = [shown, Text(f"US dollars per million tokens, now. The table: {named}.", "dim")]
    parts += [Text(_what_to_do(row), "yellow") for row in rows if not row["known"]]
    return Group(*parts)


def one_price_page(row: dict[str, Any]) -> RenderableType:
    """All that is known of one."""
    if not row["known"]:
        return Text(_what_to_do(row), "yellow")
    lines = [f"{row['provider']}/{row['model']}: {row['source']}, US dollars per million tokens"]
    return Text("\n".join([*lines, *_lines(row["price"])]))


def history_page(rows: list[dict[str, Any]]) -> RenderableType:
    """What was written down, the oldest first."""
    if not rows:
        return Text(NOT_CHANGED)
    shown = table("Since (UTC)", "Model", "Input", "Output", "Source")
    for row in rows:
        rates = row["rates"]["rates"] if row["rates"] else None
        shown.add_row(
            f"{datetime.fromtimestamp(row['since_s'], UTC):%Y-%m-%d %H:%M}",
            escape(f"{row['provider']}/{row['model']}"),
            dollars(rates[0]) if rates else f"[yellow]{UNKNOWN}[/]",
            dollars(rates[1]) if rates else "",
            escape(row["source"]) + (escape(_more(row["rates"])) if rates else ""),
        )
    return shown


def _more(price: dict[str, Any]) -> str:
    """What its line does not show."""
    words = {"tiers": "long prompts", "hours": "hours", "media": "sound and images", "per_call": "each call",
             "later": "changes to come"}  # fmt: skip
    named = [word for field, word in words.items() if field in price]
    return f" (more for: {', '.join(named)})" if named else ""


def _lines(price: dict[str, Any], indent: str = "  ") -> list[str]:
    lines = [indent + _rates(price["rates"])]
    lines += [
        f"{indent}prompts of more than {above:,} tokens: {_rates(rates)}" for above, rates in price.get("tiers", ())
    ]
    if "per_call" in price:
        lines.append(f"{indent}each call: {dollars(price['per_call'])}")
    if "batch_percent" in price:
        lines.append(f"{indent}in batches: {price['batch_percent']} % of that")
    for field, words in (("batch", "in batches"), ("media", "with sound, images or video")):
        if field in price:
            lines += [f"{indent}{words}:", *_lines(price[field], indent + "  ")]
    for start_s, end_s, one in price.get("hours", ()):
        lines += [f"{indent}from {_clock(start_s)} to {_clock(end_s)} UTC:", *_lines(one, indent + "  ")]
    for since_s, one in price.get("later", ()):
        lines += [f"{indent}from {datetime.fromtimestamp(since_s, UTC):%Y-%m-%d} on:", *_lines(one, indent + "  ")]
    return lines


def _rates(rates: list[int]) -> str:
    given, made, cached, written, kept = (dollars(rate) for rate in rates)
    return f"input {given}, output {made}, cached {cached}, written to the cache {written}, for an hour {kept}"


def _clock(day_s: int) -> str:
    return f"{day_s // 3600:02}:{day_s % 3600 // 60:02}"


def _what_to_do(row: dict[str, Any]) -> str:
    name = row["name"]
    at = f"models.{name}.price" if name else "models.NAME.price"
    return (
        f"Nobody knows what {row['provider']}/{row['model']} costs, so no call under a budget goes there. Say it "
        f"at {at}, or let a profile use it all the same (profiles.NAME.unpriced: allow)."
    )
