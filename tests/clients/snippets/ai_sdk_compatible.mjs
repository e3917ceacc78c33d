import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embed, streamText } from "ai";

const ringfence = createOpenAICompatible({
  name: "ringfence",
  baseURL: "http://127.0.0.1:7464/v1",
  apiKey: "sk-rf-...",
  includeUsage: true,
  supportsStructuredOutputs: true,
});

const { textStream } = streamText({ model: ringfence("auto"), prompt: "Hello", maxOutputTokens: 50 });
for await (const text of textStream) process.stdout.write(text);

const { embedding } = await embed({ model: ringfence.embeddingModel("auto"), value: "Hello" });
console.log(embedding.length);
