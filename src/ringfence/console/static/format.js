// Numbers as people read them. Sizes in binary units, times by their size.

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

export const timeOfDay = (atS) => clock.format(new Date(atS * 1000));

const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });

/** The time, with its day unless that is today; in the viewer's time zone. */
export function moment(atS) {
  const at = new Date(atS * 1000);
  const isToday = at.toDateString() === new Date().toDateString();
  return isToday ? clock.format(at) : `${day.format(at)}, ${clock.format(at)}`;
}

export const utc = (atS) => `${new Date(atS * 1000).toISOString().slice(0, 19).replace("T", " ")} UTC`;

export const count = (n) => (n >= 1e6 ? `${(n / 1e6).toFixed(1)}M` : n >= 1e5 ? `${Math.round(n / 1e3)}K` : whole.format(n));

export const tokens = (n) => (n >= 1024 && n % 1024 === 0 ? `${n / 1024}K` : whole.format(n));

export function bytes(n) {
  if (n == null) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) { n /= 1024; unit += 1; }
  return `${unit === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[unit]}`;
}

export function milliseconds(ms) {
  if (ms == null) return "–";
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 60000 ? `${(ms / 1000).toFixed(ms < 10000 ? 2 : 1)} s` : duration(ms / 1000);
}

export function duration(s) {
  s = Math.max(0, Math.floor(s));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** What is left until something ends: 11:42, from an hour on as `duration`. */
export function countdown(s) {
  s = Math.max(0, Math.ceil(s));
  return s < 3600 ? `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}` : duration(s);
}

export const rate = (n) => (Number.isInteger(n) ? whole.format(n) : n < 10 ? n.toFixed(1) : whole.format(n));

export const plural = (n, one, many = `${one}s`) => `${whole.format(n)} ${n === 1 ? one : many}`;

const OF_A_ROLE = { system: "system prompt", user: "user message", assistant: "assistant message" };

/** {tool_result: 3} -> ["3 tool results"] */
export const kinds = (shortened) => Object.entries(shortened).map(([kind, n]) => plural(n, OF_A_ROLE[kind] ?? kind.replaceAll("_", " ")));

/** backing_off -> Backing off */
export const words = (name) => {
  const text = String(name ?? "").replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
};

const cents = new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

/** Millionths of a dollar: $12.34; below a dollar with as many places as it takes. */
export function dollars(micros) {
  const usd = Math.abs(micros) / 1e6;
  return `${micros < 0 ? "-" : ""}$${usd >= 1 || micros % 1e4 === 0 ? cents.format(usd) : usd.toFixed(6).replace(/0+$/, "")}`;
}

/** To the cent; what is less than one as exactly as it is known. */
export const rounded = (micros) => dollars(Math.abs(micros) >= 1e4 ? Math.round(micros / 1e4) * 1e4 : micros);

/** Of joules: 3.4 kWh, below one in Wh. */
export const kilowattHours = (joules) => (joules >= 3.6e6 ? `${(joules / 3.6e6).toFixed(1)} kWh` : `${+(joules / 3600).toPrecision(3)} Wh`);
