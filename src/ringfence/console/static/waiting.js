// What waits until a target within its boundary is free: place, age, time left; and its end, for who asks twice.

import { sayParked } from "./banner.js";
import { byId, draw, h, list, pill, say } from "./dom.js";
import { ending } from "./ending.js";
import { countdown, duration, plural, words } from "./format.js";
import { poll } from "./poll.js";
import { sayVerdict } from "./verdict.js";

const STATES = { waiting: "quiet", serving: "busy", done: "good", cancelled: "quiet", failed: "bad", unreadable: "bad" };
const OPEN = ["waiting", "serving"]; // in every other state it has ended
const SOON_S = 60;
const clocks = new Map(); // id -> when it was parked and when it ends, on the clock of this page

const nowS = () => performance.now() / 1000;
const name = (one) => `${one.model} for ${one.key}`;

function short({ parked, most }, queued) {
  if (queued === 0) return ["quiet", "Nothing is waiting.", "A request whose profile may wait is kept here while no target within its boundary is free."];
  const many = plural(queued, "request is parked", "requests are parked");
  if (queued >= most) return ["warn", `The queue is full: ${many}.`, "Further ones are refused until one of these is served, cancelled, or reaches its deadline."];
  return ["info", `${many}.`, "They are served in this order as soon as a target within their boundary is free."];
}

function show(found) {
  const queued = found.parked.filter((one) => one.position !== null).length;
  sayParked(queued);
  sayVerdict(short(found, queued));
  const isSealed = found.sealed === "ok";
  draw(byId("sealed"), found.sealed, (sealed) => isSealed ? [] : h("p.aside.why", {},
    `What was parked before cannot be read: ${sealed.replace(/^unreadable: /, "")}. “ringfence doctor” says how to mend it.`));
  byId("parked-panel").hidden = found.parked.length === 0;
  clocks.clear();
  for (const one of found.parked) clocks.set(one.id, { sinceS: nowS() - one.age_s, untilS: one.deadline_s === null ? null : nowS() + one.deadline_s });
  list(byId("parked"), found.parked, (one) => one.id, make, fill);
  end.check(found.parked);
  if (!isSealed) return ["bad", "Not readable"];
  return queued >= found.most ? ["warn", "Queue full"] : ["good", "Up to date"];
}

// -- rows

// [label, kind, what never changes]; the labels are shown where there is no room for a head
const COLUMNS = [
  ["Place", "td.num"], [null, "td"], ["Age", "td.num"], ["Deadline in", "td.num"], ["Served in", "td.num"],
  ["Model", "td", (one) => one.model], ["Profile", "td", (one) => one.profile], ["Key", "td", (one) => one.key],
  ["Class", "td", (one) => one.class], ["Ticket", "td", (one) => (one.ticketed ? "Yes" : "–")],
];

const make = (one) => h("tr", {},
  ...COLUMNS.map(([label, kind, tell]) => h(kind, { "data-label": label, title: tell?.(one) }, tell?.(one))),
  h("td", {}, h("button.small", { type: "button", "aria-label": `Cancel ${name(one)}`, onclick: () => end.ask(one) }, "Cancel")));

function fill(row, one) {
  const [place, state, , , estimate] = row.children;
  say(place, one.position ?? "–");
  draw(state, one.state, () => pill(STATES[one.state] ?? "warn", words(one.state)));
  say(estimate, one.estimate_s === null ? "–" : `about ${duration(one.estimate_s)}`);
  const isOver = !OPEN.includes(one.state);
  row.lastChild.firstChild.hidden = isOver;
  row.classList.toggle("over", isOver);
  tick(row);
}

function tick(row) {
  const { sinceS, untilS } = clocks.get(row.dataset.key);
  const [, , age, deadline] = row.children;
  const leftS = untilS === null ? Infinity : untilS - nowS();
  say(age, duration(nowS() - sinceS));
  say(deadline, untilS === null ? "–" : countdown(leftS));
  deadline.classList.toggle("soon", leftS < SOON_S);
}

// -- cancelling one

const end = ending({
  rows: "parked", page: "waiting", path: "/control/v1/parked", name, again: () => again(),
  which: (one) => `${name(one)}, profile ${one.profile}${one.ticketed ? ", with a ticket" : ""}.`,
  state: (one) => one.state, isOpen: (one) => OPEN.includes(one.state), isEnding: (one) => one.state === "cancelled",
});

const again = poll(() => "/control/v1/parked", show);
setInterval(() => {
  if (!document.hidden && !document.body.classList.contains("is-stale")) for (const row of document.querySelectorAll("#parked tr:not(.over)")) tick(row);
}, 1000);
