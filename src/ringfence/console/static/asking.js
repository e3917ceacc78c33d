// One question before something that cannot be taken back: what is asked, and what is sent when the answer is yes.

import { byId, say } from "./dom.js";

const dialog = byId("question");
let asking = null;

/** `send()` gives a Response; `done()` follows when it was well. The focus begins on the button that does no harm. */
export function ask({ title, which, warning, yes, look, send, done }) {
  asking = { send, done };
  say(byId("question-title"), title);
  say(byId("question-which"), which);
  say(byId("question-warning"), warning);
  say(byId("question-yes"), yes);
  byId("question-yes").className = look;
  warn("");
  dialog.showModal();
}

function warn(text, isBusy = false) {
  say(byId("question-problem"), text);
  byId("question-yes").disabled = isBusy;
}

async function answerYes() {
  const mine = asking;
  warn("", true);
  const answer = await mine.send().catch(() => null);
  if (mine !== asking || !dialog.open) return;
  if (!answer?.ok) {
    const body = await answer?.json().catch(() => null);
    return warn(body?.error?.message ?? "The gateway did not answer. Try again.");
  }
  dialog.close();
  mine.done();
}

byId("question-no").addEventListener("click", () => dialog.close());
byId("question-yes").addEventListener("click", answerYes);
