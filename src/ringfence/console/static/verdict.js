// A page in one sentence, large, with the ground for it below.

import { byId, draw, h } from "./dom.js";

/** [kind, sentence, ground, …] */
export function sayVerdict(said) {
  draw(byId("verdict"), said, ([kind, sentence, ...ground]) => {
    byId("verdict").className = `verdict ${kind}`;
    return [h("p.sentence", {}, sentence), ...ground.map((text) => h("p.ground", {}, text))];
  });
}
