"""What `ringfence cost whatif` supposes: the ledger again, or a month that was stated."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import typer

from ringfence import __version__
from ringfence.cli.spending import Books, assumed, assumptions_text, end, write
from ringfence.cli.spent import first_call_s, slices_since
from ringfence.core.spending import QUARTER_S
from ringfence.costs.assumptions import Assumptions
from ringfence.costs.bill import as_it_was, replayed, stated
from ringfence.costs.findings import AS_IT_WAS
from ringfence.costs.report import whatif_html
from ringfence.costs.whatif import WhatIf, what_if
from ringfence.costs.words import millions, rounded, tokens_in_words

DAY_S = 86_400
REPLAYED_S = 30 * DAY_S
SIZES = {"": 1, "k": 1000, "m": 1_000_000, "g": 1_000_000_000}


def supposed(
    config: Path | None,
    file: Path | None,
    since: str | None,
    tokens_per_day: str | None,
    output_share: float | None,
    scenarios: list[str],
) -> tuple[WhatIf, Assumptions]:
    """Ends the program with words where a scenario is not there, or nothing is there to be replayed."""
    books = Books(config)
    found = _laid_over(assumed(file, books.usd_per_kwh), tokens_per_day, output_share)
    for name in scenarios:
        if name not in found.scenarios:
            end(f"There is no scenario '{name}'; there are {', '.join(found.scenarios)}.")
    if tokens_per_day is not None:
        if since is not None:
            raise typer.BadParameter("--since replays the ledger: give one of it and --tokens-per-day.")
        words = f"A month of {millions(found.tokens_per_day)} tokens a day, {found.output_percent:g} % of them output"
        return what_if(found, stated(found), words, scenarios), found
    if output_share is not None:
        raise typer.BadParameter("--output-share goes with --tokens-per-day: the ledger has its own.")
    return _replayed(books, found, since, scenarios), found


def printed(config: Path | None, file: Path | None) -> str:
    """The file of what is supposed."""
    return assumptions_text(file, Books(config).usd_per_kwh)[0].decode("utf-8", "replace")


def write_whatif(file: Path, found: WhatIf, laid_over: Assumptions, text: str) -> None:
    """The report, with `text`, the file of what was supposed, in it."""
    write(
        file, whatif_html(found, laid_over, text, made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", version=__version__)
    )
    typer.secho(f"The report is in {file}.", err=True)


def _replayed(books: Books, found: Assumptions, since: str | None, scenarios: list[str]) -> WhatIf:
    asked_s = books.since_s(since) if since is not None else books.now_s - REPLAYED_S
    first = first_call_s(books)
    since_s = max(asked_s, first) if first is not None else asked_s
    since_s -= since_s % QUARTER_S
    days = max(1.0, (books.now_s - since_s) / DAY_S)
    kept = slices_since(books, since_s)
    traffic = replayed(kept, days)
    if not traffic.tokens:
        end("The ledger has no calls there to be replayed. State some: --tokens-per-day 2M.")
    laid = found.model_copy(update={"tokens_per_day": max(1, round(traffic.tokens / days))})
    paid = sum(one.cost_usd_micros for one in kept)
    words = (
        f"The ledger of {_stretch(days)} again: {traffic.tokens:,} tokens, {tokens_in_words(laid.tokens_per_day)} a "
        f"day; {rounded(paid)} was paid for them"
    )
    site = next((one.site for one in laid.scenarios.values() if one.site is not None), None)
    return what_if(laid, traffic, words, scenarios, as_it_was(AS_IT_WAS, laid, kept, days, site))


def _stretch(days: float) -> str:
    return "one day" if days == 1.0 else f"{days:.1f} days"


def _laid_over(found: Assumptions, tokens_per_day: str | None, output_share: float | None) -> Assumptions:
    changed: dict[str, object] = {}
    if tokens_per_day is not None:
        changed["tokens_per_day"] = _tokens(tokens_per_day)
    if output_share is not None:
        changed["output_percent"] = output_share * 100
    return found.model_copy(update=changed)


def _tokens(text: str) -> int:
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)([kmg]?)", text.strip().lower())
    tokens = round(float(match[1]) * SIZES[match[2]]) if match else 0
    if not 0 < tokens <= 10**12:
        raise typer.BadParameter("--tokens-per-day takes a number such as 2M, 500K or 1500000.")
    return tokens
