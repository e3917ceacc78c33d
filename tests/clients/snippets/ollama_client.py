from ollama import Client

client = Client(host="http://127.0.0.1:7464", headers={"Authorization": "Bearer sk-rf-..."})

hello = [{"role": "user", "content": "Hello"}]
print(client.chat(model="auto", messages=hello, options={"num_predict": 50}).message.content)
for part in client.chat(model="auto", messages=hello, options={"num_predict": 50}, stream=True):
    print(part.message.content, end="", flush=True)

print([row.model for row in client.list().models])
print(len(client.embed(model="auto", input="Hello").embeddings[0]))
