import openai

client = openai.OpenAI(base_url="http://127.0.0.1:7464/v1", api_key="sk-rf-...", max_retries=2, timeout=60)

try:
    client.chat.completions.create(model="no-such-model", messages=[{"role": "user", "content": "Hello"}])
except openai.BadRequestError as error:  # 400; error.code "context_length_exceeded": the prompt is too long
    print(error.code, error.param)
except openai.RateLimitError as error:  # 429, after the package has waited and tried again
    print(error.response.headers["retry-after"])
except openai.APIStatusError as error:  # everything else that was answered, here 404
    print(error.status_code, error.code, error.request_id)
