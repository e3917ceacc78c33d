"""The devices of this machine, read again and again: each kind in a thread of its own, so that a driver that hangs
holds up nobody, and is told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Thread

from ringfence.core.device import Device, NotRead, Ours, with_pools
from ringfence.core.ports import Accelerator, Clock

DEADLINE_S = 5.0
"""For one reading. A driver that wakes a sleeping card takes 1 to 2 s; one that takes longer than this hangs."""
VANISHED = "it is not there any more"
SILENT = "its driver has not answered"
"""That may be over in a moment, and what computes there may go on."""
Beside = Callable[[Callable[[], None], str], object]
"""Does something that may take for ever beside the event loop, under a name."""
log = logging.getLogger("ringfence.devices")


@dataclass(frozen=True, slots=True)
class Unread:
    """Devices of one kind that cannot be read, and none of them is known."""

    title: str
    reason: str


@dataclass(slots=True)
class _Source:
    accelerator: Accelerator
    devices: dict[str, Device] = field(default_factory=dict[str, Device])
    """As they were last read, by id; those that vanished as well."""
    reason: str = ""
    """Why the last reading failed."""
    asked_s: float | None = None
    """Since when a reading goes on."""
    is_late: bool = False


def in_thread(do: Callable[[], None], name: str) -> None:
    """No executor: the end of the program would wait for a thread that hangs in a driver."""
    Thread(target=do, name=name, daemon=True).start()


class Devices:
    """`latest` is what is known now; `refresh` reads anew. To be used from one event loop."""

    def __init__(
        self,
        accelerators: Iterable[Accelerator],
        clock: Clock,
        deadline_s: float = DEADLINE_S,
        beside: Beside = in_thread,
    ) -> None:
        self._sources = [_Source(one) for one in accelerators]
        self._clock = clock
        self._latest: list[Device] = []
        self._made_of: list[tuple[dict[str, Device], str]] = [({}, "") for _ in self._sources]
        self._deadline_s = deadline_s
        self._beside = beside

    @property
    def latest(self) -> list[Device]:
        """Every device that was ever read; what could not be read again is out of service, and says why."""
        read = [(source.devices, self._silence(source) or source.reason) for source in self._sources]
        if any(now[0] is not then[0] or now[1] != then[1] for now, then in zip(read, self._made_of, strict=True)):
            # Whoever plans asks for it with every model.
            self._made_of = read
            self._latest = with_pools(device for source in self._sources for device in self._known(source))
        return list(self._latest)

    @property
    def unread(self) -> list[Unread]:
        """Where there should be devices, and none has ever been read."""
        reasons = [(source, self._silence(source) or source.reason) for source in self._sources if not source.devices]
        return [Unread(source.accelerator.title, reason) for source, reason in reasons if reason]

    async def refresh(self, ours: Sequence[Ours] = ()) -> None:
        """Reads every kind anew, but one that has not answered yet; waits for no reading longer than its deadline.

        What comes later still counts, as soon as it is there. Cancelling leaves the readings to themselves.
        """
        loop = asyncio.get_running_loop()
        readings: list[asyncio.Future[None]] = []
        for source in self._sources:
            if source.asked_s is None:
                source.asked_s = self._clock()
                readings.append(loop.create_future())
                read = partial(_read, source, ours, loop, readings[-1])
                self._beside(read, f"ringfence-{source.accelerator.kind}")
        if readings:
            await asyncio.wait(readings, timeout=self._deadline_s)
        for source in self._sources:
            silence = self._silence(source)
            if silence and not source.is_late:
                source.is_late = True
                log.error("%s: %s", source.accelerator.title, silence)

    def _known(self, source: _Source) -> list[Device]:
        reason = self._silence(source) or source.reason
        return [one.taken_out(reason) if reason else one for one in source.devices.values()]

    def _silence(self, source: _Source) -> str:
        """That a reading is overdue; empty while none is."""
        waited_s = self._clock() - source.asked_s if source.asked_s is not None else 0.0
        return f"{SILENT} for {waited_s:.0f} s" if waited_s >= self._deadline_s else ""


def _read(source: _Source, ours: Sequence[Ours], loop: asyncio.AbstractEventLoop, done: asyncio.Future[None]) -> None:
    """In a thread. What is read is put to use in the event loop."""
    devices, reason = None, ""
    try:
        devices = source.accelerator.read(ours)
    except NotRead as error:
        reason = str(error)
    except Exception as error:  # whatever an adapter stumbles over, the others are read
        reason = f"it cannot be read ({type(error).__name__})"
        log.exception("%s cannot be read", source.accelerator.title)
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants to know any more
        loop.call_soon_threadsafe(_take, source, devices, reason, done)


def _take(source: _Source, devices: list[Device] | None, reason: str, done: asyncio.Future[None]) -> None:
    if reason and reason != source.reason:
        log.warning("%s: %s", source.accelerator.title, reason)
    source.asked_s, source.reason, source.is_late = None, reason, False
    if devices is not None:
        read = {device.id: device for device in devices}
        # One that was broken when it was first seen may have another id once it is well: it is forgotten.
        gone = [one for name, one in source.devices.items() if name not in read and one.total_bytes]
        source.devices = read | {one.id: one.taken_out(VANISHED) for one in gone}
    if not done.done():
        done.set_result(None)
