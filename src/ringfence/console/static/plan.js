// What would be done with the devices now and why, who waits, where each model is, and what was done last.

import { byId, draw, h, list, pill, say } from "./dom.js";
import { bytes, duration, moment, plural, words } from "./format.js";

const PHASES = { ready: "good", starting: "busy", draining: "warn", stopping: "warn", sleeping: "quiet", absent: "quiet", failed: "bad" };

/** [kind, sentence, ground] for the head of the page. */
export function inShort({ actions, waiting, refused, models, mode }, switching) {
  const on = mode ? `Mode ${mode} is on.` : null;
  const said = (kind, first, ...more) => [kind, first, ...[...more, on].filter(Boolean)];
  if (switching) return said("info", switching.to === null ? `Leaving mode ${switching.from ?? ""}…` : `Switching to ${switching.to}…`, "Devices are handed over as soon as those who use them are done.");
  if (models.length === 0) return said("quiet", "Nothing is placed by Ringfence.", "Models with a source of their own are loaded, swapped and unloaded here; engines that were found are left alone.");
  if (actions.length) return said("info", `${plural(actions.length, "move is", "moves are")} to be made.`, waiting.length ? `${plural(waiting.length, "waits", "wait")} for room.` : null);
  if (waiting.length) return said("info", `${plural(waiting.length, "waits", "wait")} for room.`);
  if (refused.length) return said("warn", `${plural(refused.length, "is", "are")} refused.`, "What is asked for does not fit as things are.");
  const ready = models.filter((one) => one.phase === "ready").length;
  return said("good", "Nothing to do.", `Nobody waits; ${ready} of ${plural(models.length, "model")} ${ready === 1 ? "is" : "are"} ready.`);
}

/** `nameOf` names devices, `tenantOf` leases. */
export function drawPlan(plan, nameOf, tenantOf) {
  const where = (devices) => Object.entries(devices).map(([id, held]) => `${bytes(held)} on ${nameOf(id)}`).join(", ");
  const actions = plan.actions.map((one) => [one.what, tenantOf(one.name), [where(one.devices), one.reason]]);
  draw(byId("actions"), actions, () => actions.map((one) => move(...one)));
  byId("actions-none").hidden = plan.actions.length > 0;
  byId("actions-note").hidden = plan.actions.length < 2;
  const waiting = plan.waiting.map((one) => ({ ...one, name: tenantOf(one.name) }));
  draw(byId("queue"), [waiting, plan.refused], () => [
    ...waiting.map((one) => h("li.row", {}, h("b", {}, one.name), pill("busy", `in about ${duration(one.estimate_s)}`), h("p.facts", {}, one.reason))),
    ...plan.refused.map((one) => h("li.row", {}, h("b", {}, tenantOf(one.name)), pill("bad", "Refused"), h("p.facts", {}, one.reason))),
  ]);
  byId("queue-part").hidden = plan.waiting.length + plan.refused.length === 0;
  draw(byId("recent"), plan.recent.map((one) => ({ ...one, tenant: tenantOf(one.name) })), () => plan.recent.map((one) => move(one.what, tenantOf(one.name), [one.reason], h("time", { datetime: new Date(one.at_s * 1000).toISOString() }, moment(one.at_s)))));
  byId("recent-panel").hidden = plan.recent.length === 0;
  drawModels(plan, where);
}

const move = (what, name, told, when = null) => h("li.row", {},
  h("div", {}, h("span.chip", {}, words(what)), " ", h("b", {}, name)), when ?? h("span"),
  h("p.facts", {}, told.filter(Boolean).join(" · ")));

function drawModels({ models, waiting, refused }, where) {
  byId("placed-panel").hidden = models.length === 0;
  say(byId("placed-note"), models.length ? `${models.filter((one) => one.phase === "ready").length} of ${models.length} ready` : "");
  list(byId("placed"), models, (one) => one.name, () => h("li.row"), (row, one) => {
    const comes = waiting.find((other) => other.name === one.name)?.estimate_s;
    const isRefused = refused.some((other) => other.name === one.name);
    const idle = one.idle_s === null ? "" : `idle for ${duration(one.idle_s)}`;
    draw(row, { ...one, idle_s: idle, where: where(one.devices), comes, isRefused }, (shown) => [
      h("div", {}, h("b", {}, one.name), " ", h("span.chip", {}, one.priority), " ", h("span.chip", {}, words(one.residency))),
      pill(PHASES[one.phase] ?? "quiet", words(one.phase)),
      h("p.facts", {}, [
        shown.where + (shown.where && one.basis !== "observed" ? ` (${one.basis})` : ""),
        one.running ? `${one.running} running` : "", one.waiting ? `${one.waiting} waiting` : "", one.running + one.waiting ? "" : idle,
        comes === undefined ? "" : `comes in about ${duration(comes)}`, isRefused ? "refused" : "",
      ].filter(Boolean).join(" · ") || "nobody asks for it"),
    ]);
  });
}
