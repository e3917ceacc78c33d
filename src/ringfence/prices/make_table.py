"""Makes table.json from the data of genai-prices (MIT), which this program alone needs: `make prices`.

What the table cannot say exactly is left out, and is then unknown to the money fence: models that are paid by the
hour, the page or the letter, those that search on their own, those whose answers hold sound or images, and names that
the source knows only by a part of them.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_CEILING, Decimal
from importlib import metadata
from pathlib import Path
from typing import Any

VERSION = 1
"""Of the shape of the file."""
DISTRIBUTION = "genai-prices"
HERE = Path(__file__).parent
HOSTS = {
    "anthropic": ("api.anthropic.com",),
    "cerebras": ("api.cerebras.ai",),
    "cohere": ("api.cohere.com", "api.cohere.ai"),
    "deepseek": ("api.deepseek.com",),
    "fireworks": ("api.fireworks.ai",),
    "google": ("generativelanguage.googleapis.com",),
    "groq": ("api.groq.com",),
    "minimax": ("api.minimax.io",),
    "mistral": ("api.mistral.ai",),
    "moonshotai": ("api.moonshot.ai",),
    "novita": ("api.novita.ai",),
    "openai": ("api.openai.com",),
    "openrouter": ("openrouter.ai",),
    "perplexity": ("api.perplexity.ai",),
    "together": ("api.together.xyz",),
    "voyageai": ("api.voyageai.com",),
    "x-ai": ("api.x.ai",),
    "zai": ("api.z.ai",),
}
"""Of the source's providers, with the hosts of their addresses. Not Azure, Bedrock and Vertex, whose prices go by the
region and whose names of models are their users' own; nor hosts at which other prices hold, such as those that keep
data in a region, or that are paid in other money."""
NOT_TEXT = re.compile(r"image|tts|transcri|[-@]$|\.ft-")
"""Models whose answers are no text, and beginnings of names."""
OWN_SEARCH = re.compile(r"(?<!re)search|-research$|online|compound|^openrouter/|perplexity/sonar|decider")
"""Models that search or choose others on their own, and charge for it beyond their tokens."""
NO_ANSWER = re.compile(r"embed|rerank|voyage")
"""Models that generate nothing, so that no price of output is missed."""
RATES = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok")
OF_MEDIA = {
    "input_audio_mtok": "input_mtok", "input_image_mtok": "input_mtok", "input_video_mtok": "input_mtok",
    "cache_audio_read_mtok": "cache_read_mtok", "cache_image_read_mtok": "cache_read_mtok",
}  # fmt: skip
PER_THOUSAND_CALLS = "requests_kcount"
ASKED_FOR = frozenset(("web_searches_kcount", "storage_searches_kcount"))
"""Tools that run at a provider; no call from here may ask for one."""
BATCH = {"processing": "batch"}
HOUR_S = 3600


class LeftOut(Exception):
    """The table cannot say what it costs."""


def main() -> int:
    """Writes table.json, and the licence of what it is made from."""
    providers = {one.id: one for one in importlib.import_module("genai_prices.data").providers}
    source = f"{DISTRIBUTION} {metadata.version(DISTRIBUTION)}"
    day = date.fromisoformat(sys.argv[1])
    licence = next(file for file in metadata.files(DISTRIBUTION) or () if file.name == "LICENSE")
    (HERE / "genai-prices.LICENSE").write_text(licence.read_text())
    left: list[str] = []
    table = {name: _provider(providers[name], hosts, day, left) for name, hosts in HOSTS.items()}
    (HERE / "table.json").write_text(_written({"version": VERSION, "date": day.isoformat(), "source": source}, table))
    names = sum(len(one["names"]) for one in table.values())
    sys.stdout.write(f"{names} names of models at {len(table)} providers; {len(left)} models are left out:\n")
    sys.stdout.write("".join(f"  {line}\n" for line in left))
    return 0


def _provider(provider: Any, hosts: tuple[str, ...], day: date, left: list[str]) -> dict[str, Any]:
    for host in hosts:
        if re.match(provider.api_pattern, f"https://{host}") is None:
            raise SystemExit(f"The source does not know {host} as an address of {provider.id}")
    names: dict[str, int] = {}
    dated: list[str] = []
    prices: list[dict[str, Any]] = []
    for model in provider.models:
        try:
            price = _price(model, day)
        except LeftOut as reason:
            left.append(f"{provider.id} {model.id}: {reason}")
            continue
        known = sorted(
            name for name in {model.id.lower(), *_named(model.match)}
            if _found(provider, name) is model and not OWN_SEARCH.search(name) and not NOT_TEXT.search(name)
        )  # fmt: skip
        if not known:
            continue
        if price not in prices:
            prices.append(price)
        for name in known:
            names[name] = prices.index(price)
            if all(_found(provider, f"{name}-{stamp}") is model for stamp in ("20260709", "20270315")):
                dated.append(name)
    return {"hosts": list(hosts), "prices": prices, "names": dict(sorted(names.items())), "dated": sorted(dated)}


def _found(provider: Any, name: str) -> Any:
    """The first that the source takes the name for."""
    return next((model for model in provider.models if model.is_match(name)), None)


def _named(clause: Any) -> Iterator[str]:
    """Whole names that a clause tells: where it tells how one begins or what it holds, that may be one as well."""
    for field in ("or_", "and_"):
        for one in getattr(clause, field, ()):
            yield from _named(one)
    for field in ("equals", "starts_with", "contains"):
        if name := getattr(clause, field, None):
            yield name.lower()


def _price(model: Any, day: date) -> dict[str, Any]:
    if OWN_SEARCH.search(model.id):
        raise LeftOut("it may search on its own")
    told = _of_day(model, day)
    constraints = [one.constraint for one in (model.prices if isinstance(model.prices, list) else ())]
    constraints += [one.constraint for one in model.price_variants or ()]
    starts = {one.start_date for one in constraints if hasattr(one, "start_date")}
    later: list[Any] = []
    for start in sorted(one for one in starts if one > day):
        changed = _of_day(model, start)
        if changed != (later[-1][1] if later else told):
            later.append([int(datetime.combine(start, time(), UTC).timestamp()), changed])
    return told | ({"later": later} if later else {})


def _of_day(model: Any, day: date) -> dict[str, Any]:
    """The price that holds most of the day, with the hours of others."""
    start = datetime.combine(day, time(), UTC)
    halves = [start + timedelta(seconds=HOUR_S // 2 * place) for place in range(48)]
    if any(
        edge.minute % 30
        for one in (model.prices if isinstance(model.prices, list) else ())
        for edge in (getattr(one.constraint, "start_time", time()), getattr(one.constraint, "end_time", time()))
    ):
        raise LeftOut("its hours do not begin at full or half hours")
    prices = [_told(model, half) for half in halves]
    usual = max(prices, key=prices.count)
    hours: list[Any] = []
    for half, price in zip(halves, prices, strict=True):
        begins_s = int((half - start).total_seconds())
        if price == usual:
            continue
        if hours and hours[-1][1] == begins_s and hours[-1][2] == price:
            hours[-1][1] += HOUR_S // 2
        else:
            hours.append([begins_s, begins_s + HOUR_S // 2, price])
    return usual | ({"hours": hours} if hours else {})


def _told(model: Any, at: datetime) -> dict[str, Any]:
    """What holds at one moment, with the price of batches."""
    told, in_batches = (_shape(model.id, model.get_prices(at, context)) for context in (None, BATCH))
    media, media_in_batches = told.pop("media", None), in_batches.pop("media", None)
    told = _with_batch(told, in_batches)
    return told if media is None else told | {"media": _with_batch(media, media_in_batches or in_batches)}


def _with_batch(told: dict[str, Any], in_batches: dict[str, Any]) -> dict[str, Any]:
    """Where it is one percentage of all, as that."""
    if in_batches == told:
        return told
    first = in_batches["rates"][0] * 100
    percent, rest = divmod(first, told["rates"][0]) if told["rates"][0] else (0, 1)
    is_percentage = rest == 0 and in_batches == told | {
        "rates": _of(percent, told["rates"]),
        **({"tiers": [[above, _of(percent, rates)] for above, rates in told["tiers"]]} if "tiers" in told else {}),
    }
    return told | ({"batch_percent": percent} if is_percentage else {"batch": in_batches})


def _of(percent: int, rates: list[int | None]) -> list[float | None]:
    return [None if rate is None else rate * percent / 100 for rate in rates]


def _shape(name: str, prices: Any) -> dict[str, Any]:
    given = {key: value for key, value in vars(prices).items() if value is not None}
    unknown = given.keys() - {*RATES, *OF_MEDIA, *ASKED_FOR, PER_THOUSAND_CALLS}
    if unknown:
        raise LeftOut(f"it is paid by {', '.join(sorted(unknown))}")
    if not given and name.endswith(":free"):
        return {"rates": [0, 0]}
    if "input_mtok" not in given or ("output_mtok" not in given and not NO_ANSWER.search(name)):
        raise LeftOut("its price has no input or no output")
    starts = sorted({tier.start for value in given.values() for tier in getattr(value, "tiers", ())})
    told: dict[str, Any] = {"rates": _rates(given, 0)}
    if starts:
        told["tiers"] = [[start, _rates(given, start + 1)] for start in starts]
    if PER_THOUSAND_CALLS in given:
        told["per_call"] = _micros(given[PER_THOUSAND_CALLS] / 1000)
    if told["rates"][:2] == [0, 0] and not name.endswith(":free"):
        raise LeftOut("it is said to cost nothing")
    with_media = dict(given)
    for key, plain in OF_MEDIA.items():
        if key in given and plain in given:
            if starts:
                raise LeftOut("tokens of media have tiers")
            with_media[plain] = max(with_media[plain], given[key])
    if with_media != given:
        told["media"] = {"rates": _rates(with_media, 0)}
    return told


def _rates(given: dict[str, Any], prompt_tokens: int) -> list[int | None]:
    """Those of a prompt of so many tokens."""
    found: list[int | None] = []
    for key in RATES:
        value: Any = given.get(key)
        if hasattr(value, "tiers"):
            value = [value.base, *(tier.price for tier in value.tiers if prompt_tokens > tier.start)][-1]
        found.append(None if value is None else _micros(value))
    found[1] = found[1] or 0
    while found[-1] is None:
        found.pop()
    return found


def _micros(usd: Any) -> int:
    """Dollars, in micro-dollars, rounded up."""
    return int((Decimal(usd) * 1_000_000).to_integral_value(ROUND_CEILING))


def _written(head: dict[str, Any], table: dict[str, Any]) -> str:
    """One line for each price and each name, so that changes can be read."""

    def listed(rows: list[str]) -> str:
        return ",\n".join(rows)

    parts: list[str] = []
    for name, one in sorted(table.items()):
        prices = listed([json.dumps(price, separators=(",", ":")) for price in one["prices"]])
        names = listed([f"{json.dumps(model)}:{place}" for model, place in one["names"].items()])
        hosts, dated = json.dumps(one["hosts"]), json.dumps(one["dated"], separators=(",", ":\n"))
        parts.append(
            f'{json.dumps(name)}:{{"hosts":{hosts},\n"prices":[\n{prices}],\n"names":{{\n{names}}},\n"dated":{dated}}}'
        )
    lines = "".join(f"{json.dumps(key)}:{json.dumps(value)},\n" for key, value in head.items())
    return "{" + lines + '"providers":{\n' + listed(parts) + "}}\n"


if __name__ == "__main__":
    raise SystemExit(main())
