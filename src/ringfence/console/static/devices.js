// Memory: what we hold, what others hold, what is free.

import { byId, draw, h, list, say } from "./dom.js";
import { bytes } from "./format.js";

const KINDS = { ram: "memory", gpu: "GPU memory", unified: "unified memory" };

export function drawDevices(devices) {
  const box = byId("devices");
  if (devices.length === 0) {
    draw(box, "none", () => h("p.note", {}, "No device could be read on this machine."));
    return;
  }
  if (box.firstChild && !box.firstChild.dataset.key) box.replaceChildren();
  list(box, devices, (device) => device.name, make, fill);
}

const make = () => h("div.device", {},
  h("div.device-line", {}, h("span"), h("span")),
  h("div.bar.tall", { role: "img" }, h("i"), h("i.others")),
  h("p.facts"));

function fill(element, device) {
  const [line, bar, facts] = element.children;
  const taken = Math.max(0, device.total_bytes - device.free_bytes);
  const others = Math.min(device.others_bytes, taken);
  const ours = taken - others;
  const load = device.load_percent == null ? "" : ` · ${Math.round(device.load_percent)}% busy`;
  say(line.children[0], `${device.name}${load}`);
  say(line.children[1], `${bytes(device.free_bytes)} free of ${bytes(device.total_bytes)}`);
  const share = (part) => `${device.total_bytes ? (100 * part) / device.total_bytes : 0}%`;
  bar.children[0].style.width = share(ours);
  bar.children[1].style.width = share(others);
  const text = `${bytes(ours)} ours · ${bytes(others)} others`;
  bar.setAttribute("aria-label", `${text}, of ${bytes(device.total_bytes)} ${KINDS[device.kind] ?? ""}`);
  say(facts, text);
}
