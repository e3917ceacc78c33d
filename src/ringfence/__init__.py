"""Ringfence: one OpenAI-compatible endpoint in front of the models you own."""

import gc

__version__ = "0.1.0"

YOUNG_OBJECTS = 20_000
"""After so many new objects the collector looks at them. What is loaded stays, and what a call makes dies with it: look
rarely, and find little. With Python's own 700 a tenth of the start goes into looking."""
gc.set_threshold(YOUNG_OBJECTS, 20, 20)
