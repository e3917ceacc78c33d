from openai import OpenAI

client = OpenAI(base_url="http://127.0.0.1:7464/v1", api_key="sk-rf-...")

answer = client.responses.create(model="auto", input="Hello", max_output_tokens=50)
print(answer.output_text)

with client.responses.stream(model="auto", input="Hello", max_output_tokens=50) as stream:
    for event in stream:
        if event.type == "response.output_text.delta":
            print(event.delta, end="", flush=True)
