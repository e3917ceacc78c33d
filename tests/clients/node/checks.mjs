// Runs checks one after the other and prints what each returned as one line of JSON.
import assert from "node:assert/strict";

export const URL_ = process.env.RINGFENCE_URL;
export const KEY = process.env.RINGFENCE_KEY;
export const KEY_THAT_REFUSES = process.env.RINGFENCE_KEY_THAT_REFUSES;
export const KEY_FOR_ONE_REQUEST = process.env.RINGFENCE_KEY_FOR_ONE_REQUEST;
export const KEY_FOR_CLOUDS = process.env.RINGFENCE_KEY_FOR_CLOUDS;
export const CLOUDS = ["clouds/openai", "clouds/claude"];
export const SENTENCE = "The quick brown fox jumps.";
export const FAKES = ["fakes/llamacpp", "fakes/vllm", "fakes/ollama", "fakes/lmstudio"];
export const FULL = ["fakes/full-vllm", "fakes/full-llamacpp", "fakes/full-sglang", "fakes/full-ollama"];
export const ASKED = [{ role: "user", content: "Say something." }];
export const LONG = [{ role: "user", content: "word ".repeat(6000) }];
export const PIXEL =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=";

const checks = [];

export function check(name, run) {
  checks.push([name, run]);
}

export async function runChecks() {
  const told = {};
  for (const [name, run] of checks) {
    try {
      told[name] = (await run()) ?? null;
    } catch (error) {
      told[name] = { failed: String(error?.stack ?? error) };
    }
  }
  console.log(JSON.stringify(told));
}

export async function rejected(expected, ask) {
  try {
    await ask();
  } catch (error) {
    assert.ok(error instanceof expected, `${error?.constructor?.name}: ${error}`);
    return error;
  }
  throw new Error(`no ${expected.name}`);
}

/** Seconds of the machine's clock, the same that Python's time.monotonic() tells. */
export const now = () => Number(process.hrtime.bigint()) / 1e9;

/** When each of three streams was left. Between them is more than between two words: an end that is late is not taken
 * for that of the next. */
export async function thrice(leave) {
  const left = [];
  for (let count = 0; count < 3; count++) {
    left.push(await leave());
    await new Promise((done) => setTimeout(done, 1500));
  }
  return left;
}
