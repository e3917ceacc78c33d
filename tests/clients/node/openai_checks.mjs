// The openai package of npm, unchanged.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { ASKED, CLOUDS, FAKES, FULL, KEY, KEY_FOR_CLOUDS, KEY_FOR_ONE_REQUEST, KEY_THAT_REFUSES, LONG, PIXEL, SENTENCE, URL_, check, now, rejected, runChecks, thrice } from "./checks.mjs";

const client = new OpenAI({ baseURL: URL_, apiKey: KEY, maxRetries: 0, timeout: 30_000 });
const chat = (model, more = {}, options = {}) => client.chat.completions.create({ model, messages: ASKED, ...more }, options);
const Weather = z.object({ city: z.string(), degrees: z.number().int() });
const TOOL = {
  type: "function",
  function: { name: "look_up", parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] } },
};

async function all(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

check("chat", async () => {
  for (const model of FAKES) {
    const answer = await chat(model);
    assert.equal(answer.choices[0].message.content, SENTENCE);
    assert.equal(answer.model, model);
  }
  const real = await chat("tiny", { max_tokens: 8 });
  assert.ok(real.usage.completion_tokens > 0);
});

check("stream without usage has a choice in every chunk", async () => {
  for (const model of [...FAKES, "tiny"]) {
    const chunks = await all(await chat(model, { stream: true, max_tokens: 8 }));
    assert.ok(chunks.every((chunk) => chunk.choices.length === 1 && chunk.usage == null && chunk.model === model), model);
    if (model !== "tiny") assert.equal(chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join(""), SENTENCE);
  }
});

check("stream with usage tells it last", async () => {
  for (const model of [...FAKES, "tiny"]) {
    const chunks = await all(await chat(model, { stream: true, stream_options: { include_usage: true }, max_tokens: 8 }));
    assert.deepEqual(chunks.at(-1).choices, [], model);
    assert.ok(chunks.at(-1).usage.completion_tokens > 0);
    assert.ok(chunks.slice(0, -1).every((chunk) => chunk.usage == null));
  }
});

check("completions", async () => {
  const answer = await client.completions.create({ model: "fakes/vllm", prompt: "Once", logprobs: 1, echo: true, max_tokens: 3 });
  assert.equal(answer.choices[0].text, "OnceThe quick brown");
  assert.equal(answer.choices[0].logprobs.token_logprobs.length, 3);
  const chunks = await all(await client.completions.create({ model: "fakes/vllm", prompt: "Once", stream: true }));
  assert.equal(chunks.map((chunk) => chunk.choices[0].text).join(""), SENTENCE);
});

check("embeddings are the same in either encoding", async () => {
  for (const model of ["tiny", "fakes/embedder"]) {
    const asked = { model, input: ["a harbour", "the night watch"] };
    const packed = await client.embeddings.create(asked);
    const floats = await client.embeddings.create({ ...asked, encoding_format: "float" });
    packed.data.forEach((row, place) => {
      assert.equal(row.embedding.length, floats.data[place].embedding.length);
      row.embedding.forEach((value, at) => assert.ok(Math.abs(value - floats.data[place].embedding[at]) < 1e-6));
    });
  }
});

check("models", async () => {
  const ids = (await all(client.models.list())).map((model) => model.id);
  assert.ok(["tiny", "auto", "local/fast", ...FAKES].every((id) => ids.includes(id)));
  assert.equal((await client.models.retrieve("fakes/vllm")).id, "fakes/vllm");
  await rejected(OpenAI.NotFoundError, () => client.models.retrieve("gpt-9"));
});

check("tools round trip, whole and streamed", async () => {
  for (const model of FAKES) {
    const first = (await chat(model, { tools: [TOOL] })).choices[0];
    assert.equal(first.finish_reason, "tool_calls");
    assert.deepEqual(JSON.parse(first.message.tool_calls[0].function.arguments), { city: "Paris" });
    const result = { role: "tool", tool_call_id: first.message.tool_calls[0].id, content: "21" };
    const second = await chat(model, { tools: [TOOL], messages: [...ASKED, first.message, result] });
    assert.equal(second.choices[0].message.content, "It is 21 degrees.");
    const streamed = await client.chat.completions.stream({ model, messages: ASKED, tools: [TOOL] }).finalMessage();
    assert.deepEqual(JSON.parse(streamed.tool_calls[0].function.arguments), { city: "Paris" });
  }
});

check("tool runner", async () => {
  const callback = async ({ city }) => `21 in ${city}`;
  const tool = { ...TOOL, function: { ...TOOL.function, function: callback, parse: JSON.parse } };
  const runner = client.chat.completions.runTools({ model: "fakes/vllm", messages: ASKED, tools: [tool] });
  assert.equal(await runner.finalContent(), "It is 21 degrees.");
});

check("structured output", async () => {
  const response_format = zodResponseFormat(Weather, "weather");
  for (const model of FAKES) {
    const answer = await client.chat.completions.parse({ model, messages: ASKED, response_format });
    assert.deepEqual(answer.choices[0].message.parsed, { city: "Paris", degrees: 21 });
  }
  const digits = z.object({ n: z.number().int().min(0).max(99) });
  const real = await chat("tiny", { response_format: zodResponseFormat(digits, "digits"), max_tokens: 200 });
  digits.parse(JSON.parse(real.choices[0].message.content));
});

check("images and unknown fields", async () => {
  const content = [{ type: "text", text: "What?" }, { type: "image_url", image_url: { url: PIXEL } }];
  const answer = await chat("fakes/vllm", { messages: [{ role: "user", content }], top_k: 3, vendor: { a: null } });
  assert.equal(answer.choices[0].message.content, SENTENCE);
});

check("headers", async () => {
  const { response, request_id } = await chat("fakes/vllm", { max_tokens: 100_000 }).withResponse();
  assert.ok(request_id && response.headers.get("x-request-id") === request_id);
  assert.equal(response.headers.get("x-ringfence-target"), "vllm/fakes/vllm");
  assert.equal(response.headers.get("x-ringfence-window"), "clamped");
});

check("base URL with and without v1", async () => {
  const root = URL_.replace(/\/v1$/, "");
  for (const baseURL of [`${root}/v1`, `${root}/v1/`, root, `${root}/`]) {
    const other = new OpenAI({ baseURL, apiKey: KEY, maxRetries: 0 });
    assert.equal((await other.chat.completions.create({ model: "fakes/vllm", messages: ASKED })).choices[0].message.content, SENTENCE);
  }
});

check("error classes", async () => {
  const stranger = new OpenAI({ baseURL: URL_, apiKey: "sk-rf-wrong", maxRetries: 0 });
  const unknown = await rejected(OpenAI.AuthenticationError, () => stranger.models.list());
  assert.equal(unknown.code, "invalid_api_key");
  const missing = await rejected(OpenAI.NotFoundError, () => chat("gpt-9", { stream: true }));
  assert.equal(missing.code, "model_not_found");
  assert.equal(missing.param, "model");
  const wrong = await rejected(OpenAI.BadRequestError, () => chat("tiny", { temperature: "hot" }));
  assert.equal(wrong.param, "temperature");
});

check("a prompt that is too long", async () => {
  const whole = new OpenAI({ baseURL: URL_, apiKey: KEY_THAT_REFUSES, maxRetries: 0 });
  const asks = ["tiny", "fakes/vllm", "fakes/llamacpp", "fakes/lmstudio"].map((model) => [model, LONG]);
  for (const [model, messages] of [...asks, ...FULL.map((model) => [model, ASKED])]) {
    for (const stream of [false, true]) {
      const long = await rejected(OpenAI.BadRequestError, () => whole.chat.completions.create({ model, messages, stream }));
      assert.equal(long.code, "context_length_exceeded");
      assert.equal(long.type, "invalid_request_error");
      assert.match(long.message, /maximum context length/);
    }
  }
});

check("error classes of an engine that fails", async () => {
  const failed = await rejected(OpenAI.InternalServerError, () => chat("fakes/failing"));
  assert.ok(failed.status === 502 || failed.status === 503);
  const broken = await rejected(OpenAI.APIError, async () => all(await chat("fakes/cut-openai", { stream: true })));
  assert.equal(broken.code, "engine_failed");
});

check("429", async () => {
  const limited = new OpenAI({ baseURL: URL_, apiKey: KEY_FOR_ONE_REQUEST, maxRetries: 0 });
  const ask = () => limited.chat.completions.create({ model: "fakes/vllm", messages: ASKED });
  await ask();
  const refused = await rejected(OpenAI.RateLimitError, ask);
  assert.equal(refused.code, "rate_limit_exceeded");
  assert.ok(Number(refused.headers.get("retry-after")) > 50);
});

const renting = new OpenAI({ baseURL: URL_, apiKey: KEY_FOR_CLOUDS, maxRetries: 0, timeout: 30_000 });
const rented = (model, stream) => renting.chat.completions.create({ model, messages: ASKED, stream });

check("rented clouds", async () => {
  for (const model of CLOUDS) {
    const answer = await rented(model, false);
    assert.equal(answer.choices[0].message.content, SENTENCE);
    assert.equal(answer.usage.completion_tokens, 6);
    const chunks = await all(await rented(model, true));
    assert.equal(chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join(""), SENTENCE);
  }
});

check("rented clouds that fail", async () => {
  for (const stream of [false, true]) {
    const full = await rejected(OpenAI.RateLimitError, () => rented("clouds/full-openai", stream));
    assert.equal(full.code, "provider_rate_limited");
    const later = Number(full.headers.get("retry-after"));
    assert.ok(1 <= later && later <= 30);
  }
  const broken = await rejected(OpenAI.APIError, async () => all(await rented("clouds/cut-openai", true)));
  assert.equal(broken.code, "engine_failed");
});

check("leaving a stream", () =>
  thrice(async () => {
    const stream = await chat("fakes/slow", { stream: true });
    await stream[Symbol.asyncIterator]().next();
    const left = now();
    stream.controller.abort();
    return left;
  }));

check("its own timeout", async () => {
  await rejected(OpenAI.APIConnectionTimeoutError, () => chat("fakes/slow", { stream: true }, { timeout: 1 }));
});

check("aborting by signal", async () => {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 100);
  const chunks = await all(await chat("fakes/slow", { stream: true }, { signal: controller.signal }));
  assert.ok(chunks.length < 4, "the package ends the loop without an error");
  await rejected(OpenAI.APIUserAbortError, () => chat("fakes/slow", {}, { signal: AbortSignal.abort() }));
});

await runChecks();
