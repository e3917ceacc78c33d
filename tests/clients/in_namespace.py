"""Runs in a network namespace of its own, where there is a loopback and nothing else: what is started here reaches one
gateway, through a socket of the file system, and no other address. `in_namespace.py SOCKET PORT COMMAND...`

The gateway is found at the port that it has outside, so what `ringfence connect` prints holds here too.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import subprocess
import sys
import threading

PIECE_BYTES = 65_536
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1


def main() -> int:
    way_out, port, *command = sys.argv[1:]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
    listener = socket.create_server(("127.0.0.1", int(port)), backlog=64)
    threading.Thread(target=_take, args=(listener, way_out), daemon=True).start()
    return subprocess.run(command, check=False).returncode


def _take(listener: socket.socket, way_out: str) -> None:
    while True:
        here, _ = listener.accept()
        there = socket.socket(socket.AF_UNIX)
        there.connect(way_out)
        for pair in ((here, there), (there, here)):
            threading.Thread(target=carry, args=pair, daemon=True).start()


def carry(source: socket.socket, target: socket.socket, keep: bytearray | None = None) -> None:
    """All that `source` says, to `target`; and to `keep`."""
    with contextlib.suppress(OSError):
        while data := source.recv(PIECE_BYTES):
            if keep is not None:
                keep += data
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    sys.exit(main())
