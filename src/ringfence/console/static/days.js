// Some days as stacked columns; with a pointer or the arrow keys each of them can be read.

import { draw, h, say } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 100, GAP = 0.16, COLOURS = 6;
const states = new WeakMap();

function shape(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

const date = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" });
const named = (day) => date.format(new Date(`${day.day}T00:00:00Z`));
const colour = (place) => `layer${place % COLOURS}`;

function make(box, name) {
  const svg = shape("svg", { preserveAspectRatio: "none", "aria-hidden": "true" });
  const chart = h("div.columns", { role: "slider", tabindex: "0", "aria-label": name, "aria-valuemin": 1, "aria-orientation": "horizontal" }, h("span.most"), svg);
  chart.addEventListener("pointermove", (event) => {
    const { left, width } = svg.getBoundingClientRect();
    point(box, Math.floor(((event.clientX - left) / width) * states.get(box).days.length));
  });
  chart.addEventListener("pointerleave", () => point(box, null));
  chart.addEventListener("blur", () => point(box, null));
  chart.addEventListener("keydown", (event) => {
    const last = states.get(box).days.length - 1, at = states.get(box).at ?? last;
    const to = { ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1, ArrowUp: at + 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    point(box, to);
  });
  box.replaceChildren(h("ul.layers"), chart, h("p.columns-foot", {}, h("span"), h("span.read"), h("span")));
}

/** `layers` are [{ name, of(day) }], the lowest first; `tell` puts an amount in words. What is less than nothing hangs below. */
export function drawDays(box, { name, days, layers, tell }) {
  if (!states.has(box)) make(box, name);
  const state = { days, layers, tell, at: states.get(box)?.at ?? null };
  states.set(box, state);
  const amounts = days.map((day) => layers.map((layer) => layer.of(day)));
  const total = (parts) => parts.reduce((all, one) => all + one, 0);
  const most = Math.max(1, ...amounts.map((parts) => total(parts.filter((one) => one > 0))));
  const least = Math.min(0, ...amounts.map((parts) => total(parts.filter((one) => one < 0))));
  const [legend, chart, foot] = box.children;
  draw(legend, [layers.map((one) => one.name), amounts], () => layers.map((layer, place) =>
    h("li", {}, h(`i.${colour(place)}`), layer.name, " ", h("b", {}, tell(total(amounts.map((parts) => parts[place])))))));
  const svg = chart.lastChild;
  svg.setAttribute("viewBox", `0 0 ${days.length} ${HEIGHT}`);
  draw(svg, amounts, () => [
    ...amounts.flatMap((parts, day) => column(parts, day, most, least)),
    least < 0 && shape("rect", { class: "zero", x: 0, y: (HEIGHT * most) / (most - least), width: days.length, height: 0.5 }),
  ]);
  say(chart.firstChild, tell(most));
  chart.setAttribute("aria-valuemax", days.length);
  say(foot.firstChild, named(days[0]));
  say(foot.lastChild, "today");
  point(box, state.at);
}

function column(parts, day, most, least) {
  const size = HEIGHT / (most - least), zero = most * size;
  let above = zero, below = zero;
  return parts.map((part, place) => {
    const height = Math.abs(part) * size, y = part > 0 ? (above -= height) : below;
    if (part < 0) below += height;
    return part !== 0 && shape("rect", { class: colour(place), "data-day": day, x: day + GAP / 2, y, width: 1 - GAP, height });
  });
}

/** Says what a day came to; null: none is pointed at. */
function point(box, place) {
  const state = states.get(box), { days, layers, tell } = state;
  const at = place === null ? null : Math.min(days.length - 1, Math.max(0, place));
  state.at = at;
  const [, chart, foot] = box.children;
  for (const one of chart.lastChild.children) one.classList.toggle("dimmed", at !== null && one.dataset.day && one.dataset.day !== String(at));
  const day = days[at ?? days.length - 1];
  const parts = layers.map((layer) => [layer.name, layer.of(day)]).filter(([, amount]) => amount !== 0);
  const words = `${named(day)}: ${parts.map(([name, amount]) => `${name} ${tell(amount)}`).join(", ") || "nothing"}`;
  chart.setAttribute("aria-valuenow", (at ?? days.length - 1) + 1);
  chart.setAttribute("aria-valuetext", words);
  say(foot.children[1], at === null ? "" : words);
}
