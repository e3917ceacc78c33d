// The memory of each device: who holds what, what it was predicted to be, what is leased, what is free.

import { draw, h, list, pill, say } from "./dom.js";
import { bytes, plural } from "./format.js";

const KINDS = { ram: "memory", gpu: "GPU memory", unified: "unified memory" };
const HOT_C = 80;

/** Names as people read them; where several are alike, with the id. */
export function namer(devices) {
  const names = new Map(devices.map((one) => [one.id, devices.some((other) => other.id !== one.id && other.name === one.name) ? `${one.name} (${shortId(one.id)})` : one.name]));
  return (id) => names.get(id) ?? shortId(id);
}

const shortId = (id) => (id.length > 20 ? id.split("-").slice(0, 2).join("-") : id);

/** `leases` may be missing; `below(element, device)` fills what stands below the map of each. */
export function drawDevices(box, { devices, unread }, leases = [], below = null) {
  if (!box.firstChild) box.append(h("div.devices"), h("div"));
  list(box.firstChild, devices, (device) => device.id, make, (element, device) => {
    fill(element, device, leases.filter((one) => one.device === device.id && one.phase !== "asked"));
    below?.(element.lastChild, device);
  });
  draw(box.lastChild, { unread, none: devices.length === 0 }, () => [
    devices.length === 0 && h("p.note", {}, "No device could be read on this machine."),
    ...unread.map((one) => h("p.why", {}, `${one.title} cannot be read: ${one.reason}`)),
  ]);
}

const make = () => h("article.device", {},
  h("div.device-line", {}, h("h3"), h("span")), h("p.facts"), h("p.why"),
  h("div.map", { role: "img" }, h("div.held"), h("i.line")),
  h("ul.holders"), h("div.below"));

function fill(element, device, leases) {
  const [line, facts, why, map, holders] = element.children;
  const isOut = device.out_of_service !== "";
  const leased = Math.min(device.leased_bytes, device.free_bytes);
  const free = device.free_bytes - leased;
  const parts = [...device.holders.map(ofHolder), { ...LEASED, key: "leased", held: leased }].filter((one) => one.held > 0);
  element.classList.toggle("out", isOut);
  say(line.children[0], device.name);
  draw(line.children[1], [isOut, free], () => isOut ? pill("bad", "Out of service") : `${bytes(free)} free`);
  say(facts, about(device));
  say(why, device.out_of_service);
  map.setAttribute("aria-label", isOut ? `Out of service: ${device.out_of_service}` : inWords(device, free, leased));
  list(map.firstChild, isOut ? [] : parts, (one) => one.key, () => h("i", {}, h("i.predicted")), (part, one) => segment(part, one, device.total_bytes));
  map.lastChild.hidden = isOut || !device.headroom_bytes;
  map.lastChild.style.right = share(device.headroom_bytes, device.total_bytes);
  draw(holders, { rows: device.holders, leased, leases, kept: device.headroom_bytes, later: isOut ? null : [device.expected_free_bytes, device.free_bytes] }, () => rows(device, leased, leases, isOut));
}

const share = (part, whole) => `${whole ? Math.min(100, (100 * part) / whole) : 0}%`;

function about(device) {
  return [
    `${bytes(device.total_bytes)} ${KINDS[device.kind] ?? ""}`, shortId(device.id),
    device.temperature_c == null ? "" : `${Math.round(device.temperature_c)} °C${device.temperature_c > HOT_C ? ", hot" : ""}`,
    device.load_percent == null ? "" : `${Math.round(device.load_percent)}% busy`,
  ].filter(Boolean).join(" · ");
}

function inWords(device, free, leased) {
  const sum = (isOurs) => device.holders.reduce((total, one) => total + ((one.kind === "instance") === isOurs ? one.held_bytes ?? 0 : 0), 0);
  const kept = device.headroom_bytes ? `, of which ${bytes(device.headroom_bytes)} stay free after every load` : "";
  return `${bytes(sum(true))} ours, ${bytes(sum(false))} others${leased ? `, ${bytes(leased)} leased` : ""}, ${bytes(free)} free${kept}, of ${bytes(device.total_bytes)} ${KINDS[device.kind] ?? ""}`;
}

// -- who holds it

const LEASED = { look: "leased", name: "leased" };
const nameOf = (one) => (one.kind === "unnamed" ? "others" : one.kind === "program" ? `${one.name} (pid ${one.pid})` : one.name);

const ofHolder = (one, place) => ({
  key: `${one.kind} ${one.name} ${one.pid}`, held: one.held_bytes ?? 0, name: nameOf(one), predicted: one.footprint?.predicted_bytes ?? 0,
  look: one.kind === "instance" ? `ours${place % 2 ? " odd" : ""}` : "others",
});

function segment(part, one, total) {
  part.className = one.look;
  part.style.width = share(one.held, total);
  part.title = `${one.name}: ${bytes(one.held)}`;
  part.firstChild.hidden = !one.predicted;
  part.firstChild.style.width = `${(100 * (one.predicted ?? 0)) / one.held}%`;
}

function rows(device, leased, leases, isOut) {
  const found = device.holders.map((one, place) => row(ofHolder(one, place).look, nameOf(one), one.held_bytes, expected(one.footprint)));
  if (isOut) return found;
  if (leased) found.push(row("leased", "leased", leased, leases.map((one) => `${one.tenant}: ${bytes(one.used_bytes)} of ${bytes(one.bytes)} taken`).join(", ") || "tenants may still take it"));
  const kept = device.headroom_bytes ? `${bytes(device.headroom_bytes)} of it stay free after every load` : "";
  const later = device.expected_free_bytes < device.free_bytes ? `${bytes(device.expected_free_bytes)} once each model holds what it took before` : "";
  return [...found, row("free", "free", device.free_bytes - leased, [kept, later].filter(Boolean).join(", "))];
}

const row = (look, name, held, told) => h("li", {}, h(`i.swatch.${look.replace(" ", ".")}`), h("span.who", {}, name), h("b", {}, bytes(held)), told ? h("span.facts", {}, told) : null);

function expected(known) {
  if (!known) return "";
  const predicted = known.predicted_bytes == null ? "" : `predicted ${bytes(known.predicted_bytes)}`;
  const real = known.observed_bytes == null
    ? `between ${bytes(known.low_bytes)} and ${bytes(known.high_bytes)}` : `at most ${bytes(known.observed_bytes)} in ${plural(known.loads, "load")}`;
  return [predicted, real].filter(Boolean).join(", ");
}
