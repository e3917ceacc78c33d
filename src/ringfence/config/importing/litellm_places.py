"""[pure] Where the models of a LiteLLM configuration lie, by the prefix of their names."""

from __future__ import annotations

from typing import NamedTuple


class Cloud(NamedTuple):
    """A rented cloud: what it speaks, where it lies, and the variable in which LiteLLM looks for its key."""

    dialect: str
    url: str
    key: str


class Server(NamedTuple):
    """An engine: its kind, empty where it is found out, and where it listens if nothing is said."""

    engine: str
    url: str


CLOUDS: dict[str, Cloud] = {
    "openai": Cloud("openai", "https://api.openai.com/v1", "OPENAI_API_KEY"),
    "text-completion-openai": Cloud("openai", "https://api.openai.com/v1", "OPENAI_API_KEY"),
    "anthropic": Cloud("anthropic", "https://api.anthropic.com", "ANTHROPIC_API_KEY"),
    "groq": Cloud("openai", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "mistral": Cloud("openai", "https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "deepseek": Cloud("openai", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "openrouter": Cloud("openai", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "gemini": Cloud("openai", "https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY"),
    "moonshot": Cloud("openai", "https://api.moonshot.ai/v1", "MOONSHOT_API_KEY"),
    "together_ai": Cloud("openai", "https://api.together.xyz/v1", "TOGETHERAI_API_KEY"),
    "fireworks_ai": Cloud("openai", "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
    "xai": Cloud("openai", "https://api.x.ai/v1", "XAI_API_KEY"),
    "perplexity": Cloud("openai", "https://api.perplexity.ai", "PERPLEXITYAI_API_KEY"),
    "cerebras": Cloud("openai", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    "nvidia_nim": Cloud("openai", "https://integrate.api.nvidia.com/v1", "NVIDIA_NIM_API_KEY"),
}
SERVERS: dict[str, Server] = {
    "ollama": Server("ollama", "http://127.0.0.1:11434"),
    "ollama_chat": Server("ollama", "http://127.0.0.1:11434"),
    "hosted_vllm": Server("vllm", ""),
    "vllm": Server("vllm", ""),
    "lm_studio": Server("lmstudio", "http://127.0.0.1:1234"),
    "llamafile": Server("llamacpp", "http://127.0.0.1:8080"),
}
SPEAK_OPENAI = frozenset(
    (
        "custom_openai", "openai_like", "litellm_proxy", "huggingface", "xinference", "docker_model_runner", "lemonade",
        "infinity", "custom", "",
    )
)  # fmt: skip
"""Prefixes that tell of nothing but OpenAI's dialect: the address decides what it is."""
ELSEWHERE: dict[str, str] = {
    "azure": "Azure OpenAI wants its deployments in the address, which Ringfence does not speak",
    "azure_ai": "Azure AI is not spoken by Ringfence",
    "bedrock": "Amazon Bedrock wants requests signed, which Ringfence does not do",
    "sagemaker": "Amazon SageMaker wants requests signed, which Ringfence does not do",
    "vertex_ai": "Vertex AI wants tokens of Google's accounts, which Ringfence does not fetch",
    "cohere": "Cohere's own dialect is not spoken by Ringfence",
    "cohere_chat": "Cohere's own dialect is not spoken by Ringfence",
    "replicate": "Replicate's own dialect is not spoken by Ringfence",
    "watsonx": "watsonx is not spoken by Ringfence",
    "databricks": "Databricks has an address of its own for each customer",
}
"""Prefixes of what cannot be reached, and why."""
OF_NAMES = (
    (("gpt-", "o1", "o3", "o4", "chatgpt", "text-embedding-"), "openai"),
    (("claude",), "anthropic"),
)
"""How names without a prefix begin, and whose they are."""
PLACEHOLDERS = frozenset(
    (
        "", "none", "null", "empty", "fake", "fake-key", "dummy", "anything", "not-needed", "no-key", "na", "n/a", "x",
        "sk-1234", "sk-fake", "sk-no-key-required", "lm-studio", "ollama", "vllm", "local", "test", "key",
    )
)  # fmt: skip
"""What people write as the key of an engine that asks for none."""


def split_model(model: str) -> tuple[str, str]:
    """Prefix and name, such as ('openai', 'gpt-4o'); the prefix is empty where none that is known stands there."""
    prefix, slash, name = model.partition("/")
    if slash and (prefix in CLOUDS or prefix in SERVERS or prefix in ELSEWHERE or prefix in SPEAK_OPENAI):
        return prefix, name
    for beginnings, cloud in OF_NAMES:
        if model.startswith(beginnings):
            return cloud, model
    return "", model
