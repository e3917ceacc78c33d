"""Ctrl-C while a program only loads its modules.

Python turns it into a KeyboardInterrupt wherever it just is. In a callback of a weak reference nothing can be raised:
the interrupt is printed and forgotten, and the program goes on. Each import ends in such a callback (of the lock of the
module), so the chance is real. The kernel's own way cannot be missed, and prints nothing.
"""

from __future__ import annotations

import signal


def end_at_once() -> None:
    """An interrupt is our end, without a word, until somebody takes it. Not where it is ignored, as under nohup."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def raise_again() -> None:
    """An interrupt is a KeyboardInterrupt once more, for who has something to put in order."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
