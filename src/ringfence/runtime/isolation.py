"""Isolation claimed and checked: the gateway tries to get out of the fence that its unit says is around it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ringfence.config.schema import Config
from ringfence.config.values import split_endpoint
from ringfence.core.isolation import Isolation, Wall
from ringfence.egress.attempt import Attempt, attempt
from ringfence.placement.instance import InstanceStatus

CLAIM = "RINGFENCE_ISOLATED"
"""Set to 1 by whatever puts the gateway behind a wall of the kernel, such as its systemd unit."""
TRY_S = 2.0
log = logging.getLogger("ringfence.isolation")
Try = Callable[[str, int, float], Awaitable[Attempt]]

NOT_CLAIMED = Isolation(
    Wall.UNCLAIMED, "nothing says that the kernel keeps this process in",
    "`ringfence service install` writes units that do, `ringfence firewall print` rules for nftables.",
)  # fmt: skip
NOTHING_TO_TRY = Isolation(
    Wall.UNCHECKED, f"{CLAIM} says so, and nothing is configured to try it with",
    "Set isolation.probe to the address and port of something that answers and must not be reached.",
)  # fmt: skip
NOT_YET = Isolation(Wall.CHECKING, "the wall that is claimed around this process is being tried")


class Fenced:
    """What is known of the wall around this gateway. `standing` changes with each look."""

    def __init__(self, environment: Mapping[str, str], attempt: Try = attempt) -> None:
        self._is_claimed = environment.get(CLAIM) == "1"
        self._attempt = attempt
        self._looks = 0
        self.standing = NOT_YET if self._is_claimed else NOT_CLAIMED

    def begin(self, config: Config) -> None:
        """Before anything is served: without a probe there is nothing to wait for."""
        if self._is_claimed and config.isolation.probe is None:
            self.standing = NOTHING_TO_TRY

    async def look(self, config: Config) -> bool:
        """Try it; True when something else is known than before. What could not be tried stays as it was."""
        if not self._is_claimed:
            return False
        self._looks = this = self._looks + 1
        try:
            found = await self._tried(config.isolation.probe)
        except OSError as error:
            log.error("isolation could not be tried, and stays %s: %s", self.standing.wall, error.strerror)
            return False
        if this != self._looks:  # a later one, perhaps with another probe, counts
            return False
        before, self.standing = self.standing, found
        if found.wall is before.wall:
            return False
        level = logging.INFO if self.standing.wall in (Wall.HELD, Wall.UNCLAIMED) else logging.WARNING
        told = f"{self.standing.reason}. {self.standing.mend}".rstrip()
        log.log(level, "isolation: %s; %s", self.standing.wall, told)
        return True

    async def _tried(self, probe: str | None) -> Isolation:
        if probe is None:
            return NOTHING_TO_TRY
        address, port = split_endpoint(probe)
        tried = await self._attempt(address, port, TRY_S)
        if not tried.got_out:
            return Isolation(Wall.HELD, f"an attempt to reach {probe} failed: {tried.reason}")
        return Isolation(
            Wall.OPEN, f"{CLAIM} claims isolation, and an attempt to reach {probe} worked: {tried.reason}",
            "Look whether the unit has IPAddressDeny= and the system cgroup v2, or load the rules of `ringfence "
            "firewall print`; then `ringfence config reload` tries again.",
        )  # fmt: skip


def processes(
    standing: Isolation, config: Config, statuses: list[InstanceStatus], way_out: str
) -> list[dict[str, Any]]:
    """A row for each process: what it is meant to reach, and what is known of its wall."""
    near = "this machine" + (f", {', '.join(config.mesh)}" if config.mesh else "")
    rows = [_row("gateway", near, standing.wall, standing.reason, standing.mend)]
    for status in statuses:
        if status.name == way_out:
            told = "it is the way out; its own unit keeps it from your networks, which cannot be seen from here"
            count = len(config.providers)
            rows.append(_row("egress", f"{count} provider{'s' * (count != 1)}", "way out", told, ""))
        elif status.is_ours:
            rows.append(_row(status.name, near, standing.wall, "it runs within the gateway's wall", standing.mend))
        else:
            told = "Ringfence did not start it, and what it may reach cannot be seen"
            mend = "`ringfence service install --engine UNIT` keeps its unit in."
            rows.append(_row(status.name, "unknown", "unknown", told, mend))
    return rows


def _row(process: str, reach: str, wall: str, reason: str, mend: str) -> dict[str, Any]:
    return {"process": process, "may_reach": reach, "wall": str(wall), "reason": reason, "mend": mend}
