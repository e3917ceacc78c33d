"""The egress journal: what left, for whom and where to. Names, numbers and digests; no text.

A call makes two lines: `sent`, on disk before its first byte leaves, and `ended`. One thread writes; lines that wait
for the disk together are synced together. What the lines look like, and how they are read: `journal_chain`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import queue
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ringfence.core.boundary import Boundary
from ringfence.egress.journal_chain import (
    DIGEST,
    EMPTY,
    MOST_LAG,
    NOT_SENT,
    START,
    Chain,
    Head,
    entries_in,
    files_of,
    line_after,
    parse,
    read_head,
)
from ringfence.store.failure import StoreFailed
from ringfence.store.private_file import make_private_folder, replace_private

MOST_FILE_BYTES = 8 * 2**20
"""A file is sealed before a line would make it longer: about 8,000 calls."""
MOST_AT_ONCE = 256
MOST_NAME_CHARACTERS = 256
RETRY_S = 1.0
_CODE = re.compile(r"[a-z0-9_]{1,64}")
_KEEP = "keep it for inspection: see `ringfence journal verify`, then move the folder away; a new journal begins"
log = logging.getLogger("ringfence.egress")


class _Record(NamedTuple):
    """What is to be written, and who waits for it."""

    content: dict[str, Any]
    future: asyncio.Future[int] | None


_Told = tuple[asyncio.Future[int], dict[str, Any], int | StoreFailed]
"""Who waits, the line's content, and its number or what went wrong."""


class Journal:
    """The one writer of a folder; another process is refused. To be used from one event loop.

    Every failure of the disk is a StoreFailed: then nothing may be sent. The journal goes on by itself once it can.
    """

    def __init__(self, folder: Path, clock: Callable[[], float], most_file_bytes: int) -> None:
        self._folder = folder
        self._clock = clock
        self._most_file_bytes = most_file_bytes
        self._is_closed = False
        self._sent_on: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._running: dict[int, str] = {}
        self._queue: queue.SimpleQueue[_Record | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_until_closed, name="ringfence-journal", daemon=True)
        # From here on: the writer thread's own, once it runs.
        self._folder_fd = self._fd = -1
        self._path = folder
        self._head = START
        self._noted: Head | None = None
        self._offset = 0
        self._is_in_doubt = False
        self._doubtful: list[tuple[int, _Record]] = []
        self._owed: list[_Record] = []

    def __repr__(self) -> str:
        return f"<Journal {self._folder}>"

    @classmethod
    def open(
        cls, folder: Path, *, clock: Callable[[], float] = time.time, most_file_bytes: int = MOST_FILE_BYTES
    ) -> Journal:
        """Makes the folder if need be, and accounts for what a crash left. `clock` is UTC seconds since the epoch.

        Raises StoreFailed when the folder cannot be used, is in use, or its last file is broken.
        """
        journal = cls(folder, clock, most_file_bytes)
        try:
            journal._claim()
            journal._restore()
        except OSError as error:
            journal._let_go()
            raise StoreFailed.of(folder, error) from error
        except BaseException:
            journal._let_go()
            raise
        journal._thread.start()
        return journal

    def today(self, provider: str) -> int:
        """Calls sent to `provider` on the clock's current UTC day, those waiting for the disk included.

        No other call can come between looking here and awaiting `sent` at once.
        """
        return self._sent_on[_iso(self._clock())[:10]][provider]

    async def sent(
        self, *, call: str, key: str, profile: str, provider: str, model: str, allowed: Boundary, address: str,
        max_tokens: int | None, bytes_out: int, sha256_out: str,
    ) -> int:  # fmt: skip
        """To be awaited before the first byte (also of a handshake) leaves; the number of the line, which is on disk.

        Raises StoreFailed, and ValueError for what is no name, number or digest: then nothing may leave.
        """
        content: dict[str, Any] = {
            "time": _iso(self._clock()), "kind": "sent", "call": call, "key": key, "profile": profile,
            "provider": provider, "model": model, "allowed": allowed.name, "address": address,
            "max_tokens": max_tokens, "bytes_out": bytes_out, "sha256_out": sha256_out,
        }  # fmt: skip
        _check(content)
        counts = self._sent_on[content["time"][:10]]
        future = self._post(content)
        counts[provider] += 1
        try:
            seq = await future
        except StoreFailed:
            counts[provider] -= 1
            raise
        except asyncio.CancelledError:
            counts[provider] -= 1
            if not future.cancelled() and future.exception() is None:
                self._post_not_sent(future.result(), call)
            raise
        self._running[seq] = call
        return seq

    def ended(self, seq: int, *, status: int, bytes_in: int, sha256_in: str, outcome: str) -> asyncio.Future[int]:
        """Ends the call of `sent`. `status` is 0 when no answer came; `outcome` is a code such as ok.

        Resolves when the line is on disk; need not be awaited. One that the disk refuses is tried again until it is
        written or the process ends.
        Raises ValueError for a number that is not running, and as `sent`.
        """
        call = self._running.get(seq)
        if call is None:
            raise ValueError(f"no call runs with the number {seq}")
        content: dict[str, Any] = {
            "time": _iso(self._clock()), "kind": "ended", "of": seq, "call": call, "status": status,
            "bytes_in": bytes_in, "sha256_in": sha256_in, "outcome": outcome,
        }  # fmt: skip
        _check(content)
        future = self._post(content)
        del self._running[seq]
        future.add_done_callback(_log_failure)
        return future

    def close(self) -> None:
        """Writes what was handed in, however long the disk takes, then lets go of the folder. May be called twice."""
        if not self._is_closed:
            self._is_closed = True
            self._queue.put(None)
            self._thread.join()
            self._let_go()

    def _post(self, content: dict[str, Any]) -> asyncio.Future[int]:
        if self._is_closed:
            raise StoreFailed(self._folder, "is closed", "start the egress process again")
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queue.put(_Record(content, future))
        return future

    def _post_not_sent(self, seq: int, call: str) -> None:
        self._queue.put(_Record(self._not_sent(seq, call), None))

    def _not_sent(self, seq: int, call: str) -> dict[str, Any]:
        return {
            "time": _iso(self._clock()), "kind": "ended", "of": seq, "call": call, "status": 0,
            "bytes_in": 0, "sha256_in": EMPTY, "outcome": NOT_SENT,
        }  # fmt: skip

    # -- opening

    def _claim(self) -> None:
        make_private_folder(self._folder)
        self._folder_fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._folder_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            what_to_do = "end that process, or set RINGFENCE_STATE_DIR to a folder of its own"
            raise StoreFailed(self._folder, "is in use: another process writes this journal", what_to_do) from None
        os.fchmod(self._folder_fd, 0o700)
        for draft in self._folder.glob(".head.*"):
            draft.unlink()

    def _restore(self) -> None:
        files = files_of(self._folder)
        try:
            known = read_head(self._folder)
        except ValueError:
            raise StoreFailed(self._folder / "head", "is damaged", _KEEP) from None
        if known is None and files:
            raise StoreFailed(self._folder / "head", "is missing", _KEEP)
        if not files:
            if known is not None and known.seq:
                raise StoreFailed(self._folder, f"has no lines, but `head` names number {known.seq}", _KEEP)
            self._note_head()  # before the first line: a chain without a head was tampered with
            self._start_file()
            return
        self._head = _last_of(files[-2]) if len(files) > 1 else START
        self._path = files[-1]
        if int(self._path.stem) != self._head.seq + 1:
            raise StoreFailed(self._path, "is broken: a file before it is missing", _KEEP)
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        os.fsync(self._folder_fd)
        self._catch_up(known or START)
        self._note_head()
        self._count(files)

    def _count(self, files: list[Path]) -> None:
        """Today's calls, from the newest file backwards, up to one that is wholly older."""
        today = _iso(self._clock())[:10]
        for path in reversed(files):
            newest = ""
            for entry in entries_in(path):
                newest = max(newest, entry.time[:10])
                if entry.kind == "sent":
                    self._sent_on[entry.time[:10]][entry.provider] += 1
            if newest and newest < today:
                return

    def _let_go(self) -> None:
        for descriptor in (self._fd, self._folder_fd):
            if descriptor >= 0:
                os.close(descriptor)
        self._fd = self._folder_fd = -1

    # -- on the writer thread

    def _write_until_closed(self) -> None:
        is_open = True
        while is_open:
            batch, is_open = self._next_batch()
            told = self._commit(batch)
            if told:
                with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
                    told[0][0].get_loop().call_soon_threadsafe(self._deliver, told)
            with contextlib.suppress(StoreFailed):  # it falls behind, which is allowed, and is tried again next time
                self._note_head()

    def _next_batch(self) -> tuple[list[_Record], bool]:
        """What waits, at least one unless something is owed; and False when it is the last."""
        batch: list[_Record] = []
        with contextlib.suppress(queue.Empty):
            item = self._queue.get(timeout=RETRY_S if self._owed or self._doubtful else None)
            while item is not None:
                batch.append(item)
                if len(batch) == MOST_AT_ONCE:
                    return batch, True
                item = self._queue.get_nowait()
            return batch, False
        return batch, True

    def _commit(self, batch: list[_Record]) -> list[_Told]:
        """Writes and syncs; for each who waits, the number of the line or what went wrong."""
        todo, seqs, failure = list(batch), list[int](), None
        try:
            if self._is_in_doubt:
                self._catch_up(self._head)
            todo[:0], self._owed = self._owed, []
            self._append(todo, seqs)
        except OSError as error:
            failure = StoreFailed.of(self._path, error)
        except StoreFailed as error:
            failure = error
        except Exception as error:  # whoever waits must be told, whatever it is
            failure = StoreFailed(self._path, f"cannot be written ({type(error).__name__})", "see the log")
            log.exception("the journal failed")
        seqs += [0] * (len(todo) - len(seqs))
        told: list[_Told] = []
        for record, seq in zip(todo, seqs, strict=True):
            outcome: int | StoreFailed = seq
            if failure is not None and not 0 < seq <= self._head.seq:
                self._is_in_doubt = True
                self._doubtful.append((seq, record))
                outcome = StoreFailed(failure.path, failure.what, failure.what_to_do)
            if record.future is not None:
                told.append((record.future, record.content, outcome))
        return told

    def _append(self, records: list[_Record], seqs: list[int]) -> None:
        """Puts the numbers of the lines into `seqs` as it goes; those up to `self._head` are on disk."""
        if not os.fstat(self._fd).st_nlink:
            raise StoreFailed(self._path, "was removed while it was written", _KEEP)
        pending, head = bytearray(), self._head
        for record in records:
            if self._noted is not None and head.seq - self._noted.seq >= MOST_LAG:
                self._flush(pending, head)
                pending = bytearray()
                self._note_head()  # while that fails, nothing is written: a longer lag reads as tampering
            line, following = line_after(record.content, head)
            size = self._offset + len(pending)
            if size and size + len(line) > self._most_file_bytes:
                self._flush(pending, head)
                pending = bytearray()
                self._start_file()
            pending += line
            head = following
            seqs.append(head.seq)
        self._flush(pending, head)

    def _flush(self, pending: bytearray, head: Head) -> None:
        if pending:
            _write(self._fd, bytes(pending))
            os.fdatasync(self._fd)
            self._offset += len(pending)
            self._head = head

    def _start_file(self) -> None:
        path = self._folder / f"{self._head.seq + 1:012d}.jsonl"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if os.fstat(descriptor).st_size:
                raise StoreFailed(path, "exists already", _KEEP)
            os.fsync(self._folder_fd)
        except BaseException:
            os.close(descriptor)
            raise
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._path, self._offset = descriptor, path, 0

    def _catch_up(self, known: Head) -> None:
        """Reads what lies after the last line known to be on disk, keeps what is whole, accounts for what is not."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            content = file.read()
        chain, whole = Chain(self._head), dict[int, dict[str, Any]]()
        *lines, rest = content.split(b"\n")
        for raw in lines:
            _collect(whole, chain.take(raw))
        is_torn = bool(rest or chain.why)
        if is_torn:
            _collect(whole, chain.take(rest))  # it may lack nothing but its end of line
        if chain.head.seq < known.seq or whole.get(known.seq, {}).get("hash", known.hash) != known.hash:
            raise StoreFailed(self._path, f"is broken: it does not hold number {known.seq}, which `head` names", _KEEP)
        recovered, head = b"", chain.head
        if is_torn:
            torn = {"torn_bytes": chain.torn_bytes, "torn_sha256": chain.torn_sha256}
            line, head = line_after({"time": _iso(self._clock()), "kind": "recovered", **torn}, head)
            recovered = b"\n" + line
            _write(self._fd, recovered)
        os.fdatasync(self._fd)
        self._offset += len(content) + len(recovered)
        self._head = head
        self._settle(whole)

    def _settle(self, whole: dict[int, dict[str, Any]]) -> None:
        """What was told to have failed: calls whose line is there after all have not left, ends are still owed."""
        for seq, record in self._doubtful:
            wanted = record.content
            found = whole.get(seq, {})
            is_there = (found.get("kind"), found.get("call")) == (wanted["kind"], wanted["call"])
            if wanted["kind"] == "sent" and is_there:
                self._owed.append(_Record(self._not_sent(seq, wanted["call"]), None))
            elif wanted["kind"] == "ended" and not is_there:
                self._owed.append(_Record(wanted, None))
        self._doubtful.clear()
        self._is_in_doubt = False

    def _note_head(self) -> None:
        if self._noted != self._head:
            replace_private(self._folder / "head", f"{self._head}\n".encode())
            self._noted = self._head

    # -- back on the event loop

    def _deliver(self, told: list[_Told]) -> None:
        for future, content, outcome in told:
            if future.cancelled():  # whoever asked has gone, and sends nothing
                if content["kind"] == "sent" and isinstance(outcome, int):
                    self._post_not_sent(outcome, content["call"])
            elif isinstance(outcome, int):
                future.set_result(outcome)
            else:
                future.set_exception(outcome)


def _collect(whole: dict[int, dict[str, Any]], found: dict[str, Any] | None) -> None:
    if found is not None:
        whole[found["seq"]] = found


def _write(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")


def _check(content: dict[str, Any]) -> None:
    """The last fence before text could get into the journal. The message never quotes the value."""
    for name, value in content.items():
        if isinstance(value, int):
            is_well = 0 <= value < 2**63
        elif not isinstance(value, str):
            is_well = value is None and name == "max_tokens"
        elif name.startswith("sha256"):
            is_well = DIGEST.fullmatch(value) is not None
        elif name == "outcome":
            is_well = _CODE.fullmatch(value) is not None
        else:
            is_well = len(value) <= MOST_NAME_CHARACTERS and value.isprintable()
        if not is_well:
            raise ValueError(f"{name} cannot be in the journal: it takes names, numbers, codes and SHA-256 digests")


def _log_failure(future: asyncio.Future[int]) -> None:
    if not future.cancelled() and (error := future.exception()) is not None:
        log.warning("the end of a call is not in the journal yet: %s", error)


def _last_of(path: Path) -> Head:
    """Where a sealed file ends."""
    content = path.read_bytes()
    found = parse(content[content.rfind(b"\n", 0, -1) + 1 : -1])
    if found is None or not isinstance(found.get("seq"), int):
        raise StoreFailed(path, "is broken: its last line is not whole", _KEEP)
    return Head(found["seq"], found["hash"])
