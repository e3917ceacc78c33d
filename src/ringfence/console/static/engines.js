// The engine processes: ours, those that were found and adopted, and those that were left out.

import { byId, draw, h, pill, say } from "./dom.js";
import { bytes, duration, plural, tokens, words } from "./format.js";

const KINDS = { ready: "good", starting: "warn", draining: "warn", backing_off: "warn", failed: "bad", stopped: "quiet" };

export function drawEngines({ instances, left_out: leftOut }) {
  const adopted = instances.filter((one) => one.kind === "adopted").length;
  say(byId("engines-note"), [instances.length - adopted ? `${instances.length - adopted} started here` : "", adopted ? `${adopted} adopted` : ""].filter(Boolean).join(", "));
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
    one.window ? `${tokens(one.window)} tokens` : "",
    one.slots ? `${one.in_use} of ${plural(one.slots, "slot")} in use` : "",
    one.port ? `port ${one.port}` : "",
    one.pid ? `pid ${one.pid}` : "",
    one.rss !== "–" ? one.rss : "",
    one.cpu !== null ? `${one.cpu}% CPU` : "",
    one.restarts ? plural(one.restarts, "restart") : "",
  ];
  return h("div.row", {},
    h("div", {}, h("b", {}, one.name), " ", one.engine, one.kind === "adopted" ? " · adopted" : "", one.model && one.model !== one.name ? h("span.dim", {}, ` · ${one.model}`) : ""),
    pill(KINDS[one.state] ?? "quiet", words(one.state)),
    h("p.facts", {}, facts.filter(Boolean).join(" · ")),
    one.reason ? h("p.why", {}, one.reason) : null);
}

const leftOutRow = (one) => h("div.row", {},
  h("div", {}, h("b", {}, one.name), ` ${one.engine}`),
  pill("quiet", "Left out"),
  h("p.facts", {}, one.reason));

export function drawCloudKeys(names) {
  draw(byId("cloud-keys"), names, () => names.length === 0 ? [] : h("div.aside", {},
    h("b", {}, `Found in the environment, not used: `),
    names.map((name, place) => `${place ? ", " : ""}${name}`).join(""),
    h("p.fine", {}, "Nothing leaves this machine until you switch a provider on.")));
}
