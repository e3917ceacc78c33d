import litellm

ringfence = {"api_base": "http://127.0.0.1:7464/v1", "api_key": "sk-rf-..."}
hello = [{"role": "user", "content": "Hello"}]

answer = litellm.completion("openai/auto", hello, max_tokens=50, **ringfence)
print(answer.choices[0].message.content)
for chunk in litellm.completion("openai/auto", hello, max_tokens=50, stream=True, **ringfence):
    print(chunk.choices[0].delta.content or "", end="", flush=True)

print(len(litellm.embedding("openai/auto", ["Hello"], **ringfence).data[0]["embedding"]))
