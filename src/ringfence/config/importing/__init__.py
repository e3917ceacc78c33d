"""Configurations of other gateways, read into one of ours. Nothing is dropped in silence."""
