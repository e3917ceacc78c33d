"""What an engine process writes: the last lines in memory, all of it in a bounded file."""

from __future__ import annotations

from collections import deque
from io import BufferedWriter
from pathlib import Path

KEPT_LINES = 200
FILE_BYTES = 1024 * 1024
LINE_CHARS = 500


class Output:
    """At most two files of `file_bytes` each: `path` and the one before it, `path`.1. Lines are cut at 500."""

    def __init__(self, path: Path | None, kept_lines: int = KEPT_LINES, file_bytes: int = FILE_BYTES) -> None:
        self._path = path
        self._file: BufferedWriter | None = None
        self._file_bytes = file_bytes
        self._written_bytes = 0
        self._lines: deque[str] = deque(maxlen=kept_lines)
        self.count = 0
        """Of all lines so far."""

    @property
    def lines(self) -> tuple[str, ...]:
        """The last lines, oldest first."""
        return tuple(self._lines)

    def since(self, count: int) -> tuple[str, ...]:
        """Those that came after the first `count`, as far as they are kept."""
        new = self.count - count
        return self.lines[-new:] if new > 0 else ()

    def add(self, line: str) -> None:
        """Keep one line. A disk that is full costs the file, never the engine."""
        self.count += 1
        text = line.rstrip()[:LINE_CHARS]
        self._lines.append(text)
        if self._path is None:
            return
        data = text.encode("utf-8", "replace") + b"\n"
        try:
            file = self._room_for(len(data), self._path)
            file.write(data)
            file.flush()
            self._written_bytes += len(data)
        except OSError:
            self.close()

    def close(self) -> None:
        """Close the file; a later line opens it again."""
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError:
                return

    def _room_for(self, size: int, path: Path) -> BufferedWriter:
        if self._file is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab")
            path.chmod(0o600)
            self._written_bytes = path.stat().st_size
        if self._written_bytes + size > self._file_bytes:
            self.close()
            path.replace(path.with_name(path.name + ".1"))
            return self._room_for(0, path)
        return self._file
