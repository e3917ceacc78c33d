"""Cheap models first, dearer ones only where an answer fails a check."""
