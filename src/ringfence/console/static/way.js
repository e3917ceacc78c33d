// The way of one request, drawn: what is read of it, the rules in their order, the targets in theirs, and the end.

import { h, pill } from "./dom.js";
import { bytes, count, kinds, plural, timeOfDay, words } from "./format.js";
import { obstacle, runs } from "./models.js";

const REACHES = ["HOST", "MESH", "CLOUD"];
const ZONES = { HOST: "This machine", MESH: "Your other machines", CLOUD: "Rented clouds" };
const PLACES = { HOST: "on this machine", MESH: "on your network", CLOUD: "in a rented cloud" };
const STATES = { starting: ["busy", "Loading"], stopped: ["quiet", "Loads first"], sleeping: ["quiet", "Wakes first"], stopping: ["quiet", "Loads first"], draining: ["quiet", "Loads first"] };
const ENDINGS = {
  error: ["Error", "The caller gets an error at once, which says what failed."],
  park: ["Waits", "It is kept here until a target within its boundary is free, or its deadline has come."],
};
ENDINGS.queue = ENDINGS.park;

/** Each target of the chain with what is known of it now: kind, state and why, and whether it can serve, soon at least. */
export function standings(found, { models, instances }) {
  return found.chain.map((row) => {
    const model = models.find((one) => one.targets.some((target) => target.name === row.target));
    const target = model?.targets.find((one) => one.name === row.target);
    const instance = target && instances.find((one) => runs(one, target));
    const why = (target && obstacle(target, instances)) || "";
    const isAside = target?.set_aside_s > 0 || (instance?.state === "ready" && why);
    const aside = isAside ? ["warn", "Set aside"] : row.usable ? ["good", "Ready"] : ["warn", "Not ready"];
    const [kind, state] = !instance || instance.state === "ready" ? aside : STATES[instance.state] ?? ["bad", "Not available"];
    return { ...row, name: model?.name ?? row.target, reach: String(row.boundary).split(" ")[0], kind, state, why: why || (kind === "good" ? "" : row.note), comes: !["warn", "bad"].includes(kind) };
  });
}

// -- in short

/** [kind, sentence, ground, …] */
export function short(found, rows, { sent }) {
  const why = ruled(found, sent);
  if (found.window?.state === "refused") return ["bad", "It would be refused: it does not fit.", found.window.error, why];
  const first = rows.findIndex((row) => row.comes);
  const place = first < 0 ? rows.findIndex((row) => row.state === "Set aside") : first;
  const { park, error } = ENDINGS;
  if (place < 0) return ["warn", (found.ending === "error" ? error : park) === park ? "It would wait: no target of its chain can serve it now." : "It would fail: no target of its chain can serve it now.", why];
  const { name, reach, provider, kind } = rows[place];
  const later = { busy: ", once it has loaded", quiet: ", which is loaded first", warn: ", which failed lately: there is nothing else" }[kind] ?? "";
  const passed = rows.slice(0, place).map((row) => `${row.name} on ${row.target} comes first, but is passed over: ${row.why || row.state.toLowerCase()}.`);
  return [first < 0 ? "warn" : { HOST: "good", MESH: "info" }[reach] ?? "warn", `It goes to ${name}, ${provider ? `at ${provider}, ` : ""}${PLACES[reach] ?? found.allowed}${later}.`, why, ...passed];
}

function ruled(found, sent) {
  const taken = found.rules?.find((rule) => rule.taken);
  const isSecond = taken && found.rules.slice(0, found.rules.indexOf(taken)).some((rule) => rule.matched);
  if (taken) return `Rule “${taken.name}” is the first that matches${isSecond ? " and can serve it" : ""}${taken.why ? `: ${taken.why}` : ""}.`;
  return sent === "auto" || found.rules?.length ? `${words(found.reason)}.` : `${named(found)}.`;
}

const named = ({ reason }) => `The caller names the model${reason === "named by the caller" ? "" : `: ${reason}`}`;

// -- the fence

export function fence(found) {
  const most = REACHES.indexOf(found.allowed);
  return h("ol.fence", {}, ...REACHES.map((reach, place) => h(place <= most ? "li.inside" : "li.beyond", {},
    h("b", {}, ZONES[reach]), h("span", {}, place <= most ? "may read it" : "never sees it"))));
}

/** Who draws the fence there. `boundary` is how far the profile goes by itself. */
export function drawnBy({ allowed, profile, kept_by: kept, held_by: held }, boundary) {
  if (kept && boundary !== allowed) return `Kept there by ${kept}${REACHES.includes(boundary) ? `; profile ${profile} alone goes as far as ${ZONES[boundary].toLowerCase()}` : ""}.`;
  if (held) return `Profile ${held} stops there, also for calls under profile ${profile}.`;
  return allowed === "CLOUD" ? `Profile ${profile} goes as far, and nothing in the request keeps it nearer.` : `Profile ${profile} stops there.`;
}

// -- the way

export function way(found, rows, question) {
  const [end, ended] = ENDINGS[found.ending] ?? [words(found.ending), ""];
  return [
    step("Request", "as it was pasted", asked(found, question)),
    step("Signals", "what is read of it", signals(found.signals)),
    step("Rules", "the first that matches wins", rules(found, question.sent)),
    step("Chain", "tried in this order until one answers", [
      h("ol.chain", {}, ...rows.map(target)), rows.length === 0 && h("p.note", {}, "No target is left."), leftOut(found.excluded),
    ]),
    step("Ending", "if none of them answers", [h("p", {}, h("b", {}, `${end}.`), " ", h("span.facts", {}, ended))]),
  ];
}

const step = (name, note, content) => h("li.step", {}, h("div.step-head", {}, h("h2", {}, name), h("span.note", {}, note)), ...[content].flat().filter(Boolean));

function asked(found, { kind, size, labels, sent }) {
  const said = { prompt: "A prompt", json: "A request as JSON", curl: "The request of a curl command" }[kind];
  const who = [`profile ${found.profile}`, found.agent && `agent ${found.agent}`, labels && `labels ${labels}`, found.priority && `class ${found.priority}`];
  return h("p", {}, `${said} of ${bytes(size)} for `, h("b", {}, sent), h("span.facts", {}, ` · ${who.filter(Boolean).join(" · ")}`));
}

const NAMES = { ability: "Kind", context_tokens: "Context", prompt_bytes: "Size", gpu_load: "GPU load", budget_left_usd: "Budget left", now_s: "Time of day", urgency: "Class", tightest: "Sensitivity" };
const TOLD = ["task", "effort", "context_tokens", "sensitivity"]; // of them there is more to say than of the others
const TRAVELS = { HOST: "stays on this machine", MESH: "stays on your machines", CLOUD: "may leave" };

function reading(name, value) {
  if (value === null && name === "budget_left_usd") return "unlimited";
  if (value === true || value === false) return value ? "yes" : "no";
  if (value === null || value === "") return "none";
  if (typeof value === "object") return Object.entries(value).filter(([, one]) => one).map(([of, one]) => `${of} ${one}`).join(", ") || "none";
  if (name.endsWith("_bytes")) return bytes(value);
  if (name.endsWith("_usd")) return `$${value.toFixed(2)}`;
  if (name === "now_s") return timeOfDay(value);
  if (name.endsWith("_tokens")) return `${count(value)} tokens`;
  if (name === "gpu_load") return `${Math.round(value)} %`;
  return TRAVELS[String(value).toUpperCase()] ?? (name === "effort" ? `${value} of 10` : String(value));
}

/** Plain values, or each with what it rests on; `why` of all of them is a list. */
function signals({ why: grounds = [], model, ...read }) {
  const all = Object.entries(read).map(([name, one]) => {
    const { value, why } = one !== null && typeof one === "object" && "value" in one ? one : { value: one, why: "" };
    return { name, label: NAMES[name] ?? words(name), why: [why].flat().filter(Boolean).join("; "), text: reading(name, value) };
  });
  const most = all.filter((one) => one.why || TOLD.includes(one.name));
  const told = most.length ? most : all;
  const quiet = all.filter((one) => !told.includes(one));
  return [
    h("dl.signals", {}, ...told.map((one) => h("div", {}, h("dt", {}, one.label), h("dd", {}, one.text), one.why && h("dd.facts", {}, one.why)))),
    grounds.length > 0 && h("p.ground", {}, `${words(grounds.join("; "))}.`),
    quiet.length > 0 && h("p.facts", {}, quiet.map((one) => `${one.label}: ${one.text}`).join(" · ")),
  ];
}

function rules(found, sent) {
  if (!found.rules?.length) return h("p", {}, `No rule is asked. ${sent === "auto" ? words(found.reason) : named(found)}.`);
  const taken = found.rules.findIndex((rule) => rule.taken);
  return h("ol.rules", {}, ...found.rules.map((rule, place) => {
    const isLater = taken >= 0 && place > taken;
    const [look, mark, state] = rule.taken ? ["taken", "✓", pill("good", "First match")]
      : isLater ? ["later", "·", h("span.facts", {}, rule.matched ? "Would match too" : "Not asked")]
        : rule.matched ? ["passed", "!", pill("warn", "Matches, cannot serve")] : ["missed", "✕", h("span.facts", {}, "No match")];
    const targets = (rule.use ?? rule.targets ?? []).join(", ");
    return h(`li.rule.${look}`, rule.taken ? { "aria-current": "step" } : {},
      h("span.mark", { "aria-hidden": "true" }, mark),
      h("div", { title: targets && `Uses ${targets}` }, h("b", {}, rule.name), h("span.condition", {}, rule.text || "always"), h("span.ground", {}, rule.why),
        rule.taken && targets && h("p.facts", {}, `uses ${targets}`), !rule.taken && rule.matched && leftOut(rule.excluded)),
      state);
  }));
}

const target = (row, place) => h(`li.stop.${row.kind}`, {},
  h("div.stop-head", {}, h("b", {}, `${place + 1}. ${row.name}`), pill(row.kind, row.state)),
  h("p.target-name", {}, row.target),
  h("p", {}, h(`span.chip.${row.reach.toLowerCase()}`, {}, PLACES[row.reach] ?? row.reach), " ", h("span.facts", {}, row.provider ? `${row.provider} (${row.host})` : row.engine)),
  row.why && h("p.why", {}, row.why));

const leftOut = (excluded) => excluded?.length > 0 && h("ul.left-out", { "aria-label": "Left out" }, ...excluded.map((one) =>
  h("li", {}, h("span.mark", { "aria-hidden": "true" }, "✕"), h("div", {}, h("b", {}, one.target), " ", h("span.facts", {}, one.reason), /beyond/.test(one.reason) && h("span.chip.cloud", {}, "beyond the boundary")))));

// -- the window

const DONE = {
  fit: ["good", "Fits", "Nothing is left out."],
  clamped: ["busy", "Clamped", "It fits, with less output than is asked for."],
  compressed: ["warn", "Compressed", "Texts in it are shortened, by keeping their most telling lines."],
  truncated: ["warn", "Truncated", "Parts of it are left out."],
  refused: ["bad", "Refused", "It does not fit."],
  unknown: ["quiet", "Unknown", "This engine does not say how large its window is: it goes on as it is."],
};

export function fitted(told) {
  const [kind, state, done] = DONE[told.state] ?? ["quiet", words(told.state), ""];
  const size = told.before && told.after && told.before !== told.after ? `${count(told.before)} → ${count(told.after)} tokens` : told.estimate != null ? `about ${count(told.estimate)} tokens` : "";
  const given = [told.dropped ? `${plural(told.dropped, "message")} left out` : "", ...kinds(told.shortened ?? {}).map((one) => `${one} shortened`)];
  const parts = [size && `Prompt: ${size}${told.bound != null ? `, at most ${count(told.bound)}` : ""}`, told.max_tokens ? `output: at most ${count(told.max_tokens)}${told.asked && told.asked !== told.max_tokens ? ` (${count(told.asked)} asked for)` : ""}` : "", ...given];
  return [
    h("p", {}, pill(kind, state), " ", told.error || done),
    told.shares && bar(told),
    h("p.facts", {}, [...parts, told.by === "estimate" ? "an estimate: the engine has the last word" : ""].filter(Boolean).join(" · ")),
  ];
}

function bar({ window: whole, shares, before, after, estimate, max_tokens: output }) {
  const prompt = Math.min(whole, (before !== after ? after : estimate) ?? 0);
  const out = Math.min(output ?? shares.output, whole - prompt);
  const parts = [["ours", "prompt", prompt], ["free", "free", Math.max(0, whole - prompt - out - shares.reserve)], ["others", "output", out], ["kept", "reserve", shares.reserve]];
  const shown = h("div.bar.shares", { role: "img", "aria-label": parts.map(([, name, n]) => `${name} ${count(n)}`).join(", ") }, ...parts.map(([look, , n]) => {
    const part = h(`i.${look}`);
    part.style.width = `${(100 * n) / whole}%`;
    return part;
  }));
  return h("div", {}, shown, h("p.legend", {}, ...parts.map(([look, name, n]) => h("span", {}, h(`i.${look}`), `${name} ${count(n)}`))));
}
