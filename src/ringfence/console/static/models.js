// One card per model: what it is, where it runs, how full it is.

import { byId, command, draw, h, list, pill, say } from "./dom.js";
import { plural, tokens } from "./format.js";

const isUsable = (target) => !target.reason;

/** [kind, words] for the worst that a caller would notice. */
function state(model) {
  const usable = model.targets.filter(isUsable);
  if (usable.length === 0) return ["bad", "Not available"];
  if (usable.some((target) => target.waiting > 0)) return ["warn", "Full"];
  if (usable.length < model.targets.length) return ["warn", "Partly available"];
  if (usable.some((target) => target.failures > 0)) return ["warn", "Failing"];
  return usable.some((target) => target.running > 0) ? ["busy", "Working"] : ["good", "Ready"];
}

export function drawModels({ models }) {
  const box = byId("models");
  say(byId("models-note"), models.length ? plural(models.length, "model") : "");
  box.hidden = models.length === 0;
  list(box, models, (model) => model.name, () => h("article.card"), fill);
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

function fill(card, model) {
  const { targets, ...head } = model;
  if (!card.firstChild) card.append(h("div"), h("div"));
  draw(card.children[0], { ...head, state: state(model) }, (shown) => [
    h("div.card-head", {}, h("h3", {}, shown.name), pill(...shown.state)),
    h("p.facts", {}, [
      shown.window ? `${tokens(shown.window)} tokens` : "window unknown",
      shown.abilities.join(", "),
      shown.owner && shown.owner !== "ringfence" ? `by ${shown.owner}` : "",
    ].filter(Boolean).join(" · ")),
    shown.aliases.length ? h("p.chips", {}, h("span.facts", {}, "also"), ...shown.aliases.map((alias) => h("span.chip", {}, alias))) : null,
  ]);
  list(card.children[1], targets, (target) => target.name, makeTarget, fillTarget);
}

function makeTarget() {
  return h("div.target", {},
    h("div.target-line", {}, h("span"), h("span.chip")),
    h("div.bar", { role: "img" }, h("i")),
    h("div.target-line.facts", {}, h("span"), h("span")),
    h("p.why"));
}

function fillTarget(element, target) {
  const [top, bar, bottom, why] = element.children;
  say(top.children[0], `${target.engine} · ${target.name}`);
  const reach = String(target.boundary).toLowerCase();
  top.children[1].className = `chip ${reach}`;
  say(top.children[1], { host: "on this machine", mesh: "on your network", cloud: "in the cloud" }[reach] ?? reach);
  const busy = `${target.running} of ${plural(target.slots, "slot")} in use`;
  bar.setAttribute("aria-label", busy);
  bar.firstChild.style.width = `${Math.min(100, (100 * target.running) / Math.max(1, target.slots))}%`;
  say(bottom.children[0], busy);
  say(bottom.children[1], target.waiting ? `${target.waiting} waiting` : "");
  why.hidden = !target.reason && !target.failures;
  say(why, [target.reason, target.failures ? plural(target.failures, "failure") : ""].filter(Boolean).join(" · "));
}
