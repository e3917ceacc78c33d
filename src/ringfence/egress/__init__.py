"""The way out: every byte that leaves this process for an engine passes here, with a permit."""
