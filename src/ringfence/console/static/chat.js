// The chat box. Its history lives in this page and nowhere else.

import { byId, draw, h } from "./dom.js";
import { milliseconds, rate } from "./format.js";
import { obstacle } from "./models.js";
import { prose } from "./prose.js";
import { eventsOf, openChat } from "./stream.js";

const SUGGESTIONS = ["What is Ringfence?", "Which engines do you find?", "How do I make a key?"];

export function chat() {
  const at = { log: byId("chat-log"), form: byId("chat-form"), text: byId("chat-text"), model: byId("chat-model") };
  const buttons = { send: byId("chat-send"), stop: byId("chat-stop"), clear: byId("chat-clear") };
  let history = [];
  let running = null;
  let canAsk = false;

  function refresh() {
    at.model.disabled = at.text.disabled = !canAsk;
    buttons.send.hidden = running !== null;
    buttons.stop.hidden = running === null;
    buttons.send.disabled = !canAsk || at.text.value.trim() === "";
    buttons.clear.hidden = history.length === 0 && !at.log.querySelector(".said");
  }

  function fit() {
    at.text.style.height = "auto";
    at.text.style.height = `${at.text.scrollHeight + 2}px`;
    refresh();
  }

  function showEmpty() {
    const suggestions = SUGGESTIONS.map((words) => h("button", { type: "button", onclick: () => { at.text.value = words; send(); } }, words));
    at.log.replaceChildren(h("div.chat-empty", {},
      h("p", {}, canAsk ? "Ask the model something. The answer shows where it ran and how fast." : "No model can chat right now."),
      canAsk ? h("div.suggestions", {}, ...suggestions) : null));
  }

  async function send() {
    const words = at.text.value.trim();
    if (!words || running !== null || !canAsk) return;
    if (!at.log.querySelector(".said")) at.log.replaceChildren();
    at.text.value = "";
    at.log.append(h("div.said.user", {}, words));
    const question = { role: "user", content: words };
    const mine = history;
    running = new AbortController();
    fit();
    const answer = await write(at.log, { model: at.model.value, messages: [...mine, question] }, running.signal);
    running = null;
    if (answer) mine.push(question, { role: "assistant", content: answer });
    refresh();
    if (!matchMedia("(pointer: coarse)").matches) at.text.focus();
  }

  at.form.addEventListener("submit", (event) => { event.preventDefault(); send(); });
  at.text.addEventListener("input", fit);
  at.text.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  });
  buttons.stop.addEventListener("click", () => running?.abort());
  buttons.clear.addEventListener("click", () => {
    running?.abort();
    history = [];
    showEmpty();
    refresh();
    at.text.focus();
  });

  /** The models that can be asked now. */
  function offer(status) {
    const able = status.models.filter((model) => model.abilities.includes("chat"));
    const usable = able.filter((model) => model.targets.some((target) => !obstacle(target, status.instances)));
    const chosen = at.model.value;
    draw(at.model, able.map((model) => [model.name, usable.includes(model)]), (models) =>
      models.map(([name, isUsable]) => h("option", { value: name }, isUsable ? name : `${name} (not available)`)));
    if (able.some((model) => model.name === chosen)) at.model.value = chosen;
    else if (usable.length) at.model.value = usable[0].name;
    const couldAsk = canAsk;
    canAsk = able.length > 0;
    if (!at.log.firstChild || (couldAsk !== canAsk && !at.log.querySelector(".said"))) showEmpty();
    refresh();
  }

  return { offer };
}

/** One answer, as it comes. Resolves to its text; empty when there is none to remember. */
async function write(log, ask, signal) {
  const thought = h("details", { hidden: true }, h("summary", {}, "Thinking"), h("div"));
  const words = h("div.words");
  const foot = h("p.figures-line", {}, "Waiting for the first word…");
  const said = h("div.said.answer.is-writing", { "aria-busy": "true" }, thought, words, foot);
  log.append(said);
  log.scrollTop = log.scrollHeight;
  const answer = { text: "", thoughts: "", target: "", window: "", startedAt: performance.now(), firstAt: 0, pieces: 0, usage: null };
  let isQueued = false;

  function paint() {
    isQueued = false;
    const follows = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
    thought.hidden = answer.thoughts === "";
    if (thought.lastChild.textContent !== answer.thoughts) thought.lastChild.textContent = answer.thoughts;
    words.replaceChildren(...prose(answer.text));
    if (follows) log.scrollTop = log.scrollHeight;
  }

  let problem = "";
  try {
    await read(ask, signal, answer, () => {
      if (answer.firstAt) foot.textContent = figures(answer, "");
      if (!isQueued) { isQueued = true; requestAnimationFrame(paint); }
    });
  } catch (error) {
    problem = signal.aborted ? "stopped" : inWords(error);
  }
  paint();
  said.classList.remove("is-writing");
  if (problem && problem !== "stopped") foot.before(h("p.failed", { role: "alert" }, problem));
  foot.textContent = figures(answer, problem === "stopped" ? "stopped" : "");
  foot.hidden = foot.textContent === "";
  said.setAttribute("aria-busy", "false");
  log.scrollTop = log.scrollHeight;
  return answer.text;
}

async function read(ask, signal, answer, changed) {
  const response = await openChat({ ...ask, stream: true, stream_options: { include_usage: true } }, signal);
  answer.target = response.headers.get("x-ringfence-target") ?? "";
  answer.window = response.headers.get("x-ringfence-window") ?? "";
  for await (const event of eventsOf(response)) {
    if (event.error) throw new Error(event.error.message ?? "The engine broke off; the answer is not complete.");
    if (event.usage) answer.usage = event.usage;
    const delta = event.choices?.[0]?.delta;
    const thoughts = delta?.reasoning_content ?? delta?.reasoning ?? "";
    if (!delta?.content && !thoughts) continue;
    if (!answer.firstAt) answer.firstAt = performance.now();
    answer.lastAt = performance.now();
    answer.pieces += 1;
    answer.text += delta.content ?? "";
    answer.thoughts += thoughts;
    changed();
  }
}

function figures(answer, ending) {
  const parts = [answer.target];
  if (answer.firstAt) parts.push(`first word after ${milliseconds(answer.firstAt - answer.startedAt)}`);
  const written = answer.usage?.completion_tokens ?? answer.pieces;
  const tookS = (answer.lastAt - answer.firstAt) / 1000;
  if (written > 1 && tookS > 0.1) parts.push(`${rate((written - 1) / tookS)} tokens/s`);
  if (answer.usage) parts.push(`${answer.usage.prompt_tokens} → ${answer.usage.completion_tokens} tokens`);
  if (answer.window && answer.window !== "fit") parts.push(`window: ${answer.window}`);
  return [...parts, ending].filter(Boolean).join(" · ");
}

const inWords = (error) => (error instanceof TypeError ? "The gateway could not be reached. Is it still running?" : error.message);
