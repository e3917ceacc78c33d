// The page of memory: a map of each device with its last hour, models, moves, modes and leases.

import { sayParked } from "./banner.js";
import { drawDevices, namer } from "./devices.js";
import { byId } from "./dom.js";
import { drawLeases, drawModes, underWay } from "./modes.js";
import { drawPlan, inShort } from "./plan.js";
import { poll } from "./poll.js";
import { drawTimeline } from "./timeline.js";
import { sayVerdict } from "./verdict.js";

const BUSY_MS = 1000; // while a mode is switched
const TIMELINE_MS = 15000;
let timeline = null, askedMs = -Infinity, latest = [];

const PATHS = ["devices", "plan", "modes", "leases", "parked"].map((name) => `/control/v1/${name}`);

function show([devices, plan, modes, { leases }, { parked }]) {
  const switching = underWay(modes);
  const nameOf = namer(devices.devices);
  sayParked(parked.filter((one) => one.position !== null).length);
  sayVerdict(inShort(plan, switching));
  latest = [devices, leases];
  drawDevices(byId("devices"), devices, leases, below);
  drawPlan(plan, nameOf, (name) => leases.find((one) => one.id === name)?.tenant ?? name);
  drawModes(modes, nameOf, again);
  drawLeases(leases, nameOf, again);
  readTimeline();
  const isOut = devices.devices.some((one) => one.out_of_service) || devices.unread.length > 0;
  return [...(isOut ? ["warn", "Device out of service"] : ["good", "Up to date"]), switching ? BUSY_MS : undefined];
}

function below(box, device) {
  if (timeline === null) return;
  const newest = Math.max(0, ...Object.values(timeline.devices).map((points) => points.at(-1)?.[0] ?? 0));
  drawTimeline(box, device, timeline.devices[device.id] ?? [], timeline.every_s, newest || Date.now() / 1000);
}

async function readTimeline() {
  if (performance.now() - askedMs < TIMELINE_MS) return;
  askedMs = performance.now();
  const answer = await fetch("/control/v1/devices/timeline").catch(() => null);
  timeline = (answer?.ok ? await answer.json().catch(() => null) : null) ?? timeline;
  drawDevices(byId("devices"), ...latest, below);
}

const again = poll(() => PATHS, show);
