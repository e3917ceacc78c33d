// The last hour of a device as a stacked area; with a pointer or the arrow keys each moment of it can be read.

import { h, say } from "./dom.js";
import { bytes, timeOfDay } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const HOUR_S = 3600, HEIGHT = 100, STEP_S = 60;
const LAYERS = ["ours", "others", "leased"]; // as they stand in a point, after its time
const drawn = new WeakMap();

function shape(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function make(box, name) {
  const svg = shape("svg", { viewBox: `0 0 ${HOUR_S} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  svg.append(...LAYERS.map((layer) => shape("path", { class: layer })), shape("path", { class: "kept" }));
  const chart = h("div.chart", { role: "slider", tabindex: "0", "aria-label": `The last hour of ${name}`, "aria-valuemin": -60, "aria-valuemax": 0, "aria-orientation": "horizontal" }, svg, h("i.cursor", { hidden: true }));
  chart.addEventListener("pointermove", (event) => {
    const { left, width } = chart.getBoundingClientRect();
    point(box, ((event.clientX - left) / width) * HOUR_S - HOUR_S);
  });
  chart.addEventListener("pointerleave", () => point(box, null));
  chart.addEventListener("blur", () => point(box, null));
  chart.addEventListener("keydown", (event) => {
    const at = drawn.get(box).at ?? 0;
    const to = { ArrowLeft: at - STEP_S, ArrowDown: at - STEP_S, ArrowRight: at + STEP_S, ArrowUp: at + STEP_S, Home: -HOUR_S, End: 0 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    point(box, Math.min(0, Math.max(-HOUR_S, to)));
  });
  box.replaceChildren(chart, h("p.chart-foot", {}, h("span", {}, "an hour ago"), h("span.read"), h("span", {}, "now")));
  return chart;
}

/** `points` as the gateway tells them; `nowS` is the right edge. */
export function drawTimeline(box, device, points, everyS, nowS) {
  const chart = drawn.has(box) ? box.firstChild : make(box, device.name);
  drawn.set(box, { points, nowS, everyS, at: drawn.get(box)?.at ?? null });
  const total = Math.max(1, device.total_bytes);
  const [, , , kept] = chart.firstChild.children;
  const runs = split(points.filter((one) => one[0] > nowS - HOUR_S), 3 * everyS);
  LAYERS.forEach((_, layer) => chart.firstChild.children[layer].setAttribute("d", runs.map((run) => area(run, layer, nowS, total, everyS)).join("")));
  const line = (HEIGHT * device.headroom_bytes) / total;
  kept.setAttribute("d", device.headroom_bytes ? `M0 ${line}H${HOUR_S}` : "");
  point(box, drawn.get(box).at);
}

/** Where nothing was read there is nothing to see. */
function split(points, gapS) {
  const runs = [];
  points.forEach((one, place) => {
    if (place === 0 || one[0] - points[place - 1][0] > gapS) runs.push([]);
    runs.at(-1).push(one);
  });
  return runs;
}

function area(run, layer, nowS, total, everyS) {
  const x = (one) => HOUR_S + one[0] - nowS;
  const upTo = (one, last) => HEIGHT - Math.min(HEIGHT, (HEIGHT * one.slice(1, last + 2).reduce((sum, part) => sum + part, 0)) / total);
  const edge = (last) => run.map((one) => [x(one), upTo(one, last).toFixed(2)]);
  const end = x(run.at(-1)) + (run.length === 1 ? everyS : 0); // one alone is seen as well
  const [upper, lower] = [edge(layer), layer === 0 ? [[end, HEIGHT], [x(run[0]), HEIGHT]] : edge(layer - 1).reverse()];
  return `M${[...upper, [end, upper.at(-1)[1]], ...lower].map((pair) => pair.join(" ")).join("L")}Z`;
}

/** Says what was at `at` seconds before now (a negative number); null: nothing is pointed at. */
function point(box, at) {
  const state = drawn.get(box);
  state.at = at;
  const [chart, foot] = box.children;
  const [, cursor] = chart.children;
  cursor.hidden = at === null;
  cursor.style.left = `${100 + (100 * (at ?? 0)) / HOUR_S}%`;
  const words = told(state, at ?? 0);
  chart.setAttribute("aria-valuenow", Math.round((at ?? 0) / 60));
  chart.setAttribute("aria-valuetext", words);
  say(foot.children[1], at === null ? (state.points.length ? "" : "Nothing was recorded yet.") : words);
}

function told({ points, nowS, everyS }, at) {
  const wanted = nowS + at;
  const near = points.reduce((best, one) => (best === null || Math.abs(one[0] - wanted) < Math.abs(best[0] - wanted) ? one : best), null);
  if (near === null || Math.abs(near[0] - wanted) > 3 * everyS) return `${timeOfDay(wanted)}: not read`;
  const [when, ours, others, leased] = near;
  return `${timeOfDay(when)}: ${bytes(ours)} ours, ${bytes(others)} others${leased ? `, ${bytes(leased)} leased` : ""}`;
}
