from openai import OpenAI

client = OpenAI(base_url="http://127.0.0.1:7464/v1", api_key="sk-rf-...")

answer = client.chat.completions.create(model="auto", messages=[{"role": "user", "content": "Hello"}], max_tokens=50)
print(answer.choices[0].message.content)

for chunk in client.chat.completions.create(
    model="auto", messages=[{"role": "user", "content": "Hello"}], max_tokens=50, stream=True
):
    print(chunk.choices[0].delta.content or "", end="", flush=True)

print(len(client.embeddings.create(model="auto", input="Hello").data[0].embedding))
