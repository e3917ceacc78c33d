export OPENAI_API_BASE=http://127.0.0.1:7464/v1
export OPENAI_API_KEY=sk-rf-...
export LITELLM_LOCAL_MODEL_COST_MAP=True
aider --model openai/auto --weak-model openai/auto --no-show-model-warnings --no-check-update --no-analytics
