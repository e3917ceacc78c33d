// One card per model: what it is, where it runs, how full it is.

import { byId, command, draw, h, list, pill, say } from "./dom.js";
import { plural, tokens, words } from "./format.js";

const REASONS = {
  connect: "not reachable",
  lost: "the connection broke",
  first_byte_timeout: "no first byte in time",
  stalled: "stopped in the middle",
  status: "answered with an error",
  malformed: "answered with something unreadable",
  loading: "still loading",
  slow: "begins to answer too late",
};

/** A target is named INSTANCE/MODEL where the engine was found, ENGINE/INSTANCE where it was started. */
export const runs = (instance, target) => target.name.startsWith(`${instance.name}/`) || target.name.endsWith(`/${instance.name}`);

/** It failed too often: calls go elsewhere, until one of them finds that it answers again. */
const isSetAside = (target) => typeof target.set_aside_s === "number";

/** What keeps a target from being used now, in words; "" when nothing does. */
export function obstacle(target, instances) {
  const instance = instances.find((one) => runs(one, target));
  if (instance && instance.state !== "ready") return instance.reason || words(instance.state).toLowerCase();
  return !instance || isSetAside(target) ? REASONS[target.reason] ?? target.reason : "";
}

/** [kind, words] for the worst that a caller would notice. */
function state(model, instances) {
  const usable = model.targets.filter((target) => !obstacle(target, instances));
  if (usable.length === 0) {
    const isStarting = instances.some((one) => one.state === "starting" && model.targets.some((target) => runs(one, target)));
    return isStarting ? ["warn", "Starting"] : ["bad", "Not available"];
  }
  if (usable.some((target) => target.waiting > 0)) return ["warn", "Full"];
  if (usable.length < model.targets.length) return ["warn", "Partly available"];
  if (usable.some((target) => target.failures > 0)) return ["warn", "Failing"];
  return usable.some((target) => target.running > 0) ? ["busy", "Working"] : ["good", "Ready"];
}

export function drawModels({ models, instances }) {
  const box = byId("models");
  say(byId("models-note"), models.length ? plural(models.length, "model") : "");
  box.hidden = models.length === 0;
  list(box, models, (model) => model.name, () => h("article.card"), (card, model) => fill(card, model, instances));
  draw(byId("models-hint"), models.map((model) => model.name), hint);
}

function hint(names) {
  if (names.length === 0) {
    return h("div.empty", {}, h("p", {}, h("b", {}, "No model is served yet."), " Serve one from a file, or start Ollama, vLLM or LM Studio: it is found and used."), command("ringfence up --model FILE.gguf"));
  }
  if (names.length === 1 && names[0] === "demo") {
    return h("div.hint.empty", {}, h("p", {}, "This is the small demo model that comes with Ringfence. Serve a real one:"), command("ringfence up --model FILE.gguf"));
  }
  return [];
}

function fill(card, model, instances) {
  const { targets, ...head } = model;
  if (!card.firstChild) card.append(h("div"), h("div"));
  draw(card.children[0], { ...head, state: state(model, instances) }, (shown) => [
    h("div.card-head", {}, h("h3", {}, shown.name), pill(...shown.state)),
    h("p.facts", {}, [
      shown.window ? `window of ${tokens(shown.window)} tokens` : "window unknown",
      shown.abilities.join(", "),
      shown.owner && shown.owner !== "ringfence" ? `by ${shown.owner}` : "",
    ].filter(Boolean).join(" · ")),
    shown.aliases.length ? h("p.chips", {}, h("span.facts", {}, "also"), ...shown.aliases.map((alias) => h("span.chip", {}, alias))) : null,
  ]);
  list(card.children[1], targets, (target) => target.name, makeTarget, (element, target) => fillTarget(element, target, obstacle(target, instances)));
}

function makeTarget() {
  return h("div.target", {},
    h("div.target-line", {}, h("b"), h("span.chip")),
    h("p.target-name"),
    h("div.bar", { role: "img" }, h("i")),
    h("div.target-line.facts", {}, h("span"), h("span")),
    h("p.why"));
}

function fillTarget(element, target, problem) {
  const [top, name, bar, bottom, why] = element.children;
  say(top.children[0], target.provider ? `${target.provider} (${target.host})` : target.engine);
  say(name, target.name);
  const reach = String(target.boundary).toLowerCase();
  top.children[1].className = `chip ${reach}`;
  say(top.children[1], { host: "on this machine", mesh: "on your network", cloud: "in the cloud" }[reach] ?? reach);
  const busy = `${target.running} of ${plural(target.slots, "slot")} in use`;
  bar.setAttribute("aria-label", busy);
  bar.firstChild.style.width = `${Math.min(100, (100 * target.running) / Math.max(1, target.slots))}%`;
  say(bottom.children[0], target.window ? `${busy} · window ${tokens(target.window)}` : busy);
  say(bottom.children[1], target.waiting ? `${target.waiting} waiting` : "");
  const failures = target.failures ? `${plural(target.failures, "failure")} in a row` : "";
  const aside = isSetAside(target) ? `set aside, ${target.set_aside_s > 0 ? `tried again in ${Math.ceil(target.set_aside_s)} s` : "being tried again"}` : "";
  say(why, [problem || (failures && (REASONS[target.reason] ?? target.reason)), failures, aside].filter(Boolean).join(" · "));
  why.hidden = why.textContent === "";
}
