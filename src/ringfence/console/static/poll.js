// A page that asks again every few seconds, as long as somebody looks at it.

import { sayLink, sayState } from "./banner.js";

const EVERY_MS = 4000;

/**
 * `show(found)` draws what `path()` told, and returns the pill of the head, and when it is to be asked again, where that
 * is sooner: [kind, words, ms]. Several paths are asked for together. Returns how to ask at once.
 */
export function poll(path, show) {
  let timer = 0, asked = 0;

  function connected(link, state) {
    sayLink(link);
    sayState(state);
  }

  async function ask() {
    clearTimeout(timer);
    const mine = asked += 1;
    const wanted = path();
    const answers = await Promise.all([wanted].flat().map((one) => fetch(one).catch(() => null)));
    const isWell = answers.every((one) => one?.ok);
    const told = isWell ? await Promise.all(answers.map((one) => one.json())).catch(() => null) : null;
    if (mine !== asked) return; // a later question was asked meanwhile, and its answer counts
    if (answers.some((one) => one?.status === 401)) return connected("signed-out", ["warn", "Signed out"]);
    if (!document.hidden) timer = setTimeout(ask, EVERY_MS);
    if (told === null) return connected("lost", ["bad", "Connection lost"]);
    const [kind, words, soonerMs] = show(Array.isArray(wanted) ? told : told[0]);
    connected("live", [kind, words]);
    if (!soonerMs || document.hidden) return;
    clearTimeout(timer);
    timer = setTimeout(ask, soonerMs);
  }

  document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
  addEventListener("online", ask);
  ask();
  return ask;
}
