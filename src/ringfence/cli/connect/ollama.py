"""Programs that speak Ollama's own API: https://docs.ollama.com/api"""

from __future__ import annotations

from ringfence.cli.connected import Gateway, Program, Settings


def _settings(gateway: Gateway) -> Settings:
    return Settings(
        {"OLLAMA_HOST": gateway.root, "OLLAMA_API_KEY": gateway.key},
        run=f"ollama run {gateway.model}",
        notes=(
            "Set it where the program runs, not where Ollama's server is started: that would listen there.",
            "Libraries of Ollama send OLLAMA_API_KEY. A program that sends no key is let in only where server.keys is "
            "off, which a gateway that listens on loopback may have.",
        ),
    )


PROGRAM = Program("ollama", "Ollama's command line and libraries", _settings)
