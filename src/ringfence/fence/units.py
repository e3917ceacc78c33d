"""The kernel's fence, written out from `templates/`: systemd units, a drop-in for engines, and rules for nftables.

Nothing here asks the machine or changes it: what is to be reached is handed in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import PurePosixPath
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

USER, EGRESS_GROUP = "ringfence", "ringfence-egress"
LOOPBACK = ("127.0.0.1", "::1")
PRIVATE = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
    "224.0.0.0/4", "240.0.0.0/4", "::1/128", "fc00::/7", "fe80::/10", "ff00::/8",
)  # fmt: skip
"""What egress has no business with: this machine, private networks, the link, multicast (IANA's lists)."""
GATEWAY, EGRESS, ENGINE = "ringfence-gateway.service", "ringfence-egress.service", "ringfence-engine.conf"
SYSUSERS, TMPFILES, FIREWALL = "ringfence.sysusers", "ringfence.tmpfiles", "ringfence.nft"
_TEMPLATES = Environment(
    loader=PackageLoader("ringfence.fence"), undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True,
    autoescape=False,  # noqa: S701 (these are no pages)
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class House:
    """What the fence is built around. `callers` are networks from which the gateway is asked."""

    program: str
    config: str = ""
    mesh: tuple[str, ...] = ()
    callers: tuple[str, ...] = ()
    here: tuple[str, ...] = ()
    """Further addresses of loopback that are used."""
    resolvers: tuple[str, ...] = ()
    inside_credentials: tuple[str, ...] = ()
    """Credentials of systemd that the gateway reads, by name; and those that egress alone reads:"""
    outside_credentials: tuple[str, ...] = ()
    has_providers: bool = True


def unit(name: str, house: House) -> str:
    """One file, such as GATEWAY, as it is to be installed."""
    return _fill(
        name, user=USER, group=EGRESS_GROUP, program=house.program,
        config=f" --config {house.config}" if house.config else "",
        inside=list(dict.fromkeys((*LOOPBACK, *house.here, *house.mesh, *house.callers))), private=PRIVATE,
        resolvers=_near(house.resolvers), inside_credentials=house.inside_credentials,
        outside_credentials=house.outside_credentials,
    )  # fmt: skip


def firewall(house: House, user: str = USER, group: str = EGRESS_GROUP, bridges: Iterable[str] = ()) -> str:
    """The rules for nftables. `user` and `group` by name or number; `bridges` of containers with engines in them."""
    return _fill(
        FIREWALL, user=_quoted(user), group=_quoted(group), bridges=[f'"{name}"' for name in bridges],
        private4=_of(4, PRIVATE), private6=_of(6, PRIVATE), mesh4=_of(4, house.mesh), mesh6=_of(6, house.mesh),
        resolver4=_of(4, house.resolvers), resolver6=_of(6, house.resolvers),
    )  # fmt: skip


def installed(house: House, engines: Iterable[str] = ()) -> dict[PurePosixPath, str]:
    """Every file that belongs to a machine with systemd, by its place. `engines`: units that get the drop-in."""
    units = PurePosixPath("/etc/systemd/system")
    files = {
        units / GATEWAY: unit(GATEWAY, house),
        PurePosixPath("/etc/sysusers.d/ringfence.conf"): unit(SYSUSERS, house),
        PurePosixPath("/etc/tmpfiles.d/ringfence.conf"): unit(TMPFILES, house),
    }
    if house.has_providers:
        files[units / EGRESS] = unit(EGRESS, house)
    for name in engines:
        files[units / f"{name.removesuffix('.service')}.service.d" / "10-ringfence.conf"] = unit(ENGINE, house)
    return files


def is_network(text: str) -> bool:
    """True for an address or a network as a unit takes it."""
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


def nameservers(resolv_conf: str) -> tuple[str, ...]:
    """The addresses that a resolv.conf names (resolv.conf(5)); a zone such as %eth0 is left away."""
    words = (line.split() for line in resolv_conf.splitlines())
    named = (line[1].partition("%")[0] for line in words if len(line) > 1 and line[0] == "nameserver")
    return tuple(dict.fromkeys(address for address in named if "/" not in address and is_network(address)))


def _near(addresses: Iterable[str]) -> list[str]:
    """Those that lie where egress may otherwise not go; the rest is reached anyhow."""
    return [one for one in addresses if any(_lies_in(one, network) for network in PRIVATE)]


def _lies_in(address: str, network: str) -> bool:
    return ip_address(address) in ip_network(network)  # False across versions


def _of(version: int, networks: Iterable[str]) -> list[str]:
    return [one for one in networks if ip_network(one).version == version]


def _quoted(name: str) -> str:
    return name if name.isdigit() else f'"{name}"'


def _fill(name: str, **values: Any) -> str:
    return _TEMPLATES.get_template(name).render(name=name, **values)
