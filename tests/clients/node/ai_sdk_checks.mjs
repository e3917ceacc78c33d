// The Vercel AI SDK, unchanged, with its OpenAI-compatible provider and with its OpenAI provider in chat mode.
import assert from "node:assert/strict";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, Output, embed, embedMany, generateText, isStepCount, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { CLOUDS, FAKES, FULL, KEY, KEY_FOR_CLOUDS, KEY_THAT_REFUSES, LONG, PIXEL, SENTENCE, URL_, check, now, rejected, runChecks, thrice } from "./checks.mjs";

const compatible = createOpenAICompatible({ name: "ringfence", baseURL: URL_, apiKey: KEY, includeUsage: true, supportsStructuredOutputs: true });
const openai = createOpenAI({ baseURL: URL_, apiKey: KEY });
const whole = createOpenAI({ baseURL: URL_, apiKey: KEY_THAT_REFUSES });
const rented = createOpenAI({ baseURL: URL_, apiKey: KEY_FOR_CLOUDS });
const PROVIDERS = { compatible: (id) => compatible(id), openai: (id) => openai.chat(id) };
const prompt = "Say something.";
const until = (stepCountIs ?? isStepCount)(3);
const lookUp = tool({
  description: "The weather of a city.",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `21 in ${city}`,
});
const Weather = z.object({ city: z.string(), degrees: z.number() });

for (const [name, model] of Object.entries(PROVIDERS)) {
  check(`${name}: generateText`, async () => {
    for (const id of FAKES) {
      const answer = await generateText({ model: model(id), prompt, maxRetries: 0 });
      assert.equal(answer.text, SENTENCE);
      assert.equal(answer.usage.outputTokens, 6);
    }
    const real = await generateText({ model: model("tiny"), prompt, maxOutputTokens: 8, maxRetries: 0 });
    assert.ok(real.usage.outputTokens > 0);
  });

  check(`${name}: streamText`, async () => {
    for (const id of [...FAKES, "tiny"]) {
      const answer = streamText({ model: model(id), prompt, maxOutputTokens: 8, maxRetries: 0 });
      let said = "";
      for await (const piece of answer.textStream) said += piece;
      assert.ok((await answer.usage).outputTokens > 0, id);
      if (id !== "tiny") assert.equal(said, SENTENCE);
    }
  });

  check(`${name}: tools, whole and streamed`, async () => {
    for (const id of FAKES) {
      const asked = { model: model(id), prompt, tools: { look_up: lookUp }, stopWhen: until, maxRetries: 0 };
      assert.equal((await generateText(asked)).text, "It is 21 degrees.");
      const answer = streamText(asked);
      assert.equal(await answer.text, "It is 21 degrees.", id);
      assert.equal((await answer.steps).length, 2);
    }
  });

  check(`${name}: structured output`, async () => {
    for (const id of FAKES) {
      const answer = await generateText({ model: model(id), prompt, output: Output.object({ schema: Weather }), maxRetries: 0 });
      assert.deepEqual(answer.output, { city: "Paris", degrees: 21 });
    }
    const digits = z.object({ n: z.number().int().min(0).max(99) });
    const asked = { model: model("tiny"), prompt, output: Output.object({ schema: digits }), maxOutputTokens: 200, maxRetries: 0 };
    digits.parse((await generateText(asked)).output);
  });

  check(`${name}: image`, async () => {
    const content = [{ type: "text", text: "What?" }, { type: "image", image: PIXEL }];
    const answer = await generateText({ model: model("fakes/vllm"), messages: [{ role: "user", content }], maxRetries: 0 });
    assert.equal(answer.text, SENTENCE);
  });

  check(`${name}: errors`, async () => {
    const missing = await rejected(APICallError, () => generateText({ model: model("gpt-9"), prompt, maxRetries: 0 }));
    assert.equal(missing.statusCode, 404);
    assert.equal(missing.isRetryable, false);
    assert.match(missing.message, /gpt-9/);
    const told = FULL.map((full) => () => generateText({ model: model(full), prompt, maxRetries: 0 }));
    const asks = [() => generateText({ model: whole.chat("tiny"), messages: LONG, maxRetries: 0 }), ...told];
    for (const ask of asks) {
      const long = await rejected(APICallError, ask);
      assert.equal(long.statusCode, 400);
      assert.equal(long.isRetryable, false);
      assert.match(long.message, /maximum context length/);
      assert.equal(long.data?.error?.code, "context_length_exceeded");
    }
    const failed = await rejected(APICallError, () => generateText({ model: model("fakes/failing"), prompt, maxRetries: 0 }));
    assert.ok(failed.statusCode >= 502 && failed.isRetryable);
  });

  check(`${name}: a stream that breaks`, async () => {
    const [said, errors] = await heard(model("fakes/cut-ai-sdk"));
    assert.equal(said, "The quick");
    assert.match(errors, /broke off/);
  });
}

/** What a stream says, and the errors that it tells. */
async function heard(model) {
  const errors = [];
  let said = "";
  for await (const part of streamText({ model, prompt, maxRetries: 0, onError: () => {} }).fullStream) {
    if (part.type === "error") errors.push(part.error?.message ?? part.error);
    if (part.type === "text-delta") said += part.text ?? part.delta;
  }
  return [said, JSON.stringify(errors)];
}

check("rented clouds", async () => {
  for (const id of CLOUDS) {
    const answer = await generateText({ model: rented.chat(id), prompt, maxRetries: 0 });
    assert.equal(answer.text, SENTENCE);
    assert.equal(answer.usage.outputTokens, 6);
    assert.deepEqual(await heard(rented.chat(id)), [SENTENCE, "[]"]);
  }
});

check("rented clouds that fail", async () => {
  const ask = () => generateText({ model: rented.chat("clouds/full-ai-sdk"), prompt, maxRetries: 0 });
  const full = await rejected(APICallError, ask);
  assert.equal(full.statusCode, 429);
  assert.ok(full.isRetryable);
  const [said, errors] = await heard(rented.chat("clouds/cut-ai-sdk"));
  assert.equal(said, "The quick");
  assert.match(errors, /broke off/);
});

check("embeddings", async () => {
  for (const id of ["tiny", "fakes/embedder"]) {
    for (const model of [compatible.embeddingModel(id), openai.embeddingModel(id)]) {
      const one = await embed({ model, value: "a harbour", maxRetries: 0 });
      const many = await embedMany({ model, values: ["a harbour", "the night watch"], maxRetries: 0 });
      assert.equal(many.embeddings.length, 2);
      one.embedding.forEach((value, at) => assert.ok(Math.abs(value - many.embeddings[0][at]) < 1e-4));
    }
  }
});

check("legacy completions", async () => {
  const answer = await generateText({ model: compatible.completionModel("fakes/vllm"), prompt: "Once", maxRetries: 0 });
  assert.equal(answer.text, SENTENCE);
});

check("leaving a stream", () =>
  thrice(async () => {
    const controller = new AbortController();
    const answer = streamText({ model: compatible("fakes/slow"), prompt, maxRetries: 0, abortSignal: controller.signal });
    const reader = answer.textStream.getReader();
    await reader.read();
    const left = now();
    controller.abort();
    return left;
  }));

await runChecks();
