// The head of the page and the figures below it.

import { sayState } from "./banner.js";
import { byId, say } from "./dom.js";
import { count, duration, rate } from "./format.js";
import { spark } from "./spark.js";

const SAMPLES = 90;
const ALARM_MS = 60000; // old errors are a figure, new ones an alarm
const series = { requests: [], tokens: [] };
let before = null;
let skewS = 0;
let errors = null, alarmUntil = 0;

function state(status, link) {
  if (link === "lost") return ["bad", "Connection lost"];
  if (link === "signed-out") return ["warn", "Signed out"];
  if (status === null) return ["quiet", "Connecting"];
  if (!status.ready) return status.instances.some((one) => one.state === "starting") ? ["warn", "Starting"] : ["bad", "No model ready"];
  return status.requests.running > 0 ? ["busy", "Working"] : ["good", "Ready"];
}

export function drawHead(status, link) {
  const [kind, text] = state(status, link);
  sayState([kind, text]);
  document.title = text === "Ready" || text === "Working" ? "Ringfence" : `${text} · Ringfence`;
  if (status === null) return;
  skewS = status.uptime_s - performance.now() / 1000;
  say(byId("base-url"), status.base_url);
  say(byId("uptime"), duration(status.uptime_s));
  for (const name of ["running", "waiting", "total", "errors"]) say(byId(name), count(status.requests[name]));
  say(byId("per-minute"), rate(status.requests.per_minute));
  if (errors !== null && status.requests.errors > errors) alarmUntil = performance.now() + ALARM_MS;
  errors = status.requests.errors;
  byId("errors").classList.toggle("alarm", performance.now() < alarmUntil);
}

/** Once a second: one more point of each line, worked out from the totals. */
export function tick(status, link) {
  if (link === "live") say(byId("uptime"), duration(performance.now() / 1000 + skewS));
  const now = {
    at: performance.now(),
    requests: status.requests.total,
    tokens: status.requests.prompt_tokens + status.requests.completion_tokens,
  };
  if (before !== null) {
    const passedS = Math.max(0.2, (now.at - before.at) / 1000);
    for (const name of ["requests", "tokens"]) {
      const points = series[name];
      points.push(Math.max(0, now[name] - before[name]) / passedS); // a restart sets the totals back
      if (points.length > SAMPLES) points.shift();
      spark(byId(`${name}-spark`), points, SAMPLES);
      say(byId(`${name}-now`), rate(mean(points.slice(-5))));
    }
  }
  before = now;
}

const mean = (points) => points.reduce((sum, point) => sum + point, 0) / points.length;
