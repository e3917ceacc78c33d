// The last requests: times, places and counts. Their text is not known here.

import { byId, draw, h, list, pill } from "./dom.js";
import { count, kinds, milliseconds, plural, timeOfDay, words } from "./format.js";

const SHOWN = 50;
let isFirst = true;

export function drawRequests(recent) {
  byId("requests-box").hidden = recent.length === 0;
  draw(byId("requests-empty"), recent.length === 0, (isEmpty) => isEmpty
    ? h("p.note", {}, "None yet. Try the chat on this page, or set a client's base URL to the one above.") : []);
  const newestFirst = [...recent].sort((a, b) => b.at_s - a.at_s).slice(0, SHOWN);
  list(byId("requests"), newestFirst, (one) => one.id, make, () => {});
  isFirst = recent.length === 0;
}

function outcome(one) {
  if (one.outcome === "ok") return ["good", one.stream ? "OK, streamed" : "OK"];
  if (/cancel|gone|left/.test(one.outcome)) return ["quiet", "Client left"];
  if (one.outcome === "parked") return ["quiet", "Parked"];
  const text = String(one.outcome).replaceAll("_", " ");
  return [one.status >= 500 || one.status < 400 ? "bad" : "warn", one.status >= 400 ? `${one.status} ${text}` : text];
}

/** What was done so that it fits the window: nothing to look at where it did. */
function fitting(done) {
  if (!done) return h("td.dim", {}, "–");
  const { state, before, after, asked, output } = done;
  if (state === "fit") return h("td.dim", {}, "Fits");
  const [from, to, what] = before ? [before, after, "prompt"] : [asked, output, "output"];
  const sizes = `${count(from)} → ${count(to)}`;
  const shortened = kinds(done.shortened);
  const detail = [`Tokens of the ${what}: ${sizes}`, done.dropped ? `${plural(done.dropped, "message")} left out` : "", shortened.length ? `shortened: ${shortened.join(", ")}` : ""];
  return h("td", { title: detail.filter(Boolean).join("; ") }, pill(before ? "warn" : "busy", words(state)), h("span.sizes", {}, sizes));
}

/** Its text is not known here: the page it leads to begins with the model. */
const explained = (one) => h("a", { href: `/console/explain#model=${encodeURIComponent(one.model)}`, title: `Explain a request for ${one.model}` }, one.rule);

function make(one) {
  const cell = (content, kind = "td") => h(kind, typeof content === "string" && content.length > 22 ? { title: content } : {}, content);
  const spent = !one.prompt_tokens && !one.completion_tokens ? "–" : `${count(one.prompt_tokens)} → ${count(one.completion_tokens ?? 0)}`;
  return h(isFirst ? "tr" : "tr.new", {},
    cell(timeOfDay(one.at_s), "td.dim"), cell(one.model), cell(one.target || "–"), cell(one.rule ? explained(one) : "–", "td.dim"),
    cell(milliseconds(one.first_byte_ms || null), "td.num"), cell(milliseconds(one.total_ms), "td.num"), cell(spent, "td.num"), fitting(one.fitting),
    h("td", {}, pill(...outcome(one))), cell(one.key || "–", "td.dim"));
}
