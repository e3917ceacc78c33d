"""Files of callers, and batches of calls made from them, one call a line, at the priority of what nobody waits for."""
