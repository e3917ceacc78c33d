// What may be spent, what is, and what is held: caps as bars, and the days that were.

import { sayParked } from "./banner.js";
import { byId, draw, h, list, say } from "./dom.js";
import { drawDays } from "./days.js";
import { count, dollars, duration, kilowattHours, moment, plural, rounded } from "./format.js";
import { poll } from "./poll.js";
import { sayVerdict } from "./verdict.js";

const KINDS = [["house", "House"], ["provider", "Providers"], ["profile", "Profiles"], ["key", "Keys"]];
const SINCE = { day: "today", week: "this week", month: "this month" };
const DAYS = 30, DAYS_EVERY_MS = 30000;

let days = null, readMs = -Infinity, readSpent = null; // when, and at which sum, the days were read last

const sum = (rows, of) => rows.reduce((all, one) => all + of(one), 0);
const limit = (one) => one.limit_usd_micros;
const used = (one) => one.spent_usd_micros + one.held_usd_micros;
const isSpent = (one) => limit(one) !== null && used(one) >= limit(one);
const isSoft = (one) => limit(one) !== null && used(one) * 100 >= limit(one) * one.soft_percent;
const state = (one) => (isSpent(one) ? "bad" : isSoft(one) ? "warn" : "");
const whose = (one) => (one.scope === "house" ? "the house" : `${one.scope} ${one.label}`);

const ends = (one, zone) => new Intl.DateTimeFormat(undefined, {
  weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: zone,
}).format(new Date(one.ends_s * 1000));

const paths = () => {
  const isDue = performance.now() - readMs > DAYS_EVERY_MS || readSpent === null;
  return ["/control/v1/money", "/control/v1/parked", ...(isDue ? [`/control/v1/spend?days=${DAYS}`] : [])];
};

function show([found, waiting, spent]) {
  sayParked(waiting.parked.filter((one) => one.position !== null).length);
  const house = found.standings.filter((one) => one.scope === "house").map((one) => one.spent_usd_micros).join();
  if (spent) {
    [days, readMs, readSpent] = [spent, performance.now(), house];
  } else if (house !== readSpent) readSpent = null; // something was paid for since
  sayVerdict(short(found));
  byId("start-panel").hidden = found.providers.length > 0;
  drawCaps(found);
  drawAside(found.keys_set_aside);
  drawHolds(found.holds);
  if (days) drawDaysOf(days);
  if (!found.can_write) return ["bad", "No ledger"];
  return found.standings.some(isSpent) ? ["warn", "Used up"] : ["good", "Up to date"];
}

// -- in short

function short({ standings, holds, providers, zone, can_write, problem }) {
  if (!can_write) return ["bad", "The ledger cannot be written: nothing is paid for.", problem || "Calls to own engines go on. “ringfence doctor” says how to mend it."];
  const house = standings.filter((one) => one.scope === "house");
  const main = house.find((one) => one.period === "month") ?? house.at(-1);
  if (!providers.length) return ["quiet", "Nothing costs money.", `No provider is configured: there is no way out at all.${main?.spent_usd_micros ? ` ${dollars(main.spent_usd_micros)} was spent ${SINCE[main.period]}.` : ""}`];
  if (!main) return ["good", "Nothing is spent.", "Nothing is capped either: a cap for the house stands under money.house in the configuration."];
  const full = standings.filter(isSpent), soft = standings.filter((one) => isSoft(one) && !isSpent(one));
  const ahead = standings.filter((one) => one.is_ahead && !isSpent(one)).map((one) =>
    `At this pace ${whose(one)} comes to ${dollars(one.projected_usd_micros)} ${SINCE[one.period]}, of ${dollars(limit(one))}.`);
  const sentence = limit(main) === null ? `${dollars(main.spent_usd_micros)} spent ${SINCE[main.period]}, without a cap.`
    : `${dollars(main.spent_usd_micros)} of ${dollars(limit(main))} spent ${SINCE[main.period]}.`;
  const held = holds.length ? `${dollars(sum(holds, (one) => one.usd_micros))} is held for ${plural(holds.length, "call")} under way. ` : "Nothing is held. ";
  const room = limit(main) === null ? "" : `${dollars(Math.max(0, limit(main) - used(main)))} is left until ${ends(main, zone)} (${zone}).`;
  const told = [[full, "Used up"], [soft, "Nearly used up"]].filter(([which]) => which.length)
    .map(([which, text]) => `${text}: ${which.map((one) => `${whose(one)}, ${SINCE[one.period]}`).join("; ")}.`);
  return [full.length ? "bad" : soft.length || ahead.length ? "warn" : "info", sentence, held + room, ...told, ...ahead];
}

// -- caps

function drawCaps({ standings, call_caps, zone }) {
  byId("caps-panel").hidden = standings.length + call_caps.length === 0;
  say(byId("caps-note"), `days, weeks and months by the clocks of ${zone}`);
  const groups = KINDS.map(([kind, title]) => ({ kind, title, owners: owners(...[standings, call_caps].map((all) => all.filter((one) => one.scope === kind))) })).filter((group) => group.owners.length);
  list(byId("caps"), groups, (group) => group.kind, (group) => h("section", {}, h("h3", {}, group.title), h("div.owners")), (box, group) =>
    list(box.lastChild, group.owners, (owner) => owner.name, makeOwner, (card, owner) => fillOwner(card, owner, zone)));
}

const owners = (standings, calls) => [...new Set([...standings, ...calls].map((one) => one.name))].map((name) => {
  const all = standings.filter((one) => one.name === name), call = calls.find((one) => one.name === name);
  return { name, label: (all[0] ?? call).label, call, capped: all.filter((one) => limit(one) !== null), free: all.filter((one) => limit(one) === null) };
});

const makeOwner = (owner) => h("div.owner", {}, owner.label ? h("h4", { title: owner.name }, owner.label) : null, h("div"), h("p.facts"));

function fillOwner(card, owner, zone) {
  const [bars, facts] = [...card.children].slice(-2);
  list(bars, owner.capped, (one) => one.period, makeCap, (box, one) => fillCap(box, one, zone));
  const free = owner.free.length ? `${owner.capped.length ? "Not capped" : "No cap"}: ${owner.free.map((one) => `${dollars(used(one))} ${SINCE[one.period]}`).join(", ")}` : "";
  say(facts, [owner.call ? `At most ${dollars(limit(owner.call))} a call` : "", free].filter(Boolean).join(". "));
}

const makeCap = () => h("div.cap", {},
  h("p.cap-line", {}, h("b"), h("span")),
  h("div.meter", { role: "meter", "aria-valuemin": 0 }, h("i.spent"), h("i.held"), h("i.soft")),
  h("p.facts"));

function fillCap(box, one, zone) {
  const [line, meter, facts] = box.children;
  const most = limit(one), share = (part) => (most > 0 ? Math.min(100, (100 * part) / most) : 100);
  const spent = share(one.spent_usd_micros), held = Math.min(share(one.held_usd_micros), 100 - spent);
  box.className = `cap ${state(one)}`;
  say(line.firstChild, `${dollars(one.spent_usd_micros)} of ${dollars(most)}`);
  say(line.lastChild, `a ${one.period}`);
  const [solid, hatched, soft] = meter.children;
  solid.style.width = `${spent}%`;
  hatched.style.width = `${held}%`;
  soft.style.left = `${one.soft_percent}%`;
  soft.hidden = one.soft_percent >= 100;
  const words = [
    one.held_usd_micros ? `${dollars(one.held_usd_micros)} held` : "", isSpent(one) ? "used up" : `${dollars(most - used(one))} left`, `until ${ends(one, zone)}`,
    one.is_ahead ? `${rounded(one.projected_usd_micros)} by then at this pace` : "",
  ].filter(Boolean).join(", ");
  say(facts, words);
  for (const [name, value] of [["label", `Budget of ${whose(one)}, a ${one.period}`], ["valuemax", most / 1e6], ["valuenow", Math.min(used(one), most) / 1e6], ["valuetext", `${dollars(one.spent_usd_micros)} of ${dollars(most)} spent, ${words}`]]) meter.setAttribute(`aria-${name}`, value);
}

// -- keys of providers

const WHY = { limited: "is at its limit", refused: "is refused", unpaid: "has no credit" };

function drawAside(keys) {
  draw(byId("aside"), keys, () => keys.map((one) => h("li", {},
    `Key ${one.number} of ${one.of} of ${one.provider} ${WHY[one.reason] ?? one.reason}, and set aside until ${moment(one.until_s)}.`)));
}

// -- what is held

function drawHolds(holds) {
  byId("holds-panel").hidden = holds.length === 0;
  list(byId("holds"), holds, (one) => one.id, makeHold, (row, one) => say(row.children[1], duration(one.age_s)));
}

const makeHold = (one) => h("tr", { title: one.call }, h("td.num", {}, dollars(one.usd_micros)), h("td.num"),
  ...[one.provider, one.model, one.profile, one.key].map((text) => h("td", { title: text }, text || "–")));

// -- days

function drawDaysOf(told) {
  drawSpend(told);
  drawSaved(told);
  const tokens = (one) => one.local_tokens + one.cloud_tokens, all = sum(told.days, tokens), kept = (one) => one.kept_tokens;
  byId("tokens-panel").hidden = all === 0;
  say(byId("tokens-note"), all ? `${Math.round((100 * sum(told.days, (one) => one.local_tokens)) / all)} % of ${count(all)} on own engines` : "");
  drawDays(byId("tokens"), {
    name: "Tokens on each day, on own engines and rented", days: told.days, tell: count,
    layers: [{ name: "own engines", of: (one) => one.local_tokens }, { name: "rented", of: (one) => one.cloud_tokens },
      ...(sum(told.days, kept) ? [{ name: "kept answers", of: kept }] : [])],
  });
}

const paid = (one) => one.cost_usd_micros;

function drawSpend({ days, usd_per_kwh: price }) {
  const power = (one) => one.electricity_usd_micros ?? 0;
  const cost = sum(days, paid), unpriced = sum(days, (one) => one.unpriced_calls), joules = sum(days, (one) => one.energy_j);
  const providers = [...new Set(days.flatMap((one) => Object.keys(one.providers)))].sort();
  byId("spend-panel").hidden = cost + unpriced + joules === 0;
  say(byId("spend-note"), `${rounded(cost)} paid in ${days.length} days${unpriced ? `, and ${plural(unpriced, "call")} of unknown price` : ""}`);
  drawDays(byId("spend"), {
    name: "What was spent on each day, by provider", days, tell: rounded,
    layers: [...providers.map((name) => ({ name, of: (one) => one.providers[name] ?? 0 })), { name: "electricity", of: power }].filter((layer) => sum(days, layer.of) > 0),
  });
  const priced = price === null ? "money.usd_per_kwh in the configuration says what that costs" : `${rounded(sum(days, power))} at $${price} a kilowatt-hour`;
  say(byId("power"), joules ? `Own engines took about ${kilowattHours(joules)} of electricity: ${priced}. No cap counts it.` : "");
}

function drawSaved({ days, against }) {
  const saved = (one) => one.saved_usd_micros, elsewhere = sum(days, (one) => one.elsewhere_usd_micros);
  byId("saved-panel").hidden = elsewhere === 0;
  const won = sum(days, saved);
  say(byId("saved-note"), `${rounded(Math.abs(won))} ${won < 0 ? "more" : "less"} than ${rounded(elsewhere)} at ${against.scenario}: ${against.price}; electricity and hardware not counted`);
  drawDays(byId("saved"), {
    name: `What was paid on each day, and saved against ${against.scenario}`, days, tell: rounded,
    layers: [{ name: "paid", of: paid }, { name: "saved", of: saved }],
  });
}

poll(paths, show);
