// A line of the last points, as SVG that stretches with its box.

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 40;

function path(parent, className) {
  const element = document.createElementNS(SVG, "path");
  element.setAttribute("class", className);
  parent.append(element);
  return element;
}

function canvas(box, samples) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${samples - 1} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  path(svg, "area");
  path(svg, "line");
  box.replaceChildren(svg);
  return svg;
}

/** `points` end at the right edge; `samples` is how many fill the width. */
export function spark(box, points, samples) {
  const svg = box.firstElementChild ?? canvas(box, samples);
  const top = Math.max(1, ...points);
  const left = samples - points.length;
  const line = smooth(points).map((point, place) => `${left + place} ${(HEIGHT - 1 - (point / top) * (HEIGHT - 4)).toFixed(2)}`).join("L");
  svg.children[0].setAttribute("d", `M${left} ${HEIGHT}L${line}L${samples - 1} ${HEIGHT}Z`);
  svg.children[1].setAttribute("d", `M${line}`);
}

/** A call counts in the second in which it ends; a little neighbourhood shows the work and not the teeth. */
const smooth = (points) => points.map((point, place) => ((points[place - 1] ?? point) + 2 * point + (points[place + 1] ?? point)) / 4);
