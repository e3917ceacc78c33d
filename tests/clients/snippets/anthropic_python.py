import anthropic

client = anthropic.Anthropic(base_url="http://127.0.0.1:7464", api_key="sk-rf-...")

asked = {"model": "auto", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}
print(client.messages.create(**asked).content[0].text)

with client.messages.stream(**asked) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
    print(stream.get_final_message().stop_reason)

print(client.messages.count_tokens(model="auto", messages=asked["messages"]).input_tokens)
