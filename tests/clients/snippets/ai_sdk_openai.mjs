import { createOpenAI } from "@ai-sdk/openai";
import { generateText } from "ai";

const openai = createOpenAI({ baseURL: "http://127.0.0.1:7464/v1", apiKey: "sk-rf-..." });

const { text } = await generateText({ model: openai.chat("auto"), prompt: "Hello", maxOutputTokens: 50 });
console.log(text);
