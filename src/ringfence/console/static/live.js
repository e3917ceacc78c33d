// The status as it changes. A lost connection is said at once and mended quietly, ever more patiently.

const SILENT_MS = 40000; // the server says something at least every 15 s
const HIDDEN_MS = 20000; // a browser has six connections per host: a page that nobody sees gives its one back
const LONGEST_WAIT_MS = 10000;

/** onStatus(status), onLink("live" | "lost" | "signed-out"). */
export function follow(onStatus, onLink) {
  let source = null, retryTimer = 0, silenceTimer = 0, hiddenTimer = 0, waitMs = 1000;

  const heard = () => {
    clearTimeout(silenceTimer);
    silenceTimer = setTimeout(lost, SILENT_MS);
  };

  function open() {
    close();
    source = new EventSource("/control/v1/events");
    source.addEventListener("status", (event) => {
      heard();
      waitMs = 1000;
      onLink("live");
      onStatus(JSON.parse(event.data));
    });
    source.addEventListener("ping", heard);
    source.addEventListener("error", lost);
    heard();
  }

  function close() {
    clearTimeout(retryTimer);
    clearTimeout(silenceTimer);
    source?.close();
    source = null;
  }

  async function lost() {
    close();
    onLink("lost");
    retryTimer = setTimeout(open, waitMs);
    waitMs = Math.min(waitMs * 1.6, LONGEST_WAIT_MS);
    const isOut = await fetch("/console/session?probe").then((answer) => answer.status === 204, () => false);
    if (isOut) {
      close();
      onLink("signed-out");
    }
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiddenTimer);
    if (document.hidden) hiddenTimer = setTimeout(close, HIDDEN_MS);
    else if (source === null) open();
  });
  addEventListener("online", open);
  open();
}
