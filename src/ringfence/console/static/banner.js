// What stands above every page: how it is, how many requests are parked, and that nothing is heard from the gateway any more.

import { byId, h, say } from "./dom.js";
import { count } from "./format.js";

const LINKS = {
  live: "",
  lost: "Connection lost. What you see is the last that was heard; trying again…",
  "signed-out": "Your session has ended. Run “ringfence status --console” for a fresh link, or paste a token: ",
};

/** "live", "lost" or "signed-out" */
export function sayLink(link) {
  document.body.classList.toggle("is-stale", link !== "live");
  const banner = byId("banner");
  if (banner.dataset.link === link) return;
  banner.dataset.link = link;
  banner.hidden = link === "live";
  banner.replaceChildren(LINKS[link], ...(link === "signed-out" ? [h("a", { href: "/console" }, "sign in")] : []));
}

/** [kind, words] */
export function sayState([kind, words]) {
  byId("state").className = `pill ${kind}`;
  say(byId("state"), words);
}

export function sayParked(parked) {
  const badge = byId("parked-count");
  badge.hidden = parked === 0;
  say(badge, count(parked));
}
