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

let status = null;
let link = "connecting";
const box = chat();

function show() {
  if (status === null) return;
  drawHead(status, link);
  if (link !== "live") return;
  sayParked(status.parking.waiting);
  drawModels(status);
  drawDevices(status.devices);
  drawEngines(status);
  drawIsolation(status.isolation);
  drawCloudKeys(status.cloud_keys, status.handed_to_egress);
  drawRequests(status.recent);
  box.offer(status);
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
