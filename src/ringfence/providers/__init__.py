"""Dialects of rented clouds: pure translation between OpenAI's chat completions and what a provider speaks."""
