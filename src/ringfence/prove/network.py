"""Two network namespaces and one cable: the house, whose only route leads to the sink, and the sink itself.

Everything here runs inside `unshare --user --map-root-user --net --mount`, so that no rights on this machine are needed
and nothing of its network is touched. Both ends of the cable have one hardware address, as there is nobody to ask.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

HOUSE_V4, HOUSE_V6 = "192.0.2.2", "2001:db8::2"
RESOLVER = "11.99.0.53"
"""Where the house asks for names: in the sink, so that a question is a packet that left. In 11.0.0.0/8, which is public
address space that nobody announces; so are all addresses that the sink gives to names."""
LINK, SINK_LINK = "away", "sink"
HARDWARE = "02:00:00:00:00:01"
ENTER = (
    "unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child", "--",
)  # fmt: skip
"""The first process in it is the first of a process namespace: when it ends, so does everything in there."""
ENTER_SINK = ("unshare", "--net", "--")


class NoNamespace(Exception):
    """This machine does not let us make a network of our own; the text says how to mend it."""


def check_tools() -> None:
    """Raises NoNamespace when a network of our own cannot be made here."""
    for words, package in (((*ENTER, "true"), "util-linux"), (("ip", "-V"), "iproute2")):
        try:
            tried = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False)
        except FileNotFoundError:
            raise NoNamespace(f"'{words[0]}' is missing; on Debian: apt-get install {package}") from None
        if tried.returncode:
            raise NoNamespace(
                f"This machine does not let '{words[0]}' make a network namespace ({tried.stderr.strip()}). Run it as "
                "root, or allow it: sysctl kernel.unprivileged_userns_clone=1 (Debian), "
                "sysctl kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu); in a container: --privileged."
            )


def lay_cable(sink_pid: int) -> None:
    """From the house to the namespace of this process; from now on every packet that leaves arrives there."""
    _ip("link", "set", "lo", "up")
    end = ("address", HARDWARE)
    _ip("link", "add", LINK, *end, "type", "veth", "peer", "name", SINK_LINK, *end, "netns", str(sink_pid))
    _ip("link", "set", LINK, "arp", "off", "up")
    _ip("addr", "add", f"{HOUSE_V4}/32", "dev", LINK)
    _ip("-6", "addr", "add", f"{HOUSE_V6}/128", "dev", LINK, "nodad")
    _ip("route", "add", "default", "dev", LINK)
    _ip("-6", "route", "add", "default", "dev", LINK)


def open_sink() -> None:
    """Run in the sink: every address there is belongs to it, but the one of the house."""
    _ip("link", "set", "lo", "up")
    _ip("link", "set", SINK_LINK, "arp", "off", "up")
    for family, house, every in (("-4", f"{HOUSE_V4}/32", "0.0.0.0/0"), ("-6", f"{HOUSE_V6}/128", "::/0")):
        _ip(family, "route", "add", "unicast", house, "dev", SINK_LINK, "table", "local")
        _ip(family, "route", "add", "local", every, "dev", "lo", "table", "local")
    _ip("addr", "add", f"{RESOLVER}/32", "dev", "lo")


def use_own_resolver(folder: Path) -> None:
    """Names are asked for at the sink and nowhere else: a name service on a Unix socket would lead around the cable.

    A file that this machine does not have is left out: without nsswitch.conf names are asked for at the name server
    anyway; without resolv.conf the proof notices that it does not see them.
    """
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    for path, text in (
        (Path("/etc/resolv.conf"), f"nameserver {RESOLVER}\noptions timeout:1 attempts:1\n"),
        (Path("/etc/nsswitch.conf"), "passwd: files\ngroup: files\nhosts: files dns\n"),
    ):
        real = Path(path).resolve()
        if not real.exists():
            if not real.is_relative_to("/run"):  # on this machine itself, where nothing is made
                continue
            real.parent.mkdir(parents=True, exist_ok=True)
            real.touch()
        own = folder / path.name
        own.write_text(text, encoding="ascii")
        subprocess.run(["mount", "--bind", str(own), str(real)], check=True)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=10, check=False)
    if done.returncode:
        raise NoNamespace(f"ip {' '.join(words)}: {done.stderr.strip() or done.returncode}")
