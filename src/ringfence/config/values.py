"""The kinds of value a setting can have, each with its own check and its own words when it is refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError

from ringfence.config.hours import daily, daily_moment
from ringfence.core.boundary import PRIVATE, Boundary, Network, boundary_of

_UNITS = {"": 1, "B": 1} | {
    name: base**power
    for power, letter in enumerate("KMGT", start=1)
    for name, base in ((f"{letter}B", 1000), (f"{letter}iB", 1024))
}
_UNITS_FOLDED = {name.casefold(): factor for name, factor in _UNITS.items()}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([A-Za-z]*)")
_SIZE_PATTERN = r"^\d+(\.\d+)?\s*([KkMmGgTt][Ii]?)?[Bb]?$"
_NAME = re.compile(r"[A-Za-z0-9._:-](?:[A-Za-z0-9._:/-]{0,126}[A-Za-z0-9._:-])?")
_HOST = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?")
_DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_REPOSITORY = re.compile(r"hf:[\w.-]+/[\w.-]+(?::[\w.-]+(?:/[\w.-]+)*)?", re.ASCII)


def refused(
    message: str,
    at: str | tuple[str | int, ...] | None = None,
    more: Sequence[tuple[tuple[str | int, ...], str]] = (),
) -> PydanticCustomError:
    """A refusal in our own words. `at` names the field, or the way to it, when the check was about several of them;
    `more` is what else the same check found, as (at, message): pydantic takes one refusal of each check."""
    return PydanticCustomError("refused", "{message}", {"message": message, "at": at, "more": tuple(more)})


def _size(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    found = _SIZE.fullmatch(given.strip())
    factor = _UNITS_FOLDED.get(found[2].casefold()) if found else None
    if found is None or factor is None:
        raise refused("expected bytes as a number or with a unit, such as 32MiB or 16 GB")
    return round(float(found[1]) * factor) if "." in found[1] else int(found[1]) * factor


def _network(given: str) -> str:
    try:
        network: Network = ip_network(given)
    except ValueError:
        try:
            wider = ip_network(given, strict=False)
        except ValueError:
            raise refused("expected a network such as 10.0.0.0/8 or fd00::/8") from None
        raise refused(f"'{given}' is an address with a mask, not a network; write {wider}") from None
    if network.is_loopback:
        raise refused("loopback is this machine already; list only networks of other machines of yours")
    if not any(_lies_in(network, private) for private in PRIVATE):
        raise refused(
            f"{network} is not private address space; text may be sent to every address in it. "
            f"A mesh network lies within one of {', '.join(map(str, PRIVATE))}"
        )
    return str(network)


def _lies_in(network: Network, outer: Network) -> bool:
    # Comparing the ends avoids `subnet_of`, which raises across IP versions.
    return network.version == outer.version and network[0] in outer and network[-1] in outer


def is_host(text: str) -> bool:
    """True for a literal IP address (no brackets) and for a host name."""
    try:
        ip_address(text)
    except ValueError:
        # All digits and dots would be a mistyped address, which some resolvers would still read as one.
        return bool(_HOST.fullmatch(text)) and len(text) <= 253 and not re.fullmatch(r"[\d.]+", text)
    return True


def is_loopback(host: str) -> bool:
    """True when listening on `host` can be reached from this machine only. A name is not: it may resolve anywhere."""
    try:
        return boundary_of(host) is Boundary.HOST
    except ValueError:
        return False


def _listening(given: str) -> str:
    if given.casefold() == "localhost":
        return "127.0.0.1"
    if not is_host(given):
        raise refused("expected an IP address or a host name, without port")
    return given


def _host_name(given: str) -> str:
    if not is_host(given):
        raise refused("expected a host name or an IP address, without scheme, port or '*'")
    return given.casefold()


def _model_name(given: str) -> str:
    if not _NAME.fullmatch(given):
        raise refused("a model is named by 1 to 128 of A-Z a-z 0-9 . _ : / - and neither begins nor ends with '/'")
    return given


def _source(given: str) -> str:
    if given.startswith("hf:") and not _REPOSITORY.fullmatch(given):
        raise refused("expected hf:owner/repo, hf:owner/repo:QUANT or hf:owner/repo:FILE.gguf")
    if "\0" in given:
        raise refused("expected 'demo', the path of a .gguf file, or hf:owner/repo[:quant or file]")
    return given


def _device_name(given: str) -> str:
    if not _DEVICE.fullmatch(given):
        raise refused("a device is named by 1 to 128 of A-Z a-z 0-9 . _ : -, such as gpu0 or ram")
    return given


def _not_empty(given: tuple[str, ...]) -> tuple[str, ...]:
    if not given:
        raise refused("needs at least one entry")
    return given


def _moment(given: str) -> str:
    try:
        moment = daily_moment(given)
    except ValueError as error:
        raise refused(str(error)) from None
    return f"{moment.begins:%H:%M} {moment.zone.key}"


def _hours(given: str) -> str:
    try:
        return str(daily(given))
    except ValueError as error:
        raise refused(str(error)) from None


@dataclass(frozen=True, slots=True)
class EngineUrl:
    """The parts of an engine's address; `prefix` comes before '/v1' and is empty or begins with '/'."""

    host: str
    port: int
    prefix: str


def split_url(url: str) -> EngineUrl:
    """The parts of a `url` setting. Raises a refusal that never repeats the url, which may hold a password."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise refused("expected http://ADDRESS:PORT, such as http://127.0.0.1:8000") from None
    if parts.username is not None or parts.password is not None:
        raise refused("no user or password in a url; an engine's key belongs in api_key")
    if parts.scheme == "https":
        raise refused(
            "engines are reached over http, on this machine or your own network; a rented cloud, reached over https, "
            "goes under providers"
        )
    if parts.scheme != "http" or not host or not is_host(host):
        raise refused("expected http://ADDRESS:PORT, such as http://127.0.0.1:8000")
    if not port:
        raise refused("the port is missing: expected http://ADDRESS:PORT, such as http://127.0.0.1:8000")
    if parts.query or parts.fragment or not re.fullmatch(r"[\w./~-]*", parts.path, re.ASCII):
        raise refused("a url may end in a path such as /engine, and in nothing else")
    return EngineUrl(host, port, parts.path.rstrip("/").removesuffix("/v1").rstrip("/"))


def _cloud_url(given: str) -> str:
    try:
        parts = urlsplit(given)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise refused("expected https://HOST, such as https://api.openai.com/v1") from None
    if parts.username is not None or parts.password is not None:
        raise refused("no user or password in a url; a provider's key belongs in api_key")
    if parts.scheme != "https" or not host or not is_host(host):
        raise refused("expected https://HOST, such as https://api.openai.com/v1: what leaves is always encrypted")
    if parts.query or parts.fragment:
        raise refused("a provider's url has no query and no fragment")
    return given.rstrip("/")


def split_endpoint(text: str) -> tuple[str, int]:
    """ADDRESS:PORT or [ADDRESS]:PORT with a literal address, parsed; a refusal for anything else."""
    host, _, port = text.rpartition(":")
    try:
        address = ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
    except ValueError:
        address = None
    is_bracketed = host.startswith("[")
    if address is None or (address.version == 6) != is_bracketed or not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII):
        raise refused("expected ADDRESS:PORT with a literal address, such as 192.0.2.7:443 or [2001:db8::7]:443")
    if not 0 < int(port) <= 65_535:
        raise refused("a port is a number from 1 to 65535")
    if address.is_loopback or address.is_unspecified:
        raise refused("this machine may always be reached; name something beyond it")
    if address.is_multicast or (address.version == 6 and address.is_link_local):
        raise refused("nothing can connect there; name the address of one machine")
    return str(address), int(port)


def _far_endpoint(given: str) -> str:
    address, port = split_endpoint(given)
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _url(given: str) -> str:
    parts = split_url(given)
    host = f"[{parts.host}]" if ":" in parts.host else parts.host
    return f"http://{host}:{parts.port}{parts.prefix}"


Whole = Annotated[int, Strict()]
Flag = Annotated[bool, Strict()]
Text = Annotated[str, Strict(), Field(min_length=1, max_length=4096)]
LedgerName = Annotated[str, Strict(), Field(min_length=1, max_length=100)]
"""It stands in rows of the ledger, by which budgets are counted after a start: longer ones would be cut there."""
Seconds = Annotated[float, Strict(), Field(gt=0, le=86_400)]
Pause = Annotated[float, Strict(), Field(ge=0, le=86_400)]
Port = Annotated[int, Strict(), Field(ge=1, le=65_535)]
Size = Annotated[
    int,
    Strict(),
    Field(ge=1, le=2**60),
    BeforeValidator(_size),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": _SIZE_PATTERN}]}),
]
"""Bytes: a whole number, or text with a unit (kB, MB, GB of 1000; KiB, MiB, GiB of 1024)."""
Room = Annotated[
    int,
    Strict(),
    Field(ge=0, le=2**60),
    BeforeValidator(_size),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": _SIZE_PATTERN}]}),
]
"""As a size, and may be nothing."""
MeshNetwork = Annotated[Text, AfterValidator(_network)]
ListenHost = Annotated[Text, AfterValidator(_listening)]
HostName = Annotated[Text, AfterValidator(_host_name)]
ModelName = Annotated[str, Strict(), AfterValidator(_model_name)]
DeviceName = Annotated[Text, AfterValidator(_device_name)]
DeviceNames = Annotated[tuple[DeviceName, ...], AfterValidator(_not_empty)]
Program = Annotated[tuple[Text, ...], AfterValidator(_not_empty)]
"""A program and its arguments."""
HoursText = Annotated[Text, AfterValidator(_hours), Field(examples=["02:00-08:00 Pacific/Auckland"])]
MomentText = Annotated[Text, AfterValidator(_moment), Field(examples=["00:00 America/Los_Angeles"])]
Source = Annotated[Text, AfterValidator(_source)]
CloudUrl = Annotated[Text, AfterValidator(_cloud_url), Field(examples=["https://api.openai.com/v1"])]
FarEndpoint = Annotated[Text, AfterValidator(_far_endpoint), Field(examples=["192.0.2.7:443"])]
Url = Annotated[Text, AfterValidator(_url), Field(examples=["http://127.0.0.1:8000"])]
