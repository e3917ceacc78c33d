// A page that asks again every few seconds, as long as somebody looks at it.

import { sayLink, sayState } from "./banner.js";

const EVERY_MS = 4000;

/** `show(found)` draws what `path()` told, and returns the pill of the head: [kind, words]. Returns how to ask at once. */
export function poll(path, show) {
  let timer = 0, asked = 0;

  function connected(link, state) {
    sayLink(link);
    sayState(state);
  }

  async function ask() {
    clearTimeout(timer);
    const mine = asked += 1;
    const answer = await fetch(path()).catch(() => null);
    const found = answer?.ok ? await answer.json().catch(() => null) : null;
    if (mine !== asked) return; // a later question was asked meanwhile, and its answer counts
    if (answer?.status === 401) return connected("signed-out", ["warn", "Signed out"]);
    if (!document.hidden) timer = setTimeout(ask, EVERY_MS);
    if (found === null) connected("lost", ["bad", "Connection lost"]);
    else connected("live", show(found));
  }

  document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
  addEventListener("online", ask);
  ask();
  return ask;
}
