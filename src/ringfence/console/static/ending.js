// The dialog that asks before something is ended: which one, that it ended meanwhile, and where the keyboard goes on.

import { byId, say } from "./dom.js";
import { words } from "./format.js";
import { send } from "./send.js";

const dialog = byId("ending");

/**
 * `rows` is the id of the list, `page` that of what has the focus when no row has a button any more; `path` leads to
 * what is ended; `name`, `which` and `state` tell of one; `isOpen` whether it can still be ended, `isEnding` whether an
 * answer says that it is. `again()` asks anew. Returns how to ask about one, and what is to be called with all of them
 * whenever they were asked for: what is to be ended may end by itself while somebody thinks about it.
 */
export function ending({ rows, page, path, name, which, state, isOpen, isEnding, again }) {
  let asked = null;

  function ask(one) {
    asked = one;
    say(byId("ending-which"), which(one));
    warn("");
    dialog.showModal(); // the focus goes to its first button, which keeps it
  }

  function check(all) {
    if (!dialog.open) return;
    const found = all.find((one) => one.id === asked.id);
    if (!found || !isOpen(found)) over(found);
  }

  function over(one) {
    warn(one ? `It has ended meanwhile: ${words(state(one)).toLowerCase()}.` : "It is not there any more.", true);
    byId("ending-no").focus();
  }

  async function end() {
    const one = asked;
    warn("", true);
    const answer = await send("DELETE", `${path}/${encodeURIComponent(one.id)}`).catch(() => null);
    const row = answer?.ok ? await answer.json().catch(() => null) : null;
    if (one !== asked || !dialog.open) return again();
    if (answer?.status === 404) over(null);
    else if (row === null) warn("The gateway did not answer. Try again.");
    else if (!isEnding(row)) over(row);
    else {
      const next = neighbour(one.id);
      dialog.close();
      next.focus();
      say(byId("said"), `Cancelled: ${name(one)}.`);
    }
    return again();
  }

  /** Where the keyboard goes on when a row has lost its button. */
  function neighbour(id) {
    const buttons = [...document.querySelectorAll(`#${rows} button:not([hidden])`)];
    const place = buttons.findIndex((one) => one.closest("tr").dataset.key === id);
    return buttons[place + 1] ?? buttons[place - 1] ?? byId(page);
  }

  byId("ending-no").addEventListener("click", () => dialog.close());
  byId("ending-yes").addEventListener("click", end);
  return { ask, check };
}

function warn(text, isOver = false) {
  say(byId("ending-problem"), text);
  say(byId("ending-no"), text && isOver ? "Close" : "Keep it");
  byId("ending-yes").disabled = isOver;
}
