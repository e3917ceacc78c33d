// A request is pasted, and the way that it would take is drawn. Its text is in this page alone, and goes to our gateway.

import { byId, draw, h, say } from "./dom.js";
import { bytes, plural } from "./format.js";
import { asPrompt, pasted } from "./pasted.js";
import { poll } from "./poll.js";
import { send } from "./send.js";
import { sayVerdict } from "./verdict.js";
import { drawnBy, fence, fitted, short, standings, way } from "./way.js";

const PAUSE_MS = 200;
const LONG_BYTES = 1024 * 1024;
const MOST_HEAD_BYTES = 60 * 1024; // of the 64 KiB that the head of a request may take
const OF_THE_QUESTION = ["not_signed_in", "foreign_origin", "request_too_large", "internal_error", "not_found", "overloaded"]; // not of the request
const FIELDS = ["model", "profile", "agent", "labels", "priority"];

const field = (name) => byId(name).value.trim();
const size = (text) => new Blob([text]).size;
let known = null; // models, instances and profiles, as they are now
let told = null; // {found, question} of what is shown
let asked = 0, pause = 0;

// -- what was pasted

function read(text) {
  const found = pasted(text);
  const { kind, body, headers } = found;
  const long = size(text);
  const names = { prompt: "A prompt", json: "JSON", curl: "A curl command" };
  const list = body.messages ?? body.input ?? body.prompt;
  const parts = [`${names[kind]}, ${bytes(long)}`, kind === "prompt" ? "" : Array.isArray(list) && body.messages ? plural(list.length, "message") : "", kind !== "prompt" && body.model ? `for ${body.model}` : ""];
  const taken = Object.entries(headers).map(([name, value]) => `${name} ${value}`).join(", ");
  if (kind === "curl") parts.push(taken ? `from its headers: ${taken}` : "no other header is read");
  if (long > LONG_BYTES) parts.push("read whole, which takes a moment");
  say(byId("read"), `${parts.filter(Boolean).join(" · ")}.`);
  return found;
}

/** Headers of a command are put where they can be seen and changed, once for each text. */
function taken({ headers }) {
  for (const name of ["profile", "agent", "priority"]) if (headers[name]) choose(byId(name), headers[name]);
  if (headers.label) byId("labels").value = headers.label;
}

function choose(element, value) {
  if (element.tagName === "SELECT" && ![...element.options].some((one) => one.value === value)) element.append(h("option", {}, value));
  element.value = value;
}

function typed() {
  clearTimeout(pause);
  pause = 0;
  trouble();
  try {
    if (byId("text").value.trim()) taken(read(byId("text").value));
    else say(byId("read"), "");
  } catch (problem) {
    say(byId("read"), problem.message);
  }
}

// -- asking

const trouble = (...words) => byId("problem").replaceChildren(...words);

async function explain(as = pasted) {
  if (pause) typed();
  const text = byId("text").value;
  let found;
  try {
    if (!text.trim()) return trouble("Paste a request first.");
    found = as(text);
  } catch (problem) {
    say(byId("read"), "");
    return unreadable(problem);
  }
  const head = Math.max(size(field("labels")), size(field("agent")));
  if (head > MOST_HEAD_BYTES) return trouble(`These labels are ${bytes(head)} long. They travel in a header, and the head of a request may take 64 KiB. Nothing was asked.`);
  trouble();
  const sent = field("model") || (typeof found.body.model === "string" && found.body.model) || "auto";
  const labels = field("labels").split(",").map((one) => one.trim()).filter(Boolean);
  const given = Object.fromEntries(["profile", "agent", "priority"].map((name) => [name, field(name)]).filter(([, value]) => value));
  const mine = asked += 1;
  byId("question").setAttribute("aria-busy", "true");
  const answer = await send("POST", "/control/v1/explain", { model: sent, body: found.body, labels, ...given }).catch(() => null);
  const said = await answer?.json().catch(() => null);
  if (mine !== asked) return;
  byId("question").removeAttribute("aria-busy");
  const question = { kind: found.kind, size: size(text), labels: labels.join(", "), sent };
  if (answer?.ok && said) show(said, question);
  else refused(answer?.status, said?.error, question);
}

function unreadable(problem) {
  const { message, at } = problem;
  trouble(h("p", {}, message), h("button.small", { type: "button", onclick: () => explain(asPrompt) }, "It is a prompt: explain it as one"));
  if (at >= 0) {
    byId("text").focus();
    byId("text").setSelectionRange(at, at + 1);
  }
}

function refused(status, error, question) {
  byId("answer").hidden = true;
  told = null;
  const why = error?.message ?? (question.size > LONG_BYTES ? `The gateway did not take it: ${bytes(question.size)} may be more than server.max_body_bytes allows.` : "The gateway did not answer. Try again.");
  if (error && !OF_THE_QUESTION.includes(error.code)) sayVerdict(["bad", "It would be refused.", why, `The caller gets ${status}, ${error.code}.`]);
  else {
    sayVerdict(["quiet", "This could not be explained."]);
    trouble(question.size > LONG_BYTES && error ? `${why} This request is ${bytes(question.size)} long.` : why);
  }
  seen();
}

// -- showing

function show(found, question) {
  told = { found, question };
  byId("answer").hidden = false;
  redraw();
  byId("window-panel").hidden = !found.window;
  const { window: whole, target } = found.window ?? {};
  say(byId("window-note"), whole ? `${whole.toLocaleString("en-US")} tokens${target ? `, at ${target}` : ""}` : "");
  draw(byId("window"), found.window, (one) => (one ? fitted(one) : []));
  seen();
}

/** Once more with how its targets are now. */
function redraw() {
  if (told === null || known === null) return;
  const { found, question } = told;
  const rows = standings(found, known);
  sayVerdict(short(found, rows, question));
  say(byId("fence-note"), drawnBy(found, known.profiles.find((one) => one.name === found.profile)?.boundary));
  draw(byId("fence"), found.allowed, () => fence(found));
  draw(byId("way"), { ...told, rows }, () => way(found, rows, question));
}

/** On a narrow screen the answer is below the question. */
function seen() {
  const { top } = byId("verdict").getBoundingClientRect();
  if (top > innerHeight - 150 || top < 0) byId("verdict").scrollIntoView();
}

function fill(select, names) {
  const offered = [...select.options].map((one) => one.value);
  select.append(...[...new Set(names)].filter((name) => !offered.includes(name)).map((name) => h("option", {}, name)));
}

function heard([{ models }, { instances }, { profiles }]) {
  const isFirst = known === null;
  known = { models, instances, profiles };
  fill(byId("model"), ["auto", ...models.flatMap((model) => [model.name, ...model.aliases])]);
  fill(byId("profile"), profiles.map((one) => one.name));
  if (isFirst && profiles.some((one) => one.name === "default")) byId("profile").value = "default";
  const named = isFirst && new URLSearchParams(location.hash.slice(1)).get("model");
  if (named) choose(byId("model"), named);
  redraw();
  return ["good", "Up to date"];
}

byId("text").addEventListener("input", () => {
  clearTimeout(pause);
  pause = setTimeout(typed, PAUSE_MS);
});
byId("question").addEventListener("submit", (event) => {
  event.preventDefault();
  explain();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  explain();
});
for (const name of FIELDS) byId(name).addEventListener("change", () => { if (told !== null) explain(); });
poll(() => ["/control/v1/models", "/control/v1/instances", "/control/v1/profiles"], heard);
