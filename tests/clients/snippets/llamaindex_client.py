from llama_index.core.llms import ChatMessage
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike

llm = OpenAILike(
    model="auto",
    api_base="http://127.0.0.1:7464/v1",
    api_key="sk-rf-...",
    is_chat_model=True,
    is_function_calling_model=True,
    context_window=8192,
    max_tokens=50,
)
print(llm.chat([ChatMessage(role="user", content="Hello")]).message.content)

embeddings = OpenAILikeEmbedding(model_name="auto", api_base="http://127.0.0.1:7464/v1", api_key="sk-rf-...")
print(len(embeddings.get_text_embedding("Hello")))
