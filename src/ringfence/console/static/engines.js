// The engine processes: ours, those that were found and adopted, and those that were left out.

import { byId, draw, h, pill, say } from "./dom.js";
import { bytes, duration, plural, tokens, words } from "./format.js";

const KINDS = { ready: "good", starting: "warn", draining: "warn", stopping: "warn", sleeping: "quiet", backing_off: "warn", failed: "bad", stopped: "quiet" };

export function drawEngines({ instances, left_out: leftOut }) {
  const count = (kind) => instances.filter((one) => one.kind === kind).length;
  const [ours, adopted] = [count("supervised"), count("adopted")];
  say(byId("engines-note"), [ours ? `${ours} started here` : "", adopted ? `${adopted} adopted` : ""].filter(Boolean).join(", "));
  const shown = instances.map(({ in_use, cpu_percent: cpu, since_s: since, ...rest }) => ({
    ...rest, rss: bytes(rest.rss_bytes), rss_bytes: 0, in_use, cpu: cpu === null ? null : Math.round(cpu), age: duration(since),
  }));
  draw(byId("engines"), { shown, leftOut }, () => {
    if (shown.length + leftOut.length === 0) return h("p.note", {}, "No engine runs yet. One that listens on its usual port on this machine is found and adopted.");
    return [...shown.map(instanceRow), ...leftOut.map(leftOutRow)];
  });
}

function instanceRow(one) {
  const facts = [
    `${words(one.state).toLowerCase()} for ${one.age}`,
    one.window ? `window ${tokens(one.window)}` : "",
    one.slots ? `${one.in_use} of ${plural(one.slots, "slot")} in use` : "",
    one.port ? `port ${one.port}` : "",
    one.pid ? `pid ${one.pid}` : "",
    one.rss !== "–" ? one.rss : "",
    one.cpu !== null ? `${one.cpu}% CPU` : "",
    one.restarts ? plural(one.restarts, "restart") : "",
  ];
  return h("div.row", {},
    h("div", {}, h("b", {}, one.name), " ", one.kind === "egress" ? "the process through which calls leave" : one.engine, one.kind === "adopted" ? " · adopted" : "", one.model && one.model !== one.name ? h("span.dim", {}, ` · ${one.model}`) : ""),
    pill(KINDS[one.state] ?? "quiet", words(one.state)),
    h("p.facts", {}, facts.filter(Boolean).join(" · ")),
    one.reason ? h("p.why", {}, one.reason) : null);
}

const leftOutRow = (one) => h("div.row", {},
  h("div", {}, h("b", {}, one.name), ` ${one.engine}`),
  pill("quiet", "Left out"),
  h("p.facts", {}, one.reason));

export function drawCloudKeys(unused, handed) {
  const used = Object.entries(handed).map(([key, providers]) => `${key} (${providers.join(", ")})`);
  const line = (title, all) => all.length ? h("div", {}, h("b", {}, title), all.join(", ")) : null;
  draw(byId("cloud-keys"), { unused, used }, () => unused.length + used.length === 0 ? [] : h("div.aside", {},
    line("Cloud keys handed to egress: ", used), line("Found in the environment, not used: ", unused),
    used.length ? null : h("p.fine", {}, "Nothing leaves this machine until you switch a provider on.")));
}
