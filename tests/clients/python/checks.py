"""Runs the functions of a script that are named check_…, and prints what each returned as one line of JSON."""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import traceback
from collections.abc import Mapping
from typing import Any

URL = os.environ["RINGFENCE_URL"]
KEY = os.environ["RINGFENCE_KEY"]
KEY_THAT_REFUSES = os.environ["RINGFENCE_KEY_THAT_REFUSES"]
KEY_FOR_ONE_REQUEST = os.environ["RINGFENCE_KEY_FOR_ONE_REQUEST"]
KEY_FOR_CLOUDS = os.environ["RINGFENCE_KEY_FOR_CLOUDS"]
CLOUDS = ("clouds/openai", "clouds/claude")
SETTINGS = json.loads(os.environ["RINGFENCE_SETTINGS"])
"""What `ringfence connect` prints for the program that is checked, where it knows it."""
FULL = ("fakes/full-vllm", "fakes/full-llamacpp", "fakes/full-sglang", "fakes/full-ollama")
SENTENCE = "The quick brown fox jumps."
HUNG_AFTER_S = 150


def run(namespace: Mapping[str, Any]) -> None:
    """All checks, whatever becomes of the others. One that hangs, or an end that does, is shown where it stands.

    Garbage is collected between them only. A stream that a client leaves to the collector closes itself there; where
    that comes while httpcore holds the lock of its pool, which is not reentrant, the client waits for itself for ever
    (LiteLLM 1.106 with httpcore 1.0.9, one process in about a hundred).
    """
    faulthandler.dump_traceback_later(HUNG_AFTER_S, exit=True)
    gc.disable()
    told: dict[str, Any] = {}
    for name, check in tuple(namespace.items()):
        if name.startswith("check_"):
            try:
                told[name] = check()
            except BaseException:
                told[name] = {"failed": traceback.format_exc(limit=-6)}
            gc.collect()
    print(json.dumps(told), flush=True)


def raised(expected: type[BaseException], ask: Any) -> Any:
    """The exception, which must be of exactly this class or one below it."""
    try:
        ask()
    except expected as error:
        return error
    raise AssertionError(f"no {expected.__name__}")
