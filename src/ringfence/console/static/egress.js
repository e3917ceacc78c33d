// What left this machine today, for whom and where to; and for each profile since when nothing has.

import { byId, command, draw, h, list, pill, say } from "./dom.js";
import { bytes, count, moment, plural, utc } from "./format.js";
import { poll } from "./poll.js";
import { sayVerdict } from "./verdict.js";

const NOWHERE = "No provider is configured: there is no way out at all.";
const REACH = {
  HOST: "Its text may not leave this machine.",
  MESH: "Its text may go to your own machines, and no further.",
  CLOUD: "Its text may go to rented clouds.",
};

const when = (atS) => h("time", { datetime: new Date(atS * 1000).toISOString(), title: utc(atS) }, moment(atS));
const home = (hasOwnNetwork) => (hasOwnNetwork ? "your machines" : "this machine");
const traffic = (one) => `${plural(one.calls, "call")}, ${bytes(one.bytes_out)} out and ${bytes(one.bytes_in)} in`;

function show(found) {
  sayVerdict(short(found));
  draw(byId("profiles"), [found.profiles, found.providers], () => found.profiles.map((one) => sentence(one, found.providers)));
  drawToday(found);
  drawJournal(found);
  if (found.journal.state === "broken") return ["bad", "Journal broken"];
  return found.known_since_s === null ? ["warn", "Not known"] : ["good", "Up to date"];
}

// -- in short

function short({ journal, total, profiles, providers, since_s: midnight, known_since_s: known }) {
  if (journal.state === "broken") {
    return ["bad", "The journal is broken: it cannot say what left.", journal.problem, journal.mend];
  }
  if (journal.state === "unreadable") return ["bad", "The journal cannot be read: it is not known what left.", journal.problem];
  if (known === null) {
    return ["warn", "There is no journal: it is not known what left.", "Providers are configured, but the process that reaches them has never been started here, or its journal was moved away. “ringfence up” starts it."];
  }
  const place = home(profiles.some((one) => one.has_own_network));
  const wayOut = providers.length === 0 ? NOWHERE : `What may leave goes to ${providers.join(", ")}, and is written down before it does.`;
  const today = known <= midnight ? "today" : `since ${moment(Math[total.calls ? "floor" : "ceil"](known))}`;
  if (total.calls === 0) return ["good", `Nothing has left ${place} ${today}.`, wayOut];
  return ["info", `${plural(total.calls, "call has", "calls have")} left ${place} ${today}.`, `${bytes(total.bytes_out)} went out, ${bytes(total.bytes_in)} came back. ${providers.length === 0 ? NOWHERE : ""}`];
}

function sentence(one, providers) {
  const name = () => h("b", {}, one.name);
  const place = home(one.has_own_network);
  const reach = !one.is_configured ? "This profile is not configured any more."
    : one.boundary === "CLOUD" && providers.length === 0 ? "Its text may go to rented clouds, but none is configured." : REACH[one.boundary];
  if (one.since === "unknown") {
    return h("li.warn", {}, h("p.sentence", {}, "It is not known what has left for profile ", name(), "."),
      h("p.facts", {}, one.calls ? `The readable lines tell of ${traffic(one)} today. ${reach}` : reach));
  }
  const today = one.calls ? `Today: ${traffic(one)}. ` : "";
  if (one.is_running) {
    return h("li.info", {}, h("p.sentence", {}, "A call for profile ", name(), " is on its way; the last left at ", when(one.since_s), "."),
      h("p.facts", {}, today + reach));
  }
  return h(one.calls ? "li.info" : "li.good", {},
    h("p.sentence", {}, `Nothing has left ${place} for profile `, name(), " since ", when(Math.ceil(one.since_s)), "."),
    h("p.facts", {}, `${today}${ground(one)} ${reach}`));
}

function ground(one) {
  if (one.since === "last_call") return one.calls ? "" : "Its last call ended then.";
  if (one.since === "journal") return "The journal begins then and has no call for it.";
  return "Ringfence was first started here then.";
}

// -- today

function drawToday(found) {
  byId("groups-panel").hidden = found.groups.length === 0;
  byId("calls-panel").hidden = found.calls.length === 0;
  say(byId("day"), "since midnight in your time zone; a provider’s cap counts the day of UTC");
  list(byId("groups"), found.groups, (one) => JSON.stringify([one.profile, one.key, one.provider, one.model]), () => h("tr"), (row, one) =>
    draw(row, one, () => cells([one.profile], [one.key_name || one.key, one.key], [one.provider], [one.model], [count(one.calls), null, "td.num"],
      [bytes(one.bytes_out), null, "td.num"], [bytes(one.bytes_in), null, "td.num"], [one.addresses.join(", "), one.addresses.join(", "), "td.dim"])));
  const shown = found.calls.length;
  say(byId("calls-note"), found.more_calls ? `the newest ${count(shown)}; ${plural(found.more_calls, "earlier one")} in “ringfence journal show”` : plural(shown, "call"));
  list(byId("calls"), found.calls, (one) => one.seq, () => h("tr"), (row, one) =>
    draw(row, one, () => cells([when(one.at_s), null, "td.dim"], [one.profile], [one.key_name || one.key, one.key], [one.provider], [one.model],
      [one.has_left ? bytes(one.bytes_out) : "–", null, "td.num"], [one.has_left && one.ended_s ? bytes(one.bytes_in) : "–", null, "td.num"],
      [pill(...outcome(one))], [one.address, null, "td.dim"])));
}

const cells = (...contents) => contents.map(([content, title, kind = "td"]) => h(kind, { title: title || null }, content || "–"));

function outcome(one) {
  if (one.ended_s === null) return ["busy", "No end yet"];
  if (!one.has_left) return ["quiet", "Not sent"];
  if (one.outcome === "ok") return [one.status >= 400 ? "warn" : "good", one.status >= 400 ? String(one.status) : "OK"];
  return ["warn", `${one.status || ""} ${one.outcome.replaceAll("_", " ")}`.trim()];
}

// -- the journal

const STATES = { whole: ["good", "Whole"], empty: ["good", "Empty"], broken: ["bad", "Broken"], unreadable: ["bad", "Unreadable"] };

function drawJournal(found) {
  const { journal, providers } = found;
  draw(byId("journal-state"), journal.state, (state) => pill(...(STATES[state] ?? ["quiet", "None"])));
  draw(byId("journal"), { journal, providers }, () => {
    if (journal.state === "absent") {
      return h("p.note", {}, providers.length ? "There is none here." : "There is none: it begins with the first provider. Calls to your own engines are not in it.");
    }
    return [
      journal.state === "unreadable" ? null : facts(journal),
      journal.state === "whole" ? h("p.note", {}, "Note its head where nobody with access to this machine can change it. Later, this finds out whether anything was cut off or written anew:") : null,
      journal.state === "whole" ? command(`ringfence journal verify --head ${journal.head}`) : null,
      h("p.fine", {}, "Every call to a rented cloud is in it before its first byte leaves; calls to engines on this machine and on your own network are not. What was moved away or removed before it began is not in it either."),
    ];
  });
}

function facts(journal) {
  const rows = [
    ["Lines", count(journal.lines)],
    ["Begins", journal.begun_s === null ? "–" : when(journal.begun_s)],
    ["Read from its beginning", when(journal.checked_s)],
    journal.recovered ? ["Cut short by crashes", count(journal.recovered)] : null,
  ].filter(Boolean);
  return h("dl.facts-list", {}, ...rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

poll(() => `/control/v1/egress?since_s=${new Date().setHours(0, 0, 0, 0) / 1000}`, show);
