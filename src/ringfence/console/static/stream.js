// POST with a streamed answer: yields the parsed events of /v1/chat/completions.

let session = null;

async function apiKey(isFresh) {
  if (session === null || isFresh) {
    const answer = await fetch("/console/session");
    if (answer.status === 401) throw new Error("Your session has ended. Run “ringfence status --console” for a fresh link.");
    if (!answer.ok) throw new Error("The gateway did not hand out a key for this chat.");
    session = await answer.json();
  }
  return session.api_key;
}

function ask(key, body, signal) {
  const headers = { "content-type": "application/json" };
  if (key) headers.authorization = `Bearer ${key}`;
  return fetch("/v1/chat/completions", { method: "POST", headers, body: JSON.stringify(body), signal });
}

async function reasonOf(answer) {
  const body = await answer.json().catch(() => null);
  const words = body?.error?.message ?? `The gateway answered with status ${answer.status}.`;
  const wait = answer.headers.get("retry-after");
  return wait && !/again in/i.test(words) ? `${words} Try again in ${wait} s.` : words;
}

/** The answer, once its head is there; throws Error with words for people. */
export async function openChat(body, signal) {
  let answer = await ask(await apiKey(false), body, signal);
  if (answer.status === 401) answer = await ask(await apiKey(true), body, signal);
  if (!answer.ok) throw new Error(await reasonOf(answer));
  return answer;
}

/** Each `data:` of the stream as an object; ends with [DONE] or with the stream. */
export async function* eventsOf(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      rest += value ?? "";
      const lines = rest.split(/\r\n|\n|\r(?!$)/);
      rest = done ? "" : lines.pop();
      for (const line of lines) {
        if (!line.startsWith("data:")) continue;
        const data = line.slice(5).trim();
        if (data === "[DONE]") return;
        yield JSON.parse(data);
      }
      if (done) throw new Error("The answer broke off before its end.");
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
