"""Deep reasoning as a tool: a small model answers, and may ask the reasoning chain by calling a tool that is ours.

Whatever is asked for the sake of one request is a call of its own down the same path, and goes no further than it.
"""
