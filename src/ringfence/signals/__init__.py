"""Typed readings of a request, one file each."""
