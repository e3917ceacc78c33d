"""A lock file for large loads, which other programs take with flock(1): who holds it loads, the others wait.

The kernel keeps the lock and frees it when its holder dies, however that ends. Nothing here waits for it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
from collections.abc import Iterable, Mapping

from ringfence.core.ports import Clock

SEEN_FOR_S = 15.0
"""A lock that somebody else holds is taken to be held for so much longer; it is looked at again before."""
log = logging.getLogger("ringfence.lock_file")


class LockFile:
    """One file. It is never removed: another might hold the lock of a file that has no name any more."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor: int | None = None
        self._said = ""

    @property
    def is_ours(self) -> bool:
        return self._descriptor is not None

    def take(self) -> bool:
        """True where it is ours now. A file that cannot be used keeps nobody from loading; the log says so, once."""
        if self.is_ours:
            return True
        try:
            self._descriptor = _locked(self.path)
        except OSError as error:
            self._complain(error.strerror or type(error).__name__)
            return True
        self._said = ""
        return self.is_ours

    def free(self) -> None:
        """Nothing where it is not ours."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def is_elsewhere(self) -> bool:
        """Whether another program holds it. Where none does, it is ours for the moment of looking."""
        if self.is_ours:
            return False
        try:
            descriptor = _locked(self.path)
        except OSError as error:
            self._complain(error.strerror or type(error).__name__)
            return False
        if descriptor is None:
            return True
        os.close(descriptor)
        return False

    def _complain(self, reason: str) -> None:
        if self._said != reason:
            log.warning("the lock file %s cannot be used: %s; nobody waits for it", self.path, reason)
        self._said = reason


class LockFiles:
    """The lock files of devices, by the id of the device; several may share one."""

    def __init__(self, paths: Mapping[str, str], clock: Clock) -> None:
        self._paths: dict[str, str] = {}
        self._files: dict[str, LockFile] = {}
        self._clock = clock
        self._loads: dict[str, frozenset[str]] = {}
        self.follow(paths)

    def follow(self, paths: Mapping[str, str]) -> None:
        """Other files from now on; those of loads that go on are freed when these end."""
        if dict(paths) == self._paths or self._loads:
            return
        files = {path: LockFile(path) for path in paths.values()}
        self._paths = dict(paths)
        self._files = {device: files[path] for device, path in paths.items()}

    def begin(self, load: str, devices: Iterable[str]) -> bool:
        """Takes the locks of these devices for a load, all of them or none; False where it has to wait."""
        wanted = frozenset(devices)
        files = sorted(self._of(wanted), key=lambda file: file.path)  # in one order, so that two never wait in a ring
        if load in self._loads:
            return True
        taken: list[LockFile] = []
        for file in files:
            if file.is_ours or not file.take():
                for one in taken:
                    one.free()
                return False
            taken.append(file)
        self._loads[load] = wanted
        return True

    def end(self, load: str) -> None:
        """It is ready, or it failed. Nothing where it had taken none."""
        for file in self._of(self._loads.pop(load, frozenset())):
            file.free()

    def loads_until_s(self, device: str) -> float | None:
        """Until when a load that the plan does not know of goes on there, as far as one can tell; None without one."""
        file = self._files.get(device)
        if file is None:
            return None
        is_our_own = any(device in devices for devices in self._loads.values())
        is_held = not is_our_own if file.is_ours else file.is_elsewhere()
        return self._clock() + SEEN_FOR_S if is_held else None

    def close(self) -> None:
        """Frees all of them."""
        for load in list(self._loads):
            self.end(load)

    def _of(self, devices: Iterable[str]) -> set[LockFile]:
        return {self._files[device] for device in devices if device in self._files}


def paths_of(template: str | None, devices: Mapping[str, str]) -> dict[str, str]:
    """Lock files by id of the device. `devices` gives each the name by which it is configured, which takes the place of
    {device} in the template."""
    if not template:
        return {}
    return {device: template.replace("{device}", name.replace("/", "_")) for device, name in devices.items()}


def _locked(path: str) -> int | None:
    """An open file whose lock is ours; None where another has it. Closing it frees the lock; children that are started
    do not inherit it."""
    while True:
        descriptor = _opened(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(path, descriptor):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # it was removed meanwhile: what others lock now is another file


def _opened(path: str) -> int:
    """For reading, as flock(1) does. It is made where it is missing, and only then: in folders that are open to all,
    the kernel forbids to open what others own as if it had to be made."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    while True:
        try:
            descriptor = os.open(path, flags)
        except FileNotFoundError:
            try:
                descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
                os.fchmod(descriptor, 0o644)  # whatever our umask is: others must be able to open it
            except FileExistsError:
                continue
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
        raise OSError(0, "it is no file")


def _is_still(path: str, descriptor: int) -> bool:
    try:
        there = os.lstat(path)
    except FileNotFoundError:
        return False
    ours = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)
