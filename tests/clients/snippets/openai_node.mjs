import OpenAI from "openai";

const client = new OpenAI({ baseURL: "http://127.0.0.1:7464/v1", apiKey: "sk-rf-..." });

const messages = [{ role: "user", content: "Hello" }];
const stream = await client.chat.completions.create({ model: "auto", messages, max_tokens: 50, stream: true });
for await (const chunk of stream) process.stdout.write(chunk.choices[0].delta.content ?? "");

const vectors = await client.embeddings.create({ model: "auto", input: "Hello" });
console.log(vectors.data[0].embedding.length);
