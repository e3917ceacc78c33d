curl http://127.0.0.1:7464/v1/chat/completions \
  -H "Authorization: Bearer sk-rf-..." \
  -H "Content-Type: application/json" \
  -d '{"model": "auto", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}'
