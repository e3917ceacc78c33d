"""The composition root: from a configuration to live parts, and from one configuration to the next."""
