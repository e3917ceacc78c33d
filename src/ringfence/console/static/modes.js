// Modes with a button that switches, the way of a switch, and leases of other programs with their end.

import { ask } from "./asking.js";
import { byId, draw, h, list, pill, say } from "./dom.js";
import { bytes, duration, timeOfDay, words } from "./format.js";
import { send } from "./send.js";

const PHASES = { asked: "busy", held: "good", recalled: "warn" };
const named = (mode) => (mode === null ? "no mode" : mode);

export const underWay = ({ switch: last }) => (last !== null && last.outcome === null ? last : null);

export function drawModes(found, nameOf, again) {
  byId("modes-panel").hidden = found.modes.length === 0;
  const isBusy = underWay(found) !== null;
  const rows = found.now === null ? found.modes : [...found.modes, null];
  list(byId("modes"), rows, (mode) => (mode === null ? " off" : mode.name), () => h("li.row", {}, h("div"), h("span"), h("p.facts")), (row, mode) => {
    const [name, state, facts] = row.children;
    const isOn = mode !== null && mode.name === found.now;
    draw(name, mode?.name, () => mode === null ? h("span", {}, "No mode: devices are for everybody") : h("b", {}, mode.name));
    draw(state, { isOn, isBusy }, () => isOn ? pill("good", "On") : h("button.small", { type: "button", disabled: isBusy, "aria-label": mode === null ? "Leave the mode" : `Switch to ${mode.name}`, onclick: () => confirm(mode, found.now, nameOf, again) }, mode === null ? "Leave" : "Switch"));
    facts.hidden = mode === null;
    say(facts, mode === null ? "" : [
      mode.devices.map(nameOf).join(", "), mode.models.length ? `keeps ${mode.models.join(", ")}` : "", mode.tenants.length ? `for ${mode.tenants.join(", ")}` : "",
    ].filter(Boolean).join(" · "));
  });
  draw(byId("switch"), found.switch, drawSwitch);
}

function drawSwitch(last) {
  if (last === null) return [];
  const [kind, state] = last.outcome === null ? ["busy", "Under way"] : last.outcome === "done" ? ["good", "Done"] : ["bad", "Rolled back"];
  const why = last.outcome && last.outcome !== "done" ? last.outcome.replace(/^rolled back:?\s*/, "") : "";
  return [
    h("p.switch-head", {}, h("b", {}, `From ${named(last.from)} to ${named(last.to)}`), " ", pill(kind, state)),
    why && h("p.why", {}, why),
    h("ol", {}, ...last.steps.map((step) => h("li", {}, h("time", {}, timeOfDay(step.at_s)), step.text))),
  ];
}

function confirm(mode, now, nameOf, again) {
  const keeps = mode === null ? "" : `${[...mode.models, ...mode.tenants].join(", ") || "nothing"} on ${mode.devices.map(nameOf).join(" and ")}`;
  ask({
    title: mode === null ? `Leave mode ${now}?` : `Switch to ${mode.name}?`,
    which: mode === null ? "Its devices are for everybody again." : `It keeps ${keeps}.`,
    warning: mode === null ? "What belongs to the mode is stopped." : "All other models leave, once they have answered what they are asked now. If the switch does not succeed, it is rolled back.",
    yes: mode === null ? "Leave mode" : "Switch",
    look: "primary",
    send: () => send("POST", "/control/v1/mode", { mode: mode?.name ?? null }),
    done: () => { byId("modes-panel").focus(); again(); },
  });
}

// -- leases

export function drawLeases(leases, nameOf, again) {
  byId("leases-panel").hidden = leases.length === 0;
  list(byId("leases"), leases, (one) => one.id, () => h("li.row", {}, h("div"), h("button.small", { type: "button" }, "End"), h("p.facts")), (row, one) => {
    const [name, button, facts] = row.children;
    draw(name, [one.tenant, one.phase], () => [h("b", {}, one.tenant), " ", pill(PHASES[one.phase] ?? "quiet", words(one.phase))]);
    button.setAttribute("aria-label", `End the lease of ${one.tenant}`);
    button.onclick = () => end(one, nameOf, again);
    say(facts, [
      `${bytes(one.bytes)} on ${nameOf(one.device)}`, one.phase === "asked" ? "" : `${bytes(one.used_bytes)} of it taken`, `priority ${one.priority}`, `for ${duration(one.age_s)}`,
      one.reason, one.estimate_s === null ? "" : `in about ${duration(one.estimate_s)}`,
      one.pid !== null ? `ends with its process (pid ${one.pid})` : one.expires_s === null ? "" : `ends in ${duration(one.expires_s)} unless it is heard of`,
    ].filter(Boolean).join(" · "));
  });
}

function end(one, nameOf, again) {
  ask({
    title: "End this lease?",
    which: `${one.tenant}: ${bytes(one.bytes)} on ${nameOf(one.device)}.`,
    warning: "Its memory is given to others. A program that still holds it is not stopped: what it holds counts as taken.",
    yes: "End lease",
    look: "danger",
    send: () => send("DELETE", `/control/v1/leases/${encodeURIComponent(one.id)}`),
    done: () => { say(byId("said"), `Ended: the lease of ${one.tenant}.`); byId("memory").focus(); again(); },
  });
}
