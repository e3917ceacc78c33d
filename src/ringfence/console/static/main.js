// The first page: what is running, on what, how busy; and a place to try it.

import { sayLink, sayParked } from "./banner.js";
import { chat } from "./chat.js";
import { byId, copy } from "./dom.js";
import { drawDevices } from "./devices.js";
import { drawCloudKeys, drawEngines } from "./engines.js";
import { drawIsolation } from "./isolation.js";
import { follow } from "./live.js";
import { drawModels } from "./models.js";
import { drawHead, tick } from "./pulse.js";
import { drawRequests } from "./requests.js";

const DEVICES_MS = 4000;
let status = null;
let link = "connecting";
let devices = { known: "", askedMs: 0 };
const box = chat();

function show() {
  if (status === null) return;
  drawHead(status, link);
  if (link !== "live") return;
  sayParked(status.parking.waiting);
  drawModels(status);
  readDevices();
  drawEngines(status);
  drawIsolation(status.isolation);
  drawCloudKeys(status.cloud_keys, status.handed_to_egress);
  drawRequests(status.recent);
  box.offer(status);
}

/** Who holds what is not in the status: asked for every few seconds, and at once where a device came, went or broke. */
async function readDevices() {
  const known = JSON.stringify(status.devices.map((one) => [one.id, one.out_of_service]));
  if (known === devices.known && performance.now() - devices.askedMs < DEVICES_MS) return;
  devices = { known, askedMs: performance.now() };
  const answer = await fetch("/control/v1/devices").catch(() => null);
  const found = answer?.ok ? await answer.json().catch(() => null) : null;
  if (found !== null) drawDevices(byId("devices"), found);
}

function connected(now) {
  link = now;
  sayLink(now);
  show();
  if (status === null) drawHead(null, link);
}

byId("copy-base-url").addEventListener("click", (event) => copy(event.currentTarget, byId("base-url").textContent, byId("base-url")));
follow((latest) => { status = latest; show(); }, connected);
setInterval(() => { if (status !== null && !document.hidden) tick(status, link); }, 1000);
