// The little of Markdown that answers lean on: code blocks, inline code, bold, headings. Everything else stays as it was written.

import { h } from "./dom.js";

/** Elements for a text that may still grow. */
export function prose(text) {
  return text.split(/^```/m).flatMap((part, place) => {
    if (place % 2 === 0) return paragraphs(part.trim());
    const code = part.includes("\n") ? part.slice(part.indexOf("\n") + 1) : "";
    return [h("pre", { tabindex: "0" }, h("code", {}, code.replace(/\n$/, "")))];
  });
}

const paragraphs = (text) => (text ? text.split(/\n{2,}/).map((block) => h("p", {}, ...inline(block))) : []);

function inline(block) {
  const heading = /^#{1,6}\s+(.*)$/.exec(block);
  if (heading) return [h("strong", {}, heading[1])];
  return block.split(/(`[^`\n]+`|\*\*[^*\n]+\*\*)/).map((piece, place) => {
    if (place % 2 === 0) return piece; // the others are what was split at
    return piece[0] === "`" ? h("code", {}, piece.slice(1, -1)) : h("strong", {}, piece.slice(2, -2));
  });
}
