// Batches of all keys: how far each is, how much of its window is left; and its end, for who asks twice.

import { sayParked } from "./banner.js";
import { byId, draw, h, list, pill, say } from "./dom.js";
import { ending } from "./ending.js";
import { count, duration, plural, words } from "./format.js";
import { poll } from "./poll.js";
import { sayVerdict } from "./verdict.js";

const STATES = { validating: "quiet", in_progress: "busy", finalizing: "busy", cancelling: "warn", completed: "good", failed: "bad", expired: "warn", cancelled: "quiet" };
const SOON = 0.1; // of the window
const latest = new Map(); // id -> as it was last told: a row is made once

const isOver = (one) => one.left_s === null;
const name = (one) => `${one.model || one.endpoint} for ${one.key}`;
const done = (one) => one.completed + one.failed;
const share = (one) => (one.total ? done(one) / one.total : 0);

function short(open, running) {
  if (open.length === 0) return ["quiet", "No batch is under way.", "A batch is a file of calls for whoever can wait. “ringfence batches run FILE” sends one."];
  const left = open.reduce((sum, one) => sum + one.total - done(one), 0);
  const many = plural(open.length, "batch is under way", "batches are under way");
  const ground = running ? `${plural(running, "line is", "lines are")} being asked now.` : "No line is being asked now: lines wait for their hours, and for everybody who comes first.";
  return ["info", `${many}, ${plural(left, "line")} to go.`, ground];
}

function show([found, waiting]) {
  sayParked(waiting.parked.filter((one) => one.position !== null).length);
  const open = found.batches.filter((one) => !isOver(one));
  sayVerdict(short(open, found.running));
  byId("batches-panel").hidden = found.batches.length === 0;
  latest.clear();
  for (const one of found.batches) latest.set(one.id, one);
  list(byId("batches"), found.batches, (one) => one.id, make, fill);
  end.check(found.batches);
  return ["good", "Up to date"];
}

// -- rows

// [label, kind, what never changes]; the labels are shown where there is no room for a head
const COLUMNS = [
  [null, "td"], ["Progress", "td"], ["Answered", "td.num"], ["Failed", "td.num"], ["Lines", "td.num"],
  ["Window left", "td.num"], ["Model", "td"], ["Endpoint", "td", (one) => one.endpoint],
  ["Key", "td", (one) => one.key], ["Profile", "td", (one) => one.profile],
];

const make = (one) => h("tr", {},
  ...COLUMNS.map(([label, kind, tell]) => h(kind, { "data-label": label, title: tell?.(one) }, tell?.(one))),
  h("td", {}, h("button.small", { type: "button", "aria-label": `Cancel ${name(one)}, ${one.id}`, onclick: () => end.ask(latest.get(one.id)) }, "Cancel")));

function fill(row, one) {
  const [state, progress, completed, failed, total, left, model] = row.children;
  draw(state, one.status, (status) => pill(STATES[status] ?? "warn", words(status)));
  draw(progress, [one.completed, one.failed, one.total], bar);
  say(completed, count(one.completed));
  say(failed, count(one.failed));
  failed.classList.toggle("some", one.failed > 0);
  say(total, one.total ? count(one.total) : "–");
  say(left, isOver(one) ? "–" : duration(one.left_s));
  left.classList.toggle("soon", !isOver(one) && one.left_s < SOON * (one.left_s + one.age_s) && share(one) < 1);
  left.title = `Made ${duration(one.age_s)} ${isOver(one) ? "before it ended" : "ago"}`;
  say(model, one.model || (one.total ? "several" : "–"));
  model.title = one.model;
  const button = row.lastChild.firstChild;
  button.hidden = isOver(one) || one.status === "cancelling";
  row.classList.toggle("over", isOver(one));
}

const SVG = "http://www.w3.org/2000/svg";

function shape(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** The answered and the failed of all lines, to scale, with the percentage beside it. */
function bar([completed, failed, total]) {
  const well = total ? (100 * completed) / total : 0, ill = total ? (100 * failed) / total : 0;
  const picture = shape("svg", { class: "lines", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" });
  for (const [kind, x, width] of [["all", 0, 100], ["well", 0, well], ["ill", well, ill]]) picture.append(shape("rect", { class: kind, x, y: 0, width, height: 8 }));
  return [picture, h("span.percent", {}, `${Math.floor(well + ill)} %`)];
}

// -- cancelling one

const end = ending({
  rows: "batches", page: "batches-page", path: "/control/v1/batches", name, again: () => again(),
  which: (one) => `${name(one)}, profile ${one.profile}: ${count(done(one))} of ${plural(one.total, "line")} done. ${one.id}`,
  state: (one) => one.status, isOpen: (one) => !isOver(one), isEnding: (one) => ["cancelling", "cancelled"].includes(one.status),
});

const again = poll(() => ["/control/v1/batches", "/control/v1/parked"], show);
