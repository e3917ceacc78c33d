from langchain_openai import ChatOpenAI, OpenAIEmbeddings

llm = ChatOpenAI(
    model="auto", base_url="http://127.0.0.1:7464/v1", api_key="sk-rf-...", max_tokens=50, stream_usage=True
)
print(llm.invoke("Hello").content)
for chunk in llm.stream("Hello"):
    print(chunk.text, end="", flush=True)

embeddings = OpenAIEmbeddings(
    model="auto", base_url="http://127.0.0.1:7464/v1", api_key="sk-rf-...", check_embedding_ctx_length=False
)
print(len(embeddings.embed_query("Hello")))
