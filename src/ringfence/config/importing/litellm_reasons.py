"""[pure] Why settings of LiteLLM are not taken over, and what to do instead."""

from __future__ import annotations

from collections.abc import Sequence

from ringfence.config.problems import KeyPath

MONEY = (
    "budgets are set for the house, for profiles, providers and keys here.",
    "money.house, profiles.NAME.budget, providers.NAME.budget and `ringfence keys budget`; see docs/money.md.",
)
CACHE = ("what is cached, and for whom, is decided for each profile here.", "profiles.NAME.cache; see docs/caching.md.")
REDIS = ("one gateway needs no shared memory.", "Nothing is to be done: limits and caches are kept in the gateway.")
DATABASE = ("state is kept in files of its own.", "state_dir says where they lie.")
LOGGING = (
    "text of requests is never handed to anyone, so there are no callbacks.",
    "Metrics are at /metrics, and the ledger and the console tell of each request without its text.",
)
BREAKER = ("a target that fails is set aside by itself, with times of its own.", "See docs/failover.md.")
ALIASES = ("aliases stand with the models.", "Add the name to the aliases of a model.")
KEYS = ("keys are made here, not copied.", "`ringfence keys create NAME` makes one, `ringfence keys list` shows them.")
SAMPLING = ("what is asked of a model is its caller's to say.", "Set it in the client.")
LIMITS = ("requests and tokens per minute are limits of keys here.", "`ringfence keys create NAME --rpm N --tpm N`.")
ALERTS = ("alerts are not supported yet.", "Metrics at /metrics can be alerted on.")
GUARDRAILS = ("there are no guardrails of that kind.", "What may leave is decided by profiles and sensitivity.")
STRATEGY = (
    "engines of one model are chosen by what is free and what they have cached; chains are tried in order.",
    "See docs/failover.md.",
)
STEERING = (
    "where a request goes is never the client's to say.",
    "Name each place under models or providers, and bind keys to profiles; see docs/profiles.md.",
)
ADDRESS = ("this is no part of how a provider is reached here.", "Check whether its address and key say enough.")
NOT_ASKED = ("no engine is asked for that here.", "Have the client name the model that it wants.")
LOOKED_AT = ("engines are looked at by themselves.", "discovery.interval_s says how often.")
CHECKED = ("every request is checked against the window.", "profiles.NAME.overlong says what becomes of a long one.")

REASONS: dict[str, tuple[str, str]] = {
    "environment_variables": (
        "variables are not set by a configuration, and their values are not copied.",
        "Set them where `ringfence up` is started.",
    ),
    "include": ("other files are not followed.", "Import each of them, and join what is made."),
    "callback_settings": LOGGING,
    "guardrails": GUARDRAILS,
    "mcp_servers": ("servers of tools are not asked by the gateway.", "Name them in the client."),
    "general_settings.master_key": KEYS,
    "general_settings.max_budget": MONEY,
    "general_settings.budget_duration": MONEY,
    "general_settings.infer_model_from_keys": NOT_ASKED,
    "general_settings.background_health_checks": LOOKED_AT,
    "general_settings.health_check_interval": LOOKED_AT,
    "general_settings.allowed_ips": ("who may connect is for a firewall to say.", "`ringfence firewall print` helps."),
    "general_settings.completion_model": ("a call names its model, or 'auto'.", "See docs/routing.md."),
    "general_settings.global_max_parallel_requests": (
        "what is too much at a time waits in a queue before each target.", "admission says how much may wait."
    ),
    "general_settings.pass_through_endpoints": STEERING,
    "general_settings.forward_client_headers_to_llm_api": STEERING,
    "general_settings.allow_client_side_credentials": STEERING,
    "litellm_settings.drop_params": (
        "a field that would change the answer is refused by name rather than dropped.", "See docs/providers.md."
    ),
    "litellm_settings.modify_params": ("requests are changed only so that they fit.", "See docs/fitting.md."),
    "litellm_settings.cache": CACHE,
    "litellm_settings.cache_params": CACHE,
    "litellm_settings.max_budget": MONEY,
    "litellm_settings.budget_duration": MONEY,
    "litellm_settings.max_user_budget": MONEY,
    "litellm_settings.max_internal_user_budget": MONEY,
    "litellm_settings.internal_user_budget_duration": MONEY,
    "litellm_settings.default_internal_user_params": KEYS,
    "litellm_settings.default_team_settings": KEYS,
    "litellm_settings.upperbound_key_generate_params": KEYS,
    "litellm_settings.default_key_generate_params": KEYS,
    "litellm_settings.key_generation_settings": KEYS,
    "litellm_settings.set_verbose": ("the log's level is set otherwise.", "logging.level: debug."),
    "litellm_settings.json_logs": ("logs are JSON already.", "logging.file says where they go."),
    "litellm_settings.turn_off_message_logging": ("text is never logged.", "Nothing is to be done."),
    "litellm_settings.redact_user_api_key_info": ("keys are never logged.", "Nothing is to be done."),
    "litellm_settings.ssl_verify": (
        "what leaves is always encrypted and verified.",
        "Reach an engine without a certificate by http on this machine, or in a network listed under mesh.",
    ),
    "litellm_settings.guardrails": GUARDRAILS,
    "litellm_settings.content_policy_fallbacks": (
        "a model that declines has answered, and its answer is the caller's.", "Name another model in the client."
    ),
    "router_settings.enable_pre_call_checks": CHECKED,
    "router_settings.enable_pre_call_check": CHECKED,
    "router_settings.routing_strategy": STRATEGY,
    "router_settings.routing_strategy_args": STRATEGY,
    "router_settings.retry_policy": ("which failures are tried again is not set.", "See docs/failover.md."),
    "router_settings.retry_after": ("the pause before a further try grows by itself.", "See docs/failover.md."),
    "router_settings.provider_budget_config": MONEY,
    "router_settings.enable_tag_filtering": ("rules choose by what a request is.", "See docs/routing.md."),
    "router_settings.tag_filtering_match_any": ("rules choose by what a request is.", "See docs/routing.md."),
    "router_settings.max_fallbacks": ("a chain is tried to its end.", "Shorten the chain."),
    "router_settings.default_litellm_params": SAMPLING,
    "model_list.litellm_params.rpm": LIMITS,
    "model_list.litellm_params.tpm": LIMITS,
    "model_list.litellm_params.max_budget": MONEY,
    "model_list.litellm_params.budget_duration": MONEY,
    "model_list.litellm_params.max_retries": ("tries are counted for all models alike.", "timeouts.retries."),
    "model_list.litellm_params.num_retries": ("tries are counted for all models alike.", "timeouts.retries."),
    "model_list.litellm_params.weight": STRATEGY,
    "model_list.litellm_params.tags": ("rules choose by what a request is.", "See docs/routing.md."),
    "model_list.litellm_params.organization": ADDRESS,
    "model_list.litellm_params.api_version": ADDRESS,
    "model_list.litellm_params.extra_headers": ADDRESS,
    "model_list.litellm_params.headers": ADDRESS,
    "model_list.litellm_params.drop_params": (
        "a field that would change the answer is refused by name rather than dropped.", "See docs/providers.md."
    ),
    "model_list.litellm_params.mock_response": (
        "an answer is always an engine's own.", "Point tests at a small model, such as the one that `up` begins with."
    ),
    "model_list.litellm_params.keep_alive": (
        "how long Ollama keeps a model is Ollama's to say.", "OLLAMA_KEEP_ALIVE, where it is started."
    ),
    "model_list.litellm_params.num_ctx": ("the window of an engine is set where it is started.", "`window` bounds it."),
    "model_list.model_info.id": ("models are known by their names.", "Have callers name the model, or an alias of it."),
    "model_list.model_info.base_model": ("it says what a model costs, and money is not counted yet.", MONEY[1]),
    "model_list.model_info.max_tokens": (
        "LiteLLM says by it now the window, now the output.", "Set the model's window where it is not found out."
    ),
    "model_list.tpm": LIMITS,
    "model_list.rpm": LIMITS,
}  # fmt: skip
BY_LAST: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("temperature", "top_p", "top_k", "stop", "seed", "presence_penalty", "frequency_penalty", "n",
         "reasoning_effort", "thinking", "response_format", "logit_bias", "tools", "tool_choice"),
        SAMPLING,
    ),
    **dict.fromkeys(
        ("success_callback", "failure_callback", "callbacks", "service_callbacks", "langfuse_default_tags",
         "store_prompts_in_spend_logs", "disable_spend_logs"),
        LOGGING,
    ),
    **dict.fromkeys(
        ("database_url", "database_connection_pool_limit", "database_connection_timeout", "store_model_in_db",
         "allow_requests_on_db_unavailable", "disable_prisma_schema_update", "proxy_batch_write_at"),
        DATABASE,
    ),
    **dict.fromkeys(("allowed_fails", "allowed_fails_policy", "cooldown_time", "disable_cooldowns"), BREAKER),
    **dict.fromkeys(("alerting", "alerting_threshold", "alerting_args", "alert_types", "alert_to_webhook_url"), ALERTS),
    **dict.fromkeys(("redis_host", "redis_port", "redis_password", "redis_url", "redis_db"), REDIS),
    **dict.fromkeys(
        ("input_cost_per_token", "output_cost_per_token", "input_cost_per_second", "output_cost_per_second",
         "input_cost_per_character", "output_cost_per_character", "cache_read_input_token_cost",
         "cache_creation_input_token_cost"),
        ("prices are known from a table of providers.", "models.NAME.price says another one; see docs/prices.md."),
    ),
}  # fmt: skip
UNKNOWN = ("there is no such setting here.", "docs/configuration.md has those that there are.")


def reason_for(path: KeyPath) -> tuple[str, str]:
    """Why it was not taken, and what to do."""
    names = [part for part in path if isinstance(part, str)]
    for length in range(len(names), 0, -1):
        if found := REASONS.get(".".join(names[:length])):
            return found
    return next((BY_LAST[name] for name in _innermost_first(names) if name in BY_LAST), UNKNOWN)


def _innermost_first(names: Sequence[str]) -> Sequence[str]:
    return names[::-1]
