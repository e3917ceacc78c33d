cat >> "$(dirname "$(llm logs path)")/extra-openai-models.yaml" <<'END'
- model_id: ringfence
  model_name: auto
  api_base: http://127.0.0.1:7464/v1
  api_key_name: ringfence
  supports_tools: true
  supports_schema: true
END
llm keys set ringfence --value sk-rf-...
llm -m ringfence "Hello" -o max_tokens 50
