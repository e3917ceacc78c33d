// The wall around each process: what it may reach, what is known of it, and how it is mended.

import { byId, draw, h, pill } from "./dom.js";
import { words } from "./format.js";
import { prose } from "./prose.js";

const KINDS = { held: "good", open: "bad", unchecked: "warn", checking: "busy", "way out": "busy" };

export function drawIsolation(rows) {
  const { wall, mend } = rows[0]; // the gateway's
  draw(byId("open-wall-mend"), mend, prose);
  byId("open-wall").hidden = wall !== "open";
  const alike = {}; // what is mended in the same way stands together, so that it is told once
  for (const one of rows) (alike[one.wall + one.mend] ??= []).push(one);
  draw(byId("isolation"), Object.values(alike), (groups) => groups.map(group));
}

const group = (rows) => h("li.row", {},
  ...rows.flatMap((one, place) => [
    h("div", {}, h("b", {}, one.process), " ", pill(KINDS[one.wall] ?? "quiet", words(one.wall)), h("span.dim", {}, ` may reach: ${one.may_reach}`)),
    one.reason !== rows[place + 1]?.reason && h("p.facts", {}, one.reason),
  ]),
  rows[0].mend && h(/open|unchecked/.test(rows[0].wall) ? "div.why" : "div.facts", {}, ...prose(rows[0].mend)));
