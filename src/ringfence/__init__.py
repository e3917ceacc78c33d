"""Ringfence: one OpenAI-compatible endpoint in front of the models you own."""

__version__ = "0.1.0"
